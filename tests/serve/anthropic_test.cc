// Anthropic's Messages API: answers, every event of a stream, every shape of an error.
#include "support/http_client.h"

#include <algorithm>

#include "base/base64.h"
#include "base/mapped_file.h"
#include "serve/anthropic/messages.h"
#include "support/paths.h"

namespace facet::serve {
namespace {

using nlohmann::json;

const char kCall[] =
    "<|channel>thought\nLook.\n<channel|>Wait."
    "<|tool_call>call:get_weather{city:<|\"|>Oslo<|\"|>}<tool_call|>";

class AnthropicTest : public ServerTest {
 protected:
  static json Body(json more = json::object(), json content = "Hi") {
    json body = {{"model", "gemma-4-12b"},
                 {"max_tokens", 200},
                 {"messages", {{{"role", "user"}, {"content", std::move(content)}}}}};
    if (more.is_object()) body.update(more);
    return body;
  }
  HttpAnswer Ask(json more = json::object(), json content = "Hi") {
    return Post("/v1/messages", Body(std::move(more), std::move(content)));
  }
  static json Tools() {
    return {{{"name", "get_weather"},
             {"description", "Weather"},
             {"input_schema",
              {{"type", "object"},
               {"properties", {{"city", {{"type", "string"}}}}},
               {"required", {"city"}}}}}};
  }
  static std::string Picture() {
    const auto png = ReadFile(std::filesystem::path(TestsDir()) / "../examples/media/house.png");
    EXPECT_TRUE(png.ok());
    return png.ok() ? EncodeBase64(*png) : "";
  }
  // What the answer says that it took without effect.
  static std::string Ignored(const HttpAnswer& answer) {
    const std::string name = "X-Facet-Ignored: ";
    const size_t at = answer.head.find(name);
    if (at == std::string::npos) return "";
    const size_t begin = at + name.size();
    return answer.head.substr(begin, answer.head.find("\r\n", begin) - begin);
  }
  // Types of a stream's events, in their order; each has its name in the event line as well.
  static std::vector<std::string> Types(const HttpAnswer& answer) {
    std::vector<std::string> types;
    for (const json& event : answer.Events()) {
      types.push_back(event["type"]);
      EXPECT_NE(answer.body.find("event: " + types.back() + "\ndata: "), std::string::npos);
    }
    return types;
  }
};

TEST_F(AnthropicTest, AnswersWithAMessage) {
  StartServer({{{"emit", "Hello there."}}});
  const HttpAnswer answer = Ask({{"system", "Be brief."}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  const json message = answer.Json();
  EXPECT_TRUE(message["id"].get<std::string>().starts_with("msg_"));
  EXPECT_EQ(message["type"], "message");
  EXPECT_EQ(message["role"], "assistant");
  EXPECT_EQ(message["model"], "gemma-4-12b");
  EXPECT_EQ(message["content"], json({{{"type", "text"}, {"text", "Hello there."}}}));
  EXPECT_EQ(message["stop_reason"], "end_turn");
  EXPECT_EQ(message["stop_sequence"], nullptr);
  EXPECT_GT(message["usage"]["input_tokens"], 0);
  EXPECT_GT(message["usage"]["output_tokens"], 0);
  // What the cache knew is not counted as input.
  const json again = Ask({{"system", "Be brief."}}).Json();
  EXPECT_EQ(again["usage"]["input_tokens"].get<int>() +
                again["usage"]["cache_read_input_tokens"].get<int>(),
            message["usage"]["input_tokens"].get<int>() +
                message["usage"]["cache_read_input_tokens"].get<int>());
}

TEST_F(AnthropicTest, ThePromptIsThatOfTheSameChat) {
  StartServer({{{"emit", "ok"}}});
  const json tools = Tools();
  const int tokens =
      Post("/v1/messages/count_tokens",
           {{"system", {{{"type", "text"}, {"text", "Be brief."}}}},
            {"tools", tools},
            {"messages",
             {{{"role", "user"}, {"content", "Weather?"}},
              {{"role", "assistant"},
               {"content",
                {{{"type", "thinking"}, {"thinking", "Look."}, {"signature", "other"}},
                 {{"type", "text"}, {"text", "Wait."}},
                 {{"type", "tool_use"},
                  {"id", "toolu_1"},
                  {"name", "get_weather"},
                  {"input", {{"city", "Oslo"}}}}}}},
              {{"role", "user"},
               {"content",
                {{{"type", "tool_result"}, {"tool_use_id", "toolu_1"}, {"content", "cold"}}}}}}}})
          .Json()["input_tokens"];
  const json chat = {
      {"messages",
       {{{"role", "system"}, {"content", "Be brief."}},
        {{"role", "user"}, {"content", "Weather?"}},
        {{"role", "assistant"},
         {"content", "Wait."},
         {"reasoning_content", "Look."},
         {"tool_calls",
          {{{"id", "toolu_1"},
            {"type", "function"},
            {"function", {{"name", "get_weather"}, {"arguments", "{\"city\":\"Oslo\"}"}}}}}}},
        {{"role", "tool"}, {"tool_call_id", "toolu_1"}, {"content", "cold"}}}},
      {"tools",
       {{{"type", "function"},
         {"function",
          {{"name", "get_weather"},
           {"description", "Weather"},
           {"parameters", tools[0]["input_schema"]}}}}}}};
  EXPECT_EQ(tokens, Post("/apply-template", chat).Json()["tokens"]);
}

TEST_F(AnthropicTest, StreamsEveryEvent) {
  StartServer({{{"emit", kCall}}});
  const HttpAnswer answer = Ask({{"stream", true},
                                 {"tools", Tools()},
                                 {"thinking", {{"type", "enabled"}, {"budget_tokens", 1024}}}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_NE(answer.head.find("text/event-stream"), std::string::npos);
  std::vector<std::string> types = Types(answer);
  types.erase(std::unique(types.begin(), types.end()), types.end());
  EXPECT_EQ(types, (std::vector<std::string>{
                       "message_start", "ping", "content_block_start", "content_block_delta",
                       "content_block_stop", "content_block_start", "content_block_delta",
                       "content_block_stop", "content_block_start", "content_block_delta",
                       "content_block_stop", "message_delta", "message_stop"}));
  const auto events = answer.Events();
  EXPECT_EQ(events[0]["message"]["content"], json::array());
  EXPECT_EQ(events[0]["message"]["stop_reason"], nullptr);
  EXPECT_GT(events[0]["message"]["usage"]["input_tokens"], 0);
  std::string thoughts, text, arguments, signature;
  for (const json& event : events) {
    if (event["type"] != "content_block_delta") continue;
    const json& delta = event["delta"];
    if (delta["type"] == "thinking_delta") thoughts += delta["thinking"];
    if (delta["type"] == "signature_delta") signature += delta["signature"];
    if (delta["type"] == "text_delta") text += delta["text"];
    if (delta["type"] == "input_json_delta") arguments += delta["partial_json"];
    EXPECT_EQ(event["index"], delta["type"] == "text_delta"         ? 1
                              : delta["type"] == "input_json_delta" ? 2
                                                                    : 0);
  }
  EXPECT_EQ(thoughts, "Look.");
  EXPECT_FALSE(signature.empty());
  EXPECT_EQ(text, "Wait.");
  EXPECT_EQ(json::parse(arguments), json({{"city", "Oslo"}}));
  const json& last = events[events.size() - 2];
  EXPECT_EQ(last["delta"]["stop_reason"], "tool_use");
  EXPECT_GT(last["usage"]["output_tokens"], 0);
  // The whole answer says the same.
  const json whole =
      Ask({{"tools", Tools()}, {"thinking", {{"type", "enabled"}, {"budget_tokens", 1024}}}})
          .Json();
  ASSERT_EQ(whole["content"].size(), 3u);
  EXPECT_EQ(whole["content"][0]["thinking"], "Look.");
  EXPECT_EQ(whole["content"][1]["text"], "Wait.");
  EXPECT_EQ(whole["content"][2]["input"], json({{"city", "Oslo"}}));
  EXPECT_TRUE(whole["content"][2]["id"].get<std::string>().starts_with("toolu_"));
  EXPECT_EQ(whole["stop_reason"], "tool_use");
}

TEST_F(AnthropicTest, ThoughtsAreGivenAsTheyWereAskedFor) {
  StartServer({{{"emit", "<|channel>thought\nDeep.\n<channel|>Answer."}}});
  // Who did not ask for thoughts takes the first block for the answer.
  EXPECT_EQ(Ask().Json()["content"], json({{{"type", "text"}, {"text", "Answer."}}}));
  const json shown = Ask({{"thinking", {{"type", "adaptive"}}}}).Json()["content"];
  ASSERT_EQ(shown.size(), 2u);
  EXPECT_EQ(shown[0]["thinking"], "Deep.");
  const json hidden =
      Ask({{"thinking", {{"type", "adaptive"}, {"display", "omitted"}}}}).Json()["content"];
  ASSERT_EQ(hidden.size(), 2u);
  EXPECT_EQ(hidden[0]["thinking"], "");
  // The signature brings them back.
  const auto thoughts = [](const json& block) -> json {
    OrderedJson messages = OrderedJson::parse(
        json{{{"role", "user"}, {"content", "Hi"}},
             {{"role", "assistant"},
              {"content", json::array({block, {{"type", "text"}, {"text", "Answer."}}})}}}
            .dump());
    const auto turns = ReadMessageTurns(nullptr, std::move(messages), {}, nullptr);
    EXPECT_TRUE(turns.ok()) << turns.error().message;
    if (!turns.ok()) return nullptr;
    return (*turns).messages[1].value("reasoning_content", "");
  };
  EXPECT_EQ(thoughts(shown[0]), "Deep.");
  EXPECT_EQ(thoughts(hidden[0]), "Deep.");
  EXPECT_EQ(thoughts({{"type", "thinking"}, {"thinking", ""}, {"signature", "another's"}}), "");
  EXPECT_EQ(thoughts({{"type", "redacted_thinking"}, {"data", "x"}}), "");
}

TEST_F(AnthropicTest, GoesOnWithAnAnswerThatTheClientHasBegun) {
  StartServer({{{"match", "The best is \\($"}, {"emit", "B) Helios"}}, {{"emit", "no"}}});
  const json messages = {{{"role", "user"}, {"content", "Which?"}},
                         {{"role", "assistant"}, {"content", "The best is ("}}};
  EXPECT_EQ(Ask({{"messages", messages}}).Json()["content"],
            json({{{"type", "text"}, {"text", "B) Helios"}}}));
}

TEST_F(AnthropicTest, SaysWhyItStopped) {
  StartServer({{{"emit", "one two three four five six seven eight"}}});
  const json cut = Ask({{"max_tokens", 2}}).Json();
  EXPECT_EQ(cut["stop_reason"], "max_tokens");
  EXPECT_EQ(cut["usage"]["output_tokens"], 2);
  const json stopped = Ask({{"stop_sequences", {"", "nine", "four"}}}).Json();
  EXPECT_EQ(stopped["stop_reason"], "stop_sequence");
  EXPECT_EQ(stopped["stop_sequence"], "four");
  EXPECT_EQ(stopped["content"][0]["text"], "one two three ");
  const auto events = Ask({{"stop_sequences", {"four"}}, {"stream", true}}).Events();
  EXPECT_EQ(events[events.size() - 2]["delta"],
            json({{"stop_reason", "stop_sequence"}, {"stop_sequence", "four"}}));
}

TEST_F(AnthropicTest, ACallThatTheLimitCutsOffIsNoCall) {
  StartServer({{{"emit", "Hm.<|tool_call>call:get_weather{city:<|\"|>" + std::string(400, 'x') +
                             "<|\"|>}<tool_call|>"}}});
  const json cut = Ask({{"tools", Tools()}, {"max_tokens", 20}}).Json();
  EXPECT_EQ(cut["stop_reason"], "max_tokens");
  EXPECT_EQ(cut["content"], json({{{"type", "text"}, {"text", "Hm."}}}));
}

TEST_F(AnthropicTest, PicturesReachTheModelFromUsersAndTools) {
  StartServer({{{"emit", "ok"}}});
  const json picture = {
      {"type", "image"},
      {"source", {{"type", "base64"}, {"media_type", "image/png"}, {"data", Picture()}}}};
  const auto tokens = [&](const json& messages) {
    const HttpAnswer answer = Post("/v1/messages/count_tokens", {{"messages", messages}});
    EXPECT_EQ(answer.status, 200) << answer.body;
    return answer.Json()["input_tokens"].get<int>();
  };
  const json text = {{"type", "text"}, {"text", "What is this?"}};
  EXPECT_GT(tokens({{{"role", "user"}, {"content", {picture, text}}}}),
            tokens({{{"role", "user"}, {"content", {text}}}}) + 60);
  EXPECT_EQ(Ask({}, json::array({picture, text})).status, 200);
  const HttpAnswer broken = Ask(
      {}, {{{"type", "image"},
            {"source", {{"type", "base64"}, {"media_type", "image/png"}, {"data", "aGVsbG8="}}}}});
  EXPECT_EQ(broken.status, 400);
  EXPECT_EQ(broken.Json()["error"]["type"], "invalid_request_error");
}

TEST_F(AnthropicTest, ReadsEveryBlock) {
  StartServer({{{"match", "title.*context.*plain text.*source.*found.*Error: broken"},
                {"emit", "all of it"}},
               {{"emit", "no"}}});
  const json messages = {
      {{"role", "user"},
       {"content",
        {{{"type", "document"},
          {"title", "title"},
          {"context", "context"},
          {"source", {{"type", "text"}, {"media_type", "text/plain"}, {"data", "plain text"}}},
          {"citations", {{"enabled", false}}}},
         {{"type", "document"}, {"source", {{"type", "content"}, {"content", "more"}}}},
         {{"type", "search_result"},
          {"source", "source"},
          {"title", "a title"},
          {"content", {{{"type", "text"}, {"text", "found"}}}}},
         {{"type", "text"}, {"text", "go"}, {"cache_control", {{"type", "ephemeral"}}}}}}},
      {{"role", "assistant"},
       {"content", {{{"type", "tool_use"}, {"id", "t"}, {"name", "f"}, {"input", {{"a", 1}}}}}}},
      {{"role", "user"},
       {"content",
        {{{"type", "tool_result"},
          {"tool_use_id", "t"},
          {"is_error", true},
          {"content", {{{"type", "text"}, {"text", "broken"}}}}}}}},
      {{"role", "system"}, {"content", {{{"type", "text"}, {"text", "# Environment"}}}}}};
  const HttpAnswer answer = Ask({{"messages", messages}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.Json()["content"][0]["text"], "all of it");
}

TEST_F(AnthropicTest, ToolsAreOfferedForcedAndLeftOut) {
  StartServer({{{"match", "str_replace(.|\n)*call nothing"}, {"emit", "described"}},
               {{"match", "web_search"}, {"emit", "offered"}},
               {{"match", "FORCED"},
                {"emit", "<|tool_call>call:get_weather{city:<|\"|>Oslo<|\"|>}<tool_call|>"}},
               {{"emit", kCall}}});
  for (const json& choice :
       {json{{"type", "any"}}, json{{"type", "tool"}, {"name", "get_weather"}}}) {
    const HttpAnswer forced = Ask({{"tools", Tools()}, {"tool_choice", choice}}, "FORCED");
    ASSERT_EQ(forced.status, 200) << forced.body;
    EXPECT_EQ(forced.Json()["stop_reason"], "tool_use");
    EXPECT_EQ(forced.Json()["content"][0]["input"], json({{"city", "Oslo"}}));
  }
  EXPECT_EQ(Ask({{"tools", Tools()}, {"tool_choice", {{"type", "none"}}}}).Json()["stop_reason"],
            "end_turn");
  const HttpAnswer unknown =
      Ask({{"tools", Tools()}, {"tool_choice", {{"type", "tool"}, {"name", "nope"}}}});
  EXPECT_EQ(unknown.status, 400);
  EXPECT_NE(unknown.body.find("tool_choice"), std::string::npos);
  const json hosted = {{{"type", "web_search_20260318"}, {"name", "web_search"}},
                       {{"type", "code_execution_20260521"}, {"name", "code_execution"}}};
  EXPECT_EQ(Ask({{"tools", hosted}}).Json()["stop_reason"], "end_turn");
  const json editor = {{{"type", "text_editor_20250728"}, {"name", "str_replace_based_edit_tool"}}};
  EXPECT_EQ(Ask({{"tools", editor}}, "call nothing").Json()["content"][0]["text"], "described");
  const HttpAnswer computer =
      Ask({{"tools", {{{"type", "computer_20250124"}, {"name", "computer"}}}}});
  EXPECT_EQ(computer.status, 400);
  EXPECT_NE(computer.body.find("tools[0].type"), std::string::npos);
}

TEST_F(AnthropicTest, AnswersKeepToASchema) {
  StartServer({{{"emit", "{\"age\":36,\"name\":\"Ada\"}"}}});
  const json schema = {
      {"type", "object"},
      {"properties", {{"name", {{"type", "string"}}}, {"age", {{"type", "integer"}}}}},
      {"required", {"name", "age"}},
      {"additionalProperties", false}};
  const json format = {{"type", "json_schema"}, {"schema", schema}};
  for (const json& more :
       {json{{"output_config", {{"format", format}}}}, json{{"output_format", format}}}) {
    const HttpAnswer answer = Ask(more);
    ASSERT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(json::parse(answer.Json()["content"][0]["text"].get<std::string>())["age"], 36);
  }
}

TEST_F(AnthropicTest, TakesWhatCannotChangeTheAnswer) {
  StartServer({{{"match", "billing"}, {"emit", "no"}}, {{"emit", "Hello."}}});
  const HttpAnswer answer =
      Ask({{"model", "claude-something-new"},
           {"metadata", {{"user_id", "u"}}},
           {"service_tier", "auto"},
           {"context_management",
            {{"edits", {{{"type", "clear_thinking_20251015"}, {"keep", "all"}}}}}},
           {"output_config", {{"effort", "high"}}},
           {"system",
            {{{"type", "text"}, {"text", "x-anthropic-billing-header: cc_version=1; cch=abc;"}},
             {{"type", "text"},
              {"text", "You help."},
              {"cache_control", {{"type", "ephemeral"}, {"ttl", "1h"}}}}}}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.Json()["content"][0]["text"], "Hello.");
  EXPECT_EQ(answer.Json()["context_management"]["applied_edits"], json::array());
  for (const char* name : {"model", "metadata", "service_tier", "context_management", "system[0]"})
    EXPECT_NE(Ignored(answer).find(name), std::string::npos) << name << Ignored(answer);
  // What nobody knows is taken and named wherever it stands, in streams too.
  const json part = {{"type", "text"}, {"text", "Hi"}, {"fresh", 1}};
  EXPECT_EQ(Ignored(Ask({{"novel", 1}}, json::array({part}))),
            "novel, messages[0].content[0].fresh");
  EXPECT_EQ(Ignored(Ask({{"novel", 1}, {"stream", true}})), "novel");
}

TEST_F(AnthropicTest, RefusesWhatNobodyKnowsWhereItIsStrict) {
  options_.limits.strict = true;
  StartServer({{{"emit", "Hello."}}});
  const HttpAnswer answer = Ask({{"novel", 1}});
  EXPECT_EQ(answer.status, 400);
  EXPECT_NE(answer.body.find("novel"), std::string::npos);
}

TEST_F(AnthropicTest, ErrorsHaveTheShapeOfTheApi) {
  ASSERT_TRUE(options_.http.access.keys.Add("sk-test").ok());
  options_.model.context = 512;
  options_.http.max_body = 64 << 10;
  StartServer({{{"emit", "ok"}}});
  const std::string type = "Content-Type: application/json\r\n", key = "x-api-key: sk-test\r\n";
  const auto expect = [&](const HttpAnswer& answer, int status, const char* kind,
                          const char* words) {
    EXPECT_EQ(answer.status, status) << answer.body;
    const json body = answer.Json();
    EXPECT_EQ(body["type"], "error");
    EXPECT_EQ(body["error"]["type"], kind);
    EXPECT_NE(body["error"]["message"].get<std::string>().find(words), std::string::npos)
        << answer.body;
    EXPECT_TRUE(body["request_id"].get<std::string>().starts_with("req_"));
  };
  const auto ask = [&](const json& body, const std::string& headers) {
    return Request("POST", "/v1/messages", body.dump(), headers);
  };
  expect(ask(Body(), type), 401, "authentication_error", "API key");
  expect(ask(Body(), type + "x-api-key: wrong\r\n"), 401, "authentication_error", "API key");
  EXPECT_EQ(ask(Body(), type + key).status, 200);
  EXPECT_EQ(ask(Body(), type + "Authorization: Bearer sk-test\r\n").status, 200);
  json body = Body();
  body.erase("max_tokens");
  expect(ask(body, type + key), 400, "invalid_request_error", "max_tokens");
  expect(ask(Body({{"model", "gpt-9"}}), type + key), 404, "not_found_error", "gpt-9");
  expect(ask(Body({{"mcp_servers", {{{"url", "x"}}}}}), type + key), 400, "invalid_request_error",
         "mcp_servers");
  expect(ask(Body({}, {{{"type", "image"}, {"source", {{"type", "file"}, {"file_id", "f"}}}}}),
             type + key),
         400, "invalid_request_error", "messages[0].content[0].source.type");
  expect(ask(Body({}, {{{"type", "document"},
                        {"source",
                         {{"type", "base64"}, {"media_type", "application/pdf"}, {"data", ""}}}}}),
             type + key),
         400, "invalid_request_error", "PDF");
  std::string words;
  for (int i = 0; i < 2000; ++i) words += "word ";
  expect(ask(Body({}, words), type + key), 400, "invalid_request_error", "prompt is too long: ");
  expect(ask(Body({}, std::string(100'000, 'x')), type + key), 413, "request_too_large", "bytes");
  expect(Request("GET", "/v1/messages", "", key), 405, "invalid_request_error", "POST");
  expect(Request("POST", "/v1/messages", "{", type + key), 400, "invalid_request_error", "");
  expect(Request("GET", "/v1/messages/batches", "", key), 404, "not_found_error", "batches");
}

TEST_F(AnthropicTest, ListsModelsForClientsOfThisApi) {
  StartServer({{{"emit", "ok"}}});
  const std::string version = "anthropic-version: 2023-06-01\r\n";
  const json list = Request("GET", "/v1/models?limit=20", "", version).Json();
  EXPECT_EQ(list["data"][0]["type"], "model");
  EXPECT_EQ(list["data"][0]["id"], "gemma-4-12b");
  EXPECT_EQ(list["data"][0]["display_name"], "gemma-4-12b");
  EXPECT_EQ(list["has_more"], false);
  EXPECT_EQ(list["first_id"], "gemma-4-12b");
  EXPECT_EQ(list["last_id"], "gemma-4-12b");
  EXPECT_EQ(Request("GET", "/v1/models/gemma-4-12b", "", version).Json()["type"], "model");
  const HttpAnswer none = Request("GET", "/v1/models/nope", "", version);
  EXPECT_EQ(none.status, 404);
  EXPECT_EQ(none.Json()["type"], "error");
  // Others see what they know.
  EXPECT_EQ(Request("GET", "/v1/models").Json()["object"], "list");
}

}  // namespace
}  // namespace facet::serve
