#include "model/step.h"

#include <algorithm>
#include <cassert>

#include "ops/elementwise/elementwise.h"

namespace facet {

Step::Step(Model& model, Projector& projector, StepBuffers& buffers, const Trace& trace,
           std::span<const Chunk> chunks)
    : model_(model),
      config_(model.config().text),
      buffers_(buffers),
      context_{config_, projector, model.pool(), buffers.block, {}, &trace},
      chunks_(chunks) {}

Result<void> Step::Begin() {
  int64_t total = 0;
  for (const Chunk& chunk : chunks_) total += static_cast<int64_t>(chunk.tokens.size());
  rows_.clear();
  rows_.reserve(total);
  buffers_.x.Resize(total, config_.width);
  for (size_t i = 0; i < chunks_.size(); ++i) FACET_TRY(AddChunk(static_cast<int>(i)));
  for (const Chunk& chunk : chunks_)
    FACET_TRY(chunk.sequence->Reserve(static_cast<int>(chunk.tokens.size())));
  FindAdaptedRows();
  FillAngles();
  buffers_.tiles.resize(std::max(buffers_.tiles.size(), chunks_.size()));
  context_.Show("embeddings", -1, buffers_.x);
  return Ok();
}

// The rows of the chunks that have an adapter; neighbours with the same one together.
void Step::FindAdaptedRows() {
  adapted_.clear();
  int64_t begin = 0;
  for (const Chunk& chunk : chunks_) {
    const auto count = static_cast<int64_t>(chunk.tokens.size());
    if (chunk.adapter != nullptr && !adapted_.empty() && adapted_.back().adapter == chunk.adapter &&
        adapted_.back().begin + adapted_.back().count == begin) {
      adapted_.back().count += count;
    } else if (chunk.adapter != nullptr) {
      adapted_.push_back({begin, count, chunk.adapter});
    }
    begin += count;
  }
  context_.adapted = adapted_;
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
  Mat x = buffers_.x;
  if (run != nullptr) {
    const float* soft = run->rows.row(rows_[row].position - run->begin);
    std::copy(soft, soft + config_.width, x.row(row));
    return Ok();
  }
  return model_.EmbedTokens({&token, 1}, x.rows_at(row, 1));
}

void Step::FillAngles() {
  buffers_.positions.resize(rows_.size());
  for (size_t r = 0; r < rows_.size(); ++r) buffers_.positions[r] = rows_[r].position;
  bool sliding_filled = false, full_filled = false;
  for (const LayerConfig& c : config_.layers) {
    RopeTable& table = c.sliding ? buffers_.sliding : buffers_.full;
    bool& filled = c.sliding ? sliding_filled : full_filled;
    if (!filled)
      table.Fill(RopeFrequencies(config_.rope(c.sliding), c.head_dim), buffers_.positions);
    filled = true;
  }
}

void Step::Layer(int layer) {
  DecoderLayer(context_, layer, model_.weights().layers[layer], buffers_.x,
               [this, layer](ConstMat h) { Attention(layer, h); });
}

// y = Wo attention(rope(rms(Wq h)), rope(rms(Wk h)), rms(Wv h))
void Step::Attention(int layer, ConstMat h) {
  const LayerConfig& c = config_.layers[layer];
  const LayerWeights& w = model_.weights().layers[layer];
  const RopeTable& angles = c.sliding ? buffers_.sliding : buffers_.full;
  Mat q = buffers_.block.q.Resize(h.rows(), w.q.rows()),
      k = buffers_.k.Resize(h.rows(), w.k.rows());
  Mat v = buffers_.v.Resize(h.rows(), w.k.rows());
  const Product products[] = {{&w.q, q}, {&w.k, k}, {&w.v, v}};
  context_.projector.Run(h, std::span(products, c.keys_are_values ? 2 : 3), context_.adapted);
  if (config_.value_norm)
    RmsNorm({c.head_dim, nullptr, config_.eps}, c.keys_are_values ? k : v, v, context_.pool);
  RmsNorm({c.head_dim, w.k_norm.data(), config_.eps}, k, k, context_.pool);
  Rope(angles, c.head_dim, k, context_.pool);
  context_.Show("key", layer, k);
  context_.Show("value", layer, v);
  WriteRecords(layer, k, v);
  FillRanges(layer);
  const KeySource keys{model_.cache().layout().layers[layer], w.k_norm};
  AttendAndProject(context_, layer, w, keys, angles, {buffers_.ranges.data(), rows_.size()});
}

// Writes each row's records into the cache: keys normed and rotated, values normed.
void Step::WriteRecords(int layer, ConstMat keys, ConstMat values) {
  const LayerConfig& c = config_.layers[layer];
  const CacheLayout::Layer& place = model_.cache().layout().layers[layer];
  const KvShape& shape = place.shape;
  const CompactOrder order{c.head_dim, config_.rope(c.sliding).rotated_pairs};
  context_.pool.ParallelFor(static_cast<int64_t>(rows_.size()), [&](int64_t r) {
    thread_local std::vector<float> record;
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
    if (place.spread > 1) Hadamard(place.spread, place.record_scale(), record);
    const Row& at = rows_[r];
    WriteRecord(shape, chunks_[at.chunk].sequence->WritableTile(layer, at.position),
                at.position % kTile, record.data());
  });
}

// Which keys each row sees. Sliding layers: (causal or same picture) and key > query - window. Full
// layers: causal.
void Step::FillRanges(int layer) {
  for (size_t i = 0; i < chunks_.size(); ++i)
    chunks_[i].sequence->TilePointers(layer, buffers_.tiles[i]);
  buffers_.ranges.resize(rows_.size());
  const bool sliding = config_.layers[layer].sliding;
  for (size_t r = 0; r < rows_.size(); ++r) {
    const Row& row = rows_[r];
    const int begin = sliding ? std::max(0, row.position - config_.window + 1) : 0;
    const int end = sliding ? std::max(row.position + 1, row.run_end) : row.position + 1;
    buffers_.ranges[r] = {buffers_.tiles[row.chunk].data(), begin, end};
  }
}

void Step::Finish(Buffer& hidden) {
  int64_t outputs = 0;
  for (const Chunk& chunk : chunks_) outputs += chunk.outputs;
  Mat out = hidden.Resize(outputs, config_.width);
  Mat x = buffers_.x;
  int64_t end = 0, next = 0;
  for (const Chunk& chunk : chunks_) {
    end += static_cast<int64_t>(chunk.tokens.size());
    for (int64_t r = end - chunk.outputs; r < end; ++r) {
      std::copy(x.row(r), x.row(r) + config_.width, out.row(next++));
    }
  }
  RmsNorm({config_.width, model_.weights().final_norm.data(), config_.eps}, out, out,
          context_.pool);
  context_.Show("final_norm", -1, out);
}

}  // namespace facet
