// Strict reading of JSON objects: types, ranges, and what nobody read.
#include "formats/json_fields.h"

#include <gtest/gtest.h>

namespace facet {
namespace {

OrderedJson Parse(const char* text) {
  return OrderedJson::parse(text);
}

TEST(JsonFields, ReadsWhatIsThere) {
  OrderedJson object =
      Parse(R"({"i": 7, "f": 4096.0, "x": 0.5, "b": true, "s": "text", "c": "low", "n": null})");
  JsonFields fields(object, "");
  EXPECT_EQ(fields.Int("i", 0, 10), 7);
  EXPECT_EQ(fields.Int("f", 0, 5000), 4096);  // what some clients send for 4096
  EXPECT_EQ(fields.Number("x", 0, 1), 0.5);
  EXPECT_EQ(fields.Bool("b"), true);
  EXPECT_EQ(fields.String("s", 4), "text");
  EXPECT_EQ(fields.Choice("c", {"low", "high"}), "low");
  EXPECT_EQ(fields.String("n", 4), std::nullopt);
  EXPECT_EQ(fields.Int("absent", 0, 1), std::nullopt);
  EXPECT_TRUE(fields.Done().ok());
}

TEST(JsonFields, MovesStringsOutOfTheObject) {
  OrderedJson object = {{"s", std::string(1000, 'x')}};
  JsonFields fields(object, "");
  EXPECT_EQ(fields.MoveString("s", 1000)->size(), 1000u);
  EXPECT_TRUE(fields.Done().ok());
  EXPECT_EQ(object["s"], "");
}

TEST(JsonFields, ErrorsNameTheFieldAndACode) {
  struct Case {
    const char* json;
    void (*read)(JsonFields&);
    const char *message, *code;
  };
  const Case cases[] = {
      {R"({"a": "x"})", [](JsonFields& f) { f.Int("a", 0, 9); },
       "at.a: expected an integer from 0 to 9 but got \"x\"", "invalid_type"},
      {R"({"a": 10})", [](JsonFields& f) { f.Int("a", 0, 9); },
       "at.a: expected an integer from 0 to 9 but got 10", "invalid_value"},
      {R"({"a": 18446744073709551615})", [](JsonFields& f) { f.Int("a", 0, INT64_MAX); },
       "at.a: expected an integer from 0 to 9223372036854775807 but got 18446744073709551615",
       "invalid_type"},
      {R"({"a": 2})", [](JsonFields& f) { f.Number("a", 0, 1); },
       "at.a: expected a number from 0 to 1 but got 2", "invalid_value"},
      {R"({"a": 1})", [](JsonFields& f) { f.Bool("a"); }, "at.a: expected true or false but got 1",
       "invalid_type"},
      {R"({"a": "long"})", [](JsonFields& f) { f.String("a", 3); },
       "at.a: expected at most 3 bytes but got 4", "string_too_long"},
      {R"({"a": "x"})",
       [](JsonFields& f) {
         f.Choice("a", {"y", "z"});
       },
       "at.a: expected one of 'y', 'z' but got \"x\"", "invalid_value"},
      {R"({"a": [1, 2]})", [](JsonFields& f) { f.Array("a", 1); },
       "at.a: expected at most 1 items but got 2", "array_too_long"},
      {R"({"a": []})", [](JsonFields& f) { f.Object("a"); }, "at.a: expected an object but got []",
       "invalid_type"},
      {R"({"a": null})", [](JsonFields& f) { f.Require("a"); }, "at.a: this field is required",
       "missing_required_parameter"},
      {R"({"a": 1})", [](JsonFields& f) { f.Int("b", 0, 1); },
       "at.a: unknown field; it is refused because it might change the answer",
       "unknown_parameter"},
  };
  for (const Case& c : cases) {
    OrderedJson object = Parse(c.json);
    JsonFields fields(object, "at");
    c.read(fields);
    const auto done = fields.Done();
    ASSERT_FALSE(done.ok()) << c.json;
    EXPECT_EQ(done.error().message, c.message);
    EXPECT_EQ(done.error().code, c.code);
    EXPECT_EQ(done.error().param, "at.a");
  }
}

TEST(JsonFields, TheFirstErrorCounts) {
  OrderedJson object = Parse(R"({"a": "x", "b": "y", "c": 1})");
  JsonFields fields(object, "");
  fields.Int("a", 0, 1);
  fields.Int("b", 0, 1);
  EXPECT_EQ(fields.Int("c", 0, 1), std::nullopt);
  EXPECT_EQ(fields.Done().error().param, "a");
}

TEST(JsonFields, IgnoredFieldsMayHoldAnything) {
  OrderedJson object = Parse(R"({"a": [{"deep": 1}]})");
  JsonFields fields(object, "");
  fields.Ignore({"a"});
  EXPECT_TRUE(fields.Done().ok());
}

TEST(JsonFields, WhatNobodyReadsIsNotedWhereThereIsAPlaceForIt) {
  OrderedJson object = Parse(R"({"a": 1, "b": {"c": 2, "d": 3}, "e": null, "f": [], "g": 4})");
  IgnoredFields ignored;
  JsonFields fields(object, "at[0]", &ignored);
  fields.Int("a", 0, 1);
  fields.IgnoreAndNote("g");
  JsonFields inner = fields.Inside("b", *fields.Object("b"));
  inner.Int("c", 0, 9);
  EXPECT_TRUE(inner.Done().ok());
  EXPECT_TRUE(fields.Done().ok());
  EXPECT_EQ(ignored.Text(), "at[0].g, at[0].b.d, at[0].f");
}

TEST(IgnoredFields, AreOneBoundedLineOfAscii) {
  IgnoredFields ignored;
  EXPECT_TRUE(ignored.empty());
  ignored.Add("messages[0].a, b\r\nX-Evil: 1%\xc3\xa9");
  EXPECT_EQ(ignored.Text(), "messages[0].a%2C%20b%0D%0AX-Evil:%201%25%C3%A9");
  // What differs in its place alone is counted, so that other kinds are not crowded out.
  for (int i = 0; i < 1000; ++i) ignored.Add(Cat("messages[", i, "].content[", i, "].id"));
  ignored.Add("user");
  EXPECT_TRUE(ignored.Text().ends_with(", messages[0].content[0].id, user (and 999 more)"))
      << ignored.Text();
  for (int i = 0; i < 1000; ++i) ignored.Add(std::string(100, 'x') + std::to_string(i));
  EXPECT_LT(ignored.Text().size(), 1400u);
}

}  // namespace
}  // namespace facet
