#include "formats/json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace facet {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

std::string Nested(int depth) {
  return std::string(static_cast<size_t>(depth), '[') +
         std::string(static_cast<size_t>(depth), ']');
}

template <class Json>
class JsonReader : public testing::Test {};
using Kinds = testing::Types<json, ordered_json>;
TYPED_TEST_SUITE(JsonReader, Kinds);

TYPED_TEST(JsonReader, ReadsWhatTheLibraryReads) {
  for (const char* text :
       {"null", " true ", "-1", "18446744073709551615", "1.5e3", R"("\u00e9\n")", "[]", "{}",
        R"([1, [2, {"a": [3]}], {}])", R"({"b": {"y": 1, "x": [null]}, "a": "", "": false})"}) {
    const auto value = ParseJsonAs<TypeParam>(text);
    ASSERT_TRUE(value.ok()) << text << ": " << value.error().message;
    EXPECT_EQ(value->dump(), TypeParam::parse(text).dump());
  }
}

TYPED_TEST(JsonReader, RefusesMalformedText) {
  for (const char* text : {"", "{", "[1,]", "{\"a\" 1}", "nul", "1 2", "\"\xff\"", "1e999", "'a'",
                           "[1] // comment", "{\"a\": 1,}"}) {
    const auto value = ParseJsonAs<TypeParam>(text);
    ASSERT_FALSE(value.ok()) << text;
    EXPECT_EQ(value.error().code, "invalid_json") << text;
    EXPECT_EQ(value.error().message.find("json.exception"), std::string::npos);
  }
}

// What people and programs write in its place, and what to do about it.
TYPED_TEST(JsonReader, SaysWhatIsWrong) {
  const std::pair<std::string, std::string> cases[] = {
      {R"({"loss": NaN})", "NaN is no number of JSON"},
      {R"([nan])", "nan is no number of JSON"},
      {R"([1, -Infinity])", "Infinity is no number of JSON"},
      {R"({"a": None})", "None is Python's"},
      {R"({"a": True, "b": 1})", "True is Python's"},
      {R"({'a': 1})", "double quotes"},
      {"{\"a\": 1} // b", "no comments"},
      {"# a\n{}", "no comments"},
      {R"([1, 2,])", "a comma too many"},
      {"{\"a\": 1,\n}", "a comma too many"},
      {R"({"a": "b)", "it ends too early"},
      {R"({"a": [1, 2)", "it ends too early"},
      {"", "there is no text"},
      {" \n", "there is no text"},
      {"<!DOCTYPE html><html>", "a web page"},
      {"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"},
      {std::string("\xff\xfe{\0}\0", 6), "UTF-16"},
      {std::string("{\0\"\0a\0\"\0:\0", 10), "UTF-16"},
      {std::string("\x1f\x8b\x08\0", 4), "gzip"},
      {"%PDF-1.4", "a PDF document"}};
  for (const auto& [text, advice] : cases) {
    const auto value = ParseJsonAs<TypeParam>(text);
    ASSERT_FALSE(value.ok()) << text;
    EXPECT_EQ(value.error().code, "invalid_json") << text;
    EXPECT_TRUE(value.error().message.starts_with("not valid JSON: ")) << value.error().message;
    EXPECT_NE(value.error().message.find(advice), std::string::npos)
        << text << ": " << value.error().message;
  }
  // Words in strings and numbers beyond the range are something else.
  for (const char* text : {"1e999", "{\"NaN\" 1}", "{} x", "[1 2]"}) {
    const std::string message = ParseJsonAs<TypeParam>(text).error().message;
    for (const char* wrong : {"NaN is", "ends too early", "comma too many", "Python"})
      EXPECT_EQ(message.find(wrong), std::string::npos) << text << ": " << message;
  }
}

TYPED_TEST(JsonReader, LimitsTheDepth) {
  EXPECT_TRUE(ParseJsonAs<TypeParam>(Nested(kMaxJsonDepth)).ok());
  const auto deep = ParseJsonAs<TypeParam>(Nested(kMaxJsonDepth + 1));
  ASSERT_FALSE(deep.ok());
  EXPECT_EQ(deep.error().code, "json_too_deep");
  EXPECT_EQ(deep.error().message, "the JSON is nested deeper than 64 levels");
  EXPECT_TRUE(ParseJsonAs<TypeParam>(Nested(100), {.max_depth = 100}).ok());
  // Brackets in strings are text, behind a quoted quote as well.
  EXPECT_TRUE(ParseJsonAs<TypeParam>("\"\\\"" + std::string(1000, '[') + "\"").ok());
  // What is refused is never built, however long it is.
  EXPECT_FALSE(ParseJsonAs<TypeParam>(std::string(10'000'000, '[')).ok());
}

TYPED_TEST(JsonReader, RefusesDuplicateKeysOrTakesTheLast) {
  const std::string text = R"({"a": 1, "b": {"c": 1, "a": 2, "c": [3]}, "d": 4})";
  const auto refused = ParseJsonAs<TypeParam>(text);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, "duplicate_key");
  EXPECT_EQ(refused.error().message, "duplicate key \"c\"");
  const auto last = ParseJsonAs<TypeParam>(text, {.duplicates = DuplicateKeys::kLastWins});
  ASSERT_TRUE(last.ok());
  EXPECT_EQ(last->at("b").dump(), TypeParam::parse(R"({"c": [3], "a": 2})").dump());
}

TEST(OrderedJson, KeepsTheOrderOfKeys) {
  const std::string text = R"({"z":1,"a":{"y":2,"b":3},"m":[{"k":1,"c":2}]})";
  const auto value = ParseJson(text, JsonLimits{});
  ASSERT_TRUE(value.ok());
  EXPECT_EQ(value->dump(), text);
}

// A list of keys that is searched for each new one would take hours here.
TEST(OrderedJson, ReadsLargeObjects) {
  std::string text = "{";
  for (int i = 0; i < 300'000; ++i) text += "\"key" + std::to_string(i) + "\":" + "0,";
  text += "\"last\":1}";
  const auto value = ParseJson(text, JsonLimits{});
  ASSERT_TRUE(value.ok());
  EXPECT_EQ(value->size(), 300'001u);
  EXPECT_EQ(value->back(), 1);
}

TEST(ShowJson, CutsBetweenCharacters) {
  EXPECT_EQ(ShowJson(json("short")), "\"short\"");
  std::string text = "a";
  for (int i = 0; i < 40; ++i) text += "é";
  const std::string shown = ShowJson(json(text));
  EXPECT_LE(shown.size(), 60u);
  EXPECT_TRUE(shown.ends_with("é..."));
  EXPECT_EQ(DumpJson(json("\xff")), "\"\xef\xbf\xbd\"");
}

}  // namespace
}  // namespace facet
