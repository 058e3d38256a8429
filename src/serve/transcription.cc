// /v1/audio/transcriptions: a sound is cut at quiet places into segments of at most half a minute
// (longer ones turn incoherent), each is transcribed as a chat of its own, and the texts are joined
// in order.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "media/media.h"
#include "serve/api.h"
#include "serve/multipart.h"

namespace facet::serve {
namespace {

constexpr int kRate = 16000, kSegment = 30 * kRate, kSearch = 5 * kRate, kWindow = kRate / 20;
constexpr size_t kMaxSegments = 512;

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

class TranscriptionJob : public Job {
 public:
  TranscriptionJob(std::shared_ptr<Exchange> exchange, std::shared_ptr<LoadedModel> model,
                   Common common, const TranscriptionRequest& request, std::vector<double> bounds)
      : Job(std::move(exchange), std::move(model), std::move(common)),
        format_(request.format),
        language_(request.language),
        bounds_(std::move(bounds)) {}

 protected:
  void OnEvent(ChoiceState& choice, const OutputEvent& event) override {
    // Deltas leave in order: those of a later segment wait.
    if (!streaming() || event.kind != OutputEvent::Kind::kContent || choice.index != current_)
      return;
    Delta(event.text);
  }
  void OnChoiceEnd(ChoiceState&) override {
    if (!streaming()) return;
    done_.resize(choices_.size());
    for (const ChoiceState& c : choices_) done_[c.index] = done_[c.index] || c.end.stats.prompt > 0;
    while (current_ < static_cast<int>(choices_.size()) && done_[current_]) {
      if (++current_ < static_cast<int>(choices_.size())) Delta(" " + choices_[current_].content);
    }
  }
  void OnEnd() override {
    std::string text;
    for (const ChoiceState& choice : choices_) {
      const std::string part = Trim(choice.content);
      text += (text.empty() || part.empty() ? "" : " ") + part;
    }
    if (streaming()) {
      Write(ServerSentEvent(Dump(
          OrderedJson{{"type", "transcript.text.done"}, {"text", text}, {"usage", TokenUsage()}})));
      return exchange_->End();
    }
    if (format_ == "text") return Send("text/plain; charset=utf-8", text + "\n");
    if (format_ == "srt") return Send("application/x-subrip; charset=utf-8", Subtitles(','));
    if (format_ == "vtt") return Send("text/vtt; charset=utf-8", "WEBVTT\n\n" + Subtitles('.'));
    OrderedJson body = {{"text", text}};
    if (format_ == "verbose_json") body = Verbose(text);
    body["usage"] = TokenUsage();
    SendJson(*exchange_, body);
  }
  void OnError(const ApiError& error) override {
    if (!streaming()) return exchange_->Send(ErrorResponse(error));
    Write(ServerSentEvent(ErrorBody(error)));
    exchange_->End();
  }

 private:
  void Delta(const std::string& text) {
    Write(ServerSentEvent(Dump(OrderedJson{{"type", "transcript.text.delta"}, {"delta", text}})));
  }
  void Send(const char* type, std::string body) {
    exchange_->Send({.status = 200, .content_type = type, .body = std::move(body), .headers = {}});
  }
  OrderedJson TokenUsage() const {
    const OrderedJson usage = Usage();
    int prompt = 0;
    for (const ChoiceState& choice : choices_) prompt += choice.end.stats.prompt;
    const int output = usage["completion_tokens"].get<int>();
    return {{"type", "tokens"},
            {"input_tokens", prompt},
            {"output_tokens", output},
            {"total_tokens", prompt + output}};
  }
  std::string Subtitles(char point) const {
    std::string out;
    int number = 0;
    for (const ChoiceState& choice : choices_) {
      const std::string text = Trim(choice.content);
      if (text.empty()) continue;
      if (point == ',') out += Cat(++number, "\n");
      out += Cat(Clock(bounds_[choice.index], point), " --> ",
                 Clock(bounds_[choice.index + 1], point), "\n", text, "\n\n");
    }
    return out;
  }
  OrderedJson Verbose(const std::string& text) const {
    OrderedJson body = {{"task", "transcribe"},
                        {"language", language_},
                        {"duration", bounds_.back()},
                        {"text", text}};
    body["segments"] = OrderedJson::array();
    for (const ChoiceState& choice : choices_) {
      body["segments"].push_back({{"id", choice.index},
                                  {"start", bounds_[choice.index]},
                                  {"end", bounds_[choice.index + 1]},
                                  {"text", Trim(choice.content)}});
    }
    return body;
  }

  std::string format_, language_;
  std::vector<double> bounds_;  // seconds
  std::vector<bool> done_;
  int current_ = 0;
};

}  // namespace

std::optional<ApiError> ReadTranscription(const HttpRequest& request, TranscriptionRequest& out) {
  const auto parts = ParseMultipart(request.Header("content-type").value_or(""), request.body);
  if (!parts) return ApiError{400, parts.error().message, "invalid_form", std::nullopt};
  bool file = false;
  for (const FormPart& part : *parts) {
    const std::string value(part.name == "file" ? std::string_view()
                                                : part.content.substr(0, 4096));
    const auto fail = [&](std::string what) {
      return ApiError{400, Cat(part.name, ": ", what), "invalid_value", part.name};
    };
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

std::shared_ptr<Job> MakeTranscriptionJob(std::shared_ptr<Exchange> exchange,
                                          std::shared_ptr<LoadedModel> model,
                                          const TranscriptionRequest& request,
                                          std::vector<double> bounds) {
  Common common;
  common.stream = request.stream;
  return std::make_shared<TranscriptionJob>(std::move(exchange), std::move(model),
                                            std::move(common), request, std::move(bounds));
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
  const auto sound = media::DecodeSound(std::as_bytes(std::span(request.file)));
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
  std::vector<Job::Run> runs;
  std::vector<double> bounds = {0};
  for (size_t i = 0; i + 1 < cuts.size(); ++i) {
    chat.conversation.media = {
        Wav(std::span(sound->samples).subspan(cuts[i], cuts[i + 1] - cuts[i]))};
    chat.conversation.messages = Json::array(
        {{{"role", "user"},
          {"content", {{{"type", "audio"}, {"index", 0}}, {{"type", "text"}, {"text", order}}}}}});
    std::shared_ptr<Prompt> prompt;
    auto error = BuildChatPrompt(*model, chat, "file", prompt);
    if (!error) error = ChatRuns(*model, chat, prompt, call.request->tenant, runs);
    if (error) {
      error->param = "file";
      return SendError(*call.exchange, *error);
    }
    bounds.push_back(static_cast<double>(cuts[i + 1]) / kRate);
  }
  MakeTranscriptionJob(call.exchange, model, request, std::move(bounds))->Start(std::move(runs));
}

}  // namespace facet::serve
