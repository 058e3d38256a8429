#include "engine/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/random.h"

namespace facet {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

using Scored = std::pair<TokenId, float>;

// Higher score first; of equals the lower id, so that the order never depends on the method of
// selection.
bool Better(const Scored& a, const Scored& b) {
  return a.second != b.second ? a.second > b.second : a.first < b.first;
}

// All that can matter: tokens within e^-40 of the best, in the order of their ids.
std::vector<Scored> AllPossible(std::span<const float> logits, double temperature) {
  const float best = logits[ArgMax(logits)];
  const float floor = best - static_cast<float>(40 * temperature);
  std::vector<Scored> out;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] >= floor && logits[i] != kNever)
      out.emplace_back(static_cast<TokenId>(i), logits[i]);
  }
  return out;
}

// The best ones first, as long as `wanted(mass so far, next)` says so; at least one. A heap, since
// a large vocabulary's tail is seldom wanted and costly to sort.
template <typename F>
std::vector<Scored> BestWhile(std::vector<Scored> scored, F wanted) {
  const auto worse = [](const Scored& a, const Scored& b) { return Better(b, a); };
  std::make_heap(scored.begin(), scored.end(), worse);
  std::vector<Scored> kept;
  double mass = 0;
  while (!scored.empty() && (kept.empty() || wanted(mass, scored.front()))) {
    mass += scored.front().second;
    kept.push_back(scored.front());
    std::pop_heap(scored.begin(), scored.end(), worse);
    scored.pop_back();
  }
  return kept;
}

}  // namespace

// One pass with a small heap: most of a large vocabulary falls below its worst entry.
std::vector<std::pair<TokenId, float>> TopLogits(std::span<const float> logits, int k) {
  std::vector<Scored> heap;
  if (k <= 0) return heap;
  heap.reserve(k + 1);
  for (size_t i = 0; i < logits.size(); ++i) {
    if (static_cast<int>(heap.size()) == k && logits[i] <= heap.front().second) continue;
    if (logits[i] == kNever || std::isnan(logits[i])) continue;
    heap.emplace_back(static_cast<TokenId>(i), logits[i]);
    std::push_heap(heap.begin(), heap.end(), Better);
    if (static_cast<int>(heap.size()) > k) {
      std::pop_heap(heap.begin(), heap.end(), Better);
      heap.pop_back();
    }
  }
  std::sort_heap(heap.begin(), heap.end(), Better);
  return heap;
}

double LogSumExp(std::span<const float> logits) {
  const float best = logits[ArgMax(logits)];
  double sum = 0;
  for (const float value : logits) sum += std::exp(static_cast<double>(value) - best);
  return best + std::log(sum);
}

TokenId ArgMax(std::span<const float> values) {
  // Running maxima side by side, which a compiler turns into vector code; then the first place of
  // the largest.
  std::array<float, 32> lanes;
  lanes.fill(kNever);
  size_t i = 0;
  for (; i + lanes.size() <= values.size(); i += lanes.size()) {
    for (size_t k = 0; k < lanes.size(); ++k)
      lanes[k] = values[i + k] > lanes[k] ? values[i + k] : lanes[k];
  }
  float best = kNever;
  for (const float v : lanes) best = v > best ? v : best;
  for (; i < values.size(); ++i) best = values[i] > best ? values[i] : best;
  for (i = 0; i < values.size(); ++i) {
    if (values[i] == best) return static_cast<TokenId>(i);
  }
  return 0;
}

void MaskLogits(std::span<const uint32_t> allowed, std::span<float> logits) {
  if (allowed.empty()) return;
  for (size_t id = 0; id < logits.size(); ++id) {
    if (id / 32 < allowed.size() && (allowed[id / 32] >> (id % 32) & 1) != 0) continue;
    logits[id] = kNever;
  }
}

SamplingParams DefaultSampling(const GenerationConfig& config) {
  SamplingParams params;
  params.temperature = config.do_sample.value_or(true) ? config.temperature.value_or(1.0) : 0.0;
  params.top_k = config.top_k.value_or(0);
  params.top_p = config.top_p.value_or(1.0);
  params.min_p = config.min_p.value_or(0.0);
  params.repetition_penalty = config.repetition_penalty.value_or(1.0);
  params.suppress = config.suppress;
  return params;
}

Result<void> CheckSampling(const SamplingParams& p, int vocab) {
  const auto range = [](double value, double low, double high, const char* name) -> Result<void> {
    if (value >= low && value <= high) return Ok();
    return Expected(Cat("a number from ", low, " to ", high), value, name);
  };
  FACET_TRY(range(p.temperature, 0, 100, "temperature"));
  FACET_TRY(range(p.top_k, 0, 1 << 24, "top_k"));
  FACET_TRY(range(p.top_p, 0, 1, "top_p"));
  FACET_TRY(range(p.min_p, 0, 1, "min_p"));
  FACET_TRY(range(p.repetition_penalty, 1e-3, 1e3, "repetition_penalty"));
  FACET_TRY(range(p.presence_penalty, -100, 100, "presence_penalty"));
  FACET_TRY(range(p.frequency_penalty, -100, 100, "frequency_penalty"));
  for (const auto& [id, bias] : p.logit_bias) {
    FACET_TRY(range(id, 0, vocab - 1, "logit_bias"));
    FACET_TRY(range(bias, -1000, 1000, "logit_bias"));
  }
  return Ok();
}

void Sampler::AddPrompt(std::span<const TokenId> ids) {
  if (params_.repetition_penalty == 1.0) return;
  seen_.insert(ids.begin(), ids.end());
}

void Sampler::Accept(TokenId id) {
  ++answer_counts_[id];
  if (params_.repetition_penalty != 1.0) seen_.insert(id);
  ++accepted_;
}

void Sampler::Adjust(std::span<float> logits) const {
  const auto inside = [&](int64_t id) {
    return id >= 0 && id < static_cast<int64_t>(logits.size());
  };
  if (params_.repetition_penalty != 1.0) {
    const float penalty = static_cast<float>(params_.repetition_penalty);
    for (const TokenId id : seen_) {
      if (inside(id)) logits[id] = logits[id] > 0 ? logits[id] / penalty : logits[id] * penalty;
    }
  }
  if (params_.presence_penalty != 0 || params_.frequency_penalty != 0) {
    for (const auto& [id, count] : answer_counts_) {
      if (inside(id))
        logits[id] -=
            static_cast<float>(params_.presence_penalty + params_.frequency_penalty * count);
    }
  }
  for (const auto& [id, bias] : params_.logit_bias) {
    if (inside(id)) logits[id] += bias;
  }
  for (const TokenId id : params_.suppress) {
    if (inside(id)) logits[id] = kNever;
  }
}

TokenId Sampler::Sample(std::span<float> logits) const {
  if (params_.greedy()) {
    Adjust(logits);
    return ArgMax(logits);
  }
  return Draw(Distribution(logits));
}

Candidates Sampler::Distribution(std::span<float> logits) const {
  Adjust(logits);
  Candidates out;
  if (params_.greedy()) {
    out.tokens = {{ArgMax(logits), 1.0f}};
    return out;
  }
  std::vector<Scored> scored = params_.top_k > 0 && params_.top_k < static_cast<int>(logits.size())
                                   ? TopLogits(logits, params_.top_k)
                                   : AllPossible(logits, params_.temperature);
  if (scored.empty()) scored = {{ArgMax(logits), 0.0f}};
  double sum = 0;
  float best = scored[0].second;
  for (const Scored& token : scored) best = std::max(best, token.second);
  for (Scored& token : scored) {
    token.second = static_cast<float>(std::exp((token.second - best) / params_.temperature));
    sum += token.second;
  }
  if (params_.top_p < 1 || params_.min_p > 0) {
    // top-p: the fewest tokens that reach the mass; min-p: those with a share of the best one's
    // probability.
    scored = BestWhile(std::move(scored), [&](double mass, const Scored& next) {
      return mass < params_.top_p * sum && next.second >= params_.min_p;
    });
    sum = 0;
    for (const Scored& token : scored) sum += token.second;
  }
  for (Scored& token : scored) token.second = static_cast<float>(token.second / sum);
  out.tokens = std::move(scored);
  return out;
}

double Sampler::Uniform() const {
  const uint64_t token = MixBits(MixBits(params_.seed, 0) + accepted_, 0);
  return static_cast<double>(MixBits(token, 0) >> 11) * 0x1.0p-53;
}

TokenId Sampler::Draw(const Candidates& candidates) const {
  double left = Uniform();
  for (const auto& [id, probability] : candidates.tokens) {
    left -= probability;
    if (left < 0) return id;
  }
  return candidates.tokens.back().first;
}

}  // namespace facet
