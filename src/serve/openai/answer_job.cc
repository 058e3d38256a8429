#include "serve/openai/answer_job.h"

#include <openssl/rand.h>

#include <algorithm>

#include "chat/conversation_reader.h"

namespace facet::serve {
namespace {

double Rate(int count, double ms) {
  return ms > 0 ? count * 1000.0 / ms : 0.0;
}

}  // namespace

class AnswerJob::Sink : public AnswerSink {
 public:
  Sink(std::shared_ptr<AnswerJob> job, int index) : job_(std::move(job)), index_(index) {}
  void OnProgress(const GenerationStats& so_far, int processed) override {
    job_->Progress(so_far, processed);
  }
  void OnPromptToken(const Sampled& token) override { job_->PromptToken(index_, token); }
  void OnEvents(std::vector<OutputEvent> events, const AnswerToken* token) override {
    job_->Events(index_, std::move(events), token);
  }
  void OnEnd(const AnswerEnd& end) override { job_->End(index_, end); }
  bool Ready() const override { return job_->exchange_->Pending() < Exchange::kMaxPending; }

 private:
  std::shared_ptr<AnswerJob> job_;
  int index_;
};

Result<void> AnswerJob::Start(std::vector<Run> runs) {
  StopWhenClosed();
  const std::lock_guard lock(mutex_);
  const auto self = std::static_pointer_cast<AnswerJob>(shared_from_this());
  choices_.resize(runs.size());
  open_ = runs.size();
  for (size_t i = 0; i < runs.size(); ++i) {
    if (stopped()) return Ok();
    choices_[i].index = static_cast<int>(i);
    choices_[i].prompt = static_cast<int>(runs[i].request.prompt->ids.size());
    auto sink = std::make_shared<Sink>(self, choices_[i].index);
    auto listener = MakeAnswer(model_->tokenizer, std::move(runs[i].answer), std::move(sink));
    const auto submitted = Submit(std::move(runs[i].request), std::move(listener));
    if (submitted) continue;
    Stop();
    return submitted;
  }
  if (!streaming()) return Ok();
  exchange_->BeginStream(Form());
  OnBegin();
  return Ok();
}

void AnswerJob::Progress(const GenerationStats& so_far, int processed) {
  if (!common_.progress) return;
  exchange_->SetComment(DumpJson(
      OrderedJson{{"total", so_far.prompt}, {"cache", so_far.cached}, {"processed", processed}}));
}

void AnswerJob::Events(int index, std::vector<OutputEvent> events, const AnswerToken* token) {
  const std::lock_guard lock(mutex_);
  if (stopped()) return;
  ChoiceState& choice = choices_[index];
  if (token != nullptr) {
    ++choice.generated;
    OnToken(choice, *token);
  }
  for (const OutputEvent& event : events) {
    choice.Add(event);
    OnEvent(choice, event);
  }
}

void AnswerJob::PromptToken(int index, const Sampled& token) {
  const std::lock_guard lock(mutex_);
  if (!stopped()) OnPromptToken(choices_[index], token);
}

void AnswerJob::End(int index, const AnswerEnd& end) {
  const std::lock_guard lock(mutex_);
  if (stopped()) return;
  choices_[index].end = end;
  if (const auto status = StatusOf(end); !status) {
    Stop();
    return OnError(status.error());
  }
  OnChoiceEnd(choices_[index]);
  if (--open_ == 0) OnEnd();
}

void ChoiceState::Add(const OutputEvent& event) {
  using Kind = OutputEvent::Kind;
  switch (event.kind) {
    case Kind::kContent:
      content += event.text;
      break;
    case Kind::kReasoning:
      reasoning += event.text;
      break;
    case Kind::kCallBegin:
      calls.push_back({RandomId("call_"), event.text, ""});
      break;
    case Kind::kCallArguments:
      calls[event.call].arguments += event.text;
      break;
    case Kind::kCallEnd:
      calls[event.call].complete = true;
      break;
  }
}

OrderedJson ChoiceState::TakeLogprobs() {
  OrderedJson taken = std::move(logprobs);
  logprobs = OrderedJson::array();
  return taken;
}

// --- objects one after the other

void ChunkJob::EndStream() {
  Write("data: [DONE]\n\n");
  exchange_->End();
}

void ChunkJob::OnEnd() {
  if (!streaming()) return SendWhole();
  if (common_.include_usage) WriteChunk(UsageChunk());
  EndStream();
}

void ChunkJob::OnError(const Error& error) {
  if (!streaming()) return exchange_->SendError(error);
  Write(ServerSentEvent(ErrorBody(error)));
  EndStream();
}

OrderedJson ChunkJob::Head(const std::string& id, std::string_view object) const {
  return {{"id", id},
          {"object", object},
          {"created", created_},
          {"model", model_->id},
          {"system_fingerprint", nullptr}};
}

// --- parts of answers

AnswerJob::TokenCounts AnswerJob::Counts() const {
  TokenCounts counts;
  for (const ChoiceState& choice : choices_) {
    // All choices of a prompt read it together: it counts once.
    if (choice.index % common_.choices == 0) {
      counts.prompt += choice.end.stats.prompt;
      counts.cached += choice.end.stats.cached;
    }
    counts.generated += choice.end.stats.generated;
    counts.reasoning += choice.end.reasoning_tokens;
    counts.drafted += choice.end.stats.drafted;
    counts.accepted += choice.end.stats.accepted;
  }
  return counts;
}

OrderedJson AnswerJob::Usage() const {
  const TokenCounts counts = Counts();
  OrderedJson usage;
  usage["prompt_tokens"] = counts.prompt;
  usage["completion_tokens"] = counts.generated;
  usage["total_tokens"] = counts.prompt + counts.generated;
  usage["prompt_tokens_details"] = {{"cached_tokens", counts.cached}, {"audio_tokens", 0}};
  usage["completion_tokens_details"] = {
      {"reasoning_tokens", counts.reasoning},
      {"audio_tokens", 0},
      {"accepted_prediction_tokens", counts.accepted},
      {"rejected_prediction_tokens", counts.drafted - counts.accepted}};
  return usage;
}

OrderedJson AnswerJob::RunningUsage(const ChoiceState& choice) {
  return {{"prompt_tokens", choice.prompt},
          {"completion_tokens", choice.generated},
          {"total_tokens", choice.prompt + choice.generated}};
}

OrderedJson AnswerJob::Timings(const ChoiceState& choice) const {
  const GenerationStats& s = choice.end.stats;
  const int read = s.prompt - s.cached;
  OrderedJson out;
  out["cache_n"] = s.cached;
  out["prompt_n"] = read;
  out["prompt_ms"] = s.prompt_ms;
  out["prompt_per_token_ms"] = read > 0 ? s.prompt_ms / read : 0.0;
  out["prompt_per_second"] = Rate(read, s.prompt_ms);
  out["predicted_n"] = s.generated;
  out["predicted_ms"] = s.decode_ms;
  out["predicted_per_token_ms"] = s.generated > 1 ? s.decode_ms / (s.generated - 1) : 0.0;
  out["predicted_per_second"] = Rate(s.generated - 1, s.decode_ms);
  out["queue_ms"] = s.queue_ms;
  if (s.drafted > 0) out["draft_n"] = s.drafted, out["draft_n_accepted"] = s.accepted;
  return out;
}

std::string_view FinishReason(AnswerEnd::Reason reason) {
  switch (reason) {
    case AnswerEnd::Reason::kLength:
      return "length";
    case AnswerEnd::Reason::kToolCalls:
      return "tool_calls";
    default:
      return "stop";
  }
}

OrderedJson TokenLogprob(const Tokenizer& tokenizer, const AnswerToken& token) {
  const auto entry = [](std::string_view text, float logprob) {
    OrderedJson bytes = OrderedJson::array();
    for (const char c : text) bytes.push_back(static_cast<unsigned char>(c));
    // JSON has no infinity: a token that cannot come has the API's floor.
    return OrderedJson{
        {"token", text}, {"logprob", std::max(logprob, -9999.0f)}, {"bytes", std::move(bytes)}};
  };
  OrderedJson out = entry(token.text, token.sampled.logprob);
  out["top_logprobs"] = OrderedJson::array();
  for (const auto& [id, logprob] : token.sampled.top) {
    out["top_logprobs"].push_back(entry(tokenizer.Piece(id), logprob));
  }
  return out;
}

std::string CustomInput(const std::string& arguments) {
  const OrderedJson read = CallArguments(arguments);
  const auto input = read.find("input");
  return input != read.end() && input->is_string() ? input->get<std::string>() : arguments;
}

std::string RandomId(std::string_view prefix, int length) {
  static constexpr std::string_view kLetters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  std::vector<unsigned char> random(length);
  RAND_bytes(random.data(), length);
  std::string out(prefix);
  for (const unsigned char byte : random) out.push_back(kLetters[byte % kLetters.size()]);
  return out;
}

}  // namespace facet::serve
