#include "serve/openai/transcriptions.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "base/text.h"
#include "base/utf8.h"
#include "media/media.h"
#include "serve/handlers.h"
#include "serve/media/multipart.h"
#include "serve/openai/parts_job.h"
#include "serve/openai/runs.h"

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

// hh:mm:ss.mmm
std::string Timestamp(double seconds, char point) {
  const auto ms = static_cast<int64_t>(std::llround(seconds * 1000));
  char text[40];
  std::snprintf(text, sizeof(text), "%02lld:%02lld:%02lld%c%03lld",
                static_cast<long long>(ms / 3600000), static_cast<long long>(ms / 60000 % 60),
                static_cast<long long>(ms / 1000 % 60), point, static_cast<long long>(ms % 1000));
  return text;
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

  Result<void> SubmitPart(size_t index) override {
    chat_.common.max_tokens = segments_[index].MaxTokens();
    const auto prompt = std::exchange(segments_[index].prompt, nullptr);
    FACET_ASSIGN(ChatRuns prepared, PrepareRuns(*model_, chat_, prompt, tenant_));
    AnswerJob::Run& run = prepared.runs[0];
    auto self = std::static_pointer_cast<TranscriptionJob>(shared_from_this());
    return Enter(std::move(run.request),
                 MakeAnswer(model_->tokenizer, std::move(run.answer),
                            std::make_shared<Sink>(std::move(self), index)));
  }
  void OnStarted() override {
    if (!request_.stream) return;
    streams_ = true;
    exchange_->BeginStream();
  }
  void SendError(const Error& error) override {
    if (!streams_) return PartsJob::SendError(error);
    exchange_->Write(ServerSentEvent(ErrorBody(error)));
    exchange_->End();
  }

  void Heard(size_t index, const std::vector<OutputEvent>& events) {
    const std::lock_guard lock(mutex_);
    if (stopped()) return;
    for (const OutputEvent& event : events) {
      if (event.kind != OutputEvent::Kind::kContent) continue;
      segments_[index].text += event.text;
      // Deltas leave in order: those of a later segment wait.
      if (streams_ && index == current_) Delta(event.text);
    }
  }
  void Done(size_t index, const AnswerEnd& end) {
    const std::lock_guard lock(mutex_);
    if (const auto status = StatusOf(end); !status) return Fail(status.error());
    if (stopped()) return;
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
        ServerSentEvent(DumpJson(OrderedJson{{"type", "transcript.text.delta"}, {"delta", text}})));
  }
  void OnAllEnded() override {
    std::string text;
    for (const Segment& segment : segments_) {
      const std::string_view part = Trim(segment.text);
      text.append(text.empty() || part.empty() ? "" : " ").append(part);
    }
    if (streams_) {
      exchange_->Write(ServerSentEvent(DumpJson(
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
      const std::string_view text = Trim(segment.text);
      if (text.empty()) continue;
      if (point == ',') out += Cat(++number, "\n");
      out += Cat(Timestamp(segment.begin, point), " --> ", Timestamp(segment.end, point), "\n",
                 text, "\n\n");
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

// --- the form

namespace {

void ReadTemperature(JsonFields& fields, std::string_view name, TranscriptionRequest& out) {
  const auto text = fields.String(name, kMaxField);
  if (!text) return;
  char* end = nullptr;
  out.temperature = std::strtod(text->c_str(), &end);
  if (text->empty() || *end != '\0' || !(out.temperature >= 0 && out.temperature <= 2))
    fields.Fail(name, "expected a number from 0 to 2");
}

void ReadStream(JsonFields& fields, std::string_view name, TranscriptionRequest& out) {
  const auto text = fields.String(name, kMaxField);
  if (!text) return;
  out.stream = ToLower(*text) == "true";
  if (!out.stream && ToLower(*text) != "false") fields.Fail(name, "expected true or false");
}

void ReadFormat(JsonFields& fields, std::string_view name, TranscriptionRequest& out) {
  const auto text = fields.String(name, kMaxField);
  if (!text) return;
  constexpr std::string_view kFormats[] = {"json", "text", "verbose_json", "srt", "vtt"};
  if (std::find(std::begin(kFormats), std::end(kFormats), *text) == std::end(kFormats))
    return fields.Fail(name, "expected json, text, verbose_json, srt or vtt");
  out.format = *text;
}

void ReadGranularities(JsonFields& fields, std::string_view name, TranscriptionRequest&) {
  const OrderedJson* values = fields.Any(name);
  for (size_t i = 0; values != nullptr && i < values->size(); ++i) {
    if ((*values)[i] != "segment") return fields.Fail(name, "only 'segment' is supported");
  }
}

constexpr const char* kFile = "file";
constexpr const char* kGranularities = "timestamp_granularities[]";

FieldTable<TranscriptionRequest> MakeTranscriptionFields() {
  FieldTable<TranscriptionRequest> t;
  t.Custom(kFile, "file", "four hours", "The sound: WAV, MP3, FLAC, OGG, Opus or M4A.",
           [](JsonFields& fields, std::string_view name, TranscriptionRequest&) {
             fields.Any(name);  // the bytes have been set aside
           })
      .Required();
  t.Text("model", &TranscriptionRequest::model, kMaxField,
         "One of the names of `/v1/models`; without it, the first.");
  t.Text("language", &TranscriptionRequest::language, kMaxField, "What is spoken, as a name.");
  t.Text("prompt", &TranscriptionRequest::prompt, kMaxField,
         "What the sound is about, and names that occur in it.");
  t.Custom("response_format", "string",
           ChoiceLimits({"json", "text", "verbose_json", "srt", "vtt"}), "The form of the answer.",
           ReadFormat);
  t.Custom("temperature", "number", NumberLimits(0, 2), "As in a chat; 0 without it.",
           ReadTemperature);
  t.Custom("stream", "boolean", "", "Server-sent events with the text as it comes.", ReadStream);
  t.Custom(kGranularities, "string", "only `segment`", "`verbose_json` has times of segments.",
           ReadGranularities);
  t.Ignored({"user"}, "who the end user is; nothing is kept by user");
  return t;
}

// The form's texts as members of an object; the file apart from them.
Result<OrderedJson> FormFields(const std::vector<FormPart>& parts, std::string& file) {
  OrderedJson form = OrderedJson::object();
  for (const FormPart& part : parts) {
    const std::string name = part.name.substr(0, 100);
    if (part.name == kFile) {
      file = part.content;
      form[kFile] = "";
      continue;
    }
    const auto fail = [&](std::string what) {
      return Error{Cat(name, ": ", what), ErrorKind::kInvalid, {}, name};
    };
    if (part.content.size() > kMaxField)
      return fail(Cat("expected at most ", kMaxField, " bytes but got ", part.content.size()));
    if (!IsUtf8(part.content)) return fail("expected UTF-8");
    if (part.name.starts_with("timestamp_granularities")) {
      form[kGranularities].push_back(part.content);
    } else {
      form[part.name] = part.content;
    }
  }
  return form;
}

}  // namespace

const FieldTable<TranscriptionRequest>& TranscriptionFields() {
  static const FieldTable<TranscriptionRequest> table = MakeTranscriptionFields();
  return table;
}

Result<TranscriptionRequest> ReadTranscription(const HttpRequest& request) {
  FACET_ASSIGN(const auto parts,
               ParseMultipart(request.Header("content-type").value_or(""), request.body));
  TranscriptionRequest out;
  FACET_ASSIGN(OrderedJson form, FormFields(parts, out.file));
  FACET_TRY(TranscriptionFields().ReadAll(form, out));
  return out;
}

// --- segments

namespace {

// What each segment is asked.
ChatRequest SegmentChat(const TranscriptionRequest& request) {
  ChatRequest chat;
  chat.common.temperature = request.temperature;
  chat.common.use_cache = false;
  chat.thinking = false;
  std::string order =
      "Transcribe the speech in its original language. Write the transcription only, without line "
      "breaks.";
  if (!request.language.empty()) order += Cat(" The language is ", request.language, ".");
  if (!request.prompt.empty()) order += Cat(" Context: ", request.prompt);
  OrderedJson parts = OrderedJson::array();
  parts.push_back(OrderedJson{{"type", "audio"}});
  parts.push_back({{"type", "text"}, {"text", order}});
  chat.conversation.messages.push_back({{"role", "user"}, {"content", std::move(parts)}});
  return chat;
}

Error FileError(std::string message, std::string code) {
  return {Cat(kFile, ": ", message), ErrorKind::kInvalid, std::move(code), kFile};
}

// Frames of all segments, and rows of those that run: counted at once, so that a sound that has
// begun is not refused in its middle.
Result<std::shared_ptr<void>> HoldMemory(Service& service, const LoadedModel& model, size_t samples,
                                         size_t segments) {
  const size_t rows = size_t{kSegment / media::kFrameSamples} * model.config.text.width *
                      sizeof(float) * std::min(kAtOnce, segments);
  auto held = service.media.memory()->Hold(samples * sizeof(float) + rows);
  if (held == nullptr) return Error{"the memory for media is full", ErrorKind::kBusy};
  return held;
}

Result<std::vector<Segment>> MakeSegments(const LoadedModel& model, const media::Sound& sound,
                                          const std::vector<size_t>& cuts,
                                          const ChatRequest& chat) {
  std::vector<Segment> segments;
  for (size_t i = 0; i + 1 < cuts.size(); ++i) {
    const auto load = [&](const OrderedJson&) -> Result<MediaSource> {
      const float* samples = sound.samples.data();
      return MediaSource(media::Sound{{samples + cuts[i], samples + cuts[i + 1]}});
    };
    auto prompt = BuildChatPrompt(model, chat, chat.conversation.messages, load, kFile, nullptr);
    if (!prompt) {
      Error error = prompt.error();
      error.param = kFile;  // the client has written no messages
      return error;
    }
    segments.push_back({.begin = static_cast<double>(cuts[i]) / kRate,
                        .end = static_cast<double>(cuts[i + 1]) / kRate,
                        .prompt = *std::move(prompt),
                        .text = {}});
  }
  return segments;
}

Result<void> Transcribe(Service& service, std::shared_ptr<Exchange> exchange, std::string tenant,
                        TranscriptionRequest request, std::shared_ptr<LoadedModel> model) {
  media::Limits limits;
  limits.max_decode_seconds = kMaxDecodeSeconds;
  const auto sound =
      media::DecodeSound(std::as_bytes(std::span(request.file)), limits, StopWhenClosed(*exchange));
  if (!sound) return FileError(sound.error().message, "invalid_audio");
  request.file = {};  // not clear(), which keeps the bytes
  const std::vector<size_t> cuts = Cut(sound->samples);
  if (cuts.size() > kMaxSegments) return FileError("longer than four hours", "audio_too_long");
  FACET_ASSIGN(auto held, HoldMemory(service, *model, sound->samples.size(), cuts.size() - 1));
  ChatRequest chat = SegmentChat(request);
  FACET_ASSIGN(auto segments, MakeSegments(*model, *sound, cuts, chat));
  chat.conversation = {};
  std::make_shared<TranscriptionJob>(std::move(exchange), std::move(model), std::move(request),
                                     std::move(chat), std::move(segments), std::move(held),
                                     std::move(tenant))
      ->Start();
  return Ok();
}

}  // namespace

Result<void> Transcriptions(Service& service, Call& call) {
  if (call.body.is_object()) {
    return Error{"expected multipart/form-data with a file", ErrorKind::kInvalid,
                 "unsupported_content_type"};
  }
  FACET_ASSIGN(TranscriptionRequest request, ReadTranscription(call.request));
  call.request.body = {};
  const auto name = request.model;
  return service.WithModel(
      call, name,
      [&service, request = std::move(request), exchange = call.exchange,
       tenant = call.request.tenant](std::shared_ptr<LoadedModel> model) mutable {
        return Transcribe(service, exchange, tenant, std::move(request), std::move(model));
      });
}

}  // namespace facet::serve
