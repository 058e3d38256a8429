// Tool calls that are a little wrong, as models write them now and then: rendered in the template's
// notation, damaged in one way, and read back.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "chat/stream_parser.h"
#include "support/paths.h"

namespace facet {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kQuote = "<|\"|>";

struct ReadCall {
  std::string name, arguments;
  bool complete = false;
  bool operator==(const ReadCall&) const = default;
};
struct ReadAnswer {
  std::string content;
  std::vector<ReadCall> calls;
  bool operator==(const ReadAnswer&) const = default;
};

void Collect(const std::vector<OutputEvent>& events, ReadAnswer& answer) {
  for (const OutputEvent& event : events) {
    switch (event.kind) {
      case OutputEvent::Kind::kCallBegin:
        answer.calls.push_back({event.text, "", false});
        break;
      case OutputEvent::Kind::kCallArguments:
        answer.calls.at(event.call).arguments += event.text;
        break;
      case OutputEvent::Kind::kCallEnd:
        answer.calls.at(event.call).complete = true;
        break;
      case OutputEvent::Kind::kContent:
        answer.content += event.text;
        break;
      default:
        ADD_FAILURE() << "thoughts";
    }
  }
}

ReadAnswer ReadPieces(const std::vector<std::string_view>& pieces,
                      std::shared_ptr<const DeclaredTools> tools, CallRepairs* repairs = nullptr,
                      bool cut = false) {
  StreamParser parser(false, std::move(tools));
  ReadAnswer answer;
  std::vector<OutputEvent> events;
  for (const std::string_view piece : pieces) parser.Feed(piece, events);
  parser.Finish(events, cut);
  Collect(events, answer);
  for (const RepairedCall& call : parser.repaired()) {
    if (repairs != nullptr) *repairs |= call.repairs;
  }
  return answer;
}

// --- calls as they are rendered

class CallMaker {
 public:
  explicit CallMaker(uint32_t seed) : random_(seed) {}

  int Below(int n) { return static_cast<int>(random_() % static_cast<uint32_t>(n)); }

  Json Arguments() {
    Json out = Json::object();
    const int members = 1 + Below(5);
    for (int i = 0; i < members; ++i) out[Name()] = Value(0);
    return out;
  }

  std::string Name() {
    static constexpr const char* kNames[] = {
        "query", "city",    "path",  "command", "n",        "content", "old_string", "new_string",
        "limit", "verbose", "items", "options", "filePath", "unit",    "start-line", "replace_all"};
    return kNames[Below(std::size(kNames))];
  }

  std::string Words() {
    static constexpr const char* kWords[] = {
        "weather",   "in",      "Tokyo",       "the",      "angle",
        "look",      "at",      "42",          "3.5",      "true",
        "src/a.cc",  "--all",   "Grüße",       "日本",     "😀",
        "don't",     "it's",    "C:\\temp",    "a\\nb",    "x = 1;",
        "foo(bar)",  "{}",      "[0]",         "if (a) {", "}",
        "# title",   "- item",  "- [x] done",  "1. first", "no, sorry",
        "yes.",      "what?",   "a/b/c",       "100%",     "user@host",
        "New, York", "e.g.,",   "note:",       "<b>",      "<div id>",
        "a < b",     "null",    "http://a.b/", "12:30",    "let x = [1, 2, 3];",
        "$HOME",     "f(x, y)", "std::map"};
    std::string out;
    const int words = 1 + Below(8);
    for (int i = 0; i < words; ++i) {
      if (i > 0) out += Below(12) == 0 ? "\n" : " ";
      const std::string word = kWords[Below(std::size(kWords))];
      out += Below(14) == 0 ? "\"" + word + "\"" : word;
    }
    return out;
  }

  Json Value(int depth) {
    switch (Below(depth < 2 ? 12 : 9)) {
      case 0:
        return Below(2000) - 500;
      case 1:
        return Below(1000) / 8.0;
      case 2:
        return Below(2) == 0;
      case 3:
        return nullptr;
      case 9: {
        Json list = Json::array();
        const bool numbers = Below(3) == 0;
        for (int i = Below(4); i > 0; --i)
          list.push_back(numbers ? Json(Below(100)) : Json(Words()));
        return list;
      }
      case 10: {
        Json object = Json::object();
        for (int i = Below(3); i > 0; --i) object[Name()] = Value(depth + 1);
        return object;
      }
      case 11: {
        Json list = Json::array();
        for (int i = Below(3); i > 0; --i) list.push_back(Json{{Name(), Value(depth + 1)}});
        return list;
      }
      default:
        return Words();
    }
  }

 private:
  std::mt19937 random_;
};

// The notation, and where its marks stand.
struct Rendered {
  std::string text;                              // from the outermost brace on
  std::vector<std::pair<size_t, size_t>> texts;  // behind the opening, before the closing token
  std::vector<size_t> commas;
};

void Render(const Json& value, Rendered& out) {
  const auto comma = [&](bool& first) {
    if (!first) out.commas.push_back(out.text.size()), out.text += ',';
    first = false;
  };
  bool first = true;
  if (value.is_string()) {
    out.text += kQuote;
    const size_t begin = out.text.size();
    out.text += value.get<std::string>();
    out.texts.emplace_back(begin, out.text.size());
    out.text += kQuote;
  } else if (value.is_object()) {
    out.text += '{';
    for (const auto& [key, member] : value.items()) {
      comma(first);
      out.text += key + ":";
      Render(member, out);
    }
    out.text += '}';
  } else if (value.is_array()) {
    out.text += '[';
    for (const Json& item : value) {
      comma(first);
      Render(item, out);
    }
    out.text += ']';
  } else {
    out.text += value.is_null() ? "None" : value.dump();  // as Python's template writes it
  }
}

enum Damage {
  kNoDamage,
  kNoOpeningQuote,
  kNoClosingQuote,
  kInnerQuotes,
  kNoComma,
  kSingleQuotes,
  kJson,
  kDoubledBraces,
  kParentheses,
  kDamages
};
constexpr const char* kDamageNames[] = {"none",         "opening quote",  "closing quote",
                                        "inner quotes", "comma",          "single quotes",
                                        "JSON",         "doubled braces", "parentheses"};

// Empty where the arguments have no place for such a damage.
std::string Damaged(const Json& arguments, Damage damage, CallMaker& make) {
  Rendered r;
  Render(arguments, r);
  const auto any = [&](const auto& places) {
    return places[make.Below(static_cast<int>(places.size()))];
  };
  std::string& text = r.text;
  switch (damage) {
    case kNoOpeningQuote:
      if (r.texts.empty()) return "";
      return text.erase(any(r.texts).first - kQuote.size(), kQuote.size());
    case kNoClosingQuote:
      if (r.texts.empty()) return "";
      return text.erase(any(r.texts).second, kQuote.size());
    case kInnerQuotes: {
      std::vector<std::pair<size_t, size_t>> quoted;
      for (const auto& [begin, end] : r.texts) {
        const std::string inside = text.substr(begin, end - begin);
        if (inside.find('"') != inside.npos) quoted.emplace_back(begin, end);
      }
      if (quoted.empty()) return "";
      const auto [begin, end] = any(quoted);
      for (size_t at = end; at-- > begin;) {
        if (text[at] == '"') text.replace(at, 1, kQuote);
      }
      return text;
    }
    case kNoComma:
      // Two numbers without anything between them are one, whoever reads them.
      std::erase_if(r.commas, [&](size_t at) {
        return std::isdigit(static_cast<unsigned char>(text[at - 1])) &&
               std::isdigit(static_cast<unsigned char>(text[at + 1]));
      });
      if (r.commas.empty()) return "";
      return text.erase(any(r.commas), 1);
    case kSingleQuotes:
      if (r.texts.empty()) return "";
      for (size_t at = 0; (at = text.find(kQuote, at)) != text.npos;)
        text.replace(at, kQuote.size(), "'");
      return text;
    case kJson:
      return arguments.dump();
    case kDoubledBraces:
      return "{" + text + "}";
    case kParentheses:
      text.front() = '(';
      text.back() = ')';
      return text;
    default:
      return text;
  }
}

std::shared_ptr<const DeclaredTools> ToolsFor(const Json& arguments, bool named) {
  Json properties = Json::object();
  for (const auto& [name, value] : arguments.items()) properties[name] = Json::object();
  Json parameters = {{"type", "object"}};
  if (named) parameters["properties"] = properties;
  return std::make_shared<DeclaredTools>(ToolsOf(Json::array(
      {{{"type", "function"}, {"function", {{"name", "ws"}, {"parameters", parameters}}}},
       {{"type", "function"}, {"function", {{"name", "second"}}}}})));
}

// A member that the rendered arguments do not have.
bool HasInvented(const Json& got, const Json& want) {
  if (got.is_object()) {
    if (!want.is_object()) return true;
    for (const auto& [key, value] : got.items()) {
      if (!want.contains(key) || HasInvented(value, want[key])) return true;
    }
    return false;
  }
  if (got.is_array()) {
    if (!want.is_array() || got.size() > want.size()) return true;
    for (size_t i = 0; i < got.size(); ++i) {
      if (HasInvented(got[i], want[i])) return true;
    }
  }
  return false;
}

struct Tally {
  int all = 0, same = 0, invented = 0, lost_second = 0;
};

class DamagedCalls : public testing::TestWithParam<bool> {};

TEST_P(DamagedCalls, TenThousandAreReadAsTheyWereRendered) {
  const bool named = GetParam();
  CallMaker make(20260801);
  std::map<int, Tally> tallies;
  Tally sum;
  int splits = 0, shown = 0;
  for (int round = 0; sum.all < 10000; ++round) {
    const Json arguments = make.Arguments();
    const auto damage = static_cast<Damage>(1 + round % (kDamages - 1));
    const std::string damaged = Damaged(arguments, damage, make);
    if (damaged.empty()) continue;
    const bool second = make.Below(2) == 0;
    std::string text = "Text. <|tool_call>call:ws" + damaged + "<tool_call|>";
    if (second) text += "<|tool_call>call:second{a:<|\"|>b<|\"|>,n:2}<tool_call|>";
    const auto tools = ToolsFor(arguments, named);
    CallRepairs repairs;
    const ReadAnswer answer = ReadPieces({text}, tools, &repairs);
    for (const ReadCall& call : answer.calls) {
      ASSERT_TRUE(Json::accept(call.arguments)) << text << "\n" << call.arguments;
      ASSERT_TRUE(call.complete) << text;
    }
    Tally& tally = tallies[damage];
    ++tally.all, ++sum.all;
    const bool read = !answer.calls.empty() && answer.calls[0].name == "ws";
    const Json got = read ? Json::parse(answer.calls[0].arguments) : Json();
    // Numbers compare as numbers, members in any order.
    const bool same =
        read && nlohmann::json(got) == nlohmann::json(arguments) && answer.content == "Text. ";
    if (same) ++tally.same, ++sum.same;
    if (!same && HasInvented(got, arguments)) ++tally.invented, ++sum.invented;
    if (second && (answer.calls.size() != 2 || answer.calls[1].arguments != R"({"a":"b","n":2})"))
      ++tally.lost_second, ++sum.lost_second;
    if (!same && std::getenv("FACET_SHOW") != nullptr && shown++ < 60) {
      std::cout << kDamageNames[damage] << ": " << text << "\n   want " << arguments.dump()
                << "\n   got  " << got.dump() << "\n";
    }
    if (same) {
      EXPECT_TRUE(repairs.any()) << text;
    }
    if (splits < 200 && round % 40 == 0) {
      ++splits;
      for (size_t at = 0; at <= text.size(); ++at) {
        const std::string_view view = text;
        ASSERT_EQ(ReadPieces({view.substr(0, at), view.substr(at)}, tools), answer)
            << text << " at " << at;
      }
    }
  }
  for (const auto& [damage, tally] : tallies) {
    std::cout << kDamageNames[damage] << ": " << tally.same << " of " << tally.all << ", "
              << tally.invented << " invented, " << tally.lost_second << " second calls lost\n";
  }
  std::cout << "all: " << sum.same << " of " << sum.all << ", " << splits << " split everywhere\n";
  EXPECT_GE(sum.same, sum.all * 99 / 100);
  EXPECT_EQ(sum.invented, 0);
  EXPECT_EQ(sum.lost_second, 0);
  EXPECT_GE(splits, 200);
}
INSTANTIATE_TEST_SUITE_P(Tools, DamagedCalls, testing::Values(true, false));

TEST(DamagedCall, AWholeCallIsReadWithoutRepairsAndStreamsAsItIsWritten) {
  CallMaker make(7);
  for (int round = 0; round < 3000; ++round) {
    const Json arguments = make.Arguments();
    Rendered r;
    Render(arguments, r);
    for (size_t at = 0; (at = r.text.find(":None", at)) != r.text.npos; ++at)
      r.text.replace(at, 5, ":null");
    const std::string text = "<|tool_call>call:ws" + r.text + "<tool_call|>";
    CallRepairs repairs;
    const ReadAnswer answer = ReadPieces({text}, ToolsFor(arguments, round % 2 == 0), &repairs);
    ASSERT_EQ(answer.calls.size(), 1u) << text;
    ASSERT_EQ(nlohmann::json::parse(answer.calls[0].arguments), nlohmann::json(arguments)) << text;
    ASSERT_FALSE(repairs.any()) << text << " " << repairs.to_string();
  }
  // A long text does not wait for its end, whatever stands in it.
  StreamParser parser;
  std::vector<OutputEvent> events;
  parser.Feed("<|tool_call>call:write{content:<|\"|>", events);
  size_t written = 0, told = 0;
  for (int line = 0; line < 2000; ++line) {
    const std::string text = make.Words() + "\n";
    events.clear();
    parser.Feed(text, events);
    written += text.size();
    for (const OutputEvent& event : events) told += event.text.size();
    ASSERT_LT(written, told + 200) << text;
  }
}

TEST(DamagedCall, SamplesOfReports) {
  const std::filesystem::path folder = std::filesystem::path(TestsDir()) / "reference/reports";
  std::map<std::string, Json> want;
  for (const Json& sample : Json::parse(std::ifstream(folder / "tool-calls.expected.json")))
    want[sample["case"]] = sample["arguments"];
  std::ifstream script(folder / "tool-calls.script.jsonl");
  int lines = 0;
  for (std::string line; std::getline(script, line); ++lines) {
    const Json sample = Json::parse(line);
    const std::string text = sample["emit"];
    const Json& arguments = want.at(sample["match"]);
    for (const char* behind : {"", "<|tool_call>call:second{n:2}<tool_call|>"}) {
      const ReadAnswer answer = ReadPieces({text, behind}, ToolsFor(Json::object(), false));
      ASSERT_EQ(answer.calls.size(), (arguments.is_null() ? 0u : 1u) + (*behind == 0 ? 0u : 1u))
          << text;
      if (!arguments.is_null()) {
        EXPECT_EQ(Json::parse(answer.calls[0].arguments), arguments) << text;
      }
      if (*behind != 0) {
        EXPECT_EQ(answer.calls.back(), (ReadCall{"second", "{\"n\":2}", true}));
      }
    }
  }
  EXPECT_EQ(lines, 8);
}

TEST(DamagedCall, JsonThatNestsWithoutEndIsText) {
  const auto tools = ToolsFor({{"a", 1}}, true);
  constexpr size_t kDeep = 300'000;
  const std::string deep = "{\"a\": " + std::string(kDeep, '[') + std::string(kDeep, ']') + "}";
  for (const std::string& arguments : {deep, Json(deep).dump()}) {
    const std::string call = "{\"name\": \"ws\", \"arguments\": " + arguments + "}";
    const ReadAnswer answer = ReadPieces({"<|tool_call>" + call + "<tool_call|>"}, tools);
    EXPECT_TRUE(answer.calls.empty());
  }
}

TEST(DamagedCall, ACallOfNobodysToolIsText) {
  const auto tools = ToolsFor({{"a", 1}}, true);
  const auto content = [&](const std::string& text) {
    const ReadAnswer answer = ReadPieces({text}, tools);
    EXPECT_TRUE(answer.calls.empty()) << text;
    return answer.content;
  };
  EXPECT_EQ(content("<|tool_call>call:other{a:<|\"|>x<|\"|>}<tool_call|>!"),
            "call:other{a:\"x\"}!");
  EXPECT_EQ(content("<|tool_call>call:ws(a=<|\"|>x<|\"|>)<tool_call|>"), "call:ws(a=\"x\")");
  EXPECT_EQ(content("<|tool_call>call:ws(5)<tool_call|>"), "call:ws(5)");
  EXPECT_EQ(content("<|tool_call>{\"name\":\"other\",\"arguments\":{}}<tool_call|>"),
            "{\"name\":\"other\",\"arguments\":{}}");
  CallRepairs repairs;
  ReadPieces({"<|tool_call>call:other{}<tool_call|>"}, tools, &repairs);
  EXPECT_TRUE(repairs.test(static_cast<size_t>(CallRepair::kUnknownName)));
  const auto call = [&](const std::string& text) {
    const ReadAnswer answer = ReadPieces({text}, tools);
    EXPECT_EQ(answer.calls.size(), 1u) << text;
    return answer.calls.empty() ? "" : answer.calls[0].arguments;
  };
  EXPECT_EQ(call("<|tool_call>{\"name\": \"ws\", \"arguments\": {\"a\": [1]}}<tool_call|>"),
            "{\"a\":[1]}");
  EXPECT_EQ(call("<|tool_call>call:ws({a:<|\"|>x<|\"|>})<tool_call|>"), "{\"a\":\"x\"}");
  EXPECT_EQ(call("<|tool_call>call:ws()<tool_call|>"), "{}");
}

}  // namespace
}  // namespace facet
