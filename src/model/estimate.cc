#include "model/estimate.h"

#include <algorithm>

namespace facet {
namespace {

size_t VectorBytes(const Weights& weights) {
  size_t values = weights.final_norm.size();
  for (const LayerWeights& w : weights.layers) {
    for (const Vector* v :
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

}  // namespace

MemoryEstimate EstimateMemory(const Checkpoint& checkpoint, const EstimateOptions& options) {
  const TextConfig& text = checkpoint.config.text;
  MemoryEstimate out;
  Weights weights = checkpoint.weights;  // copies views, not matrices
  for (const Linear* linear : AllLinears(weights)) {
    out.weights += PackedBytes(linear->weight.type, linear->rows(), linear->cols());
  }
  out.weights += VectorBytes(checkpoint.weights);
  out.cache = CacheLayout::Create(text, options.cache, options.compact).BytesFor(options.context);

  int64_t heads = 0, kv = 0;
  for (const LayerConfig& c : text.layers) {
    heads = std::max<int64_t>(heads, int64_t{c.heads} * c.head_dim);
    kv = std::max<int64_t>(kv, int64_t{c.kv_heads} * c.head_dim);
  }
  const int64_t rows = std::min<int64_t>(options.chunk, options.context);
  // Residual stream, normed input and output; queries and attention; keys and values; gate and up;
  // 8-bit codes of the widest.
  const int64_t floats = 3 * text.width + 2 * heads + 2 * kv + 2 * text.ffn + text.ffn / 3;
  out.workspace = static_cast<size_t>(rows * floats + 2 * int64_t{text.vocab}) * sizeof(float);
  out.program = (size_t{28} << 20) + static_cast<size_t>(text.vocab) * 64;
  return out;
}

}  // namespace facet
