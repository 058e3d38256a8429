// One HTTP request that generates: its choices run in the engine, their events come back on the
// engine's thread and leave as JSON. The shapes of the chat, completions and responses APIs derive
// from it.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/answer.h"
#include "serve/openai/requests.h"

namespace facet::serve {

// What one choice has said so far.
struct ChoiceState {
  struct Call {
    std::string id, name, arguments;
    bool complete = false;
  };
  int index = 0;
  std::string content, reasoning;
  std::vector<Call> calls;
  OrderedJson logprobs = OrderedJson::array();  // of content tokens, not sent yet
  AnswerEnd end;
};

class Job : public std::enable_shared_from_this<Job> {
 public:
  Job(std::shared_ptr<Exchange> exchange, std::shared_ptr<LoadedModel> model, Common common);
  virtual ~Job() = default;

  struct Run {
    GenerationRequest request;
    AnswerOptions answer;
  };
  // Hands all runs to the engine, one choice each. Answers with an error where it does not take
  // them.
  void Start(std::vector<Run> runs);

 protected:
  // Called in turn, never at the same time.
  virtual void OnBegin() {}  // of a stream
  virtual void OnEvent(ChoiceState& choice, const OutputEvent& event) = 0;
  virtual void OnToken(ChoiceState& /*choice*/, const AnswerToken& /*token*/) {}
  virtual void OnFlush(ChoiceState& /*choice*/) {}  // after the events of one token
  virtual void OnChoiceEnd(ChoiceState& /*choice*/) {}
  virtual void OnEnd() = 0;  // all choices are done
  virtual void OnError(const ApiError& error) = 0;

  bool streaming() const { return common_.stream; }
  OrderedJson Usage() const;
  OrderedJson Timings(const ChoiceState& choice) const;
  void Write(std::string bytes) { exchange_->Write(std::move(bytes)); }

  std::shared_ptr<Exchange> exchange_;
  std::shared_ptr<LoadedModel> model_;
  Common common_;
  std::vector<ChoiceState> choices_;

 private:
  class Sink;
  void Progress(const GenerationStats& so_far, int processed);
  void Events(int index, std::vector<OutputEvent> events, const AnswerToken* token);
  void End(int index, const AnswerEnd& end);
  void CancelAll();

  std::mutex mutex_;  // Start against the engine's thread
  std::vector<Engine::RequestId> ids_;
  size_t open_ = 0;  // choices that run
  bool failed_ = false;
};

// Text, tokens, sampling and limits of one run of a prompt.
GenerationRequest MakeGeneration(const LoadedModel& model, std::shared_ptr<const Prompt> prompt,
                                 const Common& common, const std::string& tenant, int choice);

// A prompt that leaves no room is answered as the API does.
// What Engine::Submit says, as an answer: a full queue is 429.
ApiError SubmitError(const Error& error);
std::optional<ApiError> CheckLength(const LoadedModel& model, const Prompt& prompt,
                                    const std::string& param);

// "stop", "length", "tool_calls".
std::string_view FinishReason(AnswerEnd::Reason reason);

// {"token", "logprob", "bytes", "top_logprobs"}.
OrderedJson TokenLogprob(const Tokenizer& tokenizer, const AnswerToken& token);

// prefix + random letters and digits.
std::string RandomId(std::string_view prefix, int length = 24);

int64_t Now();  // seconds since 1970

}  // namespace facet::serve
