// One generation as the engine sees it: what is asked for, what comes out token by token, and how
// it ended. Nothing here knows text or HTTP.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "engine/prompt.h"
#include "engine/sampler.h"

namespace facet {

// A token that was chosen, and (where asked for) the likeliest ones in the model's own
// distribution, best first.
struct Sampled {
  TokenId id = 0;
  float logprob = 0;
  std::vector<std::pair<TokenId, float>> top;  // (id, log-probability)
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
  // Lengths at which a later prompt is likely to branch from this one: after system and tools,
  // before the generation prompt.
  std::vector<int> anchors;
  SamplingParams sampling;
  int top_logprobs = -1;  // -1: none
  int max_tokens = 0;     // at least 1; clamped to what the context leaves
  int min_tokens = 0;     // before which no stop token is sampled
  // Log-probabilities of the prompt's own tokens, with so many of the likeliest others; -1: none.
  int prompt_logprobs = -1;
  bool read_only = false;                  // reads the prompt and generates nothing
  std::vector<TokenId> stop_tokens;        // end the answer, and are not part of it
  std::string tenant;                      // for fairness
  std::string scope;                       // of the prefix cache: tenant '\n' adapter, salt
  std::shared_ptr<const Adapter> adapter;  // LoRA beside the weights; null: none
  bool use_cache = true;
  // A further part of a request that was accepted: not refused for a full queue.
  bool accepted_before = false;
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
    // Tokens that come next, whatever the model says; where a constraint does not allow the first
    // of them yet (inside of a character), as soon as it does.
    std::vector<TokenId> force;
    bool release = false;  // what was forced and has not come need not come any more
  };
  virtual ~GenerationListener() = default;
  // With `prompt_logprobs`, for each token of the prompt but the first, in order.
  virtual void OnPromptToken(const Sampled& /*token*/) {}
  // The prompt is being read.
  virtual void OnProgress(const GenerationStats& /*so_far*/, int /*processed*/) {}
  virtual Decision OnToken(const Sampled& token) = 0;
  // With `embed`, before OnDone: the mean of the prompt's states after the final norm (width).
  virtual void OnEmbedding(std::vector<double> /*mean*/) {}
  virtual void OnDone(const Outcome& outcome) = 0;
  // False while the reader is behind: the sequence pauses, and may be preempted.
  virtual bool Ready() const { return true; }
};

}  // namespace facet
