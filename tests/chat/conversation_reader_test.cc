// Conversations of requests and of data files.
#include "chat/conversation_reader.h"

#include <gtest/gtest.h>

namespace facet {
namespace {

using Source = ConversationRules::Source;

// Sets media aside as "address:..." and "base64:...".
ConversationRules Rules(Source source) {
  ConversationRules rules;
  rules.source = source;
  rules.max_parts = 3;
  rules.keep_medium = [](const MediumSource& medium) -> Result<OrderedJson> {
    if (medium.text == "bad")
      return Error{"cannot be opened", ErrorKind::kInvalid, "media_unavailable"};
    const bool address = medium.kind == MediumSource::Kind::kAddress;
    return OrderedJson{{"at", Cat(address ? "address:" : "base64:", medium.text)}};
  };
  return rules;
}

OrderedJson Read(const char* message, Source source = Source::kRequest) {
  ConversationReader reader(Rules(source));
  const auto read = reader.Read(OrderedJson::parse(message), "m");
  EXPECT_TRUE(read.ok()) << message << ": " << read.error().message;
  return read.ok() ? reader.messages()[0] : OrderedJson();
}

Error Refused(const char* message, Source source = Source::kRequest) {
  ConversationReader reader(Rules(source));
  const auto read = reader.Read(OrderedJson::parse(message), "m");
  EXPECT_FALSE(read.ok()) << message;
  return read.ok() ? Error{} : read.error();
}

TEST(ConversationReader, TakesEverySpellingOfText) {
  const OrderedJson plain = {{"role", "user"}, {"content", "ab"}};
  EXPECT_EQ(Read(R"({"role":"user","content":"ab"})"), plain);
  EXPECT_EQ(Read(R"({"role":"user","content":[{"type":"text","text":"a"},
                     {"type":"input_text","text":"b"}],"name":"x","cache_control":{}})"),
            plain);
  EXPECT_EQ(Read(R"({"role":"user","content":["a","b"]})"), plain);
  EXPECT_EQ(Read(R"({"role":"assistant","content":[{"type":"output_text","text":"a"},
                     {"type":"refusal","refusal":"b"}]})")["content"],
            "ab");
  EXPECT_EQ(Read(R"({"role":"assistant"})")["content"], "");
  EXPECT_EQ(Read(R"({"role":"assistant","content":"x","thinking":"t"})")["reasoning_content"], "t");
  EXPECT_EQ(Read(R"({"role":"tool","tool_call_id":"1","content":null})")["content"], "");
}

TEST(ConversationReader, NotesWhatNobodyReads) {
  IgnoredFields ignored;
  ConversationRules rules = Rules(Source::kRequest);
  rules.ignored = &ignored;
  ConversationReader reader(rules);
  const auto read = [&](const char* message) {
    return reader.Read(OrderedJson::parse(message), "m");
  };
  ASSERT_TRUE(read(R"({"role":"assistant","createdAt":"now","content":[
      {"type":"text","text":"x","role":"assistant","refusal":null,"tool_calls":[]}],
      "tool_calls":[{"function":{"name":"f","arguments":{},"parsed":1},"new":2}]})")
                  .ok());
  EXPECT_EQ(reader.messages()[0]["content"], "x");
  EXPECT_EQ(ignored.Text(),
            "m.content[0].role, m.content[0].tool_calls, m.tool_calls[0].function.parsed, "
            "m.tool_calls[0].new, m.createdAt");
  // A part of the conversation is never among it.
  const std::pair<const char*, const char*> lost[] = {
      {R"({"role":"assistant","function_call":{"name":"f","arguments":"{}"}})", "m.function_call"},
      {R"({"role":"user","content":"x","images":["QUE="]})", "m.images"},
      {R"({"role":"user","content":"x","tool_calls":[{"id":"1"}]})", "m.tool_calls"},
      {R"({"role":"user","content":[{"type":"file","file":{}}]})", "m.content[0].type"}};
  for (const auto& [message, param] : lost) {
    const auto refused = read(message);
    ASSERT_FALSE(refused.ok()) << message;
    EXPECT_EQ(refused.error().param, param);
  }
  EXPECT_TRUE(read(R"({"role":"user","content":"x","tool_calls":[],"images":[]})").ok());
}

TEST(ConversationReader, SetsMediaAside) {
  const auto part = [](const std::string& json, Source source = Source::kRequest) {
    return Read((R"({"role":"user","content":[)" + json + "]}").c_str(), source)["content"][0];
  };
  EXPECT_EQ(part(R"({"type":"image_url","image_url":{"url":"http://a/b","detail":"low"}})"),
            (OrderedJson{{"type", "image"}, {"at", "address:http://a/b"}}));
  EXPECT_EQ(part(R"({"type":"input_image","image_url":"data:image/png;base64,QUE=",
                     "image_budget":70})"),
            (OrderedJson{{"type", "image"}, {"image_budget", 70}, {"at", "base64:QUE="}}));
  EXPECT_EQ(part(R"({"type":"input_audio","input_audio":{"data":"QUE=","format":"wav"}})"),
            (OrderedJson{{"type", "audio"}, {"at", "base64:QUE="}}));
  EXPECT_EQ(
      part(R"({"type":"video_url","video_url":"v","fps":2,"audio":false,"image_budget":140})"),
      (OrderedJson{{"type", "video"},
                   {"video_budget", 140},
                   {"fps", 2.0},
                   {"audio", false},
                   {"at", "address:v"}}));
  EXPECT_EQ(part(R"({"type":"audio","path":"a.wav"})", Source::kDataFile),
            (OrderedJson{{"type", "audio"}, {"at", "address:a.wav"}}));
  EXPECT_EQ(part(R"({"type":"image","data":"QUE="})", Source::kDataFile),
            (OrderedJson{{"type", "image"}, {"at", "base64:QUE="}}));
  EXPECT_EQ(part(R"({"type":"video","video":{"path":"v.mp4"}})", Source::kDataFile),
            (OrderedJson{{"type", "video"}, {"at", "address:v.mp4"}}));
}

TEST(ConversationReader, ReadsCallsAndThoughts) {
  const OrderedJson message =
      Read(R"({"role":"assistant","content":null,"reasoning":"hm","tool_calls":[
             {"id":"1","type":"function","function":{"name":"f","arguments":"{\"b\":1,\"a\":2}"}},
             {"id":"2","type":"function","function":{"name":"g","arguments":"{\"cut\":"}},
             {"id":"3","type":"function","function":{"name":"h"}}]})");
  EXPECT_EQ(message["reasoning_content"], "hm");
  EXPECT_EQ(message["tool_calls"][0]["function"]["arguments"].dump(), R"({"b":1,"a":2})");
  // What is no JSON goes back to the model as the text that it was.
  EXPECT_EQ(message["tool_calls"][1]["function"]["arguments"],
            (OrderedJson{{"arguments", "{\"cut\":"}}));
  EXPECT_EQ(message["tool_calls"][2]["function"]["arguments"], OrderedJson::object());
}

TEST(ConversationReader, NamesWhatItRefuses) {
  struct Case {
    const char *message, *param, *code;
  };
  const Case cases[] = {
      {"7", "m", "invalid_type"},
      {"{}", "m.role", "missing_required_parameter"},
      {R"({"role":"robot","content":"x"})", "m.role", "invalid_value"},
      {R"({"role":"model","content":"x"})", "m.role", "invalid_value"},
      {R"({"role":"user"})", "m.content", "missing_required_parameter"},
      {R"({"role":"user","content":7})", "m.content", "invalid_type"},
      {R"({"role":"user","content":[7]})", "m.content[0]", "invalid_type"},
      {R"({"role":"user","content":[{},{},{},{}]})", "m.content", "invalid_type"},
      {R"({"role":"user","content":[{"type":"text"}]})", "m.content[0].text",
       "missing_required_parameter"},
      {R"({"role":"user","content":[{"type":"odd"}]})", "m.content[0].type", "invalid_value"},
      {R"({"role":"user","content":[{"type":"image_url"}]})", "m.content[0].image_url",
       "missing_required_parameter"},
      {R"({"role":"user","content":[{"type":"image_url","image_url":{}}]})",
       "m.content[0].image_url", "missing_required_parameter"},
      {R"({"role":"user","content":[{"type":"image_url","image_url":"data:x,y"}]})",
       "m.content[0].image_url", "invalid_value"},
      {R"({"role":"user","content":[{"type":"image_url","image_url":{"url":"bad"}}]})",
       "m.content[0].image_url.url", "media_unavailable"},
      {R"({"role":"user","content":[{"type":"image_url","image_url":"u","image_budget":71}]})",
       "m.content[0].image_budget", "invalid_value"},
      {R"({"role":"system","content":[{"type":"image_url","image_url":"u"}]})", "m.content[0]",
       "unsupported"},
      {R"({"role":"user","content":"x","weight":1})", "m.weight", "unknown_parameter"},
      {R"({"role":"tool","content":"x"})", "m.tool_call_id", "missing_required_parameter"},
      {R"({"role":"assistant","tool_calls":[{}]})", "m.tool_calls[0].function",
       "missing_required_parameter"},
      {R"({"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":5}}]})",
       "m.tool_calls[0].function.arguments", "invalid_type"},
      {R"({"role":"assistant","tool_calls":[{"function":{"name":"f","extra":5}}]})",
       "m.tool_calls[0].function.extra", "unknown_parameter"},
  };
  for (const Case& c : cases) {
    const Error error = Refused(c.message);
    EXPECT_EQ(error.param, c.param) << c.message;
    EXPECT_EQ(error.code, c.code) << c.message;
    EXPECT_TRUE(error.message.starts_with(Cat(c.param, ": "))) << error.message;
  }
}

TEST(ConversationReader, DataFilesHoldMore) {
  EXPECT_EQ(Read(R"({"role":"model","content":"x","thinking":"t"})", Source::kDataFile),
            (OrderedJson{{"role", "assistant"}, {"content", "x"}, {"reasoning_content", "t"}}));
  EXPECT_EQ(Read(R"({"role":"assistant","content":"<|channel>thought\nt<channel|>x"})",
                 Source::kDataFile),
            (OrderedJson{{"role", "assistant"}, {"content", "x"}, {"reasoning_content", "t"}}));
  EXPECT_EQ(Read(R"({"role":"user","content":["a",{"type":"text","text":"b"}]})",
                 Source::kDataFile)["content"],
            "ab");
  EXPECT_EQ(Read(R"({"role":"tool","content":{"a":1}})", Source::kDataFile)["content"],
            (OrderedJson{{"a", 1}}));
  EXPECT_EQ(
      Read(R"({"role":"assistant","tool_calls":[{"name":"f","arguments":{"a":1}}]})",
           Source::kDataFile)["tool_calls"],
      OrderedJson::parse(R"([{"type":"function","function":{"name":"f","arguments":{"a":1}}}])"));
  const auto refused = [](const char* message) {
    return Refused(message, Source::kDataFile).param;
  };
  EXPECT_EQ(refused(R"({"role":"assistant","tool_calls":[{"name":"f","arguments":"{cut"}]})"),
            "m.tool_calls[0].arguments");
  EXPECT_EQ(refused(R"({"role":"tool","content":[{"type":"image","path":"a"}]})"), "m.content[0]");
}

TEST(ConversationReader, KnowsWhatIsTrained) {
  ConversationReader reader(Rules(Source::kDataFile));
  ASSERT_TRUE(reader
                  .ReadAll(OrderedJson::parse(R"([{"role":"user","content":"q"},
                    {"role":"assistant","content":"a"},
                    {"role":"assistant","content":"b","weight":0},
                    {"role":"assistant","content":"c","train":false},
                    {"role":"assistant","content":"d","weight":1},
                    {"role":"user","content":"q","weight":0}])"),
                           "messages")
                  .ok());
  EXPECT_EQ(reader.trained(), (std::vector<bool>{false, true, false, false, true, false}));
  EXPECT_EQ(Refused(R"({"role":"user","content":"x","train":true})", Source::kDataFile).param,
            "m.train");
  EXPECT_EQ(Refused(R"({"role":"user","content":"x","weight":1})", Source::kDataFile).param,
            "m.weight");
}

}  // namespace
}  // namespace facet
