#include "formats/json_fields.h"

#include <algorithm>
#include <cmath>

namespace facet {
namespace {

constexpr size_t kLongestName = 100;  // of a field, in errors and notes

// Bounds of what a request's ignored fields take in memory and in a header.
constexpr size_t kMaxIgnoredPaths = 32, kMaxIgnoredBytes = 1024;

// What may stand in a list of paths in a header as it is.
bool IsPlainPathByte(char c) {
  return c > ' ' && c < '\x7f' && std::string_view("%,;\"\\").find(c) == std::string_view::npos;
}

std::string PlainPath(std::string_view path) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : path) {
    if (IsPlainPathByte(c)) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

// Without the numbers in brackets.
std::string KindOf(const std::string& path) {
  std::string kind;
  bool index = false;
  for (const char c : path) {
    if (c == ']') index = false;
    if (!index) kind += c;
    if (c == '[') index = true;
  }
  return kind;
}

}  // namespace

void IgnoredFields::Add(const std::string& path) {
  const bool full = paths_.size() == kMaxIgnoredPaths || bytes_ > kMaxIgnoredBytes;
  if (full || !kinds_.insert(KindOf(path)).second) {
    ++more_;
    return;
  }
  paths_.push_back(PlainPath(path));
  bytes_ += paths_.back().size();
}

std::string IgnoredFields::Text() const {
  std::string text;
  for (const std::string& path : paths_) text += Cat(text.empty() ? "" : ", ", path);
  if (more_ > 0) text += Cat(" (and ", more_, " more)");
  return text;
}

std::string JsonFields::Path(std::string_view name) const {
  if (name.empty()) return path_;
  return path_.empty() ? std::string(name) : Cat(path_, ".", name);
}

void JsonFields::Fail(std::string_view name, std::string message, std::string code,
                      ErrorKind kind) {
  Fail(name, Error{std::move(message), kind, std::move(code)});
}

void JsonFields::Fail(std::string_view name, const Error& error) {
  if (error_) return;
  const std::string path = Path(name);
  error_ = Error{Cat(path, ": ", error.message), error.kind, error.code, path};
}

void JsonFields::FailType(std::string_view name, std::string_view want, const OrderedJson& got) {
  Fail(name, Cat("expected ", want, " but got ", ShowJson(got)), "invalid_type");
}

void JsonFields::Adopt(const Result<void>& inner) {
  if (!error_ && !inner.ok()) error_ = inner.error();
}

Result<void> JsonFields::status() const {
  if (error_) return *error_;
  return Ok();
}

OrderedJson* JsonFields::Any(std::string_view name) {
  read_.emplace(name);
  if (error_) return nullptr;
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::optional<int64_t> JsonFields::Int(std::string_view name, int64_t low, int64_t high) {
  const OrderedJson* value = Any(name);
  if (value == nullptr) return std::nullopt;
  const std::string want = Cat("an integer from ", low, " to ", high);
  // 4096.0 is what some clients send for 4096.
  if (value->is_number_float() && std::floor(value->get<double>()) == value->get<double>() &&
      std::abs(value->get<double>()) < 9e15) {
    const auto n = static_cast<int64_t>(value->get<double>());
    if (n >= low && n <= high) return n;
    FailType(name, want, *value);
    return std::nullopt;
  }
  if (!value->is_number_integer() ||
      (value->is_number_unsigned() && value->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX))) {
    FailType(name, want, *value);
    return std::nullopt;
  }
  const auto n = value->get<int64_t>();
  if (n < low || n > high) {
    Fail(name, Cat("expected ", want, " but got ", n));
    return std::nullopt;
  }
  return n;
}

std::optional<double> JsonFields::Number(std::string_view name, double low, double high) {
  const OrderedJson* value = Any(name);
  if (value == nullptr) return std::nullopt;
  const std::string want = Cat("a number from ", low, " to ", high);
  if (!value->is_number()) {
    FailType(name, want, *value);
    return std::nullopt;
  }
  const double n = value->get<double>();
  if (!(n >= low && n <= high)) {
    Fail(name, Cat("expected ", want, " but got ", ShowJson(*value)));
    return std::nullopt;
  }
  return n;
}

std::optional<bool> JsonFields::Bool(std::string_view name) {
  const OrderedJson* value = Any(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) {
    FailType(name, "true or false", *value);
    return std::nullopt;
  }
  return value->get<bool>();
}

std::optional<std::string> JsonFields::String(std::string_view name, size_t max_bytes) {
  const OrderedJson* value = Any(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) {
    FailType(name, "a string", *value);
    return std::nullopt;
  }
  const auto& text = value->get_ref<const std::string&>();
  if (text.size() > max_bytes) {
    Fail(name, Cat("expected at most ", max_bytes, " bytes but got ", text.size()),
         "string_too_long");
    return std::nullopt;
  }
  return text;
}

std::optional<std::string> JsonFields::MoveString(std::string_view name, size_t max_bytes) {
  OrderedJson* value = Any(name);
  if (value == nullptr || !value->is_string() ||
      value->get_ref<const std::string&>().size() > max_bytes)
    return String(name, max_bytes);  // nothing, or the error
  return std::move(value->get_ref<std::string&>());
}

std::optional<std::string> JsonFields::Choice(std::string_view name,
                                              const std::vector<std::string_view>& values) {
  const OrderedJson* value = Any(name);
  if (value == nullptr) return std::nullopt;
  std::string want;
  for (const std::string_view v : values) want += Cat(want.empty() ? "" : ", ", "'", v, "'");
  if (!value->is_string()) {
    FailType(name, Cat("one of ", want), *value);
    return std::nullopt;
  }
  const auto& text = value->get_ref<const std::string&>();
  if (std::find(values.begin(), values.end(), text) == values.end()) {
    Fail(name, Cat("expected one of ", want, " but got ", ShowJson(*value)));
    return std::nullopt;
  }
  return text;
}

OrderedJson* JsonFields::Array(std::string_view name, size_t max_items) {
  OrderedJson* value = Any(name);
  if (value == nullptr) return nullptr;
  if (!value->is_array()) {
    FailType(name, "a list", *value);
    return nullptr;
  }
  if (value->size() > max_items) {
    Fail(name, Cat("expected at most ", max_items, " items but got ", value->size()),
         "array_too_long");
    return nullptr;
  }
  return value;
}

OrderedJson* JsonFields::Object(std::string_view name) {
  OrderedJson* value = Any(name);
  if (value == nullptr) return nullptr;
  if (!value->is_object()) {
    FailType(name, "an object", *value);
    return nullptr;
  }
  return value;
}

void JsonFields::Ignore(std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) read_.emplace(name);
}

void JsonFields::IgnoreAndNote(std::string_view name) {
  if (Any(name) != nullptr && ignored_ != nullptr)
    ignored_->Add(Path(name.substr(0, kLongestName)));
}

void JsonFields::Require(std::string_view name) {
  if (!error_ && Any(name) == nullptr)
    Fail(name, "this field is required", "missing_required_parameter");
}

Result<void> JsonFields::Done() {
  for (const auto& [name, value] : object_.items()) {
    if (error_ || read_.contains(name) || value.is_null()) continue;
    if (ignored_ != nullptr) {
      ignored_->Add(Path(name.substr(0, kLongestName)));
      continue;
    }
    Fail(name.substr(0, kLongestName),
         "unknown field; it is refused because it might change the answer", "unknown_parameter",
         ErrorKind::kUnsupported);
    break;
  }
  return status();
}

}  // namespace facet
