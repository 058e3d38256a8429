// Strict reading of one JSON object: every field has a type and a range, and a field that nobody
// read is an error unless it is named as one without effect.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/json.h"

namespace facet {

using OrderedJson = nlohmann::ordered_json;

// Keeps the first error; later calls then return nothing, so that a reader may take all its fields
// and ask once. Null counts as absent. Errors carry the field as `param` and a code: invalid_value,
// invalid_type, string_too_long, array_too_long, missing_required_parameter, unknown_parameter.
class JsonFields {
 public:
  // `object` has to outlive this; MoveString takes strings out of it. `path` leads to it in errors.
  JsonFields(OrderedJson& object, std::string path) : object_(object), path_(std::move(path)) {}

  std::optional<int64_t> Int(std::string_view name, int64_t low, int64_t high);
  std::optional<double> Number(std::string_view name, double low, double high);
  std::optional<bool> Bool(std::string_view name);
  std::optional<std::string> String(std::string_view name, size_t max_bytes);
  // The same without a copy: the object keeps an empty string.
  std::optional<std::string> MoveString(std::string_view name, size_t max_bytes);
  std::optional<std::string> Choice(std::string_view name,
                                    const std::vector<std::string_view>& values);
  OrderedJson* Array(std::string_view name, size_t max_items);
  OrderedJson* Object(std::string_view name);
  OrderedJson* Any(std::string_view name);

  // May be present, but has no effect.
  void Ignore(std::initializer_list<std::string_view> names);
  // The field must be there.
  void Require(std::string_view name);
  // Every field must have been read.
  Result<void> Done();

  void Fail(std::string_view name, std::string message, std::string code = "invalid_value",
            ErrorKind kind = ErrorKind::kInvalid);
  // The value has another type than `want` says.
  void FailType(std::string_view name, std::string_view want, const OrderedJson& got);
  // An error of what the field holds, with the field in front and as its param.
  void Fail(std::string_view name, const Error& error);
  // The error of an object inside this one, which names its place itself.
  void Adopt(const Result<void>& inner);

  bool ok() const { return !error_; }
  // The first error so far.
  Result<void> status() const;
  std::string Path(std::string_view name) const;

 private:
  OrderedJson& object_;
  std::string path_;
  std::set<std::string, std::less<>> read_;
  std::optional<Error> error_;
};

}  // namespace facet
