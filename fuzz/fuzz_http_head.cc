// Any bytes as the head of a request: refused by the parser, or judged by the rules of access.
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "base/text.h"
#include "serve/http/access.h"

namespace {

namespace http = boost::beast::http;
using namespace facet::serve;

AccessRules Rules() {
  AccessRules rules;
  rules.hosts = {"127.0.0.1", "localhost", "::1"};
  rules.origins = {"https://app.example"};
  (void)rules.keys.Add("key-1").ok();
  return rules;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static const AccessRules rules = Rules();
  http::request_parser<http::string_body> parser;
  parser.header_limit(16384);
  parser.body_limit(1 << 20);
  boost::system::error_code code;
  parser.put(boost::asio::buffer(bytes, size), code);
  if (code || !parser.is_header_done()) return 0;
  HttpRequest request;
  const auto& message = parser.get();
  request.method = std::string(message.method_string());
  for (const auto& field : message) {
    request.headers.emplace_back(facet::ToLower(std::string(field.name_string())),
                                 std::string(field.value()));
  }
  const auto target = PercentDecode(std::string(message.target()));
  if (!target) return 0;
  request.path = *target;
  Headers answer;
  (void)IsPreflight(request);
  (void)CheckAccess(rules, request, answer);
  return 0;
}
