// Attention on the 12B's layers, against the float multiply-adds that this machine can do.
#include <benchmark/benchmark.h>

#include <chrono>
#include <random>
#include <vector>

#include "ops/attention/attention.h"
#include "ops/roofline.h"

namespace facet::bench {
namespace {

struct Layer {
  const char* name;
  KvShape shape;
  int heads;
  int32_t window;
};
constexpr int32_t kAll = 1 << 30;
const Layer kLayers[] = {
    {"12b sliding f16", {8, 256, 256, 256, CacheType::kF16}, 16, 1024},
    {"12b sliding q8_0", {8, 256, 256, 256, CacheType::kQ8_0}, 16, 1024},
    {"12b full q8_0", {1, 512, 512, 128, CacheType::kQ8_0}, 16, kAll},
    {"270m sliding f16", {1, 256, 256, 256, CacheType::kF16}, 4, 512},
};

// Arguments: layer, new rows, positions before them.
void Attend(benchmark::State& state) {
  static ThreadPool pool;
  const Layer& layer = kLayers[state.range(0)];
  const int64_t tokens = state.range(1);
  const auto past = static_cast<int32_t>(state.range(2));
  const KvShape& shape = layer.shape;
  const int64_t tiles = (past + tokens + kTile - 1) / kTile;
  std::vector<std::byte> bytes(tiles * shape.tile_bytes());
  std::vector<const std::byte*> pages;
  for (int64_t t = 0; t < tiles; ++t) pages.push_back(bytes.data() + t * shape.tile_bytes());
  std::mt19937 rng(1);
  std::normal_distribution<float> normal(0, 0.1f);
  std::vector<float> record(shape.kv_heads * shape.record_dim());
  for (float& x : record) x = normal(rng);
  for (int64_t p = 0; p < tiles * kTile; ++p) {
    record[p % record.size()] = normal(rng);
    WriteRecord(shape, bytes.data() + p / kTile * shape.tile_bytes(), p % kTile, record.data());
  }
  Buffer q(tokens, layer.heads * shape.key_dim), out(tokens, layer.heads * shape.value_dim);
  for (int64_t t = 0; t < tokens; ++t) {
    for (float& x : q.view().row_span(t)) x = normal(rng);
  }
  std::vector<AttentionRow> rows;
  double pairs = 0;
  for (int32_t t = 0; t < tokens; ++t) {
    const int32_t end = past + t + 1, begin = std::max(0, end - layer.window);
    rows.push_back({pages.data(), begin, end});
    pairs += end - begin;
  }
  double best = 1e9, peak = 0;
  for (auto _ : state) {
    peak = std::max(peak, FloatPeak(pool));
    const auto begin = std::chrono::steady_clock::now();
    Attention(shape, layer.heads, q, rows, out, pool);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    best = std::min(best, taken.count());
    state.SetIterationTime(taken.count());
  }
  const double flops = 2 * pairs * layer.heads * (shape.key_dim + shape.value_dim) / best;
  state.counters["best_ms"] = best * 1e3;
  state.counters["Gflop/s"] = flops * 1e-9;
  if (peak > 0) state.counters["%float"] = 100 * flops / peak;
  state.SetLabel(layer.name);
}
BENCHMARK(Attend)
    ->Args({0, 512, 0})
    ->Args({0, 512, 2048})
    ->Args({0, 1, 4096})
    ->Args({1, 1, 4096})
    ->Args({2, 512, 512})
    ->Args({2, 1, 32768})
    ->Args({3, 512, 1024})
    ->Args({3, 1, 1024})
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond)
    ->Iterations(7);

}  // namespace
}  // namespace facet::bench
