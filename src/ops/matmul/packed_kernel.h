// The packed products, written once over the lanes of ops/simd.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#include "base/dtype.h"
#include "ops/matmul/packed.h"
#include "ops/matmul/packed_layout.h"
#include "ops/matmul/quantize_kernel.h"

namespace facet {

// One group of 16 outputs times one tile of tokens.
struct PackedTile {
  const std::byte* weights;  // the group, from input column 0 or a multiple of the unit on
  const std::byte* input;    // the tile, from the same column on
  // Of the tile, from the same column on; one of a later block ends them.
  const SecondCodes* second;
  int32_t block;  // number of the first block
  int64_t cols;   // columns to go through
  bool resume;    // y holds the sums over the columns before
  int tokens;     // of the tile: 1, 2, 4, 8 or 16
  float* y;       // (tokens, 16)
};

struct PackedKernels {
  // By DType, up to kQ6_K.
  void (*product[static_cast<int>(DType::kQ6_K) + 1])(const PackedTile& tile);
  // Returns how many blocks have second codes.
  int (*quantize)(const packed::QuantizeArgs& args);
};

extern const PackedKernels kPackedGeneric, kPackedAvx2, kPackedAvx512, kPackedNeon, kPackedI8mm;

// The table of the active instruction set.
const PackedKernels& ActivePackedKernels();

namespace packed {

// Tokens [first, first + T) of one block of a tile of M. Two pointers, so that every token has a
// constant offset.
template <int M>
class TileBlock {
 public:
  static constexpr int kBytes = M * kTokenBlockBytes;

  TileBlock(const std::byte* tile, int first)
      : codes_(tile + 32 * first), numbers_(tile + 32 * M + 4 * first) {}
  void Next() {
    codes_ += kBytes;
    numbers_ += kBytes;
  }
  const int8_t* codes(int t) const { return reinterpret_cast<const int8_t*>(codes_) + 32 * t; }
  float scale(int t) const { return At<float>(4 * t); }
  float scaled_sum(int t) const { return At<float>(4 * M + 4 * t); }
  int32_t minus_sum(int t) const { return At<int32_t>(8 * M + 4 * t); }
  int32_t minus_first_half(int t) const { return At<int32_t>(12 * M + 4 * t); }

 private:
  template <typename T>
  T At(int offset) const {
    T value;
    std::memcpy(&value, numbers_ + offset, sizeof(T));
    return value;
  }
  const std::byte* codes_;
  const std::byte* numbers_;
};

// The 8 vectors of codes of one block.
template <typename V, PackedLayout L>
[[gnu::always_inline]] inline void Unpack(const std::byte* unit, int b, typename V::B (&w)[8]) {
  const std::byte* codes = unit + L.codes_at() + b * L.code_bytes();
  if constexpr (L.bits == 8) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) w[i] = V::LoadBytes(codes + 64 * i);
    return;
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const auto both = V::LoadBytes(codes + 64 * i);
    w[i] = V::LowNibbles(both);
    w[i + 4] = V::HighNibbles(both);
  }
  const std::byte* high = unit + L.high_at() + b * L.high_bytes();
  if constexpr (L.bits == 5) {
    const auto bits = V::LoadBytes(high);
    [&]<int... i>(std::integer_sequence<int, i...>) {
      ((w[i] = V::template InsertBits<i, 1>(w[i], bits)), ...);
    }
    (std::make_integer_sequence<int, 8>{});
  }
  if constexpr (L.bits == 6) {
    const auto first = V::LoadBytes(high), second = V::LoadBytes(high + 64);
    [&]<int... i>(std::integer_sequence<int, i...>) {
      ((w[i] = V::template InsertBits<2 * i, 3>(w[i], first)), ...);
      ((w[i + 4] = V::template InsertBits<2 * i, 3>(w[i + 4], second)), ...);
    }
    (std::make_integer_sequence<int, 4>{});
  }
}

// Adds the products of vectors [begin, end) with the codes of tokens t .. t + N - 1 to their sums,
// in turns: a token's own products wait for each other.
template <typename V, PackedLayout L, int begin, int end, int N, typename Input>
[[gnu::always_inline]] inline void Dots(typename V::I (&sum)[N], const typename V::B (&w)[8],
                                        const Input& x, int t) {
  if constexpr (V::kPairs && N == 2) {
    V::template DotPair<begin, end>(sum, w, x.codes(t), x.codes(t + 1));
  } else {
#pragma GCC unroll 8
    for (int i = begin; i < end; ++i) {
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n)
        sum[n] = V::template Dot<L.bits>(sum[n], w[i], x.codes(t + n) + 4 * i);
    }
  }
}

// What a sum over unsigned codes starts from so that it ends as one over weights.
template <typename V, PackedLayout L>
typename V::I Start(typename V::I minus_sum) {
  if constexpr (L.zero_shift < 0 || (L.bits == 8 && V::kSignedBytes)) return V::SetInt(0);
  return V::template ShiftLeft<(L.zero_shift < 0 ? 0 : L.zero_shift)>(minus_sum);
}

// How far ahead of the arithmetic weights are fetched.
constexpr int kPrefetchBytes = 4096;

// Fetches block b's share of a unit: more lines at once than the core has fill buffers would stall
// it.
template <PackedLayout L>
[[gnu::always_inline]] inline void PrefetchShare(const std::byte* unit, int b) {
  constexpr int kLines = (L.unit_bytes() / 64 + L.blocks() - 1) / L.blocks();
  const std::byte* p = unit + kPrefetchBytes + b * kLines * 64;
#pragma GCC unroll 12
  for (int i = 0; i < kLines; ++i) __builtin_prefetch(p + 64 * i, 0, 3);
}

// The two scales that a unit begins with, where it has them.
template <typename V, PackedLayout L>
struct UnitScales {
  typename V::F d{}, dmin{};

  explicit UnitScales(const std::byte* unit) {
    if constexpr (L.two_level) {
      d = V::LoadHalfs(unit);
      if constexpr (L.has_min) dmin = V::LoadHalfs(unit + 32);
    }
  }
};

// The weights of one block as its products need them: scale * (code - zero) - min.
template <typename V, PackedLayout L>
struct BlockScales {
  typename V::F low{}, high{}, min{};  // high: of the second 16 inputs, where L.halves

  BlockScales(const std::byte* unit, int b, const UnitScales<V, L>& of_unit) {
    const std::byte* scales = unit + L.scales_at() + 32 * b;
    if constexpr (L.halves) {
      low = V::Mul(of_unit.d, V::FromInt8(scales));
      high = V::Mul(of_unit.d, V::FromInt8(scales + 16));
    } else if constexpr (L.two_level) {
      low = V::Mul(of_unit.d, V::FromUint8(scales));
      if constexpr (L.has_min) min = V::Mul(of_unit.dmin, V::FromUint8(scales + 16));
    } else {
      low = V::LoadHalfs(scales);
      if constexpr (L.has_min) min = V::LoadHalfs(unit + L.mins_at() + 32 * b);
    }
  }
};

// Adds the products of one block with the codes of tokens t .. t + N - 1 to their sums, which begin
// at `sum`.
template <typename V, PackedLayout L, int N, typename Input>
[[gnu::always_inline]] inline void AddBlock(typename V::F* sum, const typename V::B (&w)[8],
                                            const BlockScales<V, L>& scales, const Input& x,
                                            int t) {
  typename V::I first[N], second[N];  // second: of the second 16 inputs, where L.halves
#pragma GCC unroll 4
  for (int n = 0; n < N; ++n) {
    first[n] = V::SetInt(L.halves ? x.minus_first_half(t + n) : x.minus_sum(t + n));
    if constexpr (L.halves) {
      second[n] = Start<V, L>(V::SubInt(V::SetInt(x.minus_sum(t + n)), first[n]));
    }
    first[n] = Start<V, L>(first[n]);
  }
  Dots<V, L, 0, L.halves ? 4 : 8>(first, w, x, t);
  if constexpr (L.halves) Dots<V, L, 4, 8>(second, w, x, t);
#pragma GCC unroll 4
  for (int n = 0; n < N; ++n) {
    const auto scale = V::Set(x.scale(t + n));
    sum[n] = V::Fma(V::ToFloat(first[n]), V::Mul(scales.low, scale), sum[n]);
    if constexpr (L.halves) {
      sum[n] = V::Fma(V::ToFloat(second[n]), V::Mul(scales.high, scale), sum[n]);
    }
  }
}

// Second codes as the products see them: a tile of one token.
struct SecondBlock {
  const SecondCodes& of;

  const int8_t* codes(int) const { return of.codes; }
  float scale(int) const { return of.scale; }
  int32_t minus_sum(int) const { return of.minus_sum; }
  int32_t minus_first_half(int) const { return of.minus_first_half; }
};

// The second codes that are still to come, and the sums of their products.
struct Seconds {
  const SecondCodes* next;
  int32_t block;  // that is being computed
  float* sums;    // (tokens, 16)
};

// Adds the products of one block with its second codes.
template <typename V, PackedLayout L>
[[gnu::always_inline]] inline void AddSeconds(const typename V::B (&w)[8],
                                              const BlockScales<V, L>& scales, Seconds& seconds) {
  for (; seconds.next->block == seconds.block; ++seconds.next) {
    float* place = seconds.sums + kPackedGroup * seconds.next->token;
    auto sum = V::Load(place);
    AddBlock<V, L, 1>(&sum, w, scales, SecondBlock{*seconds.next}, 0);
    V::Store(place, sum);
  }
  ++seconds.block;
}

// The blocks of one unit.
template <typename V, PackedLayout L, int M, int T>
[[gnu::always_inline]] inline void Unit(const std::byte* unit, TileBlock<M>& x,
                                        typename V::F (&sum)[T], Seconds& seconds) {
  constexpr int N = T < V::kDotTokens ? T : V::kDotTokens;
  const UnitScales<V, L> of_unit(unit);
  for (int b = 0; b < L.blocks(); ++b, x.Next()) {
    typename V::B w[8];
    Unpack<V, L>(unit, b, w);
    PrefetchShare<L>(unit, b);
    const BlockScales<V, L> scales(unit, b, of_unit);
    AddSeconds<V, L>(w, scales, seconds);
    if constexpr (V::kPairs && N == 2) V::template JoinInputs<L.bits>(w);
#pragma GCC unroll 16
    for (int t = 0; t < T; t += N) {
      AddBlock<V, L, N>(sum + t, w, scales, x, t);
      for (int n = t; L.has_min && n < t + N; ++n) {
        sum[n] = V::NegFma(scales.min, V::Set(x.scaled_sum(n)), sum[n]);
      }
    }
  }
}

template <typename V, int T>
[[gnu::always_inline]] inline void StartSums(const PackedTile& tile, int first,
                                             typename V::F (&sum)[T]) {
#pragma GCC unroll 16
  for (int t = 0; t < T; ++t) {
    sum[t] = tile.resume ? V::Load(tile.y + (first + t) * kPackedGroup) : V::Set(0.0f);
  }
}

template <typename V, DType type, int M, int T>
void Tokens(const PackedTile& tile, int first, Seconds seconds) {
  constexpr PackedLayout L = LayoutOf(type);
  typename V::F sum[T];
  StartSums<V, T>(tile, first, sum);
  const std::byte* w = tile.weights;
  TileBlock<M> x(tile.input, first);
  for (int64_t k = 0; k < tile.cols; k += L.unit()) {
    Unit<V, L, M, T>(w, x, sum, seconds);
    w += L.unit_bytes();
  }
#pragma GCC unroll 16
  for (int t = 0; t < T; ++t) V::Store(tile.y + (first + t) * kPackedGroup, sum[t]);
}

// BF16 weights too meet float32 inputs. VDPBF16PS would round those to 8 bits; it multiplies twice
// as fast (Zen 4), which an input in two parts of 8 bits, still not float32, uses up.
template <typename V, DType type, int M, int T>
void FloatTokens(const PackedTile& tile, int first) {
  constexpr int kBytes = Traits(type).bytes * 16;
  typename V::F sum[T];
  StartSums<V, T>(tile, first, sum);
  const std::byte* w = tile.weights;
  const std::byte* x = tile.input + 4 * first;
  for (int64_t k = 0; k < tile.cols; ++k, w += kBytes, x += 4 * M) {
    __builtin_prefetch(w + kPrefetchBytes, 0, 3);
    typename V::F weights;
    if constexpr (type == DType::kF16) {
      weights = V::LoadHalfs(w);
    } else if constexpr (type == DType::kBF16) {
      weights = V::LoadBf16s(w);
    } else {
      weights = V::Load(reinterpret_cast<const float*>(w));
    }
#pragma GCC unroll 16
    for (int t = 0; t < T; ++t) {
      float value;
      std::memcpy(&value, x + 4 * t, sizeof(value));
      sum[t] = V::Fma(weights, V::Set(value), sum[t]);
    }
  }
#pragma GCC unroll 16
  for (int t = 0; t < T; ++t) V::Store(tile.y + (first + t) * kPackedGroup, sum[t]);
}

template <typename V, DType type, int M>
void FloatTile(const PackedTile& tile) {
  constexpr int T = M < V::kTileTokens ? M : V::kTileTokens;
  for (int first = 0; first < M; first += T) FloatTokens<V, type, M, T>(tile, first);
}

constexpr SecondCodes kNone;

// Second codes of all tokens are met with the first ones of the tile: the weights are unpacked
// then.
template <typename V, DType type, int M>
void CodeTile(const PackedTile& tile) {
  constexpr int kMost = V::kTileTokens * (V::kPairs ? 2 : 1);
  constexpr int T = M < kMost ? M : kMost;
  const int32_t end = tile.block + static_cast<int32_t>(tile.cols / 32);
  const bool any = tile.second->block < end;
  alignas(64) float sums[M * kPackedGroup];
  for (int t = 0; any && t < M; ++t) V::Store(sums + t * kPackedGroup, V::Set(0.0f));
  Tokens<V, type, M, T>(tile, 0, {tile.second, tile.block, sums});
  for (int first = T; first < M; first += T) {
    Tokens<V, type, M, T>(tile, first, {&kNone, 0, nullptr});
  }
  for (int t = 0; any && t < M; ++t) {
    float* y = tile.y + t * kPackedGroup;
    V::Store(y, V::Add(V::Load(y), V::Load(sums + t * kPackedGroup)));
  }
}

template <typename V, DType type, int M>
void Tile(const PackedTile& tile) {
  if constexpr (LayoutOf(type).bits == 0) {
    FloatTile<V, type, M>(tile);
  } else {
    CodeTile<V, type, M>(tile);
  }
}

template <typename V, DType type>
void Product(const PackedTile& tile) {
  switch (tile.tokens) {
    case 1:
      return Tile<V, type, 1>(tile);
    case 2:
      return Tile<V, type, 2>(tile);
    case 4:
      return Tile<V, type, 4>(tile);
    case 8:
      return Tile<V, type, 8>(tile);
    default:
      return Tile<V, type, 16>(tile);
  }
}

// The table of an instruction set; each entry stands at its type's number.
template <typename V>
constexpr PackedKernels Kernels() {
  return [&]<int... type>(std::integer_sequence<int, type...>) {
    return PackedKernels{{Product<V, static_cast<DType>(type)>...}, Quantize<V>};
  }
  (std::make_integer_sequence<int, static_cast<int>(DType::kQ6_K) + 1>{});
}

}  // namespace packed
}  // namespace facet
