#include "ops/matmul/packed.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "ops/isa_test.h"
#include "ops/random.h"

namespace facet {
namespace {

class Packed {
 public:
  explicit Packed(const WeightView& w) : bytes_(PackedBytes(w.type, w.rows, w.cols) + 64) {
    const auto address = reinterpret_cast<uintptr_t>(bytes_.data());
    std::byte* aligned = bytes_.data() + (64 - address % 64) % 64;
    ThreadPool pool(2);
    Pack(w, aligned, pool);
    matrix_ = {w.type, w.rows, w.cols, aligned};
  }
  const PackedMatrix& matrix() const { return matrix_; }

 private:
  std::vector<std::byte> bytes_;
  PackedMatrix matrix_;
};

struct Shape {
  int64_t rows, cols;
};
std::vector<Shape> ShapesOf(DType type) {
  if (!IsQuantized(type)) return {{16, 16}, {35, 37}, {1, 1}, {48, 130}};
  if (Traits(type).block == 256) return {{16, 256}, {33, 512}, {5, 1280}};
  return {{16, 64}, {35, 32}, {1, 96}, {50, 640}, {33, 224}};
}

void RoundBlock(std::span<double> x, double scale) {
  for (double& v : x) v = scale == 0 ? 0 : std::nearbyint(v / scale) * scale;
}

// Activations as the packed products see them, by the rule alone: blocks of 32, largest magnitude
// 127; blocks with a scale above second_above times the row's mean a second time, 254 times finer.
// The mean counts the zeros that pad a row to 64 inputs.
std::vector<double> RoundedInput(DType type, std::span<const float> x, double second_above) {
  std::vector<double> out(x.begin(), x.end());
  if (!IsQuantized(type)) return out;
  std::vector<double> scales;
  double mean = 0;
  for (size_t b = 0; b < out.size(); b += 32) {
    double largest = 0;
    for (size_t i = b; i < b + 32; ++i) largest = std::max(largest, std::fabs(out[i]));
    scales.push_back(largest / 127);
    mean += scales.back() / static_cast<double>((out.size() + 63) / 64 * 2);
  }
  for (size_t b = 0; b < scales.size(); ++b) {
    RoundBlock(std::span(out).subspan(b * 32, 32),
               scales[b] > second_above * mean ? scales[b] / 254 : scales[b]);
  }
  return out;
}

TEST(Packed, TakesNoMoreSpaceThanTheFile) {
  for (DType type : kWeightTypes) {
    const size_t file = 512 * RowBytes(type, 3840);
    EXPECT_LE(PackedBytes(type, 512, 3840), file * 1.03) << Traits(type).name;
  }
  EXPECT_EQ(PackedBytes(DType::kQ4_0, 512, 3840), 512 * RowBytes(DType::kQ4_0, 3840));
  EXPECT_EQ(PackedBytes(DType::kQ8_0, 512, 3840), 512 * RowBytes(DType::kQ8_0, 3840));
}

TEST(Packed, RowsComeBackAsTheFileHasThem) {
  for (DType type : kWeightTypes) {
    for (const Shape& s : ShapesOf(type)) {
      SCOPED_TRACE(testing::Message() << Traits(type).name << " " << s.rows << " x " << s.cols);
      const RandomWeights w(type, s.rows, s.cols, 11);
      const Packed packed(w.view());
      std::vector<float> row(s.cols);
      for (int64_t r = 0; r < s.rows; ++r) {
        DequantizePackedRow(packed.matrix(), r, row);
        const std::vector<float> want = w.Row(r);
        for (int64_t k = 0; k < s.cols; ++k) ASSERT_EQ(row[k], want[k]) << r << " " << k;
      }
    }
  }
}

TEST(MatMulPacked, IsTheProductWithRoundedInputs) {
  ThreadPool pool(2);
  for (DType type : kWeightTypes) {
    for (const Shape& s : ShapesOf(type)) {
      SCOPED_TRACE(testing::Message() << Traits(type).name << " " << s.rows << " x " << s.cols);
      const RandomWeights w(type, s.rows, s.cols, 12);
      const Packed packed(w.view());
      const Buffer x = RandomMatrix(3, s.cols, 2.0f, 13);
      Buffer y(3, s.rows);
      MatMulInput input;
      // Row by row: some blocks twice, all of them, none.
      constexpr float kSecondAbove[] = {1.1f, 0, 1e9f};
      for (int64_t t = 0; t < 3; ++t) {
        input.Assign(x.view().rows_at(t, 1), kSecondAbove[t]);
        MatMulPacked(packed.matrix(), input, y.view().rows_at(t, 1), pool);
        const std::vector<double> rounded =
            RoundedInput(type, x.view().row_span(t), kSecondAbove[t]);
        for (int64_t r = 0; r < s.rows; ++r) {
          const std::vector<float> row = w.Row(r);
          double want = 0, size = 0;
          for (int64_t k = 0; k < s.cols; ++k) {
            want += row[k] * rounded[k];
            size += std::fabs(row[k] * rounded[k]);
          }
          EXPECT_NEAR(y.view()(t, r), want, 1e-5 * size) << t << " " << r;
        }
      }
    }
  }
}

TEST(MatMulPacked, TakesTheExtremesOfEveryCode) {
  // All codes of one value, all activations at +-127: the largest sums that can occur must be
  // exact.
  ThreadPool pool(1);
  for (DType type : kWeightTypes) {
    if (!IsQuantized(type)) continue;
    for (int fill : {0x00, 0xff, 0x80, 0x7f}) {
      SCOPED_TRACE(testing::Message() << Traits(type).name << " " << fill);
      const int64_t cols = 512;
      std::vector<std::byte> bytes(16 * RowBytes(type, cols), std::byte(fill));
      const uint16_t one = FloatToHalf(1.0f);
      for (size_t b = 0; b < bytes.size(); b += Traits(type).bytes) {
        for (int offset : {HalfsOf(type).first, HalfsOf(type).second}) {
          if (offset >= 0) std::memcpy(bytes.data() + b + offset, &one, 2);
        }
      }
      const WeightView w{type, 16, cols, bytes.data()};
      const Packed packed(w);
      std::vector<float> row(cols);
      DequantizeRow(type, bytes.data(), row);
      for (float sign : {1.0f, -1.0f}) {
        Buffer x(3, cols), y(3, 16);  // a tile of two tokens, and one of one
        for (float& v : std::span(x.view().data(), 3 * cols)) v = sign * 127;
        double want = 0;
        for (float v : row) want += double{v} * sign * 127;
        ForEachIsa([&] {
          MatMulInput input;
          input.Assign(x);
          MatMulPacked(packed.matrix(), input, y, pool);
          for (float v : std::span(y.view().data(), 3 * 16))
            EXPECT_NEAR(v, want, 1e-6 * std::fabs(want));
        });
      }
    }
  }
}

TEST(MatMulPacked, EveryBatchThreadCountAndInstructionSetGivesTheSameBits) {
  ThreadPool one(1);
  for (DType type : kWeightTypes) {
    const Shape s = IsQuantized(type) ? Shape{51, 512} : Shape{51, 131};
    SCOPED_TRACE(std::string(Traits(type).name));
    const RandomWeights w(type, s.rows, s.cols, 14);
    const Packed packed(w.view());
    constexpr int64_t kTokens = 41;
    const Buffer x = RandomMatrix(kTokens, s.cols, 2.0f, 15);
    Buffer want(kTokens, s.rows);
    MatMulInput input;
    for (int64_t t = 0; t < kTokens; ++t) {
      input.Assign(x.view().rows_at(t, 1));
      MatMulPacked(packed.matrix(), input, want.view().rows_at(t, 1), one);
    }
    ForEachIsa([&] {
      for (int threads : ThreadCounts()) {
        ThreadPool pool(threads);
        for (int64_t tokens : {1, 2, 3, 4, 5, 7, 8, 11, 15, 16, 17, 31, 41}) {
          if (threads != 2 && tokens != 1 && tokens != 41) continue;
          const int64_t first = (kTokens - tokens) / 2;
          Buffer y(tokens, s.rows);
          input.Assign(x.view().rows_at(first, tokens));
          MatMulPacked(packed.matrix(), input, y, pool);
          ASSERT_TRUE(SameBits(want.view().rows_at(first, tokens), y)) << threads << " " << tokens;
        }
      }
    });
  }
}

TEST(MatMulPacked, LongRowsGiveTheSameBitsAsOneTokenAtATime) {
  // More than 4096 columns and 16 tokens: the sums are interrupted and resumed.
  ThreadPool pool(2);
  for (DType type : {DType::kQ4_0, DType::kQ6_K, DType::kBF16}) {
    SCOPED_TRACE(std::string(Traits(type).name));
    const RandomWeights w(type, 37, 8448, 21);
    const Packed packed(w.view());
    const Buffer x = RandomMatrix(27, 8448, 1.0f, 22);
    Buffer want(27, 37), y(27, 37);
    MatMulInput input;
    for (int64_t t = 0; t < 27; ++t) {
      input.Assign(x.view().rows_at(t, 1));
      MatMulPacked(packed.matrix(), input, want.view().rows_at(t, 1), pool);
    }
    ForEachIsa([&] {
      input.Assign(x);
      MatMulPacked(packed.matrix(), input, y, pool);
      EXPECT_TRUE(SameBits(want, y));
    });
  }
}

TEST(MatMulPacked, SeveralMatricesShareAnInput) {
  ThreadPool pool(3);
  const RandomWeights a(DType::kQ4_K, 40, 512, 1), b(DType::kQ6_K, 16, 512, 2),
      c(DType::kBF16, 9, 512, 3);
  const Packed pa(a.view()), pb(b.view()), pc(c.view());
  const Buffer x = RandomMatrix(21, 512, 1.0f, 4);
  Buffer together[3] = {{21, 40}, {21, 16}, {21, 9}}, alone[3] = {{21, 40}, {21, 16}, {21, 9}};
  const PackedMatrix* matrices[3] = {&pa.matrix(), &pb.matrix(), &pc.matrix()};
  MatMulInput input;
  input.Assign(x);
  std::vector<PackedProduct> products;
  for (int i = 0; i < 3; ++i) products.push_back({*matrices[i], together[i]});
  MatMulPacked(products, input, pool);
  for (int i = 0; i < 3; ++i) {
    input.Assign(x);
    MatMulPacked(*matrices[i], input, alone[i], pool);
    EXPECT_TRUE(SameBits(together[i], alone[i])) << i;
  }
}

TEST(MatMulPacked, ZerosAndTinyInputsGiveZeros) {
  ThreadPool pool(1);
  const RandomWeights w(DType::kQ4_0, 16, 64, 1);
  const Packed packed(w.view());
  for (float value : {0.0f, 1e-38f, -1e-40f}) {
    Buffer x(1, 64), y(1, 16);
    for (float& v : x.view().row_span(0)) v = value;
    MatMulInput input;
    input.Assign(x);
    MatMulPacked(packed.matrix(), input, y, pool);
    for (float v : y.view().row_span(0)) EXPECT_EQ(v, 0.0f);
  }
}

}  // namespace
}  // namespace facet
