#include "chat/stream_parser.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace facet {
namespace {

struct Answer {
  std::string content, reasoning;
  struct Call {
    std::string name, arguments;
    bool complete = false;
    bool operator==(const Call&) const = default;
  };
  std::vector<Call> calls;
  bool operator==(const Answer&) const = default;
};

void Collect(const std::vector<OutputEvent>& events, Answer& answer) {
  for (const OutputEvent& e : events) {
    switch (e.kind) {
      case OutputEvent::Kind::kContent:
        answer.content += e.text;
        break;
      case OutputEvent::Kind::kReasoning:
        answer.reasoning += e.text;
        break;
      case OutputEvent::Kind::kCallBegin:
        ASSERT_EQ(e.call, static_cast<int>(answer.calls.size()));
        answer.calls.push_back({e.text, "", false});
        break;
      case OutputEvent::Kind::kCallArguments:
        answer.calls.at(e.call).arguments += e.text;
        break;
      case OutputEvent::Kind::kCallEnd:
        answer.calls.at(e.call).complete = true;
        break;
    }
  }
}

Answer Parse(const std::vector<std::string_view>& pieces, bool thinking = false, bool cut = false) {
  StreamParser parser(thinking);
  Answer answer;
  for (const std::string_view piece : pieces) {
    std::vector<OutputEvent> events;
    parser.Feed(piece, events);
    Collect(events, answer);
  }
  std::vector<OutputEvent> events;
  parser.Finish(events, cut);
  Collect(events, answer);
  return answer;
}

Answer Whole(const std::string& text) {
  return Parse({text});
}

TEST(StreamParser, TakesAnAnswerApart) {
  const Answer answer = Whole(
      "<|channel>thought\nTwo steps.\nFirst "
      "one.\n<channel|>Sure.<|tool_call>call:get_weather{city:<|\"|>Oslo<|\"|>,days:[1,2],"
      "opts:{deep:true}}<tool_call|><|tool_response>");
  EXPECT_EQ(answer.reasoning, "Two steps.\nFirst one.");
  EXPECT_EQ(answer.content, "Sure.");
  ASSERT_EQ(answer.calls.size(), 1u);
  EXPECT_EQ(
      answer.calls[0],
      (Answer::Call{"get_weather", R"({"city":"Oslo","days":[1,2],"opts":{"deep":true}})", true}));
}

// Arguments in the model's notation and the JSON that they are.
const std::pair<const char*, const char*> kArguments[] = {
    {"", "{}"},
    {"a:1", R"({"a":1})"},
    {"a:-1.5e3,b:0,c:01", R"({"a":-1.5e3,"b":0,"c":"01"})"},
    {"a:true,b:false,c:null,d:None", R"({"a":true,"b":false,"c":null,"d":null})"},
    {"s:<|\"|>plain<|\"|>", R"({"s":"plain"})"},
    {"s:<|\"|>quotes \" back\\slash\nline\ttab<|\"|>",
     R"({"s":"quotes \" back\\slash\nline\ttab"})"},
    {"s:<|\"|><tool_call|>, <|tool_call>call:x{} and <|channel><|\"|>",
     R"({"s":"<tool_call|>, <|tool_call>call:x{} and <|channel>"})"},
    {"s:<|\"|>{a:1},[2]}<|\"|>,t:2", R"({"s":"{a:1},[2]}","t":2})"},
    {"s:<|\"|><|\"|>", R"({"s":""})"},
    {"l:[]", R"({"l":[]})"},
    {"l:[<|\"|>a<|\"|>,<|\"|>b<|\"|>],o:{}", R"({"l":["a","b"],"o":{}})"},
    {"o:{p:{q:[{r:1},{r:2}]}}", R"({"o":{"p":{"q":[{"r":1},{"r":2}]}}})"},
    {"<|\"|>key one<|\"|>:1", R"({"key one":1})"},
    {"\"json\":\"style \\\"x\\\" \\u00e9 \\d\"", R"({"json":"style \"x\" é \\d"})"},
    {" a : 1 , b : bare words ", R"({"a":1,"b":"bare words"})"},
    {"s:<|\"|>Grüße 😀 日本<|\"|>", R"({"s":"Grüße 😀 日本"})"},
};
const std::pair<const char*, const char*> kThoughts[] = {
    {"", ""},
    {"<|channel>thought\n<channel|>", ""},
    {"<|channel>thought<channel|>", ""},
    {"<|channel>thought\nI <think> so.\n\n<channel|>", "I <think> so.\n"},
    {"<|channel>no name<channel|>", "no name"},
};
const std::pair<const char*, const char*> kContents[] = {
    {"", ""},
    {"a < b, <| c |> and <|tool", "a < b, <| c |> and <|tool"},
    {"Hi<turn|>\n<|turn>model\n", "Hi\nmodel\n"},
};

TEST(StreamParser, EverySplitOfEveryTranscriptParsesToTheSame) {
  int transcripts = 0;
  for (const auto& [thought, reasoning] : kThoughts) {
    for (const auto& [arguments, json] : kArguments) {
      const auto& [content, shown] = kContents[transcripts % 3];
      const std::string text = std::string(thought) + content + "<|tool_call>call:f.g{" +
                               arguments + "}<tool_call|>" +
                               "<|tool_call>call:second{}<tool_call|>";
      Answer want;
      want.reasoning = reasoning;
      want.content = shown;
      want.calls = {{"f.g", json, true}, {"second", "{}", true}};
      ASSERT_EQ(nlohmann::json::parse(json).dump().empty(), false);
      EXPECT_EQ(Whole(text), want) << text;
      for (size_t at = 0; at <= text.size(); ++at) {
        const std::string_view view(text);
        ASSERT_EQ(Parse({view.substr(0, at), view.substr(at)}), want) << text << " at " << at;
      }
      std::vector<std::string_view> bytes;
      for (size_t i = 0; i < text.size(); ++i) bytes.push_back(std::string_view(text).substr(i, 1));
      ASSERT_EQ(Parse(bytes), want) << text;
      ++transcripts;
    }
  }
  EXPECT_GE(transcripts, 50);
}

TEST(StreamParser, ACallThatALimitCutOffIsNotComplete) {
  const std::pair<const char*, const char*> cases[] = {
      {"{path:<|\"|>/tmp", R"({"path":"/tmp"})"},
      {"{", "{}"},
      {"{a", "{}"},
      {"{a:", R"({"a":null})"},
      {"{a:12", R"({"a":null})"},  // half a number is another number
      {"{a:12,", R"({"a":12})"},
      {"{a:[1,{b:<|\"|>x<|\"|>,c", R"({"a":[1,{"b":"x"}]})"},
      {"{a:[1,2", R"({"a":[1]})"},
      {"{a:words without", R"({"a":null})"},
      {"{a:\"b\\u00", R"({"a":"b\\u00"})"},
  };
  for (const auto& [text, json] : cases) {
    const Answer answer = Parse({std::string("<|tool_call>call:rm") + text}, false, true);
    ASSERT_EQ(answer.calls.size(), 1u) << text;
    EXPECT_FALSE(answer.calls[0].complete) << text;
    EXPECT_EQ(answer.calls[0].arguments, json) << text;
  }
  EXPECT_TRUE(Parse({"<|tool_call>call:rm{a:1}"}, false, true).calls[0].complete);
}

TEST(StreamParser, WhatIsOpenWhereTheModelEndedItsTurnIsClosed) {
  EXPECT_EQ(Whole("<|tool_call>call:f{a:[1,<|\"|>x").calls[0],
            (Answer::Call{"f", R"({"a":[1,"x"]})", true}));
  EXPECT_EQ(Whole("<|tool_call>call:f").calls[0], (Answer::Call{"f", "{}", true}));
  EXPECT_EQ(Whole("<|tool_call>call:f{a:<|\"|>x<tool_call|>").calls[0],
            (Answer::Call{"f", R"({"a":"x"})", true}));
}

TEST(StreamParser, ClosesBracketsThatTheModelForgot) {
  EXPECT_EQ(Whole("<|tool_call>call:f{a:[1,{b:2<tool_call|>").calls[0],
            (Answer::Call{"f", R"({"a":[1,{"b":2}]})", true}));
  EXPECT_EQ(Whole("<|tool_call>call:f{a<tool_call|>").calls[0],
            (Answer::Call{"f", R"({"a":null})", true}));
  EXPECT_EQ(Whole("<|tool_call>call:now<tool_call|>").calls[0], (Answer::Call{"now", "{}", true}));
}

TEST(StreamParser, WhatIsNoCallIsShownAsText) {
  const Answer answer = Whole("<|tool_call>{\"name\":1}<tool_call|>after");
  EXPECT_TRUE(answer.calls.empty());
  EXPECT_EQ(answer.content, "{\"name\":1}after");
}

TEST(StreamParser, ThinkingMayBeOpenAtTheBeginning) {
  EXPECT_EQ(Parse({"still\n<channel|>done"}, true), (Answer{"done", "still", {}}));
}

TEST(StreamParser, TextThatLooksLikeAControlTokenStaysText) {
  StreamParser parser;
  std::vector<OutputEvent> events;
  parser.Plain("the token <turn|> and <|channel>thought", events);
  parser.Control("<turn|>", events);
  parser.Finish(events);
  Answer answer;
  Collect(events, answer);
  EXPECT_EQ(answer.content, "the token <turn|> and <|channel>thought");
}

TEST(StreamParser, NestingIsLimited) {
  std::string text = "<|tool_call>call:f{a:";
  for (int i = 0; i < 100000; ++i) text += "[";
  const Answer answer = Whole(text + "<tool_call|>");
  ASSERT_EQ(answer.calls.size(), 1u);
  EXPECT_TRUE(nlohmann::json::accept(answer.calls[0].arguments));
}

TEST(StreamParser, ArgumentsAreJsonWhateverComes) {
  const std::string_view pieces[] = {"{",  "}", "[", "]", ",",  ":",   "<|\"|>", "\"",
                                     "\\", "a", "1", " ", "\n", "u12", "true"};
  uint64_t random = 7;
  for (int round = 0; round < 20000; ++round) {
    StreamParser parser;
    std::vector<OutputEvent> events;
    parser.Control("<|tool_call>", events);
    parser.Plain("call:f{", events);
    for (int i = 0; i < 12; ++i) {
      random = random * 6364136223846793005ULL + 1442695040888963407ULL;
      const std::string_view piece = pieces[(random >> 33) % std::size(pieces)];
      piece == "<|\"|>" ? parser.Control(piece, events) : parser.Plain(piece, events);
    }
    if (round % 3 == 0) parser.Control("<tool_call|>", events);
    parser.Finish(events, round % 2 == 0);
    Answer answer;
    Collect(events, answer);
    ASSERT_EQ(answer.calls.size(), 1u);
    ASSERT_TRUE(nlohmann::json::accept(answer.calls[0].arguments)) << answer.calls[0].arguments;
  }
}

}  // namespace
}  // namespace facet
