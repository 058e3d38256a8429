// One HTTP request that generates: its choices run in the engine, their events come back on the
// engine's thread and leave as JSON. The shapes of the chat, completions and responses APIs derive
// from it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "engine/answer.h"
#include "serve/openai/engine_job.h"
#include "serve/openai/requests.h"

namespace facet::serve {

// What one choice has said so far.
struct ChoiceState {
  struct Call {
    std::string id, name, arguments;
    bool complete = false;
  };
  int index = 0;
  int prompt = 0, generated = 0;  // tokens, while it runs
  std::string content, reasoning;
  std::vector<Call> calls;
  OrderedJson logprobs = OrderedJson::array();  // of content tokens, not sent yet
  AnswerEnd end;

  void Add(const OutputEvent& event);
  // Takes what has not been sent.
  OrderedJson TakeLogprobs();
};

class AnswerJob : public EngineJob {
 public:
  AnswerJob(std::shared_ptr<Exchange> exchange, std::shared_ptr<LoadedModel> model, Common common)
      : EngineJob(std::move(exchange), std::move(model)), common_(std::move(common)) {}

  struct Run {
    GenerationRequest request;
    AnswerOptions answer;
  };
  // Hands all runs to the engine, one choice each. An error says that it does not take them.
  Result<void> Start(std::vector<Run> runs);

 protected:
  // Called in turn, never at the same time.
  virtual StreamForm Form() const { return StreamForm::kEvents; }
  virtual void OnBegin() {}  // of a stream
  virtual void OnEvent(ChoiceState& choice, const OutputEvent& event) = 0;
  virtual void OnPromptToken(ChoiceState& /*choice*/, const Sampled& /*token*/) {}
  virtual void OnToken(ChoiceState& /*choice*/, const AnswerToken& /*token*/) {}
  virtual void OnChoiceEnd(ChoiceState& /*choice*/) {}
  virtual void OnEnd() = 0;  // all choices are done
  virtual void OnError(const Error& error) = 0;

  bool streaming() const { return common_.stream; }
  // Tokens of all choices; a prompt that several read together counts once.
  struct TokenCounts {
    int prompt = 0, cached = 0, generated = 0, reasoning = 0, drafted = 0, accepted = 0;
  };
  TokenCounts Counts() const;
  OrderedJson Usage() const;  // as the chat API has them
  static OrderedJson RunningUsage(const ChoiceState& choice);
  OrderedJson Timings(const ChoiceState& choice) const;
  void Write(std::string bytes) { exchange_->Write(std::move(bytes)); }

  const Common common_;
  std::vector<ChoiceState> choices_;

 private:
  class Sink;
  void Progress(const GenerationStats& so_far, int processed);
  void PromptToken(int index, const Sampled& token);
  void Events(int index, std::vector<OutputEvent> events, const AnswerToken* token);
  void End(int index, const AnswerEnd& end);

  size_t open_ = 0;  // choices that run
};

// One choice or event after the other as objects with a common head; a stream ends with [DONE], as
// in the chat and completions APIs.
class ChunkJob : public AnswerJob {
 public:
  using AnswerJob::AnswerJob;

 protected:
  virtual void SendWhole() = 0;
  // The last event of a stream whose client asked for the usage.
  virtual OrderedJson UsageChunk() = 0;
  void OnEnd() override;
  void OnError(const Error& error) override;

  OrderedJson Head(const std::string& id, std::string_view object) const;
  void WriteChunk(const OrderedJson& chunk) { Write(ServerSentEvent(DumpJson(chunk))); }

 private:
  void EndStream();
  const int64_t created_ = UnixSeconds();
};

// "stop", "length", "tool_calls".
std::string_view FinishReason(AnswerEnd::Reason reason);

// {"token", "logprob", "bytes", "top_logprobs"}.
OrderedJson TokenLogprob(const Tokenizer& tokenizer, const AnswerToken& token);

// The text that a custom tool is called with: the string `input` of the arguments, which are JSON
// as text; what is no such JSON is the text itself.
std::string CustomInput(const std::string& arguments);

// prefix + random letters and digits.
std::string RandomId(std::string_view prefix, int length = 24);

}  // namespace facet::serve
