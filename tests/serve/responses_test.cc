// The responses API and transcriptions.
#include "serve/client.h"

#include "base/mapped_file.h"

namespace facet::serve {
namespace {

using nlohmann::json;

class ResponsesTest : public ServerTest {};

const char kCall[] = "<|channel>thought\nLook.\n<channel|>Wait.<|tool_call>call:f{a:1}<tool_call|>";

TEST_F(ResponsesTest, AnswersAndGoesOn) {
  StartServer({{{"match", "first.*model\nOne.*second"}, {"emit", "Two"}}, {{"emit", "One"}}});
  const json one =
      Post("/v1/responses", {{"input", "first"}, {"instructions", "Be brief."}}).Json();
  EXPECT_EQ(one["object"], "response");
  EXPECT_EQ(one["status"], "completed");
  EXPECT_EQ(one["output"][0]["content"][0]["text"], "One");
  EXPECT_EQ(one["usage"]["total_tokens"],
            one["usage"]["input_tokens"].get<int>() + one["usage"]["output_tokens"].get<int>());
  const std::string id = one["id"];
  const json two =
      Post("/v1/responses",
           {{"input",
             {{{"role", "user"}, {"content", {{{"type", "input_text"}, {"text", "second"}}}}}}},
            {"previous_response_id", id}})
          .Json();
  EXPECT_EQ(two["output"][0]["content"][0]["text"], "Two");
  EXPECT_EQ(Request("GET", "/v1/responses/" + id).Json(), one);
  EXPECT_EQ(Request("DELETE", "/v1/responses/" + id).Json()["deleted"], true);
  EXPECT_EQ(Request("GET", "/v1/responses/" + id).status, 404);
  const HttpAnswer gone = Post("/v1/responses", {{"input", "x"}, {"previous_response_id", id}});
  EXPECT_EQ(gone.Json()["error"]["param"], "previous_response_id");
  const json unstored = Post("/v1/responses", {{"input", "x"}, {"store", false}}).Json();
  EXPECT_EQ(Request("GET", "/v1/responses/" + unstored["id"].get<std::string>()).status, 404);
}

TEST_F(ResponsesTest, StreamsTheOfficialEvents) {
  StartServer({{{"emit", kCall}}});
  const json tools = {
      {{"type", "function"},
       {"name", "f"},
       {"parameters", {{"type", "object"}, {"properties", {{"a", {{"type", "integer"}}}}}}}}};
  const HttpAnswer answer =
      Post("/v1/responses", {{"input", "x"}, {"stream", true}, {"tools", tools}});
  std::vector<std::string> types;
  std::string delta, arguments;
  int sequence = 0;
  for (const json& event : answer.Events()) {
    EXPECT_EQ(event["sequence_number"], sequence++);
    if (types.empty() || types.back() != event["type"]) types.push_back(event["type"]);
    EXPECT_NE(answer.body.find("event: " + types.back() + "\n"), std::string::npos);
    if (event["type"] == "response.output_text.delta") delta += event["delta"];
    if (event["type"] == "response.function_call_arguments.delta") arguments += event["delta"];
  }
  EXPECT_EQ(
      types,
      (std::vector<std::string>{
          "response.created", "response.in_progress", "response.output_item.added",
          "response.content_part.added", "response.reasoning_text.delta",
          "response.reasoning_text.done", "response.content_part.done", "response.output_item.done",
          "response.output_item.added", "response.content_part.added", "response.output_text.delta",
          "response.output_text.done", "response.content_part.done", "response.output_item.done",
          "response.output_item.added", "response.function_call_arguments.delta",
          "response.function_call_arguments.done", "response.output_item.done",
          "response.completed"}));
  EXPECT_EQ(delta, "Wait.");
  EXPECT_EQ(arguments, "{\"a\":1}");
  const json last = answer.Events().back()["response"];
  EXPECT_EQ(last["output"].size(), 3u);
  EXPECT_EQ(last["output"][2]["type"], "function_call");
  // The call's result goes back.
  const json next = {{"input",
                      {{{"role", "user"}, {"content", "x"}},
                       last["output"][0],
                       last["output"][1],
                       last["output"][2],
                       {{"type", "function_call_output"},
                        {"call_id", last["output"][2]["call_id"]},
                        {"output", "done"}}}},
                     {"tools", tools}};
  EXPECT_EQ(Post("/v1/responses", next).status, 200);
  const json cut = Post("/v1/responses", {{"input", "x"}, {"max_output_tokens", 1}}).Json();
  EXPECT_EQ(cut["status"], "incomplete");
  EXPECT_EQ(cut["incomplete_details"]["reason"], "max_output_tokens");
}

TEST_F(ResponsesTest, KeysDoNotSeeEachOthersResponses) {
  ASSERT_TRUE(options_.http.access.keys.Add("a").ok());
  ASSERT_TRUE(options_.http.access.keys.Add("b").ok());
  StartServer({{{"emit", "ok"}}});
  const auto as = [](const char* key) {
    return std::string("Content-Type: application/json\r\nX-Api-Key: ") + key + "\r\n";
  };
  const std::string id = Request("POST", "/v1/responses", R"({"input":"x"})", as("a")).Json()["id"];
  EXPECT_EQ(Request("GET", "/v1/responses/" + id, "", as("a")).status, 200);
  EXPECT_EQ(Request("GET", "/v1/responses/" + id, "", as("b")).status, 404);
  EXPECT_EQ(Request("POST", "/v1/responses",
                    json({{"input", "x"}, {"previous_response_id", id}}).dump(), as("b"))
                .status,
            404);
}

TEST_F(ResponsesTest, Transcribes) {
  StartServer({{{"emit", "<|channel>thought\n<channel|>hello world"}}});
  const auto wav =
      ReadFile(std::filesystem::path(FACET_TESTS_DIR) / "reference/tiny/media/speech.wav");
  ASSERT_TRUE(wav.ok());
  const auto post = [&](const std::string& fields, const std::string& file) {
    std::string body = fields;
    body += "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n" +
            file + "\r\n--B--\r\n";
    return Request("POST", "/v1/audio/transcriptions", body,
                   "Content-Type: multipart/form-data; boundary=B\r\n");
  };
  const auto field = [](const std::string& name, const std::string& value) {
    return "--B\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n";
  };
  EXPECT_EQ(post(field("model", "gemma-4-12b"), *wav).Json()["text"], "hello world");
  EXPECT_EQ(post(field("response_format", "text"), *wav).body, "hello world\n");
  EXPECT_EQ(post(field("response_format", "srt"), *wav).body.substr(0, 34),
            "1\n00:00:00,000 --> 00:00:02,992\nhe");
  EXPECT_TRUE(
      post(field("response_format", "vtt"), *wav).body.starts_with("WEBVTT\n\n00:00:00.000 --> "));
  const json verbose = post(field("response_format", "verbose_json"), *wav).Json();
  EXPECT_EQ(verbose["segments"].size(), 1u);
  EXPECT_NEAR(verbose["duration"].get<double>(), verbose["segments"][0]["end"].get<double>(), 1e-9);
  EXPECT_EQ(post(field("response_format", "xml"), *wav).Json()["error"]["param"],
            "response_format");
  EXPECT_EQ(post(field("nope", "1"), *wav).Json()["error"]["param"], "nope");
  EXPECT_EQ(post("", "no sound").Json()["error"]["param"], "file");
  EXPECT_EQ(Request("POST", "/v1/audio/transcriptions", "--B\r\n",
                    "Content-Type: multipart/form-data; boundary=B\r\n")
                .status,
            400);
  EXPECT_EQ(Request("POST", "/v1/audio/transcriptions", "--B--",
                    "Content-Type: multipart/form-data; boundary=B\r\n")
                .Json()["error"]["param"],
            "file");
}

}  // namespace
}  // namespace facet::serve
