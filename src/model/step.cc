#include "model/step.h"

#include <algorithm>
#include <cassert>

#include "ops/elementwise/elementwise.h"

namespace facet {

Step::Step(Model& model, std::span<const Chunk> chunks)
    : model_(model),
      config_(model.config().text),
      context_{config_, model.projector_, model.pool_},
      work_(*model.work_),
      chunks_(chunks) {}

Result<void> Step::Begin() {
  int64_t total = 0;
  for (const Chunk& chunk : chunks_) total += static_cast<int64_t>(chunk.tokens.size());
  rows_.clear();
  rows_.reserve(total);
  work_.x.Resize(total, config_.width);
  for (size_t i = 0; i < chunks_.size(); ++i) FACET_TRY(AddChunk(static_cast<int>(i)));
  for (const Chunk& chunk : chunks_)
    FACET_TRY(chunk.sequence->Reserve(static_cast<int>(chunk.tokens.size())));
  model_.projector_.set_adapted_rows(AdaptedChunks());
  FillAngles();
  work_.tiles.resize(std::max(work_.tiles.size(), chunks_.size()));
  Trace("embeddings", -1, work_.x);
  return Ok();
}

// The rows of the chunks that have an adapter; neighbours with the same one together.
std::vector<AdaptedRows> Step::AdaptedChunks() const {
  std::vector<AdaptedRows> rows;
  int64_t begin = 0;
  for (const Chunk& chunk : chunks_) {
    const auto count = static_cast<int64_t>(chunk.tokens.size());
    const Adapter* adapter = chunk.adapter != nullptr ? chunk.adapter : model_.adapter_.get();
    if (adapter != nullptr && !rows.empty() && rows.back().adapter == adapter &&
        rows.back().begin + rows.back().count == begin) {
      rows.back().count += count;
    } else if (adapter != nullptr) {
      rows.push_back({begin, count, adapter});
    }
    begin += count;
  }
  return rows;
}

Result<void> Step::AddChunk(int index) {
  const Chunk& chunk = chunks_[index];
  const int begin = chunk.sequence->length(), end = begin + static_cast<int>(chunk.tokens.size());
  if (end > config_.context) {
    return Error{Cat(end, " tokens do not fit into the context of ", config_.context),
                 ErrorKind::kResource};
  }
  size_t next = 0;
  for (int position = begin; position < end; ++position) {
    while (next < chunk.soft.size() && chunk.soft[next].end() <= position) ++next;
    const SoftRun* run = next < chunk.soft.size() && chunk.soft[next].begin <= position
                             ? &chunk.soft[next]
                             : nullptr;
    const bool whole = run != nullptr && run->picture && config_.image_bidirectional;
    if (whole && (run->begin < begin || run->end() > end)) {
      return Error{Cat("a picture at tokens ", run->begin, " to ", run->end(),
                       " is cut by a step of tokens ", begin, " to ", end)};
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
  Mat x = work_.x;
  Mat h = NormInput(context_, x, w.attn_norm, work_.block);
  Trace("attn_norm", layer, h);
  Attention(layer, h);
  Trace("attn_output", layer, work_.block.y);
  AddNormed(context_, x, work_.block.y, w.post_attn_norm, 1.0f);
  h = NormInput(context_, x, w.ffn_norm, work_.block);
  Trace("ffn_norm", layer, h);
  FeedForward(context_, w, h, work_.block);
  Trace("ffn_output", layer, work_.block.y);
  AddNormed(context_, x, work_.block.y, w.post_ffn_norm, w.layer_scalar);
  Trace("layer_output", layer, x);
}

// y = Wo attention(rope(rms(Wq h)), rope(rms(Wk h)), rms(Wv h))
void Step::Attention(int layer, ConstMat h) {
  const LayerConfig& c = config_.layers[layer];
  const LayerWeights& w = model_.weights().layers[layer];
  const RopeTable& angles = c.sliding ? work_.sliding : work_.full;
  Mat q = work_.block.q.Resize(h.rows(), w.q.rows()), k = work_.k.Resize(h.rows(), w.k.rows());
  Mat v = work_.v.Resize(h.rows(), w.k.rows());
  const Product products[] = {{&w.q, q}, {&w.k, k}, {&w.v, v}};
  model_.projector_.Run(h, std::span(products, c.keys_are_values ? 2 : 3));
  if (config_.value_norm)
    RmsNorm({c.head_dim, nullptr, config_.eps}, c.keys_are_values ? k : v, v, model_.pool_);
  RmsNorm({c.head_dim, w.k_norm.data(), config_.eps}, k, k, model_.pool_);
  Rope(angles, c.head_dim, k, model_.pool_);
  Trace("key", layer, k);
  Trace("value", layer, v);
  WriteRecords(layer, k, v);
  FillRanges(layer);
  const KeySource keys{model_.cache_->layout().layers[layer], w.k_norm};
  AttendAndProject(context_, layer, w, keys, angles, {work_.ranges.data(), rows_.size()},
                   work_.block);
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
    WriteRecord(shape, chunks_[at.chunk].sequence->WritableTile(layer, at.position),
                at.position % kTile, record.data());
  });
}

// Which keys each row sees. Sliding layers: (causal or same picture) and key > query - window. Full
// layers: causal.
void Step::FillRanges(int layer) {
  for (size_t i = 0; i < chunks_.size(); ++i)
    chunks_[i].sequence->TilePointers(layer, work_.tiles[i]);
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
