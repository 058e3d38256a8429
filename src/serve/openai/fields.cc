#include "serve/openai/fields.h"

#include <algorithm>
#include <cmath>

#include "base/result.h"

namespace facet::serve {
namespace {

// Checked before parsing: nothing deeper is ever built.
bool TooDeep(std::string_view text) {
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMaxJsonDepth) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

}  // namespace

std::optional<ApiError> ParseBody(std::string_view body, Json& out) {
  if (TooDeep(body)) {
    return ApiError{
        400, Cat("the JSON is nested deeper than ", kMaxJsonDepth, " levels"), "json_too_deep", {}};
  }
  try {
    out = Json::parse(body);
  } catch (const Json::exception& e) {
    return ApiError{400, Cat("malformed JSON: ", e.what()), "invalid_json", {}};
  }
  if (!out.is_object()) return ApiError{400, "expected a JSON object", "invalid_json", {}};
  return std::nullopt;
}

std::string Show(const Json& value) {
  std::string text = Dump(value);
  if (text.size() > 60) {
    text.resize(57);
    while (!text.empty() && (text.back() & 0xC0) == 0x80) text.pop_back();
    if (!text.empty() && static_cast<unsigned char>(text.back()) >= 0xC0) text.pop_back();
    text += "...";
  }
  return text;
}

std::string Fields::Path(std::string_view name) const {
  return path_.empty() ? std::string(name) : Cat(path_, ".", name);
}

void Fields::Fail(std::string_view name, std::string message, std::string code) {
  if (error_) return;
  const std::string path = name.empty() ? path_ : Path(name);
  error_ = ApiError{400, Cat(path, ": ", message), std::move(code), path};
}

void Fields::FailType(const char* name, std::string_view want, const Json& got) {
  Fail(name, Cat("expected ", want, " but got ", Show(got)), "invalid_type");
}

const Json* Fields::Any(const char* name) {
  read_.insert(name);
  const auto it = object_.find(name);
  return it == object_.end() || it->is_null() || error_ ? nullptr : &*it;
}

std::optional<int64_t> Fields::Int(const char* name, int64_t low, int64_t high) {
  const Json* value = Any(name);
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

std::optional<double> Fields::Number(const char* name, double low, double high) {
  const Json* value = Any(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) {
    FailType(name, Cat("a number from ", low, " to ", high), *value);
    return std::nullopt;
  }
  const double n = value->get<double>();
  if (!(n >= low && n <= high)) {
    Fail(name, Cat("expected a number from ", low, " to ", high, " but got ", Show(*value)));
    return std::nullopt;
  }
  return n;
}

std::optional<bool> Fields::Bool(const char* name) {
  const Json* value = Any(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) {
    FailType(name, "true or false", *value);
    return std::nullopt;
  }
  return value->get<bool>();
}

std::optional<std::string> Fields::String(const char* name, size_t max_bytes) {
  const Json* value = Any(name);
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

std::optional<std::string> Fields::Choice(const char* name,
                                          std::initializer_list<std::string_view> values) {
  const Json* value = Any(name);
  if (value == nullptr) return std::nullopt;
  std::string want;
  for (const std::string_view v : values) want += Cat(want.empty() ? "" : ", ", "'", v, "'");
  if (!value->is_string()) {
    FailType(name, Cat("one of ", want), *value);
    return std::nullopt;
  }
  const auto& text = value->get_ref<const std::string&>();
  if (std::find(values.begin(), values.end(), text) == values.end()) {
    Fail(name, Cat("expected one of ", want, " but got ", Show(*value)));
    return std::nullopt;
  }
  return text;
}

const Json* Fields::Array(const char* name, size_t max_items) {
  const Json* value = Any(name);
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

const Json* Fields::Object(const char* name) {
  const Json* value = Any(name);
  if (value == nullptr) return nullptr;
  if (!value->is_object()) {
    FailType(name, "an object", *value);
    return nullptr;
  }
  return value;
}

void Fields::Ignore(std::initializer_list<const char*> names) {
  for (const char* name : names) read_.insert(name);
}

void Fields::Require(const char* name) {
  if (!error_ && Any(name) == nullptr)
    Fail(name, "this field is required", "missing_required_parameter");
}

void Fields::Done() {
  for (const auto& [name, value] : object_.items()) {
    if (read_.contains(name) || value.is_null()) continue;
    Fail(name.substr(0, 100), "unknown field; it is refused because it might change the answer",
         "unknown_parameter");
    return;
  }
}

}  // namespace facet::serve
