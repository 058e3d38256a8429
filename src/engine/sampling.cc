#include "engine/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace facet {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

TokenId ArgMax(std::span<const float> logits) {
  return static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

double LogSumExp(std::span<const float> logits) {
  const float top = logits[ArgMax(logits)];
  double sum = 0;
  for (const float value : logits) sum += std::exp(static_cast<double>(value) - top);
  return top + std::log(sum);
}

bool Before(const std::pair<float, TokenId>& a, const std::pair<float, TokenId>& b) {
  return a.first != b.first ? a.first > b.first : a.second < b.second;
}

}  // namespace

Sampler::Sampler(SamplingParams params, std::span<const TokenId> prompt) : params_(std::move(params)) {
  if (params_.repetition_penalty != 1) {
    for (const TokenId id : prompt) ++prompt_[id];
  }
}

void Sampler::Accept(TokenId id) {
  ++answer_[id];
  ++position_;
}

// splitmix64 of seed and position. https://prng.di.unimi.it/splitmix64.c (public domain; constants)
double Sampler::Uniform() const {
  uint64_t z = params_.seed + (position_ + 1) * 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  z ^= z >> 31;
  return static_cast<double>(z >> 11) * 0x1.0p-53;
}

void Sampler::Adjust(std::span<float> logits, std::span<const uint32_t> allowed) const {
  const auto in_range = [&](TokenId id) { return id >= 0 && id < static_cast<TokenId>(logits.size()); };
  if (params_.repetition_penalty != 1) {
    const auto repeat = [&](TokenId id) {
      float& value = logits[id];
      value = value > 0 ? value / params_.repetition_penalty : value * params_.repetition_penalty;
    };
    for (const auto& [id, count] : prompt_) {
      if (in_range(id)) repeat(id);
    }
    for (const auto& [id, count] : answer_) {
      if (in_range(id) && !prompt_.contains(id)) repeat(id);
    }
  }
  if (params_.presence_penalty != 0 || params_.frequency_penalty != 0) {
    for (const auto& [id, count] : answer_) {
      logits[id] -= params_.presence_penalty + params_.frequency_penalty * static_cast<float>(count);
    }
  }
  for (const auto& [id, bias] : params_.bias) {
    if (in_range(id)) logits[id] += bias;
  }
  for (const TokenId id : params_.banned) {
    if (in_range(id)) logits[id] = kNever;
  }
  if (!allowed.empty()) {
    for (size_t id = 0; id < logits.size(); ++id) {
      if (id / 32 >= allowed.size() || (allowed[id / 32] >> (id % 32) & 1) == 0) logits[id] = kNever;
    }
  }
}

Sampled Sampler::Report(std::span<const float> logits, TokenId id) const {
  Sampled out{.id = id, .logprob = 0, .top = {}};
  if (params_.top_logprobs < 0) return out;
  const double total = LogSumExp(logits);
  out.logprob = static_cast<float>(logits[id] - total);
  std::vector<std::pair<float, TokenId>> best(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) best[i] = {logits[i], static_cast<TokenId>(i)};
  const size_t n = std::min<size_t>(params_.top_logprobs, best.size());
  std::partial_sort(best.begin(), best.begin() + n, best.end(), Before);
  for (size_t i = 0; i < n; ++i) out.top.emplace_back(best[i].second, static_cast<float>(best[i].first - total));
  return out;
}

Sampled Sampler::Sample(std::span<float> logits, std::span<const uint32_t> allowed) {
  if (params_.top_logprobs < 0) {
    Adjust(logits, allowed);
    return {.id = params_.temperature <= 0 ? ArgMax(logits) : Draw(logits), .logprob = 0, .top = {}};
  }
  const std::vector<float> raw(logits.begin(), logits.end());
  Adjust(logits, allowed);
  return Report(raw, params_.temperature <= 0 ? ArgMax(logits) : Draw(logits));
}

TokenId Sampler::Draw(std::span<const float> logits) {
  // Likeliest first, and no more of them than the limits need: the tail is sorted only when it is reached.
  scratch_.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > kNever) scratch_.emplace_back(logits[i], static_cast<TokenId>(i));
  }
  if (scratch_.empty()) return ArgMax(logits);
  const float top = std::min_element(scratch_.begin(), scratch_.end(), Before)->first;
  const auto weight = [&](float logit) { return std::exp((static_cast<double>(logit) - top) / params_.temperature); };
  size_t count = params_.top_k > 0 ? std::min<size_t>(params_.top_k, scratch_.size()) : scratch_.size();
  if (count < scratch_.size()) {
    std::nth_element(scratch_.begin(), scratch_.begin() + count, scratch_.end(), Before);
    scratch_.resize(count);
  }
  double total = 0;
  for (const auto& [logit, id] : scratch_) total += weight(logit);
  if (params_.top_p < 1 || params_.min_p > 0) {
    size_t sorted = 0, kept = 0;
    double mass = 0;
    while (kept < scratch_.size()) {
      if (kept == sorted) {
        sorted = std::min(scratch_.size(), std::max<size_t>(64, sorted * 4));
        std::partial_sort(scratch_.begin() + kept, scratch_.begin() + sorted, scratch_.end(), Before);
      }
      const double w = weight(scratch_[kept].first);
      if (kept > 0 && (mass >= params_.top_p * total || w < params_.min_p)) break;
      mass += w;
      ++kept;
    }
    scratch_.resize(kept);
    total = mass;
  }
  double left = Uniform() * total;
  for (const auto& [logit, id] : scratch_) {
    left -= weight(logit);
    if (left < 0) return id;
  }
  return scratch_.back().second;
}

}  // namespace facet
