#include "serve/anthropic/messages.h"

namespace facet::serve {
namespace {

// Nobody but this API has a status of its own for a server that is busy.
constexpr int kOverloaded = 529;

const char* AnthropicType(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 408:
      return "timeout_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case kOverloaded:
      return "overloaded_error";
    default:
      return status < 500 ? "invalid_request_error" : "api_error";
  }
}

// Programs look for these words to make their conversation shorter.
std::string AnthropicMessage(const Error& error) {
  if (error.kind != ErrorKind::kOverContext) return error.message;
  return Cat("prompt is too long: ", error.message);
}

}  // namespace

HttpResponse AnthropicError(const Error& error) {
  HttpResponse response = ErrorResponse(error);
  if (response.status == 503) response.status = kOverloaded;
  const std::string id = RandomId("req_");
  response.body = DumpJson(OrderedJson{
      {"type", "error"},
      {"error", {{"type", AnthropicType(response.status)}, {"message", AnthropicMessage(error)}}},
      {"request_id", id}});
  response.headers.emplace_back("request-id", id);
  return response;
}

}  // namespace facet::serve
