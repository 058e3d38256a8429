#include "serve/openai/job.h"

#include <openssl/rand.h>

#include <algorithm>
#include <ctime>

namespace facet::serve {
namespace {

// Lengths behind the system turn and before the last turns, in tokens.
std::vector<int> Anchors(const LoadedModel& model, const std::vector<TokenId>& ids) {
  const auto open = model.tokenizer->Find("<|turn>");
  if (!open) return {};
  std::vector<int> turns;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] == *open) turns.push_back(static_cast<int>(i));
  }
  std::vector<int> out;
  if (turns.size() > 1) out.push_back(turns[1]);  // system and tools end here
  for (size_t i = turns.size() > 4 ? turns.size() - 4 : 0; i < turns.size(); ++i)
    out.push_back(turns[i]);
  // Behind "<|turn>model\n": the history has no empty thinking channel there.
  if (!turns.empty()) out.push_back(turns.back() + 3);
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  std::erase_if(out, [&](int n) { return n <= 0 || n >= static_cast<int>(ids.size()); });
  return out;
}

double Rate(int count, double ms) {
  return ms > 0 ? count * 1000.0 / ms : 0.0;
}

}  // namespace

class Job::Sink : public AnswerSink {
 public:
  Sink(std::shared_ptr<Job> job, int index) : job_(std::move(job)), index_(index) {}
  void OnProgress(const GenerationStats& so_far, int processed) override {
    job_->Progress(so_far, processed);
  }
  void OnEvents(std::vector<OutputEvent> events, const AnswerToken* token) override {
    job_->Events(index_, std::move(events), token);
  }
  void OnEnd(const AnswerEnd& end) override { job_->End(index_, end); }
  bool Ready() const override { return job_->exchange_->Pending() < Exchange::kMaxPending; }

 private:
  std::shared_ptr<Job> job_;
  int index_;
};

Job::Job(std::shared_ptr<Exchange> exchange, std::shared_ptr<LoadedModel> model, Common common)
    : exchange_(std::move(exchange)), model_(std::move(model)), common_(std::move(common)) {}

void Job::Start(std::vector<Run> runs) {
  {
    const std::lock_guard lock(mutex_);
    choices_.resize(runs.size());
    open_ = runs.size();
    for (size_t i = 0; i < runs.size(); ++i) {
      choices_[i].index = static_cast<int>(i);
      auto sink = std::make_shared<Sink>(shared_from_this(), static_cast<int>(i));
      auto listener = MakeAnswer(model_->tokenizer, std::move(runs[i].answer), std::move(sink));
      auto id = model_->engine->Submit(std::move(runs[i].request), std::move(listener));
      if (!id) {
        failed_ = true;
        open_ = 0;
        for (const auto other : ids_) model_->engine->Cancel(other);
        exchange_->Send(ErrorResponse(SubmitError(id.error())));
        return;
      }
      ids_.push_back(*id);
    }
    if (common_.stream) {
      exchange_->BeginStream();
      OnBegin();
    }
  }
  exchange_->OnClose([weak = weak_from_this()] {
    if (const auto job = weak.lock()) job->CancelAll();
  });
}

void Job::CancelAll() {
  const std::lock_guard lock(mutex_);
  for (const auto id : ids_) model_->engine->Cancel(id);
}

void Job::Progress(const GenerationStats& so_far, int processed) {
  if (!common_.progress) return;
  OrderedJson progress = {
      {"total", so_far.prompt}, {"cache", so_far.cached}, {"processed", processed}};
  exchange_->SetComment(Dump(progress));
}

void Job::Events(int index, std::vector<OutputEvent> events, const AnswerToken* token) {
  const std::lock_guard lock(mutex_);
  if (failed_) return;
  ChoiceState& choice = choices_[index];
  if (token != nullptr) OnToken(choice, *token);
  for (const OutputEvent& event : events) {
    using Kind = OutputEvent::Kind;
    switch (event.kind) {
      case Kind::kContent:
        choice.content += event.text;
        break;
      case Kind::kReasoning:
        choice.reasoning += event.text;
        break;
      case Kind::kCallBegin:
        choice.calls.push_back({RandomId("call_"), event.text, ""});
        break;
      case Kind::kCallArguments:
        choice.calls[event.call].arguments += event.text;
        break;
      case Kind::kCallEnd:
        choice.calls[event.call].complete = true;
        break;
    }
    OnEvent(choice, event);
  }
  OnFlush(choice);
}

void Job::End(int index, const AnswerEnd& end) {
  const std::lock_guard lock(mutex_);
  if (failed_) return;
  choices_[index].end = end;
  if (end.reason == AnswerEnd::Reason::kError || end.reason == AnswerEnd::Reason::kCancelled) {
    failed_ = true;
    for (const auto id : ids_) model_->engine->Cancel(id);
    if (end.reason == AnswerEnd::Reason::kError) {
      OnError(ToApiError(end.error));
    } else {
      OnError({503, "the request was cancelled", "cancelled", std::nullopt});
    }
    return;
  }
  OnChoiceEnd(choices_[index]);
  if (--open_ == 0) OnEnd();
}

OrderedJson Job::Usage() const {
  int prompt = 0, cached = 0, generated = 0, reasoning = 0, drafted = 0, accepted = 0;
  for (const ChoiceState& choice : choices_) {
    // All choices of a prompt read it together: it counts once.
    if (choice.index % common_.choices == 0) {
      prompt += choice.end.stats.prompt;
      cached += choice.end.stats.cached;
    }
    generated += choice.end.stats.generated;
    reasoning += choice.end.reasoning_tokens;
    drafted += choice.end.stats.drafted;
    accepted += choice.end.stats.accepted;
  }
  OrderedJson usage;
  usage["prompt_tokens"] = prompt;
  usage["completion_tokens"] = generated;
  usage["total_tokens"] = prompt + generated;
  usage["prompt_tokens_details"] = {{"cached_tokens", cached}, {"audio_tokens", 0}};
  usage["completion_tokens_details"] = {{"reasoning_tokens", reasoning},
                                        {"audio_tokens", 0},
                                        {"accepted_prediction_tokens", accepted},
                                        {"rejected_prediction_tokens", drafted - accepted}};
  return usage;
}

OrderedJson Job::Timings(const ChoiceState& choice) const {
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

GenerationRequest MakeGeneration(const LoadedModel& model, std::shared_ptr<const Prompt> prompt,
                                 const Common& common, const std::string& tenant, int choice) {
  GenerationRequest request;
  request.anchors = Anchors(model, prompt->ids);
  request.sampling = Sampling(model, common);
  request.sampling.seed += static_cast<uint64_t>(choice);
  request.top_logprobs = common.top_logprobs;
  request.max_tokens = common.max_tokens.value_or(INT32_MAX);
  request.stop_tokens = model.eos;
  request.tenant = tenant;
  request.scope = Cat(tenant, '\n', model.adapter.identity, '\n', common.salt);
  request.adapter = model.adapter.weights;
  request.use_cache = common.use_cache;
  request.prompt = std::move(prompt);
  return request;
}

ApiError SubmitError(const Error& error) {
  return ToApiError(error);
}

std::optional<ApiError> CheckLength(const LoadedModel& model, const Prompt& prompt,
                                    const std::string& param) {
  const int context = model.engine->context(), length = static_cast<int>(prompt.ids.size());
  if (length < context) return std::nullopt;
  return ApiError{
      400,
      Cat("This model's maximum context length is ", context, " tokens. However, your ", param,
          " resulted in ", length, " tokens. Please reduce the length of the ", param, "."),
      "context_length_exceeded", param};
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

std::string RandomId(std::string_view prefix, int length) {
  static constexpr std::string_view kLetters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  std::vector<unsigned char> random(length);
  RAND_bytes(random.data(), length);
  std::string out(prefix);
  for (const unsigned char byte : random) out.push_back(kLetters[byte % kLetters.size()]);
  return out;
}

int64_t Now() {
  return static_cast<int64_t>(std::time(nullptr));
}

}  // namespace facet::serve
