#include "ops/attention/attention.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <limits>
#include <vector>

#include "ops/attention/kernel.h"
#include "ops/attention/online_softmax.h"
#include "ops/dispatch.h"

namespace facet {
namespace {

// Query vectors that share one reading of a tile: enough to pay for it, few enough to stay in the
// first-level cache.
constexpr int kVectors = 32;

const AttentionKernels& Kernels() {
  return FACET_DISPATCH(kAttention);
}

struct Call {
  const KvShape& shape;
  int group;
  ConstMat q;
  std::span<const AttentionRow> rows;
  Mat out;
};

// Neighbouring rows of one sequence and the positions that any of them sees.
struct Block {
  int64_t row;
  int tokens;
  int32_t begin, end;

  int32_t first_segment() const { return begin / kSegment; }
  int32_t segments() const { return (end - 1) / kSegment + 1 - first_segment(); }
};

std::vector<Block> MakeBlocks(const Call& call) {
  const int most = std::max(1, kVectors / call.group);
  std::vector<Block> blocks;
  for (size_t r = 0; r < call.rows.size(); ++r) {
    const AttentionRow& row = call.rows[r];
    assert(row.begin < row.end);
    if (!blocks.empty() && blocks.back().tokens < most && row.tiles == call.rows[r - 1].tiles) {
      Block& block = blocks.back();
      block.begin = std::min(block.begin, row.begin);
      block.end = std::max(block.end, row.end);
      ++block.tokens;
    } else {
      blocks.push_back({static_cast<int64_t>(r), 1, row.begin, row.end});
    }
  }
  return blocks;
}

// Floats of a state of `vectors` vectors.
size_t StateFloats(const KvShape& shape, int vectors) {
  return static_cast<size_t>(vectors) * (2 + shape.value_dim);
}

AttentionState StateAt(float* p, int vectors) {
  return {p, p + vectors, p + 2 * vectors};
}

void Clear(const KvShape& shape, const AttentionState& state, int vectors) {
  std::fill_n(state.max, vectors, -std::numeric_limits<float>::infinity());
  std::memset(state.sum, 0, (StateFloats(shape, vectors) - vectors) * sizeof(float));
}

// What a thread needs beside the states.
struct Scratch {
  std::vector<float> records, scores, decay, part, total;

  static Scratch& Get(const KvShape& shape, int vectors) {
    thread_local Scratch s;
    s.records.resize(kTile * RecordStride(shape.record_dim()));
    s.scores.resize(vectors * kTile);
    s.decay.resize(vectors);
    s.part.resize(StateFloats(shape, vectors));
    s.total.resize(StateFloats(shape, vectors));
    return s;
  }
};

void AddSegment(const Call& call, const Block& block, int head, int32_t segment,
                const AttentionState& state) {
  const int vectors = block.tokens * call.group;
  Scratch& scratch = Scratch::Get(call.shape, vectors);
  Clear(call.shape, state, vectors);
  AttentionTask task{};
  task.shape = &call.shape;
  task.head = head;
  task.group = call.group;
  task.tokens = block.tokens;
  task.rows = &call.rows[block.row];
  task.q = call.q.row(block.row) + head * call.group * call.shape.key_dim;
  task.q_stride = call.q.stride();
  task.begin = std::max(block.begin, segment * kSegment);
  task.end = std::min(block.end, (segment + 1) * kSegment);
  task.state = state;
  task.records = scratch.records.data();
  task.scores = scratch.scores.data();
  task.decay = scratch.decay.data();
  Kernels().add(task);
}

void WriteOut(const Call& call, const Block& block, int head, const AttentionState& total) {
  const int dim = call.shape.value_dim;
  for (int v = 0; v < block.tokens * call.group; ++v) {
    float* out =
        call.out.row(block.row + v / call.group) + (head * call.group + v % call.group) * dim;
    for (int i = 0; i < dim; ++i) out[i] = total.value[v * dim + i] / total.sum[v] + 0.0f;
  }
}

// All segments of one block and head by one thread.
void Attend(const Call& call, const Block& block, int head) {
  const int vectors = block.tokens * call.group;
  Scratch& scratch = Scratch::Get(call.shape, vectors);
  const AttentionState total = StateAt(scratch.total.data(), vectors);
  const AttentionState part = StateAt(scratch.part.data(), vectors);
  for (int32_t s = 0; s < block.segments(); ++s) {
    // Combining the first segment with nothing would give it back as it is.
    AddSegment(call, block, head, block.first_segment() + s, s == 0 ? total : part);
    if (s > 0) Kernels().combine(part, total, vectors, call.shape.value_dim);
  }
  WriteOut(call, block, head, total);
}

// Few blocks over many positions: segments are shared among threads, then combined in order.
void AttendBySegments(const Call& call, const std::vector<Block>& blocks, ThreadPool& pool) {
  struct Item {
    size_t block;
    int head;
    int32_t segment;
  };
  std::vector<Item> items;
  for (size_t b = 0; b < blocks.size(); ++b) {
    for (int h = 0; h < call.shape.kv_heads; ++h) {
      for (int32_t s = 0; s < blocks[b].segments(); ++s) items.push_back({b, h, s});
    }
  }
  const size_t floats = StateFloats(call.shape, std::max(kVectors, call.group));
  std::vector<float> states(items.size() * floats);
  const auto state = [&](size_t i) {
    return StateAt(states.data() + i * floats, blocks[items[i].block].tokens * call.group);
  };
  pool.ParallelFor(items.size(), [&](int64_t i) {
    const Block& block = blocks[items[i].block];
    AddSegment(call, block, items[i].head, block.first_segment() + items[i].segment, state(i));
  });
  for (size_t i = 0; i < items.size();) {
    const Block& block = blocks[items[i].block];
    const size_t first = i++;
    for (; i < items.size() && items[i].segment > 0; ++i) {
      Kernels().combine(state(i), state(first), block.tokens * call.group, call.shape.value_dim);
    }
    WriteOut(call, block, items[first].head, state(first));
  }
}

}  // namespace

void Attention(const KvShape& shape, int heads, ConstMat q, std::span<const AttentionRow> rows,
               Mat out, ThreadPool& pool) {
  if (shape.key_dim % 16 != 0 || shape.value_dim % 16 != 0 || shape.record_dim() % 16 != 0) {
    return AttentionPlain(shape, heads, q, rows, out, pool);  // no model's heads
  }
  assert(heads % shape.kv_heads == 0 && q.cols() == heads * shape.key_dim);
  assert(out.cols() == heads * shape.value_dim && q.rows() == static_cast<int64_t>(rows.size()));
  const Call call{shape, heads / shape.kv_heads, q, rows, out};
  const std::vector<Block> blocks = MakeBlocks(call);
  const int64_t items = static_cast<int64_t>(blocks.size()) * shape.kv_heads;
  const bool long_rows =
      std::any_of(blocks.begin(), blocks.end(), [](const Block& b) { return b.segments() > 1; });
  if (pool.threads() > 1 && items < 2 * pool.threads() && long_rows) {
    return AttendBySegments(call, blocks, pool);
  }
  pool.ParallelFor(items, [&](int64_t i) {
    Attend(call, blocks[i / shape.kv_heads], static_cast<int>(i % shape.kv_heads));
  });
}

}  // namespace facet
