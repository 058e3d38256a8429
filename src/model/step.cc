#include "model/step.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "ops/elementwise/elementwise.h"

namespace facet {

std::vector<float> RopeFrequencies(const RopeConfig& rope, int head_dim) {
  const float theta = static_cast<float>(rope.theta);
  std::vector<float> frequencies(rope.rotated_pairs);
  for (int i = 0; i < rope.rotated_pairs; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
    frequencies[i] = 1.0f / std::pow(theta, exponent) / static_cast<float>(rope.scale);
  }
  return frequencies;
}

void CompactOrder::Queries(ConstMat q, std::span<const float> k_norm, Mat out) const {
  for (int64_t r = 0; r < q.rows(); ++r) {
    for (int64_t head = 0; head < q.cols(); head += head_dim) {
      const float* from = q.row(r) + head;
      float* to = out.row(r) + head;
      ForRotated([&](int d, int at) { to[at] = from[d]; });
      ForStill([&](int d, int at) { to[rotated() + at] = from[d] * k_norm[d]; });
    }
  }
}

void CompactOrder::Values(ConstMat values, Mat out) const {
  for (int64_t r = 0; r < values.rows(); ++r) {
    for (int64_t head = 0; head < values.cols(); head += head_dim) {
      const float* from = values.row(r) + head;
      float* to = out.row(r) + head;
      ForStill([&](int d, int at) { to[d] = from[at]; });
      ForRotated([&](int d, int at) { to[d] = from[still() + at]; });
    }
  }
}

namespace {

void Scale(Mat x, float factor) {
  for (int64_t r = 0; r < x.rows(); ++r) {
    for (float& value : x.row_span(r)) value *= factor;
  }
}

}  // namespace

Step::Step(Model& model, std::span<const Chunk> chunks)
    : model_(model), config_(model.config().text), work_(*model.work_), chunks_(chunks) {}

Result<void> Step::Begin() {
  int64_t total = 0;
  for (const Chunk& chunk : chunks_) total += static_cast<int64_t>(chunk.tokens.size());
  rows_.clear();
  rows_.reserve(total);
  work_.x.Resize(total, config_.width);
  for (size_t i = 0; i < chunks_.size(); ++i) FACET_TRY(AddChunk(static_cast<int>(i)));
  for (const Chunk& chunk : chunks_) FACET_TRY(chunk.sequence->Reserve(static_cast<int>(chunk.tokens.size())));
  FillAngles();
  work_.tiles.resize(std::max(work_.tiles.size(), chunks_.size()));
  Trace("embeddings", -1, work_.x);
  return Ok();
}

Result<void> Step::AddChunk(int index) {
  const Chunk& chunk = chunks_[index];
  const int begin = chunk.sequence->length(), end = begin + static_cast<int>(chunk.tokens.size());
  if (end > config_.context) {
    return Error{Cat(end, " tokens do not fit into the context of ", config_.context), ErrorKind::kResource};
  }
  size_t next = 0;
  for (int position = begin; position < end; ++position) {
    while (next < chunk.soft.size() && chunk.soft[next].end() <= position) ++next;
    const SoftRun* run = next < chunk.soft.size() && chunk.soft[next].begin <= position ? &chunk.soft[next] : nullptr;
    const bool whole = run != nullptr && run->picture && config_.image_bidirectional;
    if (whole && (run->begin < begin || run->end() > end)) {
      return Error{Cat("a picture at tokens ", run->begin, " to ", run->end(), " is cut by a step of tokens ", begin,
                       " to ", end)};
    }
    rows_.push_back({index, position, whole ? run->end() : 0});
    FACET_TRY(Embed(static_cast<int>(rows_.size()) - 1, chunk.tokens[position - begin], run));
  }
  return Ok();
}

Result<void> Step::Embed(int row, int32_t token, const SoftRun* run) {
  Mat x = work_.x;
  if (run != nullptr) {
    const float* soft = run->rows.row(rows_[row].position - run->begin);
    std::copy(soft, soft + config_.width, x.row(row));
    return Ok();
  }
  return model_.EmbedTokens({&token, 1}, x.rows_at(row, 1));
}

void Step::FillAngles() {
  work_.positions.resize(rows_.size());
  for (size_t r = 0; r < rows_.size(); ++r) work_.positions[r] = rows_[r].position;
  for (const LayerConfig& c : config_.layers) {
    RopeTable& table = c.sliding ? work_.sliding : work_.full;
    bool& filled = c.sliding ? sliding_filled_ : full_filled_;
    if (!filled) table.Fill(RopeFrequencies(config_.rope(c.sliding), c.head_dim), work_.positions);
    filled = true;
  }
}

void Step::Layer(int layer) {
  const LayerWeights& w = model_.weights().layers[layer];
  Mat x = work_.x, h = work_.h.Resize(x.rows(), x.cols()), y = work_.y.Resize(x.rows(), x.cols());
  RmsNorm({config_.width, w.attn_norm.data(), config_.eps}, x, h, model_.pool_);
  Trace("attn_norm", layer, h);
  Attention(layer, h, y);
  Trace("attn_output", layer, y);
  AddNormed(y, w.post_attn_norm, 1.0f);
  RmsNorm({config_.width, w.ffn_norm.data(), config_.eps}, x, h, model_.pool_);
  Trace("ffn_norm", layer, h);
  FeedForward(w, h, y);
  Trace("ffn_output", layer, y);
  AddNormed(y, w.post_ffn_norm, w.layer_scalar);
  Trace("layer_output", layer, x);
}

// x = (x + rms(y, norm)) * scale
void Step::AddNormed(Mat y, const Vector& norm, float scale) {
  RmsNorm({config_.width, norm.data(), config_.eps}, y, y, model_.pool_);
  AddScaled(work_.x, y, scale, model_.pool_);
}

void Step::FeedForward(const LayerWeights& w, ConstMat h, Mat y) {
  Mat gate = work_.gate.Resize(h.rows(), config_.ffn), up = work_.up.Resize(h.rows(), config_.ffn);
  const Product products[] = {{&w.gate, gate}, {&w.up, up}};
  model_.projector_.Run(h, products);
  GeluTanhGate(gate, up, model_.pool_);
  model_.projector_.Run(gate, w.down, y);
}

// y = Wo attention(rope(rms(Wq h)), rope(rms(Wk h)), rms(Wv h))
void Step::Attention(int layer, ConstMat h, Mat y) {
  const LayerConfig& c = config_.layers[layer];
  const LayerWeights& w = model_.weights().layers[layer];
  const CacheLayout::Layer& place = model_.cache_->layout().layers[layer];
  const RopeTable& angles = c.sliding ? work_.sliding : work_.full;
  ThreadPool& pool = model_.pool_;

  Mat q = work_.q.Resize(h.rows(), w.q.rows()), k = work_.k.Resize(h.rows(), w.k.rows());
  Mat v = work_.v.Resize(h.rows(), w.k.rows());
  const Product products[] = {{&w.q, q}, {&w.k, k}, {&w.v, v}};
  model_.projector_.Run(h, std::span(products, c.keys_are_values ? 2 : 3));
  if (config_.value_norm) RmsNorm({c.head_dim, nullptr, config_.eps}, c.keys_are_values ? k : v, v, pool);
  RmsNorm({c.head_dim, w.q_norm.data(), config_.eps}, q, q, pool);
  RmsNorm({c.head_dim, w.k_norm.data(), config_.eps}, k, k, pool);
  Rope(angles, c.head_dim, q, pool);
  Rope(angles, c.head_dim, k, pool);
  if (config_.attention_scale != 1.0f) Scale(q, config_.attention_scale);
  Trace("query", layer, q);
  Trace("key", layer, k);
  Trace("value", layer, v);

  WriteRecords(layer, k, v);
  FillRanges(layer);
  Mat attended = work_.attended.Resize(h.rows(), w.q.rows());
  const CompactOrder order{c.head_dim, config_.rope(c.sliding).rotated_pairs};
  if (place.compact) order.Queries(q, w.k_norm, attended), std::swap(q, attended);
  facet::Attention(place.shape, c.heads, q, {work_.ranges.data(), rows_.size()}, attended, pool);
  if (place.compact) order.Values(attended, q), std::swap(q, attended);
  Trace("attended", layer, attended);
  model_.projector_.Run(attended, w.o, y);
}

// Writes each row's records, keys normed and turned, values normed, into the cache.
void Step::WriteRecords(int layer, ConstMat keys, ConstMat values) {
  const LayerConfig& c = config_.layers[layer];
  const CacheLayout::Layer& place = model_.cache_->layout().layers[layer];
  const KvShape& shape = place.shape;
  const CompactOrder order{c.head_dim, config_.rope(c.sliding).rotated_pairs};
  model_.pool_.ParallelFor(static_cast<int64_t>(rows_.size()), [&](int64_t r) {
    thread_local Vector record;
    record.resize(int64_t{c.kv_heads} * shape.record_dim());
    for (int head = 0; head < c.kv_heads; ++head) {
      const float* k = keys.row(r) + head * c.head_dim;
      const float* v = values.row(r) + head * c.head_dim;
      float* key = record.data() + int64_t{head} * shape.record_dim();
      float* value = key + shape.value_offset;
      if (place.compact) {
        order.ForRotated([&](int d, int at) { key[at] = k[d]; });
        order.ForStill([&](int d, int at) { value[at] = v[d]; });
        order.ForRotated([&](int d, int at) { value[order.still() + at] = v[d]; });
      } else {
        std::copy(k, k + c.head_dim, key);
        std::copy(v, v + c.head_dim, value);
      }
    }
    const Row& at = rows_[r];
    WriteRecord(shape, chunks_[at.chunk].sequence->WritableTile(layer, at.position), at.position % kTile, record.data());
  });
}

// Which keys each row sees. Sliding layers: (causal or same picture) and key > query - window. Full layers: causal.
void Step::FillRanges(int layer) {
  for (size_t i = 0; i < chunks_.size(); ++i) chunks_[i].sequence->TilePointers(layer, work_.tiles[i]);
  work_.ranges.resize(rows_.size());
  const bool sliding = config_.layers[layer].sliding;
  for (size_t r = 0; r < rows_.size(); ++r) {
    const Row& row = rows_[r];
    const int begin = sliding ? std::max(0, row.position - config_.window + 1) : 0;
    const int end = sliding ? std::max(row.position + 1, row.run_end) : row.position + 1;
    work_.ranges[r] = {work_.tiles[row.chunk].data(), begin, end};
  }
}

void Step::Finish(Buffer& hidden) {
  int64_t outputs = 0;
  for (const Chunk& chunk : chunks_) outputs += chunk.outputs;
  Mat out = hidden.Resize(outputs, config_.width);
  Mat x = work_.x;
  int64_t end = 0, next = 0;
  for (const Chunk& chunk : chunks_) {
    end += static_cast<int64_t>(chunk.tokens.size());
    for (int64_t r = end - chunk.outputs; r < end; ++r) {
      std::copy(x.row(r), x.row(r) + config_.width, out.row(next++));
    }
  }
  RmsNorm({config_.width, model_.weights().final_norm.data(), config_.eps}, out, out, model_.pool_);
  Trace("final_norm", -1, out);
}

}  // namespace facet
