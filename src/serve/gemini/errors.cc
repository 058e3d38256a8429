#include "serve/gemini/gemini.h"

namespace facet::serve {
namespace {

const char* GeminiStatus(int status) {
  switch (status) {
    case 401:
      return "UNAUTHENTICATED";
    case 403:
      return "PERMISSION_DENIED";
    case 404:
      return "NOT_FOUND";
    case 408:
      return "DEADLINE_EXCEEDED";
    case 429:
      return "RESOURCE_EXHAUSTED";
    case 503:
      return "UNAVAILABLE";
    default:
      return status < 500 ? "INVALID_ARGUMENT" : "INTERNAL";
  }
}

// Programs look for these words to make their conversation shorter.
std::string GeminiMessage(const Error& error) {
  if (error.kind != ErrorKind::kOverContext) return error.message;
  return Cat("The input token count exceeds the maximum number of tokens allowed: ", error.message);
}

}  // namespace

HttpResponse GeminiError(const Error& error) {
  HttpResponse response = ErrorResponse(error);
  const std::string message = GeminiMessage(error);
  OrderedJson inner = {
      {"code", response.status}, {"message", message}, {"status", GeminiStatus(response.status)}};
  if (!error.param.empty()) {
    inner["details"] = {
        {{"@type", "type.googleapis.com/google.rpc.BadRequest"},
         {"fieldViolations", {{{"field", error.param}, {"description", message}}}}}};
  }
  response.body = DumpJson(OrderedJson{{"error", std::move(inner)}});
  return response;
}

}  // namespace facet::serve
