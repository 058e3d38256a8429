#include "serve/openai/transcriptions.h"

#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "base/text.h"
#include "base/utf8.h"
#include "media/media.h"
#include "serve/handlers.h"
#include "serve/media/multipart.h"
#include "serve/openai/parts_job.h"
#include "serve/openai/runs.h"
#include "serve/openai/spoken_text.h"

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

// One stretch of the sound and what was heard in it.
struct Segment {
  double begin = 0, end = 0;             // seconds
  std::vector<Stretch> spoken;           // where somebody speaks, from the segment's beginning
  std::shared_ptr<const Prompt> prompt;  // null: the engine has it
  int audio_tokens = 0;
  std::string text;
  std::vector<TokenId> tokens;
  double logprob = 0;  // of all tokens together
  OrderedJson logprobs = OrderedJson::array();
  bool done = false;

  int MaxTokens() const {
    return kLeastTokens + static_cast<int>(std::ceil(kTokensPerSecond * (end - begin)));
  }
};

// As in a chat: JSON has no infinities.
constexpr float kLeastLogprob = -9999;

// How many times shorter zlib makes a text: above 2.4 it repeats itself. 1 where there is none.
double CompressionRatio(std::string_view text) {
  if (text.empty()) return 1;
  uLongf bytes = compressBound(text.size());
  std::vector<Bytef> packed(bytes);
  const auto* from = reinterpret_cast<const Bytef*>(text.data());
  if (compress(packed.data(), &bytes, from, text.size()) != Z_OK) return 1;
  return static_cast<double>(text.size()) / static_cast<double>(bytes);
}

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
    void OnEvents(std::vector<OutputEvent> events, const AnswerToken* token) override {
      job_->Heard(index_, events, token);
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

  void Heard(size_t index, const std::vector<OutputEvent>& events, const AnswerToken* token) {
    const std::lock_guard lock(mutex_);
    if (stopped()) return;
    if (token != nullptr && token->content) Count(segments_[index], *token);
    for (const OutputEvent& event : events) {
      if (event.kind != OutputEvent::Kind::kContent) continue;
      segments_[index].text += event.text;
      // Deltas leave in order: those of a later segment wait.
      if (streams_ && index == current_) Delta(event.text);
    }
  }
  void Count(Segment& segment, const AnswerToken& token) const {
    segment.tokens.push_back(token.sampled.id);
    segment.logprob += std::max(token.sampled.logprob, kLeastLogprob);
    if (!request_.logprobs) return;
    OrderedJson entry = TokenLogprob(*model_->tokenizer, token);
    entry.erase("top_logprobs");
    segment.logprobs.push_back(std::move(entry));
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
      OrderedJson event = {{"type", "transcript.text.done"}, {"text", text}};
      AddLogprobs(event);
      event["usage"] = TokenUsage();
      exchange_->Write(ServerSentEvent(DumpJson(event)));
      return exchange_->End();
    }
    const std::string& format = request_.format;
    if (format == "text") return Send("text/plain; charset=utf-8", text + "\n");
    if (format == "srt")
      return Send("application/x-subrip; charset=utf-8", WriteSrt(MakeCues(Words())));
    if (format == "vtt") return Send("text/vtt; charset=utf-8", WriteVtt(MakeCues(Words())));
    if (format == "verbose_json") return SendJson(*exchange_, Verbose(text));
    OrderedJson body = {{"text", text}};
    AddLogprobs(body);
    body["usage"] = TokenUsage();
    SendJson(*exchange_, body);
  }
  void Send(const char* type, std::string body) {
    exchange_->Send({.status = 200, .content_type = type, .body = std::move(body), .headers = {}});
  }
  void AddLogprobs(OrderedJson& body) const {
    if (!request_.logprobs) return;
    OrderedJson& all = body["logprobs"] = OrderedJson::array();
    for (const Segment& segment : segments_) {
      for (const OrderedJson& entry : segment.logprobs) all.push_back(entry);
    }
  }
  OrderedJson TokenUsage() const {
    int64_t audio = 0;
    for (const Segment& segment : segments_) audio += segment.audio_tokens;
    return {
        {"type", "tokens"},
        {"input_tokens", prompt_tokens_},
        {"input_token_details", {{"audio_tokens", audio}, {"text_tokens", prompt_tokens_ - audio}}},
        {"output_tokens", output_tokens_},
        {"total_tokens", prompt_tokens_ + output_tokens_}};
  }
  // Of all segments, by the clock of the whole sound.
  std::vector<TimedWord> Words() const {
    std::vector<TimedWord> all;
    for (const Segment& segment : segments_) {
      for (TimedWord& word :
           TimeWords(segment.text, {0, segment.end - segment.begin}, segment.spoken)) {
        word.time = {word.time.begin + segment.begin, word.time.end + segment.begin};
        all.push_back(std::move(word));
      }
    }
    return all;
  }
  // Every member that the API's schema requires of a segment.
  OrderedJson SegmentJson(size_t i) const {
    const Segment& s = segments_[i];
    constexpr double kSeekRate = 100;  // the schema counts in hundredths of a second
    const std::string_view text = Trim(s.text);
    return {
        {"id", i},
        {"seek", static_cast<int64_t>(s.begin * kSeekRate)},
        {"start", s.begin},
        {"end", s.end},
        {"text", text},
        {"tokens", s.tokens},
        {"temperature", request_.temperature},
        {"avg_logprob", s.tokens.empty() ? 0 : s.logprob / static_cast<double>(s.tokens.size())},
        {"compression_ratio", CompressionRatio(text)},
        {"no_speech_prob", s.spoken.empty() ? 1.0 : 0.0}};
  }
  OrderedJson Verbose(const std::string& text) const {
    OrderedJson body = {{"task", request_.translate ? "translate" : "transcribe"},
                        {"language", request_.translate ? "english" : request_.language},
                        {"duration", segments_.back().end},
                        {"text", text}};
    if (request_.words) {
      OrderedJson& words = body["words"] = OrderedJson::array();
      for (const TimedWord& word : Words()) {
        // Estimates are no more exact than this.
        const auto rounded = [](double seconds) { return std::round(seconds * 1000) / 1000; };
        words.push_back({{"word", word.text},
                         {"start", rounded(word.time.begin)},
                         {"end", rounded(word.time.end)}});
      }
    }
    if (request_.segments) {
      OrderedJson& segments = body["segments"] = OrderedJson::array();
      for (size_t i = 0; i < segments_.size(); ++i) segments.push_back(SegmentJson(i));
    }
    body["usage"] = {{"type", "duration"}, {"seconds", segments_.back().end}};
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

// Members of a form's list, under its name with [].
template <typename Take>
void ReadList(JsonFields& fields, std::string_view name, Take take) {
  const OrderedJson* values = fields.Any(name);
  for (size_t i = 0; values != nullptr && i < values->size(); ++i)
    take((*values)[i].get_ref<const std::string&>());
}

void ReadGranularities(JsonFields& fields, std::string_view name, TranscriptionRequest& out) {
  bool segments = false;
  ReadList(fields, name, [&](const std::string& value) {
    if (value != "word" && value != "segment") fields.Fail(name, "expected word or segment");
    out.words |= value == "word";
    segments |= value == "segment";
  });
  if (fields.Any(name) != nullptr) out.segments = segments;
}

void ReadInclude(JsonFields& fields, std::string_view name, TranscriptionRequest& out) {
  ReadList(fields, name, [&](const std::string& value) {
    if (value != "logprobs") fields.Fail(name, "expected logprobs");
    out.logprobs = true;
  });
}

// {"type": "server_vad", ...} or "auto": a hint for servers that would else not cut at all.
void CheckChunking(JsonFields& fields, std::string_view name, TranscriptionRequest&) {
  const OrderedJson* value = fields.Any(name);
  if (value == nullptr) return;
  OrderedJson strategy = *value;  // its members came one by one, or as text
  if (value->is_string() && *value != "auto") {
    auto parsed = ParseJson(value->get<std::string>(), JsonLimits{});
    strategy = parsed.ok() ? *std::move(parsed) : OrderedJson();
  }
  const bool vad = strategy.is_object() && strategy.value("type", OrderedJson()) == "server_vad";
  if (strategy != "auto" && !vad)
    fields.Fail(name, "expected auto, or an object of type server_vad");
}

constexpr const char* kFile = "file";
constexpr const char* kGranularities = "timestamp_granularities[]";
constexpr const char* kChunking = "chunking_strategy";
constexpr const char* kLists[] = {kGranularities, "include[]", "keywords[]", "languages[]"};

void AddStrings(JsonFields& fields, std::string_view name, std::vector<std::string>& out) {
  ReadList(fields, name, [&](const std::string& value) { out.push_back(value); });
}

// What transcriptions and translations share.
FieldTable<TranscriptionRequest> MakeSpeechFields() {
  FieldTable<TranscriptionRequest> t;
  t.Custom(kFile, "file", "four hours",
           "The sound: WAV, AIFF, MP3, AAC, FLAC, Ogg, Opus, M4A, WebM, or a film's.",
           [](JsonFields& fields, std::string_view name, TranscriptionRequest&) {
             fields.Any(name);  // the bytes have been set aside
           })
      .Required();
  t.Text("model", &TranscriptionRequest::model, kMaxField,
         "One of the names of `/v1/models`; without it, the first.");
  t.Text("prompt", &TranscriptionRequest::prompt, kMaxField,
         "What the sound is about, and names that occur in it.");
  t.Custom("response_format", "string",
           ChoiceLimits({"json", "text", "verbose_json", "srt", "vtt"}), "The form of the answer.",
           ReadFormat);
  t.Custom("temperature", "number", NumberLimits(0, 2), "As in a chat; 0 without it.",
           ReadTemperature);
  t.Ignored({"user"}, "who the end user is; nothing is kept by user");
  return t;
}

FieldTable<TranscriptionRequest> MakeTranscriptionFields() {
  FieldTable<TranscriptionRequest> t = MakeSpeechFields();
  t.Text("language", &TranscriptionRequest::language, kMaxField,
         "What is spoken, as a name or a code of two letters.");
  t.Custom("languages[]", "list of strings", "", "What may be spoken, likewise.",
           [](JsonFields& fields, std::string_view name, TranscriptionRequest& out) {
             AddStrings(fields, name, out.languages);
           });
  t.Custom("keywords[]", "list of strings", "", "Words and names that may occur.",
           [](JsonFields& fields, std::string_view name, TranscriptionRequest& out) {
             AddStrings(fields, name, out.keywords);
           });
  t.Custom("stream", "boolean", "", "Server-sent events with the text as it comes.", ReadStream);
  t.Custom(kGranularities, "list of strings", "`word`, `segment`",
           "What `verbose_json` has times of. Those of words are estimated from loudness and the "
           "words' lengths.",
           ReadGranularities);
  t.Custom("include[]", "list of strings", "`logprobs`",
           "Log-probabilities of the tokens, in `json` and in the last event of a stream.",
           ReadInclude);
  t.Custom(kChunking, "string or object", "`auto`, or of type `server_vad`",
           "Long sounds are cut at quiet places in any case.", CheckChunking);
  t.Refused({"known_speaker_names[]", "known_speaker_references[]"}, "speakers are not told apart");
  return t;
}

// name, name[] and name[member]: clients write lists and objects in each of these ways.
void AddField(const FormPart& part, OrderedJson& form) {
  const size_t bracket = std::min(part.name.find('['), part.name.size());
  const std::string stem = part.name.substr(0, bracket);
  for (const char* list : kLists) {
    if (Cat(stem, "[]") != list) continue;
    form[list].push_back(part.content);
    return;
  }
  if (stem != kChunking || bracket == part.name.size()) {
    form[part.name] = part.content;
    return;
  }
  if (!form[stem].is_object()) form[stem] = OrderedJson::object();
  form[stem][part.name.substr(bracket + 1, part.name.size() - bracket - 2)] = part.content;
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
    AddField(part, form);
  }
  return form;
}

}  // namespace

const FieldTable<TranscriptionRequest>& TranscriptionFields() {
  static const FieldTable<TranscriptionRequest> table = MakeTranscriptionFields();
  return table;
}

const FieldTable<TranscriptionRequest>& TranslationFields() {
  static const FieldTable<TranscriptionRequest> table = MakeSpeechFields();
  return table;
}

Result<TranscriptionRequest> ReadTranscription(const HttpRequest& request, bool translate,
                                               IgnoredFields* ignored) {
  FACET_ASSIGN(const auto parts,
               ParseMultipart(request.Header("content-type").value_or(""), request.body));
  TranscriptionRequest out;
  out.translate = translate;
  FACET_ASSIGN(OrderedJson form, FormFields(parts, out.file));
  FACET_TRY((translate ? TranslationFields() : TranscriptionFields()).ReadAll(form, out, ignored));
  if (out.words && out.format != "verbose_json") {
    return Error{Cat(kGranularities, ": times of words need response_format verbose_json"),
                 ErrorKind::kInvalid, "invalid_value", kGranularities};
  }
  if (out.logprobs && out.format != "json") {
    return Error{"include[]: logprobs need response_format json", ErrorKind::kInvalid,
                 "invalid_value", "include[]"};
  }
  return out;
}

// --- segments

namespace {

// The name of a language that is given by its code of ISO 639-1; anything else is a name already.
std::string LanguageName(const std::string& language) {
  constexpr std::pair<std::string_view, std::string_view> kNames[] = {
      {"ar", "Arabic"},     {"bg", "Bulgarian"},  {"bn", "Bengali"},   {"ca", "Catalan"},
      {"cs", "Czech"},      {"da", "Danish"},     {"de", "German"},    {"el", "Greek"},
      {"en", "English"},    {"es", "Spanish"},    {"et", "Estonian"},  {"fa", "Persian"},
      {"fi", "Finnish"},    {"fr", "French"},     {"gu", "Gujarati"},  {"he", "Hebrew"},
      {"hi", "Hindi"},      {"hr", "Croatian"},   {"hu", "Hungarian"}, {"id", "Indonesian"},
      {"it", "Italian"},    {"ja", "Japanese"},   {"kn", "Kannada"},   {"ko", "Korean"},
      {"lt", "Lithuanian"}, {"lv", "Latvian"},    {"ml", "Malayalam"}, {"mr", "Marathi"},
      {"ms", "Malay"},      {"nl", "Dutch"},      {"no", "Norwegian"}, {"pa", "Punjabi"},
      {"pl", "Polish"},     {"pt", "Portuguese"}, {"ro", "Romanian"},  {"ru", "Russian"},
      {"sk", "Slovak"},     {"sl", "Slovenian"},  {"sr", "Serbian"},   {"sv", "Swedish"},
      {"sw", "Swahili"},    {"ta", "Tamil"},      {"te", "Telugu"},    {"th", "Thai"},
      {"tl", "Tagalog"},    {"tr", "Turkish"},    {"uk", "Ukrainian"}, {"ur", "Urdu"},
      {"vi", "Vietnamese"}, {"zh", "Chinese"}};
  const std::string code = ToLower(language);
  for (const auto& [known, name] : kNames) {
    if (code == known) return std::string(name);
  }
  return language;
}
std::string AsItIs(const std::string& text) {
  return text;
}

std::string Listed(const std::vector<std::string>& texts, std::string (*show)(const std::string&)) {
  std::string out;
  for (const std::string& text : texts) out += Cat(out.empty() ? "" : ", ", show(text));
  return out;
}

// What each segment is asked.
ChatRequest SegmentChat(const TranscriptionRequest& request) {
  ChatRequest chat;
  chat.common.temperature = request.temperature;
  chat.common.use_cache = false;
  chat.thinking = false;
  if (request.logprobs || request.format == "verbose_json") chat.common.top_logprobs = 0;
  std::string order =
      request.translate
          ? "Translate the speech into English. Write the translation only, without line breaks."
          : "Transcribe the speech in its original language. Write the transcription only, "
            "without line breaks.";
  if (!request.language.empty())
    order += Cat(" The language is ", LanguageName(request.language), ".");
  if (!request.languages.empty())
    order += Cat(" The language is one of: ", Listed(request.languages, LanguageName), ".");
  if (!request.keywords.empty())
    order += Cat(" Words that may occur: ", Listed(request.keywords, AsItIs), ".");
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
    Segment& segment = segments.emplace_back();
    segment.begin = static_cast<double>(cuts[i]) / kRate;
    segment.end = static_cast<double>(cuts[i + 1]) / kRate;
    segment.spoken =
        SpokenStretches(std::span(sound.samples).subspan(cuts[i], cuts[i + 1] - cuts[i]));
    segment.prompt = *std::move(prompt);
    for (const auto& item : segment.prompt->items) segment.audio_tokens += item->count;
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

Result<void> HearForm(Service& service, Call& call, bool translate) {
  if (call.body.is_object()) {
    return Error{"expected multipart/form-data with a file", ErrorKind::kInvalid,
                 "unsupported_content_type"};
  }
  FACET_ASSIGN(TranscriptionRequest request,
               ReadTranscription(call.request, translate, call.ignored.get()));
  call.request.body = {};
  const auto name = request.model;
  return service.WithModel(
      call, name,
      [&service, request = std::move(request), exchange = call.exchange,
       tenant = call.request.tenant](std::shared_ptr<LoadedModel> model) mutable {
        return Transcribe(service, exchange, tenant, std::move(request), std::move(model));
      });
}

}  // namespace

Result<void> Transcriptions(Service& service, Call& call) {
  return HearForm(service, call, false);
}

Result<void> Translations(Service& service, Call& call) {
  return HearForm(service, call, true);
}

}  // namespace facet::serve
