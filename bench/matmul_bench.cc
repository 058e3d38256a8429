// Packed products on the shapes of the 12B's layers, against the machine's limits measured in turn.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "ops/matmul/packed.h"
#include "ops/roofline.h"

namespace facet::bench {
namespace {

ThreadPool& Pool() {
  static ThreadPool pool;
  return pool;
}

// Copies of one matrix that together exceed every cache, so that a decode step reads memory as a
// real one does.
struct Weights {
  Weights(DType type, int64_t rows, int64_t cols)
      : bytes(PackedBytes(type, rows, cols)),
        copies(static_cast<int>(std::clamp<int64_t>((int64_t{192} << 20) / bytes, 1, 64))),
        memory(bytes * copies) {
    for (int c = 0; c < copies; ++c) {
      matrices.push_back({type, rows, cols, memory.data() + c * bytes});
    }
  }
  size_t bytes;
  int copies;
  PatternedMemory memory;
  std::vector<PackedMatrix> matrices;
};

// Each iteration measures the product and, in turn, the limits. Arguments: type, rows, cols,
// tokens.
void Product(benchmark::State& state) {
  const auto type = static_cast<DType>(state.range(0));
  const int64_t rows = state.range(1), cols = state.range(2), tokens = state.range(3);
  static std::map<std::vector<int64_t>, std::unique_ptr<Weights>> cache;
  const std::vector<int64_t> key = {state.range(0), rows, cols};
  if (!cache.contains(key)) {
    cache.clear();
    cache[key] = std::make_unique<Weights>(type, rows, cols);
  }
  Weights& w = *cache[key];
  std::mt19937 rng(1);
  std::normal_distribution<float> normal;
  Buffer x(tokens, cols), y(tokens, rows);
  for (int64_t t = 0; t < tokens; ++t) {
    for (float& v : x.view().row_span(t)) v = normal(rng);
  }
  MatMulInput input;
  double s = 1e9, bandwidth = 0, peak = 0;
  const int repeats = tokens >= 64 ? 1 : w.copies;
  size_t next = 0;
  for (auto _ : state) {
    bandwidth = std::max(bandwidth, ReadBandwidth(Pool()));
    peak = std::max(peak, Int8Peak(Pool()));
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < repeats; ++i) {
      input.Assign(x);
      MatMulPacked(w.matrices[next++ % w.copies], input, y, Pool());
    }
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    s = std::min(s, taken.count() / repeats);
    state.SetIterationTime(taken.count() / repeats);
  }
  state.counters["best_ms"] = s * 1e3;
  state.counters["GB/s"] = w.bytes / s * 1e-9;
  state.counters["%bandwidth"] = 100 * w.bytes / s / bandwidth;
  state.counters["Gop/s"] = 2.0 * rows * cols * tokens / s * 1e-9;
  if (peak > 0) state.counters["%int8"] = 200.0 * rows * cols * tokens / s / peak;
  state.SetLabel(std::string(Traits(type).name));
}

void Shapes(benchmark::internal::Benchmark* b) {
  const auto add = [&](DType type, int64_t rows, int64_t cols, std::vector<int64_t> tokens) {
    for (int64_t t : tokens) b->Args({static_cast<int64_t>(type), rows, cols, t});
  };
  add(DType::kQ4_0, 15360, 3840, {1, 2, 4, 8, 16, 512});
  add(DType::kQ4_0, 3840, 15360, {1, 4, 8, 512});
  add(DType::kQ4_0, 4096, 3840, {1, 512});
  for (DType type : {DType::kQ4_K, DType::kQ5_K, DType::kQ6_K, DType::kQ8_0, DType::kBF16}) {
    add(type, 15360, 3840, {1, 4, 8, 512});
  }
  add(DType::kQ6_K, 262144, 3840, {1, 4});
  add(DType::kQ5_0, 2048, 640, {1, 512});
  add(DType::kQ8_0, 640, 2048, {1, 512});
}
BENCHMARK(Product)->Apply(Shapes)->UseManualTime()->Unit(benchmark::kMillisecond)->Iterations(9);

}  // namespace
}  // namespace facet::bench
