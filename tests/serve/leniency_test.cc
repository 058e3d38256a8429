// What other servers take is taken here too, where it means something or changes nothing.
#include "support/http_client.h"

namespace facet::serve {
namespace {

using nlohmann::json;

class LeniencyTest : public ServerTest {
 protected:
  // The value of X-Facet-Ignored; empty where there is no such header.
  static std::string Ignored(const HttpAnswer& answer) {
    const std::string name = "X-Facet-Ignored: ";
    const size_t at = answer.head.find(name);
    if (at == std::string::npos) return "";
    const size_t from = at + name.size();
    return answer.head.substr(from, answer.head.find("\r\n", from) - from);
  }
  std::string Content(json more) {
    const HttpAnswer answer = Chat(std::move(more));
    EXPECT_EQ(answer.status, 200) << answer.body;
    return answer.status == 200 ? answer.Json()["choices"][0]["message"]["content"] : "";
  }
  std::string RefusedParam(json more) {
    const HttpAnswer answer = Chat(more);
    EXPECT_EQ(answer.status, 400) << more << answer.body;
    const json body = answer.Json();
    return body.contains("error") && body["error"]["param"].is_string()
               ? body["error"]["param"].get<std::string>()
               : "";
  }
  std::string Prompt(const json& messages, json more = json::object()) {
    json body = {{"messages", messages}};
    body.update(more);
    const HttpAnswer answer = Post("/apply-template", body);
    EXPECT_EQ(answer.status, 200) << answer.body;
    return answer.status == 200 ? answer.Json()["prompt"] : "";
  }
};

TEST_F(LeniencyTest, NoLimitAndDefaultAreSpeltInSeveralWays) {
  StartServer({{{"emit", "one two three"}}});
  for (const json& more : {json{{"max_tokens", -1}},
                           {{"max_completion_tokens", -2}},
                           {{"seed", -1}},
                           {{"top_k", -1}},
                           {{"stop", ""}},
                           {{"stop", {"", nullptr}}},
                           {{"top_logprobs", 0}},
                           {{"options", {{"num_predict", -1}}}}})
    EXPECT_EQ(Content(more), "one two three") << more;
  EXPECT_EQ(RefusedParam({{"max_tokens", 0}}), "max_tokens");
  EXPECT_EQ(RefusedParam({{"max_tokens", -5}}), "max_tokens");
  EXPECT_EQ(RefusedParam({{"max_tokens", "5"}}), "max_tokens");
  const HttpAnswer endless = Post("/v1/completions", {{"prompt", "x"}, {"max_tokens", -1}});
  EXPECT_EQ(endless.Json()["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(Post("/v1/responses", {{"input", "x"}, {"max_output_tokens", -1}}).status, 200);
}

TEST_F(LeniencyTest, AnyNumberOfStopStrings) {
  StartServer({{{"emit", "one two three"}}});
  json stops = json::array({""});
  for (int i = 0; i < 500; ++i) stops.push_back("Speaker" + std::to_string(i) + ":");
  EXPECT_EQ(Content({{"stop", stops}}), "one two three");
  stops.push_back(" two");
  EXPECT_EQ(Content({{"stop", stops}}), "one");
  EXPECT_EQ(Content({{"stop", std::string(4096, 'x')}}), "one two three");
  EXPECT_EQ(RefusedParam({{"stop", std::string(4097, 'x')}}), "stop");
  EXPECT_EQ(RefusedParam({{"stop", {7}}}), "stop");
}

TEST_F(LeniencyTest, WaysOfSamplingThatAreSwitchedOff) {
  StartServer({{{"emit", "ok"}}});
  EXPECT_EQ(Content({{"typical_p", 1.0},
                     {"mirostat", 0},
                     {"dry_multiplier", 0},
                     {"top_n_sigma", -1},
                     {"use_beam_search", false},
                     {"bad_words", json::array()}}),
            "ok");
  for (const json& on : {json{{"typical_p", 0.9}},
                         {{"mirostat", 2}},
                         {{"dry_multiplier", 0.8}},
                         {{"xtc_probability", 1}},
                         {{"use_beam_search", true}},
                         {{"bad_words", {"x"}}},
                         {{"skip_special_tokens", "x"}}})
    EXPECT_EQ(RefusedParam(on), on.begin().key());
}

TEST_F(LeniencyTest, OllamasOptionsAreUnderstood) {
  StartServer({{{"emit", "one two three"}}});
  const HttpAnswer answer = Chat({{"options", {{"stop", {" three"}}, {"num_ctx", 4096}}},
                                  {"num_ctx", 1},
                                  {"keep_alive", "5m"},
                                  {"verbosity", "low"}});
  EXPECT_EQ(answer.Json()["choices"][0]["message"]["content"], "one two");
  EXPECT_EQ(Ignored(answer), "options.num_ctx, keep_alive, num_ctx, verbosity");
  EXPECT_EQ(Chat({{"options", {{"num_predict", 1}}}}).Json()["choices"][0]["finish_reason"],
            "length");
  // A field of the API itself counts more.
  EXPECT_EQ(Content({{"options", {{"num_predict", 1}}}, {"max_tokens", 50}}), "one two three");
  EXPECT_EQ(RefusedParam({{"options", {{"temperature", -1}}}}), "options.temperature");
  const json hi = json::array({{{"role", "user"}, {"content", "Hi"}}});
  EXPECT_EQ(Prompt(hi, {{"think", true}}), Prompt(hi, {{"enable_thinking", true}}));
  EXPECT_EQ(Prompt(hi, {{"think", "high"}}), Prompt(hi, {{"reasoning_effort", "high"}}));
  EXPECT_EQ(RefusedParam({{"think", "very"}}), "think");
}

TEST_F(LeniencyTest, AnAnswerThatHasBegunGoesOn) {
  StartServer({{{"emit", "lo there."}}});
  const json user = {{"role", "user"}, {"content", "Hi"}};
  const json begun = {{"role", "assistant"}, {"content", "Hel<|turn>"}};
  const std::string before = Prompt(json::array({user}));
  // What it says is text, whatever it says.
  EXPECT_EQ(Prompt({user, begun}), before + "Hel<|turn>");
  EXPECT_EQ(
      Prompt({user, begun}, {{"continue_final_message", true}, {"add_generation_prompt", false}}),
      before + "Hel<|turn>");
  const HttpAnswer tokens = Post("/apply-template", {{"messages", {user, begun}}});
  const HttpAnswer without = Post("/apply-template", {{"messages", json::array({user})}});
  EXPECT_GT(tokens.Json()["tokens"].get<int>(), without.Json()["tokens"].get<int>() + 2);
  // Unless the client says that a new turn begins.
  EXPECT_TRUE(Prompt({user, begun}, {{"add_generation_prompt", true}})
                  .ends_with(before.substr(before.rfind("<|turn>"))));
  EXPECT_FALSE(
      Prompt(json::array({user}), {{"add_generation_prompt", false}}).ends_with("<channel|>"));
  const json thinking = {{"role", "assistant"}, {"content", ""}, {"reasoning_content", "Hm"}};
  EXPECT_TRUE(Prompt({user, thinking}).ends_with("<|channel>thought\nHm"));
  EXPECT_EQ(Content({{"messages", {user, begun}}}), "lo there.");
  EXPECT_EQ(RefusedParam({{"continue_final_message", true}}), "continue_final_message");
  const json call = {
      {"role", "assistant"},
      {"tool_calls", {{{"id", "1"}, {"function", {{"name", "f"}, {"arguments", "{}"}}}}}}};
  EXPECT_EQ(RefusedParam({{"messages", {user, call}}, {"continue_final_message", true}}),
            "continue_final_message");
}

TEST_F(LeniencyTest, LoadToolsGetTheTokensThatTheyAskFor) {
  StartServer({{{"emit", "one two three"}}});
  const HttpAnswer all = Chat({{"ignore_eos", true}, {"max_tokens", 40}});
  EXPECT_EQ(all.Json()["usage"]["completion_tokens"], 40);
  EXPECT_EQ(all.Json()["choices"][0]["finish_reason"], "length");
  const HttpAnswer least = Chat({{"min_tokens", 20}});
  EXPECT_GE(least.Json()["usage"]["completion_tokens"], 20);
  EXPECT_EQ(least.Json()["choices"][0]["finish_reason"], "stop");
  // A stop string in the first tokens does not end it either.
  EXPECT_TRUE(Content({{"min_tokens", 3}, {"stop", "two"}}).starts_with("one two three"));
  EXPECT_EQ(Post("/v1/completions", {{"prompt", "x"}, {"ignore_eos", true}, {"max_tokens", 30}})
                .Json()["usage"]["completion_tokens"],
            30);
  // A form ends the answer.
  EXPECT_EQ(Content({{"ignore_eos", true}, {"guided_choice", {"a", "b"}}}).size(), 1u);
  const json one = Post("/tokenize", {{"content", " two"}}).Json()["tokens"];
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(Content({{"stop_token_ids", one}}), "one");
  EXPECT_EQ(RefusedParam({{"stop_token_ids", {9999999}}}), "stop_token_ids");
}

TEST_F(LeniencyTest, EveryEventCanSayWhatHasBeenUsed) {
  StartServer({{{"emit", "one two three"}}});
  const auto events =
      Chat({{"stream", true},
            {"stream_options", {{"include_usage", true}, {"continuous_usage_stats", true}}}})
          .Events();
  int last = -1;
  for (const json& event : events) {
    ASSERT_TRUE(event["usage"].is_object()) << event;
    EXPECT_GE(event["usage"]["completion_tokens"].get<int>(), last);
    EXPECT_EQ(event["usage"]["prompt_tokens"], events.back()["usage"]["prompt_tokens"]);
    last = event["usage"]["completion_tokens"];
  }
  EXPECT_GT(events.size(), 3u);
  const auto plain = Chat({{"stream", true}}).Events();
  EXPECT_FALSE(plain[0].contains("usage"));
}

TEST_F(LeniencyTest, APromptIsRepeatedWithItsLogProbabilities) {
  StartServer({{{"emit", "!"}}});
  const json body = {
      {"prompt", "Q: 1+1?\nA:  2"}, {"temperature", 0}, {"logprobs", 1}, {"echo", true}};
  json asked = body;
  asked["max_tokens"] = 0;
  const HttpAnswer prompt = Post("/v1/completions", asked);
  ASSERT_EQ(prompt.status, 200) << prompt.body;
  const json choice = prompt.Json()["choices"][0];
  EXPECT_EQ(choice["text"], "Q: 1+1?\nA:  2");
  EXPECT_EQ(choice["finish_reason"], "length");
  EXPECT_EQ(prompt.Json()["usage"]["completion_tokens"], 0);
  const json& logprobs = choice["logprobs"];
  // Without the token that texts begin with.
  const size_t tokens = prompt.Json()["usage"]["prompt_tokens"].get<size_t>() - 1;
  for (const char* list : {"tokens", "token_logprobs", "top_logprobs", "text_offset"})
    EXPECT_EQ(logprobs[list].size(), tokens) << list;
  EXPECT_EQ(logprobs["token_logprobs"][0], nullptr);
  EXPECT_EQ(logprobs["top_logprobs"][0], nullptr);
  EXPECT_LT(logprobs["token_logprobs"][1].get<double>(), 0);
  EXPECT_EQ(logprobs["top_logprobs"][1].size(), 1u);
  std::string joined;
  for (size_t i = 0; i < tokens; ++i) joined += logprobs["tokens"][i];
  EXPECT_EQ(joined, "Q: 1+1?\nA:  2");
  // With a token more, and streamed, it is the same and that token.
  asked["max_tokens"] = 1;
  const json more = Post("/v1/completions", asked).Json()["choices"][0];
  EXPECT_EQ(more["text"], "Q: 1+1?\nA:  2!");
  EXPECT_EQ(more["logprobs"]["tokens"].size(), tokens + 1);
  asked["stream"] = true;
  std::string text;
  size_t count = 0;
  for (const json& event : Post("/v1/completions", asked).Events()) {
    text += event["choices"][0]["text"];
    if (event["choices"][0]["logprobs"].is_object())
      count += event["choices"][0]["logprobs"]["tokens"].size();
  }
  EXPECT_EQ(text, "Q: 1+1?\nA:  2!");
  EXPECT_EQ(count, tokens + 1);
  // A long prompt is read in several steps, each choice has it, and ids are repeated as text.
  const json ids =
      Post("/tokenize", {{"content", std::string(3000, '.') + " end"}}).Json()["tokens"];
  const json two =
      Post("/v1/completions",
           {{"prompt", {ids, ids}}, {"n", 2}, {"max_tokens", 1}, {"echo", true}, {"logprobs", 0}})
          .Json();
  ASSERT_EQ(two["choices"].size(), 4u);
  for (const json& one : two["choices"]) {
    EXPECT_EQ(one["text"], std::string(3000, '.') + " end!");
    EXPECT_EQ(one["logprobs"]["tokens"].size(), ids.size() + 1);
  }
  // Without log-probabilities the prompt is text alone.
  EXPECT_EQ(Post("/v1/completions", {{"prompt", "x"}, {"echo", true}, {"max_tokens", 0}})
                .Json()["choices"][0]["logprobs"],
            nullptr);
}

TEST_F(LeniencyTest, AnswersHaveTheFormThatIsAskedFor) {
  StartServer({{{"emit", "maybe 42 {"}}});
  const std::vector<std::string> words = {"yes", "no", "never"};
  for (const json& more : {json{{"guided_choice", words}},
                           {{"choice", words}},
                           {{"structured_outputs", {{"choice", words}}}},
                           {{"guided_regex", "^(yes|no|never)$"}},
                           {{"regex", "yes|no|never"}},
                           {{"grammar", "root ::= \"yes\" | \"n\" (\"o\" | \"ever\")"}},
                           {{"guided_grammar", "start: \"yes\" | /no|never/"}},
                           {{"response_format", {{"type", "regex"}, {"value", "yes|no|never"}}}}}) {
    const std::string said = Content(more);
    EXPECT_TRUE(std::find(words.begin(), words.end(), said) != words.end()) << more << said;
  }
  const json schema = {{"type", "object"},
                       {"properties", {{"a", {{"type", "boolean"}}}}},
                       {"required", {"a"}},
                       {"additionalProperties", false}};
  for (const json& more : {json{{"guided_json", schema}},
                           {{"guided_json", schema.dump()}},
                           {{"json_schema", schema}},
                           {{"format", schema}},
                           {{"structured_outputs", {{"json", schema}}}},
                           {{"response_format", {{"type", "json"}, {"value", schema}}}},
                           {{"response_format", {{"type", "json_object"}, {"value", schema}}}}}) {
    const json said = json::parse(Content(more), nullptr, false);
    EXPECT_TRUE(said.is_object() && said["a"].is_boolean()) << more << said;
  }
  // Any object may be long: what there is of it begins as one.
  EXPECT_TRUE(Content({{"format", "json"}, {"max_tokens", 20}}).starts_with("{"));
  const json completed =
      Post("/v1/completions", {{"prompt", "x"}, {"guided_choice", words}}).Json();
  EXPECT_TRUE(std::find(words.begin(), words.end(), completed["choices"][0]["text"]) !=
              words.end());
  EXPECT_EQ(RefusedParam({{"grammar", "root ::= other"}}), "grammar");
  EXPECT_EQ(RefusedParam({{"guided_regex", "("}}), "guided_regex");
  EXPECT_EQ(RefusedParam({{"structured_outputs", {{"choice", {7}}}}}), "structured_outputs.choice");
  EXPECT_EQ(RefusedParam({{"format", 7}}), "format");
}

TEST_F(LeniencyTest, CustomToolsTakeAText) {
  StartServer({{{"match", "RESULT"}, {"emit", "done"}},
               {{"emit", "<|tool_call>call:edit{input:<|\"|>+one\n+two\n<|\"|>}<tool_call|>"}}});
  const json tools =
      json::parse(R"([{"type":"custom","custom":{"name":"edit","description":"Edits.",
      "format":{"type":"grammar","grammar":{"syntax":"lark","definition":"start: line+\nline: \"+\" /(.*)/ LF -> x\n%import common.LF"}}}}])");
  const HttpAnswer answer = Chat({{"tools", tools}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  const json message = answer.Json()["choices"][0]["message"];
  ASSERT_EQ(message["tool_calls"].size(), 1u) << message;
  json call = message["tool_calls"][0];
  EXPECT_EQ(call["type"], "custom");
  EXPECT_EQ(call["custom"], json({{"name", "edit"}, {"input", "+one\n+two\n"}}));
  std::string name, input;
  for (const json& event : Chat({{"tools", tools}, {"stream", true}}).Events()) {
    const json delta = event["choices"][0]["delta"];
    if (!delta.contains("tool_calls")) continue;
    name += delta["tool_calls"][0]["custom"].value("name", "");
    input += delta["tool_calls"][0]["custom"].value("input", "");
  }
  EXPECT_EQ(name, "edit");
  EXPECT_EQ(input, "+one\n+two\n");
  const json history = {{{"role", "user"}, {"content", "x"}},
                        message,
                        {{"role", "tool"}, {"tool_call_id", call["id"]}, {"content", "RESULT"}}};
  EXPECT_EQ(Content({{"tools", tools}, {"messages", history}}), "done");
  EXPECT_NE(Prompt(history, {{"tools", tools}}).find("call:edit{input:<|\"|>+one\n"),
            std::string::npos);
  // The grammar holds where the model would write something else.
  const json forced = Chat({{"tools", tools},
                            {"max_tokens", 60},
                            {"tool_choice", {{"type", "custom"}, {"custom", {{"name", "edit"}}}}},
                            {"messages", {{{"role", "user"}, {"content", "RESULT"}}}}})
                          .Json()["choices"][0];
  const json calls = forced["message"]["tool_calls"];
  ASSERT_EQ(calls.size(), 1u) << forced;
  EXPECT_TRUE(calls[0]["custom"]["input"].get<std::string>().starts_with("+") ||
              forced["finish_reason"] == "length")
      << forced;
  // One that cannot be enforced is left to the model.
  json odd = tools;
  odd[0]["custom"]["format"]["grammar"]["definition"] = "start: nothing_of_that_name";
  EXPECT_EQ(
      Chat({{"tools", odd}}).Json()["choices"][0]["message"]["tool_calls"][0]["custom"]["input"],
      "+one\n+two\n");
}

TEST_F(LeniencyTest, OnlyAllowedToolsAreCalled) {
  StartServer({{{"emit", "<|tool_call>call:b{}<tool_call|>"}}});
  const json tools = json::parse(R"([{"type":"function","function":{"name":"a"}},
      {"type":"function","function":{"name":"b"}},{"type":"web_search"}])");
  const auto allow = [](const char* name, const char* mode) {
    return json{
        {"type", "allowed_tools"},
        {"allowed_tools",
         {{"mode", mode}, {"tools", {{{"type", "function"}, {"function", {{"name", name}}}}}}}}};
  };
  const auto call = [&](const json& choice) {
    const HttpAnswer answer = Chat({{"tools", tools}, {"tool_choice", choice}, {"max_tokens", 30}});
    EXPECT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(Ignored(answer), "tools[2].type=web_search");
    const json message = answer.Json()["choices"][0]["message"];
    return message.contains("tool_calls") && !message["tool_calls"].empty()
               ? message["tool_calls"][0]["function"]["name"].get<std::string>()
               : "";
  };
  EXPECT_EQ(call("auto"), "b");
  EXPECT_EQ(call(allow("b", "auto")), "b");
  EXPECT_NE(call(allow("a", "auto")), "b");
  EXPECT_EQ(call(allow("a", "required")), "a");
  EXPECT_EQ(RefusedParam({{"tools", tools}, {"tool_choice", allow("c", "auto")}}),
            "tool_choice.allowed_tools.tools[0]");
  // What was left out cannot be asked for.
  EXPECT_EQ(RefusedParam({{"tools", tools}, {"tool_choice", {{"type", "web_search"}}}}),
            "tool_choice");
}

TEST_F(LeniencyTest, PathsAreUnderstoodOrHintedAt) {
  StartServer({{{"emit", "ok"}}});
  const std::string chat = R"({"messages":[{"role":"user","content":"Hi"}]})";
  for (const char* path : {"/chat/completions", "/v1/chat/completions/", "//v1//chat/completions",
                           "/v1/v1/chat/completions"})
    EXPECT_EQ(Request("POST", path, chat).status, 200) << path;
  for (const char* path : {"/models", "/models/", "/v1/models/", "/models/gemma-4-12b"})
    EXPECT_EQ(Request("GET", path).status, 200) << path;
  const HttpAnswer lost = Request("POST", "/openai/deployments/x/chat/completions", chat);
  EXPECT_EQ(lost.status, 404);
  EXPECT_NE(lost.body.find("did you mean /v1/chat/completions?"), std::string::npos) << lost.body;
  EXPECT_EQ(Request("GET", "/v1/nothing").status, 404);
  const HttpAnswer wrong = Request("GET", "/v1/chat/completions");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_NE(wrong.head.find("Allow: POST, OPTIONS\r\n"), std::string::npos) << wrong.head;
}

TEST_F(LeniencyTest, JsonNeedsNoTypeFromAProgramThatIsNoBrowser) {
  StartServer({{{"emit", "ok"}}});
  const std::string chat = R"({"messages":[{"role":"user","content":"Hi"}]})";
  const auto status = [&](const std::string& headers) {
    return Request("POST", "/v1/chat/completions", chat, headers).status;
  };
  EXPECT_EQ(status(""), 200);
  EXPECT_EQ(status("User-Agent: program/1.0\r\n"), 200);
  for (const char* browser :
       {"Sec-Fetch-Site: cross-site\r\n", "Referer: http://evil.example/\r\n", "Cookie: a=b\r\n",
        "User-Agent: Mozilla/5.0 (X11)\r\n", "Content-Type: text/plain\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n"})
    EXPECT_EQ(status(browser), 415) << browser;
  EXPECT_EQ(status("Origin: http://evil.example\r\n"), 403);
}

TEST_F(LeniencyTest, APlaceholderNamesTheOnlyModel) {
  StartServer({{{"emit", "ok"}}});
  for (const char* name :
       {"default", "local-model", "", "gemma", "google/gemma-4-12b-it", "Gemma-4-12B"}) {
    const HttpAnswer answer = Chat({{"model", name}});
    EXPECT_EQ(answer.status, 200) << name << answer.body;
    EXPECT_EQ(answer.Json()["model"], "gemma-4-12b");
    EXPECT_EQ(Ignored(answer), std::string("model=") + name);
  }
  for (const char* name : {"gpt-9", "llama", "gem"})
    EXPECT_EQ(Chat({{"model", name}}).status, 404) << name;
}

TEST_F(LeniencyTest, TwoModelsHaveNoPlaceholder) {
  options_.models = {{.id = "a", .files = {}, .script = folder_ / "script.jsonl"},
                     {.id = "b", .files = {}, .script = folder_ / "script.jsonl"}};
  StartServer({{{"emit", "ok"}}});
  EXPECT_EQ(Chat({{"model", "default"}}).status, 404);
  EXPECT_EQ(Chat({{"model", "b"}}).status, 200);
}

TEST_F(LeniencyTest, TokenizersSayWhatTheyAre) {
  StartServer({{{"emit", "ok"}}});
  const json info = Request("GET", "/tokenizer_info").Json();
  EXPECT_EQ(info["bos_token"], "<bos>");
  EXPECT_TRUE(info["eos_token"].is_string());
  EXPECT_NE(info["chat_template"].get<std::string>().find("<|turn>"), std::string::npos);
  const json tokens =
      Post("/tokenize",
           {{"prompt", "Hi"}, {"add_special_tokens", true}, {"return_token_strs", true}})
          .Json();
  EXPECT_EQ(tokens["token_strs"][0], "<bos>");
  EXPECT_EQ(tokens["token_strs"].size(), tokens["count"]);
}

}  // namespace
}  // namespace facet::serve
