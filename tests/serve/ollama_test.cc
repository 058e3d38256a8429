// Ollama's API: lines, whole answers, models, embeddings, errors.
#include "support/http_client.h"

#include <sstream>

#include "base/base64.h"
#include "base/mapped_file.h"
#include "support/paths.h"

namespace facet::serve {
namespace {

using nlohmann::json;

const char kCall[] =
    "<|channel>thought\nLook.\n<channel|>Wait."
    "<|tool_call>call:get_weather{city:<|\"|>Oslo<|\"|>}<tool_call|>";

class OllamaTest : public ServerTest {
 protected:
  HttpAnswer Ask(json more = json::object(), const std::string& text = "Hi") {
    json body = {{"model", "gemma-4-12b"}, {"messages", {{{"role", "user"}, {"content", text}}}}};
    if (more.is_object()) body.update(more);
    return Post("/api/chat", body);
  }
  HttpAnswer Generate(json more = json::object(), const std::string& prompt = "Hi") {
    json body = {{"model", "gemma-4-12b"}, {"prompt", prompt}};
    if (more.is_object()) body.update(more);
    return Post("/api/generate", body);
  }
  static json Tools() {
    return {{{"type", "function"},
             {"function",
              {{"name", "get_weather"},
               {"description", "Weather"},
               {"parameters",
                {{"type", "object"},
                 {"properties", {{"city", {{"type", "string"}}}}},
                 {"required", {"city"}}}}}}}};
  }
  static std::vector<json> Lines(const HttpAnswer& answer) {
    std::vector<json> lines;
    std::istringstream in(answer.body);
    for (std::string line; std::getline(in, line);) lines.push_back(json::parse(line));
    return lines;
  }
  static std::string Picture() {
    const auto png = ReadFile(std::filesystem::path(TestsDir()) / "../examples/media/house.png");
    EXPECT_TRUE(png.ok());
    return png.ok() ? EncodeBase64(*png) : "";
  }
};

TEST_F(OllamaTest, StreamsLinesUnlessToldOtherwise) {
  StartServer({{{"emit", kCall}}});
  const HttpAnswer answer = Ask({{"tools", Tools()}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_NE(answer.head.find("application/x-ndjson"), std::string::npos);
  const auto lines = Lines(answer);
  std::string text, thoughts;
  json calls = json::array();
  for (size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i]["model"], "gemma-4-12b");
    EXPECT_TRUE(lines[i]["created_at"].get<std::string>().ends_with("Z"));
    EXPECT_EQ(lines[i]["done"], i + 1 == lines.size());
    const json& message = lines[i]["message"];
    EXPECT_EQ(message["role"], "assistant");
    text += message["content"];
    thoughts += message.value("thinking", "");
    for (const json& call : message.value("tool_calls", json::array())) calls.push_back(call);
  }
  EXPECT_EQ(text, "Wait.");
  EXPECT_EQ(thoughts, "Look.");
  ASSERT_EQ(calls.size(), 1u);
  EXPECT_EQ(calls[0]["function"]["name"], "get_weather");
  EXPECT_EQ(calls[0]["function"]["arguments"], json({{"city", "Oslo"}}));
  EXPECT_EQ(lines.back()["done_reason"], "stop");
  for (const char* name : {"total_duration", "load_duration", "prompt_eval_count",
                           "prompt_eval_duration", "eval_count", "eval_duration"})
    EXPECT_TRUE(lines.back()[name].is_number_integer()) << name;
  // The whole answer says the same.
  const json whole = Ask({{"tools", Tools()}, {"stream", false}}).Json();
  EXPECT_EQ(whole["message"]["content"], "Wait.");
  EXPECT_EQ(whole["message"]["thinking"], "Look.");
  EXPECT_EQ(whole["message"]["tool_calls"][0]["function"]["arguments"]["city"], "Oslo");
  EXPECT_EQ(whole["done"], true);
  EXPECT_EQ(whole["prompt_eval_count"], lines.back()["prompt_eval_count"]);
}

TEST_F(OllamaTest, ThePromptIsThatOfTheSameChat) {
  StartServer({{{"emit", "ok"}}});
  const json whole =
      Ask({{"stream", false},
           {"tools", Tools()},
           {"messages",
            {{{"role", "system"}, {"content", "Be brief."}},
             {{"role", "user"}, {"content", "Weather?"}},
             {{"role", "assistant"},
              {"content", "Wait."},
              {"thinking", "Look."},
              {"tool_calls",
               {{{"function", {{"name", "get_weather"}, {"arguments", {{"city", "Oslo"}}}}}}}}},
             {{"role", "tool"}, {"tool_name", "get_weather"}, {"content", "cold"}}}}})
          .Json();
  const json chat = {
      {"tools", Tools()},
      {"messages",
       {{{"role", "system"}, {"content", "Be brief."}},
        {{"role", "user"}, {"content", "Weather?"}},
        {{"role", "assistant"},
         {"content", "Wait."},
         {"reasoning_content", "Look."},
         {"tool_calls",
          {{{"id", "x"},
            {"type", "function"},
            {"function", {{"name", "get_weather"}, {"arguments", "{\"city\":\"Oslo\"}"}}}}}}},
        {{"role", "tool"}, {"tool_call_id", "x"}, {"content", "cold"}}}}};
  EXPECT_EQ(whole["prompt_eval_count"], Post("/apply-template", chat).Json()["tokens"]);
}

TEST_F(OllamaTest, GeneratesFromATextAndContinuesARawOne) {
  StartServer({{{"match", "^<bos>Once"}, {"emit", " upon a time"}},
               {{"match", "Be brief.*Hi"}, {"emit", "brief"}},
               {{"emit", "Hello."}}});
  const auto lines = Lines(Generate());
  std::string text;
  for (const json& line : lines) text += line["response"];
  EXPECT_EQ(text, "Hello.");
  EXPECT_EQ(lines.back()["done"], true);
  EXPECT_EQ(Generate({{"stream", false}, {"system", "Be brief."}}).Json()["response"], "brief");
  EXPECT_EQ(Generate({{"stream", false}, {"raw", true}}, "Once").Json()["response"],
            " upon a time");
  EXPECT_EQ(Generate({{"raw", true}, {"system", "x"}}).status, 400);
  EXPECT_EQ(Generate({{"context", {1, 2}}}).Json()["error"].get<std::string>().substr(0, 8),
            "context:");
}

TEST_F(OllamaTest, AModelIsLoadedWhereThereIsNothingToSay) {
  StartServer({{{"emit", "ok"}}});
  const json chat = Ask({{"messages", json::array()}}).Json();
  EXPECT_EQ(chat["done_reason"], "load");
  EXPECT_EQ(chat["message"]["content"], "");
  EXPECT_EQ(Generate({{"keep_alive", "10m"}}, "").Json()["done_reason"], "load");
  EXPECT_EQ(Generate({{"keep_alive", 0}}, "").Json()["done_reason"], "unload");
}

TEST_F(OllamaTest, OptionsFormatsAndThinking) {
  StartServer({{{"match", "JSON"}, {"emit", "{\"age\":36,\"name\":\"Ada\"}"}},
               {{"match", "think"}, {"emit", "<|channel>thought\nDeep.\n<channel|>Answer."}},
               {{"emit", "one two three four five six"}}});
  const json limited = Ask({{"stream", false}, {"options", {{"num_predict", 2}}}}).Json();
  EXPECT_EQ(limited["done_reason"], "length");
  EXPECT_EQ(limited["eval_count"], 2);
  EXPECT_EQ(Ask({{"stream", false}, {"options", {{"num_predict", -1}, {"seed", -1}}}})
                .Json()["done_reason"],
            "stop");
  EXPECT_EQ(
      Ask({{"stream", false}, {"options", {{"stop", {"three"}}}}}).Json()["message"]["content"],
      "one two ");
  EXPECT_EQ(Ask({{"stream", false}, {"options", {{"stop", "four"}}}}).Json()["message"]["content"],
            "one two three ");
  // What runs a model elsewhere is taken.
  EXPECT_EQ(
      Ask({{"options", {{"num_ctx", 8192}, {"num_gpu", 99}, {"use_mmap", true}, {"mirostat", 0}}},
           {"keep_alive", "-1m"}})
          .status,
      200);
  const HttpAnswer ignored = Ask({{"options", {{"num_ctx", 8192}, {"novel", 1}}}, {"fresh", 1}});
  for (const char* name : {"options.num_ctx", "options.novel", "fresh"})
    EXPECT_NE(ignored.head.find(name), std::string::npos) << ignored.head;
  EXPECT_EQ(Ask({{"options", {{"mirostat", 2}}}}).status, 400);
  EXPECT_EQ(Ask({{"options", {{"repeat_last_n", 64}}}}).status, 200);
  EXPECT_EQ(Ask({{"options", {{"repeat_last_n", 64}, {"repeat_penalty", 1.2}}}}).status, 400);
  const json schema = {
      {"type", "object"},
      {"properties", {{"name", {{"type", "string"}}}, {"age", {{"type", "integer"}}}}},
      {"required", {"name", "age"}}};
  for (const json& format : {json("json"), schema}) {
    const HttpAnswer answer = Ask({{"stream", false}, {"format", format}}, "JSON");
    ASSERT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(json::parse(answer.Json()["message"]["content"].get<std::string>())["age"], 36);
  }
  EXPECT_EQ(Ask({{"format", "xml"}}).status, 400);
  for (const json& think : {json(true), json("high")})
    EXPECT_EQ(Ask({{"stream", false}, {"think", think}}, "think").Json()["message"]["thinking"],
              "Deep.");
  EXPECT_EQ(Ask({{"think", "hard"}}).status, 400);
}

TEST_F(OllamaTest, LogprobsOfTheContent) {
  StartServer({{{"emit", "Hello there."}}});
  const json whole = Ask({{"stream", false}, {"logprobs", true}, {"top_logprobs", 2}}).Json();
  ASSERT_GT(whole["logprobs"].size(), 1u);
  EXPECT_EQ(whole["logprobs"][0]["top_logprobs"].size(), 2u);
  size_t streamed = 0;
  for (const json& line : Lines(Ask({{"logprobs", true}})))
    streamed += line.value("logprobs", json::array()).size();
  EXPECT_EQ(streamed, whole["logprobs"].size());
  EXPECT_EQ(Ask({{"top_logprobs", 2}}).status, 400);
}

TEST_F(OllamaTest, PicturesReachTheModel) {
  StartServer({{{"emit", "ok"}}});
  const auto tokens = [&](const json& images) {
    const HttpAnswer answer =
        Ask({{"stream", false},
             {"messages", {{{"role", "user"}, {"content", "What?"}, {"images", images}}}}});
    EXPECT_EQ(answer.status, 200) << answer.body;
    return answer.Json()["prompt_eval_count"].get<int>();
  };
  EXPECT_GT(tokens({Picture()}), tokens(json::array()) + 60);
  EXPECT_GT(Generate({{"stream", false}, {"images", {Picture()}}}).Json()["prompt_eval_count"],
            Generate({{"stream", false}}).Json()["prompt_eval_count"]);
  const HttpAnswer broken = Generate({{"images", {"aGVsbG8="}}});
  EXPECT_EQ(broken.status, 400);
  EXPECT_NE(broken.body.find("images[0]"), std::string::npos) << broken.body;
}

TEST_F(OllamaTest, SaysWhatThereIs) {
  StartServer({{{"emit", "ok"}}});
  const json tags = Request("GET", "/api/tags").Json();
  EXPECT_EQ(tags["models"][0]["name"], "gemma-4-12b");
  EXPECT_EQ(tags["models"][0]["digest"].get<std::string>().size(), 64u);
  EXPECT_TRUE(tags["models"][0]["details"]["families"].is_array());
  EXPECT_EQ(Request("GET", "/api/ps").Json()["models"][0]["model"], "gemma-4-12b");
  EXPECT_TRUE(Request("GET", "/api/version").Json()["version"].is_string());
  for (const char* name : {"gemma-4-12b", "gemma-4-12b:latest"}) {
    const json show = Post("/api/show", {{"model", name}}).Json();
    EXPECT_TRUE(show["capabilities"].is_array());
    EXPECT_GT(show["model_info"]["gemma4.context_length"], 0);
    EXPECT_EQ(Post("/api/pull", {{"model", name}, {"stream", false}}).Json()["status"], "success");
  }
  EXPECT_EQ(Request("GET", "/").body, "Ollama is running");
  EXPECT_EQ(Request("HEAD", "/").status, 200);
}

TEST_F(OllamaTest, Embeds) {
  StartServer({{{"emit", "ok"}}});
  const json two = Post("/api/embed", {{"model", "gemma-4-12b"}, {"input", {"a", "b"}}}).Json();
  ASSERT_EQ(two["embeddings"].size(), 2u);
  EXPECT_EQ(two["embeddings"][0].size(), 64u);
  EXPECT_GT(two["prompt_eval_count"], 0);
  const json one = Post("/api/embeddings", {{"model", "gemma-4-12b"}, {"prompt", "a"}}).Json();
  EXPECT_EQ(one["embedding"], two["embeddings"][0]);
  const auto standard = Post("/v1/embeddings", {{"input", "a"}}).Json()["data"][0]["embedding"];
  EXPECT_EQ(one["embedding"], standard);
}

TEST_F(OllamaTest, TextsThatAreTooLongToEmbedAreCutUnlessToldOtherwise) {
  options_.model.context = 128;
  StartServer({{{"emit", "ok"}}});
  std::string words;
  for (int i = 0; i < 500; ++i) words += "word ";
  EXPECT_EQ(Post("/api/embed", {{"input", words}}).status, 200);
  EXPECT_EQ(Post("/api/embed", {{"input", words}, {"truncate", false}}).status, 400);
}

TEST_F(OllamaTest, ErrorsHaveTheShapeOfTheApi) {
  ASSERT_TRUE(options_.http.access.keys.Add("sk-test").ok());
  StartServer({{{"emit", "ok"}}});
  const std::string type = "Content-Type: application/json\r\n",
                    key = type + "Authorization: Bearer sk-test\r\n";
  const auto expect = [](const HttpAnswer& answer, int status, const char* words) {
    EXPECT_EQ(answer.status, status) << answer.body;
    EXPECT_NE(answer.Json()["error"].get<std::string>().find(words), std::string::npos)
        << answer.body;
  };
  const auto ask = [&](const char* path, const json& body, const std::string& headers) {
    return Request("POST", path, body.dump(), headers);
  };
  expect(ask("/api/chat", {{"messages", json::array()}}, type), 401, "API key");
  expect(ask("/api/chat", {{"model", "nope"}}, key), 404, "nope");
  expect(ask("/api/show", {{"model", "nope"}}, key), 404, "nope");
  expect(ask("/api/pull", {{"model", "nope"}}, key), 404, "nope");
  expect(ask("/api/chat", {{"messages", {{{"role", "bot"}, {"content", "x"}}}}}, key), 400,
         "messages[0].role");
  expect(ask("/api/generate", {{"prompt", "x"}, {"suffix", "y"}}, key), 400, "suffix");
  expect(Request("GET", "/api/chat", "", key), 405, "POST");
  expect(Request("GET", "/api/nothing", "", key), 404, "/api/nothing");
}

}  // namespace
}  // namespace facet::serve
