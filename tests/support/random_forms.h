// Forms of answers for tests that ask for many at random, and whether an answer has its form.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>

#include "base/result.h"

namespace facet {

// The part of JSON Schema that these forms use.
inline bool FitsForm(const nlohmann::json& value, const nlohmann::json& schema) {
  using nlohmann::json;
  const auto fits = [](const json& schemas, const auto& one) {
    return std::any_of(schemas.begin(), schemas.end(), one);
  };
  if (schema.contains("anyOf"))
    return fits(schema["anyOf"], [&](const json& one) { return FitsForm(value, one); });
  if (schema.contains("enum"))
    return fits(schema["enum"], [&](const json& one) { return one == value; });
  const std::string type = schema.value("type", "");
  if (type == "string") {
    if (!value.is_string()) return false;
    const std::string text = value;
    const auto letters =
        std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
    return letters <= schema.value("maxLength", 1000000) &&
           (!schema.contains("pattern") ||
            std::regex_match(text, std::regex(schema["pattern"].get<std::string>())));
  }
  if (type == "integer")
    return value.is_number_integer() && value >= schema["minimum"] && value <= schema["maximum"];
  if (type == "boolean") return value.is_boolean();
  if (type == "null") return value.is_null();
  if (type == "array") {
    return value.is_array() && value.size() <= schema.value("maxItems", size_t{1000000}) &&
           std::all_of(value.begin(), value.end(),
                       [&](const json& item) { return FitsForm(item, schema["items"]); });
  }
  if (type != "object" || !value.is_object()) return false;
  for (const json& name : schema["required"])
    if (!value.contains(name.get<std::string>())) return false;
  for (const auto& [name, member] : value.items()) {
    if (!schema["properties"].contains(name) || !FitsForm(member, schema["properties"][name]))
      return false;
  }
  return true;
}

inline const nlohmann::json& RandomForms() {
  static const nlohmann::json forms = nlohmann::json::parse(R"([
    {"type":"object","properties":{"answer":{"type":"string","maxLength":12},
      "n":{"type":"integer","minimum":0,"maximum":99}},
     "required":["answer","n"],"additionalProperties":false},
    {"type":"object","properties":{"kind":{"enum":["a","b c","d\"e"]},"ok":{"type":"boolean"},
      "none":{"anyOf":[{"type":"null"},{"type":"integer","minimum":1,"maximum":5}]}},
     "required":["kind","ok","none"],"additionalProperties":false},
    {"type":"object","properties":{"list":{"type":"array","items":{"type":"string","maxLength":4},
      "maxItems":3}},"required":["list"],"additionalProperties":false},
    {"type":"object","properties":{"code":{"type":"string","pattern":"^[a-c]{1,6}$"}},
     "required":["code"],"additionalProperties":false}])");
  return forms;
}

// A tool for each form, "tool_0" and so on.
inline nlohmann::json RandomTools(bool strict) {
  nlohmann::json out = nlohmann::json::array();
  for (size_t i = 0; i < RandomForms().size(); ++i) {
    out.push_back(
        {{"type", "function"},
         {"function",
          {{"name", Cat("tool_", i)}, {"parameters", RandomForms()[i]}, {"strict", strict}}}});
  }
  return out;
}

inline bool FitsTool(const std::string& name, const std::string& arguments) {
  const size_t tool = static_cast<size_t>(name.back() - '0');
  return name.starts_with("tool_") && tool < RandomForms().size() &&
         FitsForm(nlohmann::json::parse(arguments, nullptr, false), RandomForms()[tool]);
}

// How many generations: `usual`, or what FACET_GENERATIONS says.
inline int RandomRounds(int usual) {
  const char* more = std::getenv("FACET_GENERATIONS");
  return more == nullptr ? usual : std::atoi(more);
}

}  // namespace facet
