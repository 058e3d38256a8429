#include "ops/gemm/gemm.h"

#include <omp.h>

#include <algorithm>
#include <cassert>
#include <map>
#include <oneapi/dnnl/dnnl.hpp>
#include <vector>

#include "base/math.h"
#include "ops/quant/quant.h"

namespace facet {
namespace {

// Outputs of a tile: large enough that packing its operands costs little, small enough that a
// product of training has several for every thread.
constexpr int64_t kTileRows = 128, kTileCols = 512, kTilesWanted = 32, kSmallest = 64;

struct Tiling {
  int64_t rows, cols, row_tiles, col_tiles;
};

Tiling TilesOf(int64_t m, int64_t n) {
  int64_t rows = std::min(m, kTileRows), cols = std::min(n, kTileCols);
  while (DivideUp(m, rows) * DivideUp(n, cols) < kTilesWanted && std::max(rows, cols) > kSmallest) {
    int64_t& side = cols >= rows ? cols : rows;
    side = std::max(kSmallest, AlignUp(side / 2, 16));
  }
  return {rows, cols, DivideUp(m, rows), DivideUp(n, cols)};
}

// oneDNN's own threads are of no use inside a tile.
void StayOnThisThread() {
  thread_local const bool done = (omp_set_num_threads(1), true);
  (void)done;
}

template <typename T>
void CheckShapes(const Operand<T>& a, const Operand<T>& b, const Mat& c) {
  assert(a.rows() == c.rows() && a.cols() == b.rows() && b.cols() == c.cols());
  (void)a, (void)b, (void)c;
}

// Calls tile(a, b, c) for every tile of c.
template <typename T, typename F>
void ForTiles(const Operand<T>& a, const Operand<T>& b, Mat c, ThreadPool& pool, const F& tile) {
  CheckShapes(a, b, c);
  if (c.rows() == 0 || c.cols() == 0) return;
  const Tiling t = TilesOf(c.rows(), c.cols());
  // Tiles that share columns of b stand side by side: their operand is still in the cache.
  pool.ParallelFor(t.row_tiles * t.col_tiles, [&](int64_t i) {
    const int64_t row = i % t.row_tiles * t.rows, col = i / t.row_tiles * t.cols;
    const int64_t rows = std::min(t.rows, c.rows() - row), cols = std::min(t.cols, c.cols() - col);
    tile(a.rows_at(row, rows), b.cols_at(col, cols), c.rows_at(row, rows).cols_at(col, cols));
  });
}

using Desc = dnnl::memory::desc;
using Dims = dnnl::memory::dims;

// What a bfloat16 product's code depends on.
struct Bf16Key {
  int64_t m, n, k, a_stride, b_stride, c_stride;
  bool a_transposed, b_transposed, add;
  auto operator<=>(const Bf16Key&) const = default;
};

const dnnl::engine& Engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

Desc MatrixDesc(int64_t rows, int64_t cols, int64_t stride, bool transposed,
                dnnl::memory::data_type type) {
  return {{rows, cols}, type, transposed ? Dims{1, stride} : Dims{stride, 1}};
}

struct Bf16Product {
  dnnl::matmul code;
  Desc a, b, c;
};

Bf16Product MakeBf16Product(const Bf16Key& key) {
  using Type = dnnl::memory::data_type;
  Bf16Product out;
  out.a = MatrixDesc(key.m, key.k, key.a_stride, key.a_transposed, Type::bf16);
  out.b = MatrixDesc(key.k, key.n, key.b_stride, key.b_transposed, Type::bf16);
  out.c = MatrixDesc(key.m, key.n, key.c_stride, false, Type::f32);
  dnnl::primitive_attr attr;
  if (key.add) {
    dnnl::post_ops ops;
    ops.append_sum(1.0f);
    attr.set_post_ops(ops);
  }
  out.code = dnnl::matmul({{out.a, out.b, out.c}, attr, Engine()});
  return out;
}

void Bf16Tile(const Bf16Operand& a, const Bf16Operand& b, Mat c, Sum sum) {
  StayOnThisThread();
  const Bf16Key key{c.rows(),   c.cols(),     a.cols(),     a.matrix.stride(), b.matrix.stride(),
                    c.stride(), a.transposed, b.transposed, sum == Sum::kAdd};
  thread_local std::map<Bf16Key, Bf16Product> products;
  auto at = products.find(key);
  if (at == products.end()) {
    // Batches of many lengths would leave products behind without end.
    if (products.size() > 512) products.clear();
    at = products.emplace(key, MakeBf16Product(key)).first;
  }
  const Bf16Product& product = at->second;
  thread_local dnnl::stream stream(Engine());
  product.code.execute(
      stream, {{DNNL_ARG_SRC, {product.a, Engine(), const_cast<uint16_t*>(a.matrix.data())}},
               {DNNL_ARG_WEIGHTS, {product.b, Engine(), const_cast<uint16_t*>(b.matrix.data())}},
               {DNNL_ARG_DST, {product.c, Engine(), c.data()}}});
  stream.wait();
}

// The same values in float32.
FloatOperand Widen(const Bf16Operand& from, std::vector<float>& storage) {
  const auto& m = from.matrix;
  storage.resize(m.rows() * m.cols());
  for (int64_t r = 0; r < m.rows(); ++r) {
    const uint16_t* row = m.row(r);
    float* out = storage.data() + r * m.cols();
    for (int64_t i = 0; i < m.cols(); ++i) out[i] = Bf16ToFloat(row[i]);
  }
  return {{storage.data(), m.rows(), m.cols()}, from.transposed};
}

}  // namespace

bool HasBf16Products() {
  static const bool has = (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core_bf16) ==
                          dnnl_cpu_isa_avx512_core_bf16;
  return has;
}

void GemmHere(FloatOperand a, FloatOperand b, Mat c, Sum sum) {
  CheckShapes(a, b, c);
  if (c.rows() == 0 || c.cols() == 0) return;
  StayOnThisThread();
  const dnnl_status_t status =
      dnnl_sgemm(a.transposed ? 'T' : 'N', b.transposed ? 'T' : 'N', c.rows(), c.cols(), a.cols(),
                 1.0f, a.matrix.data(), a.matrix.stride(), b.matrix.data(), b.matrix.stride(),
                 sum == Sum::kAdd ? 1.0f : 0.0f, c.data(), c.stride());
  assert(status == dnnl_success);
  (void)status;
}

void Gemm(FloatOperand a, FloatOperand b, Mat c, Sum sum, ThreadPool& pool) {
  ForTiles(a, b, c, pool, [&](const FloatOperand& part_a, const FloatOperand& part_b, Mat part_c) {
    GemmHere(part_a, part_b, part_c, sum);
  });
}

void Gemm(Bf16Operand a, Bf16Operand b, Mat c, Sum sum, ThreadPool& pool) {
  ForTiles(a, b, c, pool, [&](const Bf16Operand& part_a, const Bf16Operand& part_b, Mat part_c) {
    if (HasBf16Products()) return Bf16Tile(part_a, part_b, part_c, sum);
    thread_local std::vector<float> wide_a, wide_b;
    GemmHere(Widen(part_a, wide_a), Widen(part_b, wide_b), part_c, sum);
  });
}

}  // namespace facet
