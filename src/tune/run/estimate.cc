#include "tune/run/estimate.h"

#include <algorithm>

namespace facet::tune {
namespace {

constexpr int64_t kLogits = int64_t{128} << 18;  // that the trainer holds at a time
constexpr size_t kBytesOfState = 4 * sizeof(float);

}  // namespace

CheckpointSize MeasureCheckpoint(const Checkpoint& checkpoint) {
  CheckpointSize size;
  for (const TensorFile* file : {checkpoint.text.get(), checkpoint.projector.get()}) {
    if (file == nullptr) continue;
    for (const Tensor& tensor : file->tensors()) {
      size.bytes += tensor.data.size();
      size.parameters += tensor.elements();
    }
  }
  return size;
}

int64_t AdapterParameters(const Checkpoint& checkpoint, int rank) {
  int64_t sides = 0;
  for (const LayerWeights& w : checkpoint.weights.layers) {
    for (const Linear* linear : {&w.q, &w.k, &w.v, &w.o, &w.gate, &w.up, &w.down}) {
      if (linear->weight.data != nullptr) sides += linear->rows() + linear->cols();
    }
  }
  return sides * rank;
}

TuneMemory EstimateTuning(const TextConfig& text, const CheckpointSize& size,
                          const TuneShape& shape) {
  TuneMemory out;
  out.weights = size.bytes;
  out.trained = kBytesOfState * static_cast<size_t>(shape.full ? size.parameters : shape.trained);

  int64_t heads = 0, kv = 0;
  for (const LayerConfig& c : text.layers) {
    heads = std::max<int64_t>(heads, int64_t{c.heads} * c.head_dim);
    kv = std::max<int64_t>(kv, int64_t{c.kv_heads} * c.head_dim);
  }
  const int64_t rows = shape.batch_tokens, layers = static_cast<int64_t>(text.layers.size());
  // Each layer's input; the activations of the layer at work and their gradients.
  const int64_t inputs = layers * text.width;
  const int64_t work = 14 * int64_t{text.width} + 7 * heads + 6 * kv + 4 * int64_t{text.ffn};
  const int64_t logits = std::min(kLogits, rows * text.vocab);
  // A quantised matrix is unpacked while it is used.
  const int64_t unpacked = int64_t{text.width} * text.ffn;
  out.workspace = static_cast<size_t>(rows * (inputs + work) + logits + unpacked) * sizeof(float);
  const int64_t activations = 2 * heads + 2 * kv + 2 * int64_t{text.width} + 2 * int64_t{text.ffn};
  const size_t kept =
      std::min(shape.keep_bytes, static_cast<size_t>(rows * layers * activations) * sizeof(float));
  // What oneDNN and the allocator take on top grows with the activations (measured).
  out.workspace += kept + kept / 10 * 3;
  out.program = (size_t{90} << 20) + static_cast<size_t>(text.vocab) * 64;
  return out;
}

}  // namespace facet::tune
