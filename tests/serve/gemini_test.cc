// Gemini's API: answers, streams of both kinds, counts, models, errors.
#include "support/http_client.h"

#include "base/base64.h"
#include "base/mapped_file.h"
#include "serve/gemini/gemini.h"
#include "support/paths.h"

namespace facet::serve {
namespace {

using nlohmann::json;

const char kCall[] =
    "<|channel>thought\nLook.\n<channel|>Wait."
    "<|tool_call>call:get_weather{city:<|\"|>Oslo<|\"|>}<tool_call|>";
const char kModel[] = "/v1beta/models/gemma-4-12b";

class GeminiTest : public ServerTest {
 protected:
  static json Body(json more = json::object(), json parts = {{{"text", "Hi"}}}) {
    json body = {{"contents", {{{"role", "user"}, {"parts", std::move(parts)}}}}};
    if (more.is_object()) body.update(more);
    return body;
  }
  HttpAnswer Ask(json more = json::object(), json parts = {{{"text", "Hi"}}}) {
    return Post(Cat(kModel, ":generateContent"), Body(std::move(more), std::move(parts)));
  }
  HttpAnswer Stream(json more = json::object()) {
    return Post(Cat(kModel, ":streamGenerateContent?alt=sse"), Body(std::move(more)));
  }
  int Count(const json& body) {
    const HttpAnswer answer = Post(Cat(kModel, ":countTokens"), body);
    EXPECT_EQ(answer.status, 200) << answer.body;
    return answer.Json()["totalTokens"];
  }
  static json Tools() {
    return {{{"functionDeclarations",
              {{{"name", "get_weather"},
                {"description", "Weather"},
                {"parameters",
                 {{"type", "OBJECT"},
                  {"properties", {{"city", {{"type", "STRING"}}}}},
                  {"required", {"city"}}}}}}}}};
  }
  static std::string Picture() {
    const auto png = ReadFile(std::filesystem::path(TestsDir()) / "../examples/media/house.png");
    EXPECT_TRUE(png.ok());
    return png.ok() ? EncodeBase64(*png) : "";
  }
};

TEST_F(GeminiTest, AnswersWithACandidate) {
  StartServer({{{"match", "Be brief"}, {"emit", "Hello."}}, {{"emit", "no"}}});
  const HttpAnswer answer =
      Ask({{"systemInstruction", {{"parts", {{{"text", "Be brief."}}}}, {"role", "user"}}}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  const json body = answer.Json();
  ASSERT_EQ(body["candidates"].size(), 1u);
  EXPECT_EQ(body["candidates"][0]["content"],
            json({{"parts", {{{"text", "Hello."}}}}, {"role", "model"}}));
  EXPECT_EQ(body["candidates"][0]["finishReason"], "STOP");
  EXPECT_EQ(body["candidates"][0]["index"], 0);
  EXPECT_EQ(body["modelVersion"], "gemma-4-12b");
  const json usage = body["usageMetadata"];
  EXPECT_EQ(usage["totalTokenCount"].get<int>(),
            usage["promptTokenCount"].get<int>() + usage["candidatesTokenCount"].get<int>());
  // Both spellings of a field.
  EXPECT_EQ(Ask({{"system_instruction", {{"parts", {{"text", "Be brief."}}}}}})
                .Json()["candidates"][0]["content"]["parts"][0]["text"],
            "Hello.");
}

TEST_F(GeminiTest, ThePromptIsThatOfTheSameChat) {
  StartServer({{{"emit", "ok"}}});
  const json body = {
      {"contents",
       {{{"parts", {{{"text", "Weather?"}}}}},
        {{"role", "model"},
         {"parts",
          {{{"text", "Look."}, {"thought", true}},
           {{"text", "Wa"}},
           {{"functionCall", {{"name", "get_weather"}, {"args", {{"city", "Oslo"}}}}}}}}},
        {{"role", "model"}, {"parts", {{{"text", "it."}}}}},
        {{"role", "user"},
         {"parts",
          {{{"functionResponse",
             {{"name", "get_weather"}, {"response", {{"output", "cold"}}}}}}}}}}},
      {"systemInstruction", {{"parts", {{{"text", "Be brief."}}}}}},
      {"tools", Tools()}};
  const json chat = {
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
        {{"role", "tool"}, {"tool_call_id", "x"}, {"content", "cold"}}}},
      {"tools",
       {{{"type", "function"},
         {"function",
          {{"name", "get_weather"},
           {"description", "Weather"},
           {"parameters",
            {{"type", "object"},
             {"properties", {{"city", {{"type", "string"}}}}},
             {"required", {"city"}}}}}}}}}};
  const json tokens = Post("/apply-template", chat).Json()["tokens"];
  EXPECT_EQ(Count(body), tokens);
  json whole = body;
  whole["model"] = "models/gemma-4-12b";
  EXPECT_EQ(Count({{"generateContentRequest", whole}}), tokens);
}

TEST_F(GeminiTest, StreamsEventsOrOneList) {
  StartServer({{{"emit", kCall}}});
  const json more = {{"tools", Tools()},
                     {"generationConfig", {{"thinkingConfig", {{"includeThoughts", true}}}}}};
  const HttpAnswer events = Stream(more);
  ASSERT_EQ(events.status, 200) << events.body;
  EXPECT_NE(events.head.find("text/event-stream"), std::string::npos);
  const HttpAnswer list = Post(Cat(kModel, ":streamGenerateContent"), Body(more));
  EXPECT_NE(list.head.find("application/json"), std::string::npos);
  const json parsed = list.Json();
  ASSERT_TRUE(parsed.is_array());
  for (const auto& chunks : {events.Events(), parsed.get<std::vector<json>>()}) {
    std::string text, thoughts;
    json call;
    for (const json& chunk : chunks) {
      EXPECT_EQ(chunk["responseId"], chunks[0]["responseId"]);
      const json& candidate = chunk["candidates"][0];
      EXPECT_EQ(candidate.contains("finishReason"), &chunk == &chunks.back());
      for (const json& part : candidate["content"]["parts"]) {
        if (part.contains("functionCall")) call = part["functionCall"];
        if (part.contains("text")) (part.value("thought", false) ? thoughts : text) += part["text"];
      }
    }
    EXPECT_EQ(text, "Wait.");
    EXPECT_EQ(thoughts, "Look.");
    EXPECT_EQ(call["name"], "get_weather");
    EXPECT_EQ(call["args"], json({{"city", "Oslo"}}));
    EXPECT_EQ(chunks.back()["candidates"][0]["finishReason"], "STOP");
    EXPECT_GT(chunks.back()["usageMetadata"]["thoughtsTokenCount"], 0);
  }
  const json whole = Ask(more).Json()["candidates"][0]["content"]["parts"];
  ASSERT_EQ(whole.size(), 3u);
  EXPECT_EQ(whole[0], json({{"text", "Look."}, {"thought", true}}));
  EXPECT_EQ(whole[1]["text"], "Wait.");
  EXPECT_EQ(whole[2]["functionCall"]["args"]["city"], "Oslo");
}

TEST_F(GeminiTest, ThoughtsThatAreNotShownComeBackWithTheCall) {
  StartServer({{{"emit", kCall}}});
  const json parts = Ask({{"tools", Tools()}}).Json()["candidates"][0]["content"]["parts"];
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_TRUE(parts[1].contains("thoughtSignature"));
  const auto thoughts = [&](const json& said) -> json {
    OrderedJson body = OrderedJson::parse(
        json{{"contents", {{{"parts", {{{"text", "x"}}}}}, {{"role", "model"}, {"parts", said}}}}}
            .dump());
    const auto request = ReadGemini(std::move(body), {}, nullptr);
    EXPECT_TRUE(request.ok()) << request.error().message;
    if (!request.ok()) return nullptr;
    return (*request).chat.conversation.messages[1].value("reasoning_content", "");
  };
  const json thought = {{"text", "Look."}, {"thought", true}};
  json without = parts;
  without[1].erase("thoughtSignature");
  json shown = without;
  shown.insert(shown.begin(), thought);
  json both = parts;
  both.insert(both.begin(), thought);
  json foreign = without;
  foreign[1]["thoughtSignature"] = EncodeBase64("another server's");
  EXPECT_EQ(thoughts(parts), "Look.");
  EXPECT_EQ(thoughts(shown), "Look.");
  EXPECT_EQ(thoughts(both), "Look.");
  EXPECT_EQ(thoughts(without), "");
  EXPECT_EQ(thoughts(foreign), "");
}

TEST_F(GeminiTest, GenerationConfig) {
  StartServer({{{"match", "JSON"}, {"emit", "{\"age\":36,\"name\":\"Ada\"}"}},
               {{"emit", "one two three four five six"}}});
  const auto config = [&](json value, const char* text = "Hi") {
    return Ask({{"generationConfig", std::move(value)}}, {{{"text", text}}});
  };
  EXPECT_EQ(config({{"maxOutputTokens", 2}}).Json()["candidates"][0]["finishReason"], "MAX_TOKENS");
  EXPECT_EQ(
      config({{"stopSequences", {"four"}}}).Json()["candidates"][0]["content"]["parts"][0]["text"],
      "one two three ");
  EXPECT_EQ(
      config(
          {{"candidateCount", 3}, {"temperature", 0}, {"topK", 64.0}, {"topP", 0.9}, {"seed", 1}})
          .Json()["candidates"]
          .size(),
      3u);
  const json own = {
      {"type", "OBJECT"},
      {"properties", {{"name", {{"type", "STRING"}}}, {"age", {{"type", "INTEGER"}}}}},
      {"required", {"name", "age"}},
      {"propertyOrdering", {"age", "name"}}};
  for (const json& form :
       {json{{"responseMimeType", "application/json"}},
        json{{"responseMimeType", "application/json"}, {"responseSchema", own}},
        json{{"response_mime_type", "application/json"},
             {"response_json_schema",
              {{"type", "object"},
               {"properties", {{"age", {{"type", "integer"}}}, {"name", {{"type", "string"}}}}},
               {"required", {"age", "name"}}}}}}) {
    const HttpAnswer answer = config(form, "JSON");
    ASSERT_EQ(answer.status, 200) << answer.body;
    EXPECT_TRUE(json::accept(
        answer.Json()["candidates"][0]["content"]["parts"][0]["text"].get<std::string>()));
  }
  const json logprobs = config({{"responseLogprobs", true}, {"logprobs", 2}})
                            .Json()["candidates"][0]["logprobsResult"];
  EXPECT_GT(logprobs["chosenCandidates"].size(), 1u);
  EXPECT_EQ(logprobs["topCandidates"][0]["candidates"].size(), 2u);
  for (const auto& [bad, name] : std::vector<std::pair<json, std::string>>{
           {{{"temperature", "hot"}}, "generationConfig.temperature"},
           {{{"speechConfig", {{"voice", "x"}}}}, "generationConfig.speechConfig"},
           {{{"responseModalities", {"AUDIO"}}}, "generationConfig.responseModalities"},
           {{{"logprobs", 2}}, "generationConfig.logprobs"}}) {
    const HttpAnswer answer = config(bad);
    EXPECT_EQ(answer.status, 400) << name;
    EXPECT_NE(answer.body.find(name), std::string::npos) << answer.body;
  }
}

TEST_F(GeminiTest, FunctionsAreForcedAndLeftOut) {
  StartServer({{{"match", "FORCED"},
                {"emit", "<|tool_call>call:get_weather{city:<|\"|>Oslo<|\"|>}<tool_call|>"}},
               {{"emit", kCall}}});
  const json forced = {{{"text", "FORCED"}}};
  const auto calling = [](json config) {
    return json{{"tools", Tools()}, {"toolConfig", {{"functionCallingConfig", std::move(config)}}}};
  };
  const auto last = [](const HttpAnswer& answer) {
    EXPECT_EQ(answer.status, 200) << answer.body;
    return answer.Json()["candidates"][0]["content"]["parts"].back();
  };
  EXPECT_TRUE(last(Ask(calling({{"mode", "ANY"}}), forced)).contains("functionCall"));
  EXPECT_TRUE(
      last(Ask(calling({{"mode", "ANY"}, {"allowedFunctionNames", {"get_weather"}}}), forced))
          .contains("functionCall"));
  EXPECT_FALSE(last(Ask(calling({{"mode", "NONE"}}))).contains("functionCall"));
  EXPECT_EQ(Ask(calling({{"mode", "ANY"}, {"allowedFunctionNames", {"nope"}}})).status, 400);
  EXPECT_EQ(
      Ask({{"tools", {{{"googleSearch", json::object()}}, {{"codeExecution", json::object()}}}}})
          .status,
      200);
  EXPECT_EQ(Ask({{"tools", {{{"computerUse", json::object()}}}}}).status, 400);
}

TEST_F(GeminiTest, MediaReachTheModel) {
  StartServer({{{"match", "plain text"}, {"emit", "read"}}, {{"emit", "no"}}});
  const auto with = [](json part) {
    return json{{"contents", {{{"parts", {std::move(part), {{"text", "What?"}}}}}}}};
  };
  const json data = {{"mimeType", "image/png"}, {"data", Picture()}};
  const int plain = Count({{"contents", {{{"parts", {{{"text", "What?"}}}}}}}});
  const int picture = Count(with({{"inlineData", data}}));
  EXPECT_GT(picture, plain + 60);
  EXPECT_EQ(Count(with({{"inline_data", {{"mime_type", "image/png"}, {"data", data["data"]}}}})),
            picture);
  json small = with({{"inlineData", data}});
  small["generationConfig"] = {{"mediaResolution", "MEDIA_RESOLUTION_LOW"}};
  EXPECT_LT(Count({{"generateContentRequest", small}}), picture);
  EXPECT_LT(
      Count(with({{"inlineData", data}, {"mediaResolution", {{"level", "MEDIA_RESOLUTION_LOW"}}}})),
      picture);
  EXPECT_EQ(
      Ask({},
          {{{"inlineData", {{"mimeType", "text/plain"}, {"data", EncodeBase64("plain text")}}}}})
          .Json()["candidates"][0]["content"]["parts"][0]["text"],
      "read");
  const HttpAnswer broken = Ask(
      {}, {{{"text", "x"}}, {{"inlineData", {{"mimeType", "image/png"}, {"data", "aGVsbG8="}}}}});
  EXPECT_EQ(broken.status, 400);
  EXPECT_NE(broken.body.find("contents[0].parts[1].inlineData.data"), std::string::npos)
      << broken.body;
  const HttpAnswer pdf =
      Ask({}, {{{"inlineData", {{"mimeType", "application/pdf"}, {"data", ""}}}}});
  EXPECT_EQ(pdf.status, 400);
  EXPECT_NE(pdf.body.find("contents[0].parts[0].inlineData.mimeType"), std::string::npos);
}

TEST_F(GeminiTest, ListsModelsAndEmbeds) {
  StartServer({{{"emit", "ok"}}});
  const json models = Request("GET", "/v1beta/models?pageSize=50").Json()["models"];
  EXPECT_EQ(models[0]["name"], "models/gemma-4-12b");
  EXPECT_TRUE(models[0]["supportedGenerationMethods"].is_array());
  EXPECT_EQ(Request("GET", kModel).Json()["baseModelId"], "gemma-4-12b");
  EXPECT_EQ(Request("GET", "/v1beta/models/nope").Json()["error"]["status"], "NOT_FOUND");
  // Google's clients ask below /v1 as well.
  const std::string client =
      "Content-Type: application/json\r\nx-goog-api-client: google-genai\r\n";
  EXPECT_EQ(Request("GET", "/v1/models", "", client).Json()["models"], models);
  EXPECT_EQ(Request("GET", "/v1/models/gemma-4-12b", "", client).Json()["version"], "1");
  EXPECT_EQ(Request("POST", "/v1/models/gemma-4-12b:countTokens", Body().dump(), client).status,
            200);
  EXPECT_EQ(Request("POST", "/v1/models/nope:countTokens", Body().dump(), client)
                .Json()["error"]["status"],
            "NOT_FOUND");
  const json content = {{"parts", {{{"text", "a"}}}}};
  const json one = Post(Cat(kModel, ":embedContent"), {{"content", content}}).Json();
  EXPECT_EQ(one["embedding"]["values"].size(), 64u);
  const json two = Post(Cat(kModel, ":batchEmbedContents"),
                        {{"requests",
                          {{{"model", "models/gemma-4-12b"}, {"content", content}},
                           {{"content", content}, {"taskType", "RETRIEVAL_QUERY"}}}}})
                       .Json();
  ASSERT_EQ(two["embeddings"].size(), 2u);
  EXPECT_EQ(two["embeddings"][1], one["embedding"]);
}

TEST_F(GeminiTest, ErrorsHaveTheShapeOfTheApi) {
  ASSERT_TRUE(options_.http.access.keys.Add("sk test").ok());
  options_.model.context = 512;
  StartServer({{{"emit", "ok"}}});
  const std::string type = "Content-Type: application/json\r\n",
                    key = type + "x-goog-api-key: sk test\r\n";
  const std::string path = Cat(kModel, ":generateContent");
  const auto expect = [](const HttpAnswer& answer, int status, const char* name,
                         const char* words) {
    EXPECT_EQ(answer.status, status) << answer.body;
    const json error = answer.Json()["error"];
    EXPECT_EQ(error["code"], status);
    EXPECT_EQ(error["status"], name);
    EXPECT_NE(error["message"].get<std::string>().find(words), std::string::npos) << answer.body;
  };
  const auto ask = [&](const json& body, const std::string& headers, const std::string& at) {
    return Request("POST", at, body.dump(), headers);
  };
  expect(ask(Body(), type, path), 401, "UNAUTHENTICATED", "API key");
  expect(ask(Body(), type, path + "?key=wrong"), 401, "UNAUTHENTICATED", "API key");
  EXPECT_EQ(ask(Body(), key, path).status, 200);
  EXPECT_EQ(ask(Body(), type, path + "?alt=json&key=sk%20test").status, 200);
  EXPECT_EQ(ask(Body(), type, "/v1/chat/completions?key=sk%20test").status, 401);
  EXPECT_NE(ask(Body({{"nope", 1}}), key, path).head.find("X-Facet-Ignored: nope"),
            std::string::npos);
  expect(ask(json::object(), key, path), 400, "INVALID_ARGUMENT", "contents");
  expect(ask(Body({{"cachedContent", "x"}}), key, path), 400, "INVALID_ARGUMENT", "cachedContent");
  expect(ask(Body({}, {{{"executableCode", {{"code", "x"}}}}}), key, path), 400, "INVALID_ARGUMENT",
         "contents[0].parts[0].executableCode");
  std::string words;
  for (int i = 0; i < 2000; ++i) words += "word ";
  expect(ask(Body({}, {{{"text", words}}}), key, path), 400, "INVALID_ARGUMENT",
         "exceeds the maximum number of tokens");
  expect(ask(Body(), key, "/v1beta/models/other:generateContent"), 404, "NOT_FOUND", "other");
  EXPECT_EQ(ask(Body(), key, "/v1beta/models/gemini-3-pro:generateContent").status, 200);
  expect(ask(Body(), key, Cat(kModel, ":predict")), 404, "NOT_FOUND", "predict");
}

TEST(GeminiSchema, BecomesJsonSchema) {
  const OrderedJson own = OrderedJson::parse(R"({
    "type": "OBJECT", "nullable": true, "propertyOrdering": ["b", "a"], "example": 1,
    "properties": {
      "a": {"type": "ARRAY", "minItems": "2", "items": {"type": "INTEGER", "format": "int64"}},
      "any_of": {"any_of": [{"type": "STRING", "enum": ["x"], "format": "enum"}, {"ref": "#/$defs/d"}]},
      "b": {"type": "TYPE_UNSPECIFIED", "description": "TYPE"}},
    "required": ["a"], "additional_properties": false})");
  EXPECT_EQ(JsonSchema(own).dump(), OrderedJson::parse(R"({
    "type": ["object", "null"],
    "properties": {
      "b": {"description": "TYPE"},
      "a": {"type": "array", "minItems": 2, "items": {"type": "integer"}},
      "any_of": {"anyOf": [{"type": "string", "enum": ["x"]}, {"$ref": "#/$defs/d"}]}},
    "required": ["a"], "additionalProperties": false})")
                                        .dump());
}

TEST(GeminiFields, KeepWhatIsTheClients) {
  const OrderedJson given = OrderedJson::parse(R"({"system_instruction": {"parts": []},
    "contents": [{"parts": [{"function_call": {"name": "f", "args": {"snake_case": 1}}}]}]})");
  EXPECT_EQ(CamelFields(given).dump(), OrderedJson::parse(R"({"systemInstruction": {"parts": []},
    "contents": [{"parts": [{"functionCall": {"name": "f", "args": {"snake_case": 1}}}]}]})")
                                           .dump());
}

}  // namespace
}  // namespace facet::serve
