#include "formats/json.h"

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "base/mapped_file.h"
#include "formats/tensor_file.h"

namespace facet {
namespace {

constexpr int kMaxDepth = 64;
constexpr uintmax_t kMaxBytes = 256 << 20;

// Brackets outside of strings that are open at the deepest place. The parser itself is not
// recursive; values are.
int Depth(std::string_view text) {
  int depth = 0, deepest = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        quoted = false;
      }
    } else if (c == '"') {
      quoted = true;
    } else if (c == '[' || c == '{') {
      deepest = std::max(deepest, ++depth);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return deepest;
}

template <class Json>
Result<Json> Parse(std::string_view text, std::string_view where) {
  if (Depth(text) > kMaxDepth) {
    return Error{Cat(where, ": JSON nested deeper than ", kMaxDepth)};
  }
  using Event = typename Json::parse_event_t;
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  std::string twice;
  const typename Json::parser_callback_t watch = [&](int, Event event, Json& value) {
    if (event == Event::object_start) {
      keys.emplace_back();
    } else if (event == Event::object_end) {
      keys.pop_back();
    } else if (event == Event::key) {
      const std::string& key = value.template get_ref<const std::string&>();
      if (!keys.back().insert(key).second && twice.empty()) twice = key;
    }
    return true;
  };
  Json value = Json::parse(text, watch, false);
  if (value.is_discarded()) return Error{Cat(where, ": not valid JSON")};
  if (!twice.empty())
    return Error{Cat(where, ": the key \"", Printable(twice), "\" stands there twice")};
  return value;
}

template <class Json>
Result<Json> Read(const std::filesystem::path& path) {
  std::error_code code;
  const uintmax_t size = std::filesystem::file_size(path, code);
  if (!code && size > kMaxBytes) {
    return Expected(Cat("at most ", kMaxBytes, " bytes"), size, path.string());
  }
  FACET_ASSIGN(const std::string text, ReadFile(path));
  return Parse<Json>(text, path.string());
}

}  // namespace

Result<nlohmann::json> ParseJson(std::string_view text, std::string_view where) {
  return Parse<nlohmann::json>(text, where);
}

Result<nlohmann::json> ReadJson(const std::filesystem::path& path) {
  return Read<nlohmann::json>(path);
}

Result<nlohmann::ordered_json> ReadOrderedJson(const std::filesystem::path& path) {
  return Read<nlohmann::ordered_json>(path);
}

}  // namespace facet
