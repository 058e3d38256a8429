#include "serve/http/wire.h"

#include <cstdio>
#include <ctime>

namespace facet::serve {
namespace {

std::string HttpDate() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[64];
  std::strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &utc);
  return text;
}

}  // namespace

std::string ResponseHead(const HttpResponse& response, const Headers& extra, HeadOptions options) {
  std::string head = Cat("HTTP/1.1 ", response.status, ' ', ReasonPhrase(response.status),
                         "\r\nDate: ", HttpDate(), "\r\nX-Content-Type-Options: nosniff\r\n");
  if (response.status != 204) head += Cat("Content-Type: ", response.content_type, "\r\n");
  if (options.stream) {
    head += "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n";
    if (options.chunked) head += "Transfer-Encoding: chunked\r\n";
  } else if (response.status != 204) {
    head += Cat("Cache-Control: no-store\r\nContent-Length: ", response.body.size(), "\r\n");
  }
  head += options.keep ? "Connection: keep-alive\r\n" : "Connection: close\r\n";
  for (const Headers* headers : {&response.headers, &extra}) {
    for (const auto& [name, value] : *headers) head += Cat(name, ": ", value, "\r\n");
  }
  return head + "\r\n";
}

std::string Chunk(std::string bytes) {
  char size[20];
  std::snprintf(size, sizeof(size), "%zx\r\n", bytes.size());
  return size + std::move(bytes) + "\r\n";
}

}  // namespace facet::serve
