// From logits to a token: penalties, masks, temperature, top-k, top-p, min-p. One Sampler for one sequence; its draws depend on
// the seed and the position alone, so that a batch, a cache or a restart changes nothing.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "formats/tokenizer.h"

namespace facet {

struct SamplingParams {
  float temperature = 1;  // 0: the most likely token, the lowest id among equals
  float top_p = 1, min_p = 0;
  int top_k = 0;  // 0: all
  float presence_penalty = 0, frequency_penalty = 0;  // on tokens of the answer so far
  float repetition_penalty = 1;                       // on tokens of prompt and answer
  uint64_t seed = 0;
  std::vector<std::pair<TokenId, float>> bias;
  std::vector<TokenId> banned;  // never sampled
  int top_logprobs = -1;        // -1: no log-probabilities
};

struct Sampled {
  TokenId id = 0;
  float logprob = 0;                               // of the model's own distribution
  std::vector<std::pair<TokenId, float>> top;      // the likeliest, best first
};

class Sampler {
 public:
  Sampler(SamplingParams params, std::span<const TokenId> prompt);

  // `logits` (vocab) is used as scratch. `allowed`, where not empty, has one bit for each token.
  Sampled Sample(std::span<float> logits, std::span<const uint32_t> allowed = {});
  // What Sample would report for a token that was chosen otherwise.
  Sampled Report(std::span<const float> logits, TokenId id) const;
  // The token is part of the answer now.
  void Accept(TokenId id);

 private:
  void Adjust(std::span<float> logits, std::span<const uint32_t> allowed) const;
  TokenId Draw(std::span<const float> logits);
  double Uniform() const;

  SamplingParams params_;
  std::unordered_map<TokenId, int> answer_;  // counts
  std::unordered_map<TokenId, int> prompt_;  // only with a repetition penalty
  uint64_t position_ = 0;
  std::vector<std::pair<float, TokenId>> scratch_;
};

}  // namespace facet
