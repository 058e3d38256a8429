#include "formats/json.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/file_kind.h"
#include "base/mapped_file.h"
#include "base/text.h"
#include "formats/tensor_file.h"

namespace facet {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr uintmax_t kMaxBytes = 256 << 20;

// Where the members of one open object lie. nlohmann's ordered objects are lists, which search for
// each new key among all others: a text with a million keys in one object would take hours.
template <class Json>
class Members;

template <>
class Members<json> {
 public:
  // The member of this name; null at first.
  json* Add(json& object, std::string&& key, bool& duplicate) {
    const auto [it, added] = object.get_ref<json::object_t&>().try_emplace(std::move(key), nullptr);
    duplicate = !added;
    return &it->second;
  }
};

template <>
class Members<ordered_json> {
 public:
  ordered_json* Add(ordered_json& object, std::string&& key, bool& duplicate) {
    using List = std::vector<std::pair<const std::string, ordered_json>>;
    List& list = object.get_ref<ordered_json::object_t&>();
    const auto [it, added] = places_.try_emplace(key, list.size());
    duplicate = !added;
    if (added) list.emplace_back(std::move(key), nullptr);
    return &list[it->second].second;
  }

 private:
  std::map<std::string, size_t> places_;
};

// What often stands where JSON breaks, and what to do about it; empty for anything else.
// `position` counts the bytes that the parser has read, the end as one more.
std::string BadJsonAdvice(std::string_view text, size_t position) {
  const std::string_view head = text.substr(0, kFileKindBytes);
  if (IsKnownFileKind(head)) return Cat("this is ", GuessFileKind(head).Text());
  if (Trim(text).empty()) return "there is no text";
  if (position > text.size()) return "it ends too early: cut off, or not all of it downloaded";
  if (position == 0) return {};
  const auto letter = [&](size_t i) { return std::isalpha(static_cast<unsigned char>(text[i])); };
  size_t begin = position - 1;
  const char last = text[begin];
  while (letter(position - 1) && begin > 0 && letter(begin - 1)) --begin;
  for (const std::string_view number : {"NaN", "nan", "Infinity", "inf", "Inf"}) {
    if (text.substr(begin).starts_with(number))
      return Cat(number, " is no number of JSON: write null, or leave the value out");
  }
  for (const std::string_view python : {"None", "True", "False"}) {
    if (text.substr(begin).starts_with(python))
      return Cat(python, " is Python's: JSON has null, true and false (json.dumps writes them)");
  }
  if (last == '\'') return "strings stand in double quotes (Python's json.dumps writes them)";
  if (last == '/' || last == '#') return "JSON has no comments";
  const bool closes = last == '}' || last == ']';
  if (closes && Trim(text.substr(0, position - 1)).ends_with(','))
    return "there is a comma too many";
  return {};
}

// Builds a value from the parser's events.
template <class Json>
class Builder : public nlohmann::json_sax<Json> {
 public:
  using Base = nlohmann::json_sax<Json>;

  Builder(std::string_view text, const JsonLimits& limits) : text_(text), limits_(limits) {}

  Json value;
  Error error;

  bool null() override { return Place(nullptr); }
  bool boolean(bool v) override { return Place(v); }
  bool number_integer(typename Base::number_integer_t v) override { return Place(v); }
  bool number_unsigned(typename Base::number_unsigned_t v) override { return Place(v); }
  bool number_float(typename Base::number_float_t v, const std::string& text) override {
    const bool whole = text.find_first_not_of("-0123456789") == text.npos;
    if (!whole || !limits_.long_integers) return Place(v);
    return Place(Json::binary({text.begin(), text.end()}));
  }
  bool string(std::string& v) override { return Place(std::move(v)); }
  bool binary(typename Base::binary_t&) override { return false; }  // not part of JSON

  bool start_object(std::size_t) override { return Open(Json::object()); }
  bool start_array(std::size_t) override { return Open(Json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(std::string& name) override {
    const bool refuse = limits_.duplicates == DuplicateKeys::kRefuse;
    const std::string shown = refuse ? Printable(name) : std::string();
    bool duplicate = false;
    Level& level = open_.back();
    level.member = level.members.Add(*level.value, std::move(name), duplicate);
    if (!duplicate || !refuse) return true;
    error = {Cat("duplicate key \"", shown, "\""), ErrorKind::kInvalid, "duplicate_key"};
    return false;
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& problem) override {
    if (const std::string advice = BadJsonAdvice(text_, position); !advice.empty()) {
      error = {Cat("not valid JSON: ", advice, " (byte ", position, ")"), ErrorKind::kInvalid,
               "invalid_json"};
      return false;
    }
    std::string_view text = problem.what();  // "[json.exception.parse_error.101] parse error at..."
    if (const size_t end = text.find("] "); text.starts_with('[') && end != text.npos)
      text.remove_prefix(end + 2);
    error = {Cat("not valid JSON: ", Printable(text)), ErrorKind::kInvalid, "invalid_json"};
    return false;
  }

 private:
  // An object or array whose end has not come. Its address holds: what it lies in grows only after
  // its end.
  struct Level {
    Json* value;
    Json* member = nullptr;  // of an object: what the next value belongs to
    Members<Json> members;
  };

  Json* Add(Json&& added) {
    if (open_.empty()) return &(value = std::move(added));
    Level& level = open_.back();
    if (level.value->is_object()) return &(*level.member = std::move(added));
    level.value->push_back(std::move(added));
    return &level.value->back();
  }
  bool Place(Json added) {
    Add(std::move(added));
    return true;
  }
  bool Open(Json empty) {
    if (open_.size() >= static_cast<size_t>(limits_.max_depth)) {
      error = {Cat("the JSON is nested deeper than ", limits_.max_depth, " levels"),
               ErrorKind::kInvalid, "json_too_deep"};
      return false;
    }
    Json* const added = Add(std::move(empty));
    open_.push_back({added, nullptr, {}});
    return true;
  }
  bool Close() {
    open_.pop_back();
    return true;
  }

  const std::string_view text_;
  const JsonLimits& limits_;
  std::vector<Level> open_;
};

template <class Json>
Result<Json> Read(const std::filesystem::path& path) {
  std::error_code code;
  const uintmax_t size = std::filesystem::file_size(path, code);
  if (!code && size > kMaxBytes) {
    return Expected(Cat("at most ", kMaxBytes, " bytes"), size, path.string());
  }
  FACET_ASSIGN(const std::string text, ReadFile(path));
  auto parsed = ParseJsonAs<Json>(text);
  if (!parsed.ok()) return parsed.error().In(path.string());
  return parsed;
}

template <class Json>
bool HasLongInteger(const Json& value) {
  if (!value.is_structured()) return value.is_binary();
  return std::any_of(value.begin(), value.end(),
                     [](const Json& item) { return HasLongInteger(item); });
}

template <class Json>
void WriteJson(const Json& value, typename Json::error_handler_t handler, std::string& out) {
  auto separate = [&, first = true]() mutable {
    if (!std::exchange(first, false)) out += ',';
  };
  if (value.is_binary()) {
    out.append(value.get_binary().begin(), value.get_binary().end());
  } else if (value.is_object()) {
    out += '{';
    for (const auto& [key, member] : value.items()) {
      separate();
      out += Json(key).dump(-1, ' ', false, handler) + ':';
      WriteJson(member, handler, out);
    }
    out += '}';
  } else if (value.is_array()) {
    out += '[';
    for (const Json& item : value) {
      separate();
      WriteJson(item, handler, out);
    }
    out += ']';
  } else {
    out += value.dump(-1, ' ', false, handler);
  }
}

}  // namespace

template <class Json>
Result<Json> ParseJsonAs(std::string_view text, const JsonLimits& limits) {
  Builder<Json> builder(text, limits);
  if (!Json::sax_parse(text, &builder)) return builder.error;
  return std::move(builder.value);
}

Result<ordered_json> ParseJson(std::string_view text, const JsonLimits& limits) {
  return ParseJsonAs<ordered_json>(text, limits);
}

Result<json> ParseJson(std::string_view text, std::string_view where) {
  auto parsed = ParseJsonAs<json>(text);
  if (!parsed.ok()) return parsed.error().In(where);
  return parsed;
}

Result<json> ReadJson(const std::filesystem::path& path) {
  return Read<json>(path);
}

Result<ordered_json> ReadOrderedJson(const std::filesystem::path& path) {
  return Read<ordered_json>(path);
}

template <class Json>
std::string DumpJson(const Json& value) {
  constexpr auto kHandler = Json::error_handler_t::replace;
  if (!HasLongInteger(value)) return value.dump(-1, ' ', false, kHandler);
  std::string out;
  WriteJson(value, kHandler, out);
  return out;
}

Result<std::string> DumpStrictJson(const ordered_json& value) {
  try {
    if (!HasLongInteger(value)) return value.dump();
    std::string out;
    WriteJson(value, ordered_json::error_handler_t::strict, out);
    return out;
  } catch (const ordered_json::exception&) {
    return Error{"text that is not UTF-8"};
  }
}

template <class Json>
std::string ShowJson(const Json& value) {
  constexpr size_t kLongest = 60;
  constexpr std::string_view kCut = "...";
  std::string text = DumpJson(value);
  if (text.size() <= kLongest) return text;
  size_t end = kLongest - kCut.size();
  while (end > 0 && (text[end] & 0xC0) == 0x80) --end;  // not inside a character
  return text.substr(0, end).append(kCut);
}

template Result<json> ParseJsonAs(std::string_view, const JsonLimits&);
template Result<ordered_json> ParseJsonAs(std::string_view, const JsonLimits&);
template std::string DumpJson(const json&);
template std::string DumpJson(const ordered_json&);
template std::string ShowJson(const json&);
template std::string ShowJson(const ordered_json&);

}  // namespace facet
