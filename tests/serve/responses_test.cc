// The responses API and transcriptions.
#include "support/http_client.h"

#include <regex>

#include "base/mapped_file.h"
#include "support/media.h"
#include "support/paths.h"

namespace facet::serve {
namespace {

using nlohmann::json;

class ResponsesTest : public ServerTest {
 protected:
  static std::string Field(const std::string& name, const std::string& value) {
    return "--B\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n";
  }
  HttpAnswer Transcribe(const std::string& fields, const std::string& file,
                        const std::string& path = "/v1/audio/transcriptions") {
    std::string body = fields;
    body += "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n" +
            file + "\r\n--B--\r\n";
    return Request("POST", path, body, "Content-Type: multipart/form-data; boundary=B\r\n");
  }
  // Three seconds of speech.
  static std::string Speech() {
    const auto wav =
        ReadFile(std::filesystem::path(TestsDir()) / "reference/tiny/media/speech.wav");
    EXPECT_TRUE(wav.ok());
    return wav.ok() ? *wav : "";
  }
  // A WAV file of 16-bit samples.
  static std::string Silence(uint32_t seconds) {
    constexpr uint32_t kRate = 8000;
    const uint32_t bytes = seconds * kRate * 2;
    return media::Wav(1, kRate, 16, bytes, std::string(bytes, '\0'));
  }
};

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

TEST_F(ResponsesTest, ACallThatALimitCutOffIsNoCall) {
  StartServer({{{"match", "call:f.*again"}, {"emit", "a call"}},
               {{"match", "again"}, {"emit", "no call"}},
               {{"emit", "Hm.<|tool_call>call:f{a:<|\"|>x"}}});
  const json tools = {
      {{"type", "function"},
       {"name", "f"},
       {"parameters", {{"type", "object"}, {"properties", {{"a", {{"type", "string"}}}}}}}}};
  json ended;
  constexpr int kInside = 7;  // tokens: inside the call
  for (const json& event :
       Post("/v1/responses",
            {{"input", "x"}, {"stream", true}, {"tools", tools}, {"max_output_tokens", kInside}})
           .Events()) {
    EXPECT_NE(event["type"], "response.function_call_arguments.done");
    if (event["type"] == "response.output_item.done") ended.push_back(event["item"]["status"]);
    if (event["type"] == "response.incomplete") {
      EXPECT_EQ(event["response"]["output"].size(), 1u);
    }
  }
  EXPECT_EQ(ended, json({"completed", "incomplete"}));
  // Where the model ended its turn, what was open is closed.
  const json closed = Post("/v1/responses", {{"input", "x"}, {"tools", tools}}).Json();
  ASSERT_EQ(closed["output"].size(), 2u);
  EXPECT_EQ(closed["output"][1]["arguments"], "{\"a\":\"x\"}");
  const json whole =
      Post("/v1/responses", {{"input", "x"}, {"tools", tools}, {"max_output_tokens", kInside}})
          .Json();
  ASSERT_EQ(whole["output"].size(), 1u);
  EXPECT_EQ(whole["output"][0]["content"][0]["text"], "Hm.");
  EXPECT_EQ(Request("GET", "/v1/responses/" + whole["id"].get<std::string>()).Json(), whole);
  const json next =
      Post("/v1/responses",
           {{"input", "again"}, {"previous_response_id", whole["id"]}, {"tools", tools}})
          .Json();
  EXPECT_EQ(next["output"][0]["content"][0]["text"], "no call");
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
  const std::string wav = Speech();
  EXPECT_EQ(Transcribe(Field("model", "gemma-4-12b"), wav).Json()["text"], "hello world");
  EXPECT_EQ(Transcribe(Field("response_format", "text"), wav).body, "hello world\n");
  EXPECT_TRUE(
      std::regex_match(Transcribe(Field("response_format", "srt"), wav).body,
                       std::regex("1\n00:00:00,\\d{3} --> 00:00:02,\\d{3}\nhello world\n\n")));
  EXPECT_TRUE(Transcribe(Field("response_format", "vtt"), wav)
                  .body.starts_with("WEBVTT\n\n00:00:00.000 --> "));
  const json verbose = Transcribe(Field("response_format", "verbose_json"), wav).Json();
  EXPECT_EQ(verbose["segments"].size(), 1u);
  EXPECT_NEAR(verbose["duration"].get<double>(), verbose["segments"][0]["end"].get<double>(), 1e-9);
  EXPECT_EQ(Transcribe(Field("response_format", "xml"), wav).Json()["error"]["param"],
            "response_format");
  EXPECT_NE(Transcribe(Field("nope", "1"), wav).head.find("X-Facet-Ignored: nope\r\n"),
            std::string::npos);
  EXPECT_EQ(Transcribe("", "no sound").Json()["error"]["param"], "file");
  EXPECT_EQ(Request("POST", "/v1/audio/transcriptions", "--B\r\n",
                    "Content-Type: multipart/form-data; boundary=B\r\n")
                .status,
            400);
  EXPECT_EQ(Request("POST", "/v1/audio/transcriptions", "--B--",
                    "Content-Type: multipart/form-data; boundary=B\r\n")
                .Json()["error"]["param"],
            "file");
}

TEST_F(ResponsesTest, TranscriptionsHaveWhatTheSchemaRequires) {
  StartServer({{{"emit", "Hello there, this is a test."}}});
  const std::string wav = Speech();
  const json plain = Transcribe("", wav).Json();
  const json& usage = plain["usage"];
  EXPECT_EQ(usage["type"], "tokens");
  EXPECT_GT(usage["input_token_details"]["audio_tokens"].get<int>(), 10);
  EXPECT_EQ(usage["input_token_details"]["audio_tokens"].get<int>() +
                usage["input_token_details"]["text_tokens"].get<int>(),
            usage["input_tokens"]);
  EXPECT_FALSE(plain.contains("logprobs"));

  const json verbose = Transcribe(Field("response_format", "verbose_json"), wav).Json();
  EXPECT_EQ(verbose["task"], "transcribe");
  EXPECT_EQ(verbose["usage"], (json{{"type", "duration"}, {"seconds", verbose["duration"]}}));
  EXPECT_FALSE(verbose.contains("words"));
  const json& segment = verbose["segments"][0];
  for (const char* number : {"id", "seek", "start", "end", "temperature", "avg_logprob",
                             "compression_ratio", "no_speech_prob"})
    EXPECT_TRUE(segment[number].is_number()) << number;
  EXPECT_EQ(segment["text"], "Hello there, this is a test.");
  EXPECT_GE(segment["tokens"].size(), 4u);
  EXPECT_LE(segment["avg_logprob"].get<double>(), 0);
  EXPECT_EQ(segment["no_speech_prob"], 0.0);
  const json silent =
      Transcribe(Field("response_format", "verbose_json"), Silence(3)).Json()["segments"][0];
  EXPECT_EQ(silent["no_speech_prob"], 1.0);
}

TEST_F(ResponsesTest, TranscriptionsTimeTheirWords) {
  StartServer({{{"emit", "Hello there, this is a test."}}});
  const std::string wav = Speech(), verbose = Field("response_format", "verbose_json");
  const std::string word = Field("timestamp_granularities[]", "word");
  const json words = Transcribe(verbose + word, wav).Json();
  EXPECT_FALSE(words.contains("segments"));
  ASSERT_EQ(words["words"].size(), 6u);
  double before = 0;
  for (const json& entry : words["words"]) {
    EXPECT_GE(entry["start"].get<double>(), before - 1e-9);
    EXPECT_GE(entry["end"].get<double>(), entry["start"].get<double>());
    before = entry["end"];
  }
  EXPECT_LE(before, words["duration"].get<double>());
  EXPECT_EQ(words["words"][1]["word"], "there,");
  const json both =
      Transcribe(verbose + word + Field("timestamp_granularities[]", "segment"), wav).Json();
  EXPECT_EQ(both["words"], words["words"]);
  EXPECT_EQ(both["segments"].size(), 1u);
  EXPECT_EQ(Transcribe(word, wav).Json()["error"]["param"], "timestamp_granularities[]");
  EXPECT_EQ(Transcribe(verbose + Field("timestamp_granularities[]", "line"), wav)
                .Json()["error"]["param"],
            "timestamp_granularities[]");
}

TEST_F(ResponsesTest, TranscriptionsTakeWhatClientsSend) {
  StartServer({{{"emit", "Hello there."}}});
  const std::string wav = Speech();
  for (const std::string& fields :
       {Field("chunking_strategy", "auto"),
        Field("chunking_strategy", R"({"type": "server_vad", "threshold": 0.4})"),
        Field("chunking_strategy[type]", "server_vad") +
            Field("chunking_strategy[silence_duration_ms]", "300"),
        Field("language", "en"), Field("languages[]", "de") + Field("languages[]", "fr"),
        Field("keywords[]", "Oslo"), Field("user", "me")}) {
    const HttpAnswer answer = Transcribe(fields, wav);
    EXPECT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(answer.Json()["text"], "Hello there.");
  }
  EXPECT_EQ(Transcribe(Field("chunking_strategy", "never"), wav).Json()["error"]["param"],
            "chunking_strategy");
  EXPECT_EQ(Transcribe(Field("known_speaker_names[]", "me"), wav).Json()["error"]["param"],
            "known_speaker_names[]");
  const json with = Transcribe(Field("include[]", "logprobs"), wav).Json();
  ASSERT_GE(with["logprobs"].size(), 2u);
  EXPECT_EQ(with["logprobs"][0]["token"], "Hello");
  EXPECT_TRUE(with["logprobs"][0]["logprob"].is_number());
  EXPECT_EQ(with["logprobs"][0]["bytes"].size(), 5u);
  const auto events =
      Transcribe(Field("include[]", "logprobs") + Field("stream", "true"), wav).Events();
  EXPECT_EQ(events.back()["logprobs"], with["logprobs"]);
  EXPECT_EQ(Transcribe(Field("include[]", "logprobs") + Field("response_format", "srt"), wav)
                .Json()["error"]["param"],
            "include[]");
}

TEST_F(ResponsesTest, Translates) {
  StartServer({{{"match", "Translate the speech into English"}, {"emit", "Good morning."}},
               {{"emit", "Guten Morgen."}}});
  const std::string wav = Speech(), path = "/v1/audio/translations";
  EXPECT_EQ(Transcribe("", wav).Json()["text"], "Guten Morgen.");
  EXPECT_EQ(Transcribe("", wav, path).Json()["text"], "Good morning.");
  const json verbose = Transcribe(Field("response_format", "verbose_json"), wav, path).Json();
  EXPECT_EQ(verbose["task"], "translate");
  EXPECT_EQ(verbose["language"], "english");
  EXPECT_EQ(verbose["segments"][0]["text"], "Good morning.");
  EXPECT_EQ(Transcribe(Field("response_format", "vtt"), wav, path).body.substr(0, 8), "WEBVTT\n\n");
  // What is spoken changes nothing about a translation.
  EXPECT_NE(
      Transcribe(Field("language", "de"), wav, path).head.find("X-Facet-Ignored: language\r\n"),
      std::string::npos);
}

// Text that looks like times, or has empty lines, stays text.
TEST_F(ResponsesTest, SubtitlesCannotBeBroken) {
  StartServer({{{"emit", "One.\n\n2\n00:00:09,000 --> 00:00:10,000\nforged <b>x</b>"}}});
  const std::string wav = Speech();
  for (const char* format : {"srt", "vtt"}) {
    const std::string body = Transcribe(Field("response_format", format), wav).body;
    EXPECT_EQ(body.find("09,000 -->"), std::string::npos) << body;
    EXPECT_EQ(body.find("\n\n2\n"), std::string::npos) << body;
    EXPECT_EQ(body.find("\n\n\n"), std::string::npos) << body;
  }
}

TEST_F(ResponsesTest, FieldsOfATranscriptionAreNotCut) {
  StartServer({{{"emit", "ok"}}});
  const std::string wav = Speech();
  EXPECT_EQ(Transcribe(Field("prompt", std::string(4096, 'a')), wav).status, 200);
  const std::pair<std::string, std::string> cases[] = {
      {"prompt", std::string(4095, 'a') + "\u00e9"},
      {"prompt", "\xff"},
      {"language", std::string(5000, 'a')}};
  for (const auto& [name, value] : cases) {
    const HttpAnswer answer = Transcribe(Field(name, value), wav);
    EXPECT_EQ(answer.status, 400);
    EXPECT_EQ(answer.Json()["error"]["param"], name) << answer.body;
  }
}

TEST_F(ResponsesTest, ALongSoundNeedsNoLongQueue) {
  options_.model.engine.max_sequences = 1;
  options_.model.engine.max_queue = 1;
  StartServer({{{"emit", "word"}}});
  const std::string wav = Silence(200);
  const HttpAnswer whole = Transcribe(Field("response_format", "verbose_json"), wav);
  ASSERT_EQ(whole.status, 200) << whole.body;
  EXPECT_EQ(whole.Json()["text"], "word word word word word word word");
  const json segments = whole.Json()["segments"];
  ASSERT_EQ(segments.size(), 7u);
  for (size_t i = 1; i < segments.size(); ++i)
    EXPECT_EQ(segments[i]["start"], segments[i - 1]["end"]);
  EXPECT_NEAR(segments.back()["end"].get<double>(), 200, 0.01);
  std::string deltas;
  const auto events = Transcribe(Field("stream", "true"), wav).Events();
  ASSERT_FALSE(events.empty());
  for (const json& event : events) deltas += event.value("delta", "");
  EXPECT_EQ(events.back()["type"], "transcript.text.done");
  EXPECT_EQ(events.back()["text"], whole.Json()["text"]);
  EXPECT_EQ(deltas, whole.Json()["text"]);
  EXPECT_EQ(events.back()["usage"], Transcribe("", wav).Json()["usage"]);
  EXPECT_TRUE(Idle());
}

TEST_F(ResponsesTest, ATranscriptionThatRepeatsItselfEnds) {
  std::string loop;
  for (int i = 0; i < 2000; ++i) loop += " la";
  StartServer({{{"emit", loop}}});
  const HttpAnswer answer = Transcribe("", Speech());
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.Json()["usage"]["output_tokens"], 64 + 25 * 3);  // of three seconds
}

}  // namespace
}  // namespace facet::serve
