// From logits to the next token. Order of the steps as in Transformers: penalties and bias,
// temperature, top-k, top-p, min-p.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/result.h"
#include "model/config.h"
#include "text/tokenizer.h"

namespace facet {

struct SamplingParams {
  double temperature = 1.0;  // 0 = greedy
  int top_k = 0;             // 0 = off
  double top_p = 1.0;
  double min_p = 0.0;
  double repetition_penalty = 1.0;  // of tokens in prompt and answer
  double presence_penalty = 0.0;    // of tokens in the answer, once
  double frequency_penalty = 0.0;   // of tokens in the answer, each time
  uint64_t seed = 0;                // same seed, same text
  std::map<TokenId, float> logit_bias;
  std::vector<TokenId> suppress;  // never sampled

  bool greedy() const { return temperature == 0 || top_k == 1; }
};

// Defaults of generation_config.
SamplingParams DefaultSampling(const GenerationConfig& config);
// Ranges of every field; the error names the field. `vocab` bounds the ids.
Result<void> CheckSampling(const SamplingParams& params, int vocab);

// Tokens that can be sampled with their probabilities; most probable first where top-k, top-p or
// min-p cut the rest off.
struct Candidates {
  std::vector<std::pair<TokenId, float>> tokens;  // (id, probability), sums to 1
};

class Sampler {
 public:
  explicit Sampler(SamplingParams params) : params_(std::move(params)) {}

  // Tokens of the prompt count for the repetition penalty.
  void AddPrompt(std::span<const TokenId> ids);
  // Appends a token to the answer.
  void Accept(TokenId id);

  // The next token. Changes `logits` (vocab): penalties, bias, suppressed tokens. The random number
  // depends on the seed and on how many tokens were accepted, on nothing else.
  TokenId Sample(std::span<float> logits) const;
  // The distribution that Sample draws from; for greedy parameters its one token.
  Candidates Distribution(std::span<float> logits) const;
  // Draws from a distribution with the random number of the next token.
  TokenId Draw(const Candidates& candidates) const;

  // Penalties, bias and suppressed tokens: what Sample does first.
  void Adjust(std::span<float> logits) const;

  const SamplingParams& params() const { return params_; }

 private:
  // Uniform in [0, 1), for the next token.
  double Uniform() const;

  SamplingParams params_;
  std::unordered_map<TokenId, int> answer_counts_;
  std::unordered_set<TokenId> seen_;  // prompt and answer, for the repetition penalty
  uint64_t accepted_ = 0;             // tokens of the answer
};

// The k largest logits with their ids, largest first; of equals the lower id first. Neither NaN nor
// minus infinity is among them.
std::vector<std::pair<TokenId, float>> TopLogits(std::span<const float> logits, int k);

// The logarithm of the sum of exp(logit): a logit less this is a log-probability.
double LogSumExp(std::span<const float> logits);

// Forbids what has no bit in `allowed`, one bit a token; empty: all are allowed.
void MaskLogits(std::span<const uint32_t> allowed, std::span<float> logits);

// Index of the largest value; the first of equals.
TokenId ArgMax(std::span<const float> values);

}  // namespace facet
