// /v1/audio/transcriptions: a sound is cut at quiet places into segments of at most half a minute
// (longer ones turn incoherent), each is transcribed as a chat of its own, and the texts are joined
// in order.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/utf8.h"
#include "media/media.h"
#include "serve/media/multipart.h"
#include "serve/openai/api.h"
#include "serve/openai/parts_job.h"

namespace facet::serve {
namespace {

constexpr int kRate = 16000, kSegment = 30 * kRate, kSearch = 5 * kRate, kWindow = kRate / 20;
constexpr size_t kMaxSegments = 512;
// Segments of one sound that stand in the engine at the same time.
constexpr size_t kAtOnce = 4;
// A segment's answer ends behind so many tokens and so many for each second: fast speech takes a
// few a second, and somewhat more where the vocabulary has few words of its language. A greedy
// answer that repeats itself would else go on to the end of the context.
constexpr int kLeastTokens = 64, kTokensPerSecond = 25;
// Bytes of every field but the file.
constexpr size_t kMaxField = 4096;

// Sample positions at which segments begin and end.
std::vector<size_t> Cut(const std::vector<float>& samples) {
  std::vector<size_t> cuts = {0};
  while (samples.size() - cuts.back() > kSegment) {
    const size_t last = cuts.back() + kSegment;
    size_t best = last;
    double least = INFINITY;
    for (size_t at = last - kSearch; at + kWindow <= last; at += kWindow) {
      double energy = 0;
      for (size_t i = at; i < at + kWindow; ++i) energy += samples[i] * samples[i];
      if (energy <= least) best = at + kWindow / 2, least = energy;
    }
    cuts.push_back(best);
  }
  cuts.push_back(samples.size());
  return cuts;
}

// A WAV file of float samples: what the prompt builder decodes again, to the same values.
std::string Wav(std::span<const float> samples) {
  const auto bytes = static_cast<uint32_t>(samples.size() * sizeof(float));
  std::string out;
  const auto put = [&](uint32_t value, int size) {
    for (int i = 0; i < size; ++i) out.push_back(static_cast<char>(value >> (8 * i) & 0xFF));
  };
  out += "RIFF";
  put(36 + bytes, 4);
  out += "WAVEfmt ";
  put(16, 4);
  put(3, 2);  // IEEE float
  put(1, 2);
  put(kRate, 4);
  put(kRate * 4, 4);
  put(4, 2);
  put(32, 2);
  out += "data";
  put(bytes, 4);
  out.append(reinterpret_cast<const char*>(samples.data()), bytes);
  return out;
}

std::string Clock(double seconds, char point) {
  const auto ms = static_cast<int64_t>(std::llround(seconds * 1000));
  char text[40];
  std::snprintf(text, sizeof(text), "%02lld:%02lld:%02lld%c%03lld",
                static_cast<long long>(ms / 3600000), static_cast<long long>(ms / 60000 % 60),
                static_cast<long long>(ms / 1000 % 60), point, static_cast<long long>(ms % 1000));
  return text;
}

std::string Trim(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\r\n"), end = text.find_last_not_of(" \t\r\n");
  return begin == std::string::npos ? "" : text.substr(begin, end - begin + 1);
}

// One stretch of the sound and what was heard in it.
struct Segment {
  double begin = 0, end = 0;             // seconds
  std::shared_ptr<const Prompt> prompt;  // null: the engine has it
  std::string text;
  bool done = false;

  int MaxTokens() const {
    return kLeastTokens + static_cast<int>(std::ceil(kTokensPerSecond * (end - begin)));
  }
};

// Joins the texts of the segments.
class TranscriptionJob : public PartsJob {
 public:
  // `chat`: how each segment is answered; `held`: the memory that the segments may use.
  TranscriptionJob(std::shared_ptr<Exchange> exchange, std::shared_ptr<LoadedModel> model,
                   TranscriptionRequest request, ChatRequest chat, std::vector<Segment> segments,
                   std::shared_ptr<void> held, std::string tenant)
      : PartsJob(std::move(exchange), std::move(model), std::move(tenant), segments.size(),
                 kAtOnce),
        request_(std::move(request)),
        chat_(std::move(chat)),
        segments_(std::move(segments)),
        held_(std::move(held)) {}

 private:
  class Sink : public AnswerSink {
   public:
    Sink(std::shared_ptr<TranscriptionJob> job, size_t index)
        : job_(std::move(job)), index_(index) {}
    void OnEvents(std::vector<OutputEvent> events, const AnswerToken*) override {
      job_->Heard(index_, events);
    }
    void OnEnd(const AnswerEnd& end) override { job_->Done(index_, end); }
    bool Ready() const override { return job_->exchange_->Pending() < Exchange::kMaxPending; }

   private:
    std::shared_ptr<TranscriptionJob> job_;
    size_t index_;
  };

  std::optional<ApiError> Submit(size_t index) override {
    chat_.common.max_tokens = segments_[index].MaxTokens();
    std::vector<Job::Run> runs;
    const auto prompt = std::exchange(segments_[index].prompt, nullptr);
    if (auto error = ChatRuns(*model_, chat_, prompt, tenant_, runs)) return error;
    auto self = std::static_pointer_cast<TranscriptionJob>(shared_from_this());
    return Enter(std::move(runs[0].request),
                 MakeAnswer(model_->tokenizer, std::move(runs[0].answer),
                            std::make_shared<Sink>(std::move(self), index)));
  }
  void OnStarted() override {
    if (!request_.stream) return;
    streams_ = true;
    exchange_->BeginStream();
  }
  void SendError(const ApiError& error) override {
    if (!streams_) return PartsJob::SendError(error);
    exchange_->Write(ServerSentEvent(ErrorBody(error)));
    exchange_->End();
  }

  void Heard(size_t index, const std::vector<OutputEvent>& events) {
    const std::lock_guard lock(mutex_);
    if (stopped_) return;
    for (const OutputEvent& event : events) {
      if (event.kind != OutputEvent::Kind::kContent) continue;
      segments_[index].text += event.text;
      // Deltas leave in order: those of a later segment wait.
      if (streams_ && index == current_) Delta(event.text);
    }
  }
  void Done(size_t index, const AnswerEnd& end) {
    const std::lock_guard lock(mutex_);
    if (const auto error = FailureOf(end)) return Fail(*error);
    if (stopped_) return;
    segments_[index].done = true;
    prompt_tokens_ += end.stats.prompt;
    output_tokens_ += end.stats.generated;
    if (streams_) SendWaiting();
    Ended();
  }

  // --- the answer, with the mutex held

  void SendWaiting() {
    while (current_ < segments_.size() && segments_[current_].done) {
      if (++current_ < segments_.size()) Delta(" " + segments_[current_].text);
    }
  }
  void Delta(const std::string& text) {
    exchange_->Write(
        ServerSentEvent(Dump(OrderedJson{{"type", "transcript.text.delta"}, {"delta", text}})));
  }
  void Answer() override {
    std::string text;
    for (const Segment& segment : segments_) {
      const std::string part = Trim(segment.text);
      text += (text.empty() || part.empty() ? "" : " ") + part;
    }
    if (streams_) {
      exchange_->Write(ServerSentEvent(Dump(
          OrderedJson{{"type", "transcript.text.done"}, {"text", text}, {"usage", TokenUsage()}})));
      return exchange_->End();
    }
    const std::string& format = request_.format;
    if (format == "text") return Send("text/plain; charset=utf-8", text + "\n");
    if (format == "srt") return Send("application/x-subrip; charset=utf-8", Subtitles(','));
    if (format == "vtt") return Send("text/vtt; charset=utf-8", "WEBVTT\n\n" + Subtitles('.'));
    OrderedJson body = {{"text", text}};
    if (format == "verbose_json") body = Verbose(text);
    body["usage"] = TokenUsage();
    SendJson(*exchange_, body);
  }
  void Send(const char* type, std::string body) {
    exchange_->Send({.status = 200, .content_type = type, .body = std::move(body), .headers = {}});
  }
  OrderedJson TokenUsage() const {
    return {{"type", "tokens"},
            {"input_tokens", prompt_tokens_},
            {"output_tokens", output_tokens_},
            {"total_tokens", prompt_tokens_ + output_tokens_}};
  }
  std::string Subtitles(char point) const {
    std::string out;
    int number = 0;
    for (const Segment& segment : segments_) {
      const std::string text = Trim(segment.text);
      if (text.empty()) continue;
      if (point == ',') out += Cat(++number, "\n");
      out +=
          Cat(Clock(segment.begin, point), " --> ", Clock(segment.end, point), "\n", text, "\n\n");
    }
    return out;
  }
  OrderedJson Verbose(const std::string& text) const {
    OrderedJson body = {{"task", "transcribe"},
                        {"language", request_.language},
                        {"duration", segments_.back().end},
                        {"text", text}};
    body["segments"] = OrderedJson::array();
    for (size_t i = 0; i < segments_.size(); ++i) {
      body["segments"].push_back({{"id", i},
                                  {"start", segments_[i].begin},
                                  {"end", segments_[i].end},
                                  {"text", Trim(segments_[i].text)}});
    }
    return body;
  }

  const TranscriptionRequest request_;
  ChatRequest chat_;
  std::vector<Segment> segments_;
  const std::shared_ptr<void> held_;
  size_t current_ = 0;    // whose text goes out as it comes
  bool streams_ = false;  // the stream has begun
  int64_t prompt_tokens_ = 0, output_tokens_ = 0;
};

}  // namespace

std::optional<ApiError> ReadTranscription(const HttpRequest& request, TranscriptionRequest& out) {
  const auto parts = ParseMultipart(request.Header("content-type").value_or(""), request.body);
  if (!parts) return ApiError{400, parts.error().message, "invalid_form", std::nullopt};
  bool file = false;
  for (const FormPart& part : *parts) {
    const std::string value(part.name == "file" ? std::string_view() : part.content);
    const auto fail = [&](std::string what) {
      const std::string name = part.name.substr(0, 100);
      return ApiError{400, Cat(name, ": ", what), "invalid_value", name};
    };
    if (value.size() > kMaxField)
      return fail(Cat("expected at most ", kMaxField, " bytes but got ", value.size()));
    if (!IsUtf8(value)) return fail("expected UTF-8");
    if (part.name == "file") {
      out.file = part.content;
      file = true;
    } else if (part.name == "model") {
      out.model = value;
    } else if (part.name == "language") {
      out.language = value;
    } else if (part.name == "prompt") {
      out.prompt = value;
    } else if (part.name == "response_format") {
      out.format = value;
      if (value != "json" && value != "text" && value != "verbose_json" && value != "srt" &&
          value != "vtt") {
        return fail("expected json, text, verbose_json, srt or vtt");
      }
    } else if (part.name == "temperature") {
      char* end = nullptr;
      out.temperature = std::strtod(value.c_str(), &end);
      if (value.empty() || *end != '\0' || !(out.temperature >= 0 && out.temperature <= 2))
        return fail("expected a number from 0 to 2");
    } else if (part.name == "stream") {
      if (value != "true" && value != "false" && value != "True" && value != "False")
        return fail("expected true or false");
      out.stream = value[0] == 't' || value[0] == 'T';
    } else if (part.name.starts_with("timestamp_granularities")) {
      if (value != "segment") return fail("only 'segment' is supported");
    } else if (part.name != "user") {
      return ApiError{400, Cat(part.name.substr(0, 100), ": unknown field"), "unknown_parameter",
                      part.name.substr(0, 100)};
    }
  }
  if (!file)
    return ApiError{400, "file: this field is required", "missing_required_parameter", "file"};
  return std::nullopt;
}

void Api::Transcriptions(Call& call) {
  TranscriptionRequest request;
  if (call.body.is_object()) {
    return SendError(
        *call.exchange,
        {415, "expected multipart/form-data with a file", "unsupported_content_type", {}});
  }
  if (const auto error = ReadTranscription(*call.request, request))
    return SendError(*call.exchange, *error);
  const auto model = ModelFor(call, request.model);
  if (model == nullptr) return;
  auto sound = media::DecodeSound(std::as_bytes(std::span(request.file)));
  if (!sound)
    return SendError(*call.exchange,
                     {400, Cat("file: ", sound.error().message), "invalid_audio", "file"});
  const std::vector<size_t> cuts = Cut(sound->samples);
  if (cuts.size() > kMaxSegments)
    return SendError(*call.exchange,
                     {400, "file: longer than four hours", "audio_too_long", "file"});
  ChatRequest chat;
  chat.common.set.temperature = request.temperature;
  chat.common.use_cache = false;
  chat.thinking = false;
  std::string order =
      "Transcribe the speech in its original language. Write the transcription only, without line "
      "breaks.";
  if (!request.language.empty()) order += Cat(" The language is ", request.language, ".");
  if (!request.prompt.empty()) order += Cat(" Context: ", request.prompt);
  chat.conversation.messages = Json::array(
      {{{"role", "user"},
        {"content", {{{"type", "audio"}, {"index", 0}}, {{"type", "text"}, {"text", order}}}}}});
  // Frames of all segments, and rows of those that run: counted at once, so that a sound that has
  // begun is not refused in its middle.
  const size_t frames = sound->samples.size() * sizeof(float);
  const size_t rows = size_t{kSegment / media::kFrameSamples} * model->config.text.width *
                      sizeof(float) * std::min(kAtOnce, cuts.size() - 1);
  std::shared_ptr<void> held = media_memory_->Hold(frames + rows);
  if (held == nullptr)
    return SendError(*call.exchange, {503, "the memory for media is full", "overloaded", {}});
  std::vector<Segment> segments;
  for (size_t i = 0; i + 1 < cuts.size(); ++i) {
    const auto samples = std::span(sound->samples).subspan(cuts[i], cuts[i + 1] - cuts[i]);
    chat.conversation.media = {Wav(samples)};
    std::shared_ptr<Prompt> prompt;
    if (auto error = BuildChatPrompt(*model, chat, "file", prompt)) {
      error->param = "file";
      return SendError(*call.exchange, *error);
    }
    segments.push_back({.begin = static_cast<double>(cuts[i]) / kRate,
                        .end = static_cast<double>(cuts[i + 1]) / kRate,
                        .prompt = std::move(prompt),
                        .text = {}});
  }
  chat.conversation = {};
  request.file = {};  // not clear(), which keeps the bytes
  std::make_shared<TranscriptionJob>(call.exchange, model, std::move(request), std::move(chat),
                                     std::move(segments), std::move(held), call.request->tenant)
      ->Start();
}

}  // namespace facet::serve
