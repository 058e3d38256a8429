// Serves many generations at once: one thread that batches prefill chunks and decodes of all
// sequences into one step, with a prefix cache in front. Requests come in and tokens go out through
// listeners; nothing here knows text or HTTP.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/executor.h"
#include "engine/prefix_store.h"
#include "engine/sampler.h"
#include "engine/stats.h"

namespace facet {

// A token that was chosen, and (where asked for) the likeliest ones in the model's own
// distribution, best first.
struct Sampled {
  TokenId id = 0;
  float logprob = 0;
  std::vector<std::pair<TokenId, float>> top;
};

// Restricts which tokens may come next. Called from the engine's thread.
class TokenConstraint {
 public:
  virtual ~TokenConstraint() = default;
  // One bit for each token of the vocabulary; empty: all. An error ends the generation.
  virtual Result<std::span<const uint32_t>> Allowed() = 0;
  virtual Result<void> Accept(TokenId id) = 0;
  // A copy in the same state, to try drafts on. Null: there is none, and nothing is drafted.
  virtual std::unique_ptr<TokenConstraint> Copy() const { return nullptr; }
};

struct GenerationRequest {
  std::shared_ptr<const Prompt> prompt;
  // Lengths at which a later prompt is likely to part from this one: behind system and tools,
  // before the generation prompt.
  std::vector<int> anchors;
  SamplingParams sampling;
  int top_logprobs = -1;                   // -1: none
  int max_tokens = 0;                      // at least 1; clamped to what the context leaves
  std::vector<TokenId> stop_tokens;        // end the answer, and are not part of it
  std::string tenant;                      // for fairness
  std::string scope;                       // of the prefix cache: tenant '\n' adapter, salt
  std::shared_ptr<const Adapter> adapter;  // LoRA beside the weights; null: none
  bool use_cache = true;
  bool goes_on = false;  // a further part of what was accepted: not refused for a full queue
  std::unique_ptr<TokenConstraint> constraint;
  bool embed = false;  // reads the prompt, hands back the mean of its states, and generates nothing
};

// How a generation went, in tokens and milliseconds.
struct GenerationStats {
  int prompt = 0, cached = 0, generated = 0, drafted = 0, accepted = 0;
  double queue_ms = 0, prompt_ms = 0, decode_ms = 0;
};

struct Outcome {
  enum class Reason { kStop, kLength, kListener, kCancelled, kError };
  Reason reason = Reason::kStop;
  Error error;  // with kError
  GenerationStats stats;
};

// Called from the engine's thread; must not block.
class GenerationListener {
 public:
  struct Decision {
    bool stop = false;
    std::vector<TokenId> force;  // tokens that come next, whatever the model says
  };
  virtual ~GenerationListener() = default;
  // The prompt is being read.
  virtual void OnProgress(const GenerationStats& /*so_far*/, int /*processed*/) {}
  virtual Decision OnToken(const Sampled& token) = 0;
  // With `embed`, before OnDone: the mean of the prompt's states after the final norm (width).
  virtual void OnEmbedding(std::vector<double> /*mean*/) {}
  virtual void OnDone(const Outcome& outcome) = 0;
  // False while nobody takes what was produced: the sequence pauses, and may lose its place.
  virtual bool Ready() const { return true; }
};

// How tokens are drafted and verified together (speculation.h). Never changes an answer.
struct DraftOptions {
  enum class Mode {
    kOff,
    kAuto,   // as many drafts as pay, none included
    kFixed,  // `length` drafts wherever there is something to draft
  };
  Mode mode = Mode::kAuto;
  int length = 0;
  bool lookup = true, drafter = true;  // where drafts may come from
};

struct EngineOptions {
  int max_sequences = 16;  // that run at the same time
  int max_queue = 256;     // requests that wait
  int chunk = 512;         // prompt tokens in a step, of all sequences together
  double step_ms =
      200;  // with decodes in the step: prompt tokens are cut so that it takes about so long
  // How long a sequence that nobody reads keeps its place from those that wait.
  std::chrono::milliseconds patience{5000};
  bool prefix_cache = true;
  KeepOptions keep;           // of prefixes on disk
  int snapshot_spacing = 64;  // a request that branches computes at most so many known tokens again
  DraftOptions draft;
};

class Engine {
 public:
  using RequestId = uint64_t;

  Engine(std::unique_ptr<Executor> executor, EngineOptions options = {});
  ~Engine();

  // Errors: kResource when the queue is full or the engine stops, kInvalid for a prompt that is
  // empty or leaves no room in the context. OnDone is called once for each request that was
  // accepted.
  Result<RequestId> Submit(GenerationRequest request, std::shared_ptr<GenerationListener> listener);
  // The sequence is gone after the step that is running.
  void Cancel(RequestId id);
  // Cancels everything and ends the thread.
  void Stop();

  int context() const { return executor_->context(); }
  int vocab() const { return executor_->vocab(); }
  int width() const { return executor_->width(); }
  EngineStats Stats() const;

 private:
  struct Inbox;
  class Scheduler;

  std::unique_ptr<Executor> executor_;
  EngineOptions options_;
  std::unique_ptr<Inbox> inbox_;
  std::unique_ptr<Scheduler> scheduler_;
};

}  // namespace facet
