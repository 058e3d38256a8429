// Tables of fields: they read, refuse and describe.
#include "serve/openai/field_table.h"

#include <gtest/gtest.h>

namespace facet::serve {
namespace {

struct Inner {
  std::optional<double> heat;
  int count = 1;
};
struct Asked {
  Inner inner;
  std::string text;
  std::vector<std::string> list;
  bool flag = false, nested = false;
};

FieldTable<Asked> Table() {
  FieldTable<Inner> shared;
  shared.Number("heat", &Inner::heat, 0, 2, "Heat.").Or("warmth");
  shared.Integer("count", &Inner::count, 1, INT64_MAX, "Count.");
  FieldTable<Asked> nested;
  nested.Flag("on", &Asked::nested, "Switch.");
  FieldTable<Asked> t;
  t.Text("text", &Asked::text, 5, "Text.").Required();
  t.Include(shared, &Asked::inner);
  t.Flag("flag", &Asked::flag, "Flag.");
  t.Object("options", "Options.", nested);
  t.Choice(
      "size", [](Asked& out, const std::string& size) { out.list.push_back(size); },
      {"small", "large"}, "Size.");
  t.Only("mode", "plain", "Mode.");
  t.OnlyOneOf({"spread", "width"}, {0, 1.0}, "Spread.");
  t.Ignored({"note", "hint"}, "says nothing");
  t.Hint({"threads"}, "for another server");
  t.Refused({"old"}, "use text");
  return t;
}

Asked Read(const char* json) {
  Asked out;
  OrderedJson object = OrderedJson::parse(json);
  const auto read = Table().ReadAll(object, out, nullptr);
  EXPECT_TRUE(read.ok()) << read.error().message;
  return out;
}

Error Refused(const char* json) {
  Asked out;
  OrderedJson object = OrderedJson::parse(json);
  const auto read = Table().ReadAll(object, out, nullptr);
  EXPECT_FALSE(read.ok()) << json;
  return read.ok() ? Error{} : read.error();
}

TEST(FieldTable, PutsValuesWhereTheyBelong) {
  const Asked all = Read(R"({"text":"abc","heat":1.5,"count":7,"flag":true,"options":{"on":true},
      "size":"large","mode":"plain","note":{"any":"thing"},"hint":null,"old":null})");
  EXPECT_EQ(all.text, "abc");
  EXPECT_EQ(all.inner.heat, 1.5);
  EXPECT_EQ(all.inner.count, 7);
  EXPECT_TRUE(all.flag && all.nested);
  EXPECT_EQ(all.list, std::vector<std::string>{"large"});
  const Asked least = Read(R"({"text":"abc"})");
  EXPECT_EQ(least.inner.heat, std::nullopt);
  EXPECT_EQ(least.inner.count, 1);
}

TEST(FieldTable, OtherNamesCountAndNumbersStopAtTheirType) {
  EXPECT_EQ(Read(R"({"text":"","warmth":0.5})").inner.heat, 0.5);
  EXPECT_EQ(Read(R"({"text":"","heat":1,"warmth":0.5})").inner.heat, 0.5);
  EXPECT_EQ(Read(R"({"text":"","count":9000000000})").inner.count, INT32_MAX);
}

TEST(FieldTable, RefusesByName) {
  const std::tuple<const char*, const char*, const char*> cases[] = {
      {R"({})", "text", "missing_required_parameter"},
      {R"({"text":"abcdef"})", "text", "string_too_long"},
      {R"({"text":"a","warmth":3})", "warmth", "invalid_value"},
      {R"({"text":"a","size":"huge"})", "size", "invalid_value"},
      {R"({"text":"a","mode":"fancy"})", "mode", "unsupported"},
      {R"({"text":"a","width":2})", "width", "unsupported"},
      {R"({"text":"a","threads":2})", "threads", "unknown_parameter"},
      {R"({"text":"a","old":1})", "old", "unknown_parameter"},
      {R"({"text":"a","new":1})", "new", "unknown_parameter"},
      {R"({"text":"a","options":{"off":true}})", "options.off", "unknown_parameter"},
  };
  for (const auto& [json, param, code] : cases) {
    const Error error = Refused(json);
    EXPECT_EQ(error.param, param) << json;
    EXPECT_EQ(error.code, code) << json;
  }
}

TEST(FieldTable, NotesWhatHasNoEffect) {
  Asked out;
  OrderedJson object = OrderedJson::parse(R"({"text":"a","width":1,"spread":0,"note":1,"hint":null,
      "threads":4,"options":{"on":true,"off":1},"new":1})");
  IgnoredFields ignored;
  ASSERT_TRUE(Table().ReadAll(object, out, &ignored).ok());
  EXPECT_TRUE(out.nested);
  EXPECT_EQ(ignored.Text(), "options.off, note, threads, new");
  // What it knows and cannot do, it refuses all the same.
  OrderedJson other = OrderedJson::parse(R"({"text":"a","old":1})");
  const auto read = Table().ReadAll(other, out, &ignored);
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().param, "old");
}

TEST(FieldTable, DescribesItself) {
  const auto table = Table();
  const auto& docs = table.docs();
  ASSERT_EQ(docs.size(), 12u);
  EXPECT_TRUE(docs[0].required);
  EXPECT_EQ(docs[0].limits, "at most 5 bytes");
  EXPECT_EQ(docs[1].names, (std::vector<std::string>{"heat", "warmth"}));
  EXPECT_EQ(docs[1].limits, "0 to 2");
  EXPECT_EQ(docs[2].limits, "from 1");
  EXPECT_EQ(docs[5].names[0], "options.on");
  EXPECT_EQ(docs[6].limits, "`small`, `large`");
  EXPECT_EQ(docs[7].limits, "only `\"plain\"`");
  EXPECT_EQ(docs[7].type, "string");
  EXPECT_EQ(docs[8].names, (std::vector<std::string>{"spread", "width"}));
  EXPECT_EQ(docs[8].limits, "only `0`, `1.0`");
  EXPECT_EQ(docs[9].use, FieldDoc::Use::kIgnored);
  EXPECT_EQ(docs[10].use, FieldDoc::Use::kIgnored);
  EXPECT_EQ(docs[11].use, FieldDoc::Use::kRefused);
}

}  // namespace
}  // namespace facet::serve
