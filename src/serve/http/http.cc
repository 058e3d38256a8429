#include "serve/http/http.h"

#include <algorithm>
#include <nlohmann/json.hpp>

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

std::string_view ErrorType(int status) {
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

std::string ErrorBody(const ApiError& error) {
  nlohmann::ordered_json body;
  body["error"]["message"] = error.message;
  body["error"]["type"] = ErrorType(error.status);
  body["error"]["param"] = nullptr;
  if (error.param) body["error"]["param"] = *error.param;
  body["error"]["code"] = error.code;
  // Messages may quote what a client sent: broken UTF-8 must not break the answer.
  return body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

HttpResponse ErrorResponse(const ApiError& error) {
  HttpResponse response{.status = error.status, .body = ErrorBody(error), .headers = {}};
  if (error.status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  if (error.status == 429 || error.status == 503) response.headers.emplace_back("Retry-After", "1");
  return response;
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
      return {429, "overloaded"};
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

}  // namespace

ApiError ToApiError(const Error& error, std::optional<std::string> param) {
  const KindAnswer answer = AnswerOf(error.kind);
  if (!error.param.empty()) param = error.param;
  return {answer.status, error.message, error.code.empty() ? answer.code : error.code,
          std::move(param)};
}

std::string ServerSentEvent(std::string_view data, std::string_view event) {
  std::string out;
  out.reserve(data.size() + event.size() + 20);
  if (!event.empty()) out.append("event: ").append(event).append("\n");
  return out.append("data: ").append(data).append("\n\n");
}

std::optional<std::string> PercentDecode(std::string_view text) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size() || digit(text[i + 1]) < 0 || digit(text[i + 2]) < 0)
      return std::nullopt;
    out.push_back(static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2])));
    i += 2;
  }
  if (out.find('\0') != std::string::npos) return std::nullopt;
  return out;
}

std::string_view ReasonPhrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Payload Too Large";
    case 415:
      return "Unsupported Media Type";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    case 507:
      return "Insufficient Storage";
    default:
      return "Status";
  }
}

}  // namespace facet::serve
