// Strict reading of one JSON object: every field has a type and a range, and a field that nobody
// read is an error, or is noted for whoever sent it.
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

// Members that were taken although nobody reads them: they cannot change what the others ask for.
// One for a whole request; readers of its parts note their paths in it.
class IgnoredFields {
 public:
  // A path such as "messages[0].foo". Of paths that differ in their indices alone, the first is
  // kept and the others are counted.
  void Add(const std::string& path);
  bool empty() const { return paths_.empty(); }
  // "messages[0].foo, user (and 12 more)": printable ASCII on one line, as a header may carry it.
  std::string Text() const;

 private:
  std::vector<std::string> paths_;
  std::set<std::string> kinds_;  // of paths: "messages[].foo"
  size_t bytes_ = 0, more_ = 0;
};

// Keeps the first error; later calls then return nothing, so that a reader may take all its fields
// and ask once. Null counts as absent. Errors carry the field as `param` and a code: invalid_value,
// invalid_type, string_too_long, array_too_long, missing_required_parameter, unknown_parameter.
class JsonFields {
 public:
  // `object` has to outlive this; MoveString takes strings out of it. `path` leads to it in errors.
  // Fields that nobody reads are errors, or are noted in `ignored` where there is one.
  JsonFields(OrderedJson& object, std::string path, IgnoredFields* ignored = nullptr)
      : object_(object), path_(std::move(path)), ignored_(ignored) {}
  // Of an object that is this one's member `name`, or stands inside of it.
  JsonFields Inside(std::string_view name, OrderedJson& object) const {
    return {object, Path(name), ignored_};
  }

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
  // The same, and whoever sent it is told.
  void IgnoreAndNote(std::string_view name);
  // The field must be there.
  void Require(std::string_view name);
  // Every field has been read: the others are errors, or noted.
  Result<void> Done();

  void Fail(std::string_view name, std::string message, std::string code = "invalid_value",
            ErrorKind kind = ErrorKind::kInvalid);
  // The value has another type than `want` says.
  void FailType(std::string_view name, std::string_view want, const OrderedJson& got);
  // An error of what the field holds, with the field in front and as its param.
  void Fail(std::string_view name, const Error& error);
  // The error of an object inside this one, which names its place itself.
  void Adopt(const Result<void>& inner);

  bool WasRead(std::string_view name) const { return read_.contains(name); }
  bool ok() const { return !error_; }
  // The first error so far.
  Result<void> status() const;
  std::string Path(std::string_view name) const;
  IgnoredFields* ignored() const { return ignored_; }

 private:
  OrderedJson& object_;
  std::string path_;
  IgnoredFields* ignored_;
  std::set<std::string, std::less<>> read_;
  std::optional<Error> error_;
};

}  // namespace facet
