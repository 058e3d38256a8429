// Strict reading of a request's JSON: every field has a type and a range, and a field that nobody
// read is an error unless it cannot change the answer.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "serve/http/http.h"

namespace facet::serve {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

// Deepest nesting of a request's JSON.
constexpr int kMaxJsonDepth = 100;

// Parses a body: one object, UTF-8, no deeper than the limit.
std::optional<ApiError> ParseBody(std::string_view body, Json& out);

// The fields of one object. Keeps the first error; later calls then return nothing. Null counts as
// absent.
class Fields {
 public:
  Fields(const Json& object, std::string path) : object_(object), path_(std::move(path)) {}

  std::optional<int64_t> Int(const char* name, int64_t low, int64_t high);
  std::optional<double> Number(const char* name, double low, double high);
  std::optional<bool> Bool(const char* name);
  std::optional<std::string> String(const char* name, size_t max_bytes);
  std::optional<std::string> Choice(const char* name,
                                    std::initializer_list<std::string_view> values);
  const Json* Array(const char* name, size_t max_items);
  const Json* Object(const char* name);
  const Json* Any(const char* name);

  // Present, but without effect on the answer.
  void Ignore(std::initializer_list<const char*> names);
  // The field must be there.
  void Require(const char* name);
  // Every field must have been read.
  void Done();

  void Fail(std::string_view name, std::string message, std::string code = "invalid_value");
  // The first error of the fields of an object inside this one.
  void Adopt(const Fields& inner) {
    if (!error_) error_ = inner.error_;
  }
  bool ok() const { return !error_; }
  const std::optional<ApiError>& error() const { return error_; }
  std::string Path(std::string_view name) const;

 private:
  void FailType(const char* name, std::string_view want, const Json& got);

  const Json& object_;
  std::string path_;
  std::set<std::string, std::less<>> read_;
  std::optional<ApiError> error_;
};

// A value as an error text shows it: short, and without line breaks.
std::string Show(const Json& value);

// Compact, and safe for any bytes in strings.
template <typename J>
std::string Dump(const J& json) {
  return json.dump(-1, ' ', false, J::error_handler_t::replace);
}

}  // namespace facet::serve
