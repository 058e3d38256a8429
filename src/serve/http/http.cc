#include "serve/http/http.h"

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "formats/json_fields.h"

namespace facet::serve {

std::optional<std::string_view> HttpRequest::Header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return std::nullopt;
}

size_t HttpRequest::CountHeaders(std::string_view name) const {
  return std::count_if(headers.begin(), headers.end(),
                       [&](const auto& header) { return header.first == name; });
}

namespace {

struct KindAnswer {
  int status;
  const char* code;
};

KindAnswer AnswerOf(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInvalid:
      return {400, "invalid_value"};
    case ErrorKind::kOverContext:
      return {400, "context_length_exceeded"};
    case ErrorKind::kUnsupported:
      return {400, "unsupported"};
    case ErrorKind::kUnauthenticated:
      return {401, "invalid_api_key"};
    case ErrorKind::kPermission:
      return {403, "forbidden"};
    case ErrorKind::kNotFound:
      return {404, "not_found"};
    case ErrorKind::kTimeout:
      return {408, "request_timeout"};
    case ErrorKind::kTooLarge:
      return {413, "too_large"};
    case ErrorKind::kQueueFull:
      return {429, "queue_full"};
    case ErrorKind::kIo:
      return {500, "io_error"};
    case ErrorKind::kInternal:
      return {500, "internal_error"};
    case ErrorKind::kResource:
    case ErrorKind::kBusy:
      return {503, "overloaded"};
    case ErrorKind::kCancelled:
      return {503, "cancelled"};
    case ErrorKind::kInsufficient:
      return {507, "insufficient_memory"};
  }
  return {500, "internal_error"};
}

// Statuses that speak of HTTP itself: no kind of error stands for them.
constexpr std::pair<std::string_view, int> kProtocolCodes[] = {
    {"method_not_allowed", 405},
    {"unsupported_content_type", 415},
    {"headers_too_large", 431},
};

std::string_view TypeOf(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 429:
      return "rate_limit_error";
    case 503:
      return "unavailable_error";
    default:
      return status < 500 ? "invalid_request_error" : "server_error";
  }
}

}  // namespace

int StatusOf(const Error& error) {
  for (const auto& [code, status] : kProtocolCodes) {
    if (error.code == code) return status;
  }
  return AnswerOf(error.kind).status;
}

std::string CodeOf(const Error& error) {
  return error.code.empty() ? AnswerOf(error.kind).code : error.code;
}

std::string ErrorBody(const Error& error) {
  OrderedJson body;
  body["error"]["message"] = error.message;
  body["error"]["type"] = TypeOf(StatusOf(error));
  body["error"]["param"] = nullptr;
  if (!error.param.empty()) body["error"]["param"] = error.param;
  body["error"]["code"] = CodeOf(error);
  // Messages may quote what a client sent: broken UTF-8 must not break the answer.
  return DumpJson(body);
}

HttpResponse ErrorResponse(const Error& error) {
  HttpResponse response{.status = StatusOf(error), .body = ErrorBody(error), .headers = {}};
  if (response.status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  if (response.status == 429 || response.status == 503)
    response.headers.emplace_back("Retry-After", "1");
  return response;
}

void AnswerErrors(Exchange& exchange, std::string_view what,
                  const std::function<Result<void>()>& work) {
  try {
    if (const Result<void> done = work(); !done) exchange.SendError(done.error());
  } catch (const std::exception& e) {
    spdlog::error("{}: {}", what, e.what());
    exchange.SendError({"internal error", ErrorKind::kInternal});
    exchange.End();
  }
}

std::string ServerSentEvent(std::string_view data, std::string_view event) {
  std::string out;
  out.reserve(data.size() + event.size() + 20);
  if (!event.empty()) out.append("event: ").append(event).append("\n");
  return out.append("data: ").append(data).append("\n\n");
}

std::optional<std::string> QueryValue(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
    const size_t equals = pair.find('=');
    if (equals != pair.npos && pair.substr(0, equals) == name)
      return PercentDecode(pair.substr(equals + 1));
  }
  return std::nullopt;
}

std::optional<std::string> PercentDecode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    const int byte = i + 2 < text.size() ? HexByte(text[i + 1], text[i + 2]) : -1;
    if (byte <= 0) return std::nullopt;
    out.push_back(static_cast<char>(byte));
    i += 2;
  }
  if (out.find('\0') != std::string::npos) return std::nullopt;
  return out;
}

}  // namespace facet::serve
