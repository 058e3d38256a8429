#include "model/estimate.h"

#include <algorithm>

namespace facet {
namespace {

size_t VectorBytes(const Weights& weights) {
  size_t values = weights.final_norm.size();
  for (const LayerWeights& w : weights.layers) {
    for (const std::vector<float>* v :
         {&w.attn_norm, &w.q_norm, &w.k_norm, &w.post_attn_norm, &w.ffn_norm, &w.post_ffn_norm}) {
      values += v->size();
    }
  }
  if (weights.vision) {
    const VisionWeights& v = *weights.vision;
    values += v.columns.size() + v.rows.size() + v.ln1.size() * 2 + v.ln2.size() * 5;
  }
  return values * sizeof(float);
}

size_t WeightBytes(const Checkpoint& checkpoint) {
  Weights weights = checkpoint.weights;  // copies views, not matrices
  size_t bytes = VectorBytes(weights);
  for (const Linear* linear : AllLinears(weights))
    bytes += PackedBytes(linear->weight.type, linear->rows(), linear->cols());
  if (weights.drafter) bytes += weights.drafter->ordering.size() * sizeof(int32_t);
  return bytes;
}

// Residual stream, normed input and output; queries and attention; keys and values; gate and up;
// 8-bit codes of the widest.
int64_t FloatsOfRow(const TextConfig& text) {
  int64_t heads = 0, kv = 0;
  for (const LayerConfig& c : text.layers) {
    heads = std::max<int64_t>(heads, int64_t{c.heads} * c.head_dim);
    kv = std::max<int64_t>(kv, int64_t{c.kv_heads} * c.head_dim);
  }
  return 3 * int64_t{text.width} + 2 * heads + 2 * kv + 2 * int64_t{text.ffn} + text.ffn / 3;
}

}  // namespace

MemoryEstimate EstimateMemory(const Checkpoint& checkpoint, const EstimateOptions& options) {
  const TextConfig& text = checkpoint.config.text;
  MemoryEstimate out;
  out.weights = WeightBytes(checkpoint);
  out.cache = CacheLayout::Create(text, options.cache, options.compact).BytesFor(options.context);
  const int64_t rows = std::min<int64_t>(options.chunk, options.context);
  out.workspace =
      static_cast<size_t>(rows * FloatsOfRow(text) + 2 * int64_t{text.vocab}) * sizeof(float);
  out.program = (size_t{28} << 20) + static_cast<size_t>(text.vocab) * 64;
  return out;
}

Result<DrafterEstimate> EstimateDrafter(const std::filesystem::path& path, int conversations) {
  FACET_ASSIGN(const Checkpoint checkpoint, LoadCheckpoint(path, std::nullopt));
  const std::optional<DrafterConfig>& drafter = checkpoint.config.drafter;
  if (!drafter) return Error{Cat(path.string(), ": is not a drafter")};
  const TextConfig& text = checkpoint.config.text;
  // Token and state that go in, the states that come out and go on to the next draft, and the
  // target's own of the last step, whose rows are the newest token and at most 16 drafts.
  const int64_t states = int64_t{drafter->target_width} * (2 + 2 + 17);
  const int64_t floats = states + FloatsOfRow(text) + text.vocab + drafter->centroids;
  return DrafterEstimate{WeightBytes(checkpoint),
                         static_cast<size_t>(conversations * floats) * sizeof(float)};
}

}  // namespace facet
