// The one reader of JSON that files and requests bring: strict, and with limits that keep a damaged
// or hostile text harmless.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace facet {

// Deepest nesting of a file's JSON.
constexpr int kMaxJsonDepth = 64;

enum class DuplicateKeys {
  kRefuse,
  kLastWins,  // as most readers do; the key keeps its first place
};

struct JsonLimits {
  int max_depth = kMaxJsonDepth;
  DuplicateKeys duplicates = DuplicateKeys::kRefuse;
  // Whole numbers beyond 64 bits keep their digits, as a binary value that holds them, which
  // DumpJson writes as the number. Otherwise they become the nearest double.
  bool long_integers = false;
};

// Json is nlohmann::ordered_json, which keeps the order of keys, or nlohmann::json, which sorts
// them and finds them faster. Nothing deeper than the limit is ever built, and the time is
// O(n log n) whatever the text says.
//
// Error codes: "invalid_json" (malformed, not UTF-8), "json_too_deep", "duplicate_key".
template <class Json>
Result<Json> ParseJsonAs(std::string_view text, const JsonLimits& limits = {});

Result<nlohmann::ordered_json> ParseJson(std::string_view text, const JsonLimits& limits);

// With the limits of files, and `where` in front of errors.
Result<nlohmann::json> ParseJson(std::string_view text, std::string_view where);

// The same for a file of at most 256 MB.
Result<nlohmann::json> ReadJson(const std::filesystem::path& path);
// With keys in the order of the file.
Result<nlohmann::ordered_json> ReadOrderedJson(const std::filesystem::path& path);

// Compact text. Strings that are not UTF-8 get U+FFFD where they are not.
template <class Json>
std::string DumpJson(const Json& value);
// The same; an error where a string is not UTF-8.
Result<std::string> DumpStrictJson(const nlohmann::ordered_json& value);

// A value as an error message shows it: on one line, cut after 60 bytes.
template <class Json>
std::string ShowJson(const Json& value);

}  // namespace facet
