#include "ops/quant/quant.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "base/mapped_file.h"
#include "isa_test.h"
#include "support/paths.h"

namespace facet {
namespace {

constexpr size_t kCols = 256;

// A fixture of tests/tools/make_quant_fixtures.py.
std::string Fixture(const std::string& name) {
  auto text = ReadFile((TestsDir() + "/reference/quant/") + name);
  EXPECT_TRUE(text.ok()) << text.error().message;
  return text.ok() ? *text : "";
}

std::vector<float> FloatFixture(const std::string& name) {
  const std::string text = Fixture(name);
  std::vector<float> out(text.size() / sizeof(float));
  std::memcpy(out.data(), text.data(), out.size() * sizeof(float));
  return out;
}

std::string Lower(std::string_view name) {
  std::string out(name);
  for (char& c : out) c = static_cast<char>(std::tolower(c));
  return out;
}

std::vector<std::byte> Encode(DType type, const std::vector<float>& x) {
  std::vector<std::byte> row(RowBytes(type, x.size()));
  QuantizeRow(type, x, row.data());
  return row;
}

class Decoding : public testing::TestWithParam<DType> {};

TEST_P(Decoding, EqualsTheGgufPackageToTheBit) {
  const std::string name = Lower(Traits(GetParam()).name);
  const std::string raw = Fixture(name + ".bin");
  const std::vector<float> want = FloatFixture(name + ".f32");
  ASSERT_EQ(want.size() % kCols, 0u);
  ASSERT_EQ(raw.size(), RowBytes(GetParam(), want.size()));
  std::vector<float> got(want.size());
  for (size_t i = 0; i < want.size(); i += kCols) {
    DequantizeRow(GetParam(),
                  reinterpret_cast<const std::byte*>(raw.data()) + RowBytes(GetParam(), i),
                  std::span(got).subspan(i, kCols));
  }
  for (size_t i = 0; i < want.size(); ++i) ASSERT_EQ(got[i], want[i]) << "element " << i;
}

INSTANTIATE_TEST_SUITE_P(All, Decoding,
                         testing::Values(DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0,
                                         DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ4_K,
                                         DType::kQ5_K, DType::kQ6_K),
                         [](const auto& info) { return std::string(Traits(info.param).name); });

class Encoding : public testing::TestWithParam<DType> {};

TEST_P(Encoding, EqualsTheGgufPackageToTheByte) {
  const std::string want = Fixture(Lower(Traits(GetParam()).name) + ".bin");
  const auto got = Encode(GetParam(), FloatFixture("input.f32"));
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(std::to_integer<int>(got[i]), static_cast<int>(static_cast<unsigned char>(want[i])))
        << "byte " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(All, Encoding,
                         testing::Values(DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0,
                                         DType::kQ5_0),
                         [](const auto& info) { return std::string(Traits(info.param).name); });

double RelativeError(DType type, const std::vector<float>& x) {
  const auto row = Encode(type, x);
  std::vector<float> back(x.size());
  DequantizeRow(type, row.data(), back);
  double error = 0, norm = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    error += (x[i] - back[i]) * double(x[i] - back[i]);
    norm += double(x[i]) * x[i];
  }
  return std::sqrt(error / norm);
}

TEST(Encoding, ErrorOnNormalNumbersIsThatOfTheType) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 0.02f);
  std::vector<float> x(256 * 256);
  for (float& v : x) v = normal(random);
  EXPECT_LT(RelativeError(DType::kQ8_0, x), 0.0055);
  EXPECT_LT(RelativeError(DType::kQ6_K, x), 0.019);
  EXPECT_LT(RelativeError(DType::kQ5_K, x), 0.036);
  EXPECT_LT(RelativeError(DType::kQ4_K, x), 0.072);
  EXPECT_LT(RelativeError(DType::kQ4_0, x), 0.092);
}

TEST(Encoding, DegenerateRowsStayFinite) {
  const float huge = 1e4f, denormal = std::numeric_limits<float>::denorm_min();
  std::vector<std::vector<float>> rows(7, std::vector<float>(kCols, 0.0f));
  rows[1].assign(kCols, 0.5f);
  rows[2].assign(kCols, -0.5f);
  rows[3].assign(kCols, denormal);
  rows[4][17] = huge;
  rows[5].assign(kCols, 1e-30f);
  for (size_t i = 0; i < kCols; ++i) rows[6][i] = i % 2 == 0 ? huge : -huge;
  for (const DType type : {DType::kQ8_0, DType::kQ4_0, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K}) {
    for (size_t r = 0; r < rows.size(); ++r) {
      const auto row = Encode(type, rows[r]);
      std::vector<float> back(kCols);
      DequantizeRow(type, row.data(), back);
      for (size_t i = 0; i < kCols; ++i) {
        const float allowed = 0.15f * std::fabs(rows[r][i]) + 1e-6f;
        ASSERT_NEAR(back[i], rows[r][i], allowed)
            << Traits(type).name << " row " << r << " element " << i;
      }
    }
  }
}

TEST(Encoding, EveryInstructionSetGivesTheSameBytes) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0, 0.05f);
  for (const DType type : {DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0, DType::kQ5_0,
                           DType::kQ4_K, DType::kQ5_K, DType::kQ6_K}) {
    std::vector<float> x(16 * kCols), back(x.size());
    for (float& v : x) v = normal(random) * (random() % 7 == 0 ? 8.0f : 1.0f);
    std::vector<std::byte> first;
    std::vector<float> first_back;
    ForEachIsa([&] {
      const auto row = Encode(type, x);
      DequantizeRow(type, row.data(), back);
      if (first.empty()) first = row, first_back = back;
      EXPECT_EQ(row, first) << Traits(type).name;
      EXPECT_EQ(back, first_back) << Traits(type).name;
    });
  }
}

TEST(Half, EveryHalfSurvivesTheRoundTrip) {
  for (uint32_t h = 0; h < 0x10000; ++h) {
    const uint16_t half = static_cast<uint16_t>(h);
    const float value = HalfToFloat(half);
    if ((half & 0x7fff) > 0x7c00) {
      EXPECT_TRUE(std::isnan(value) && std::isnan(HalfToFloat(FloatToHalf(value))));
    } else {
      ASSERT_EQ(FloatToHalf(value), half);
    }
  }
  EXPECT_EQ(HalfToFloat(0x3c00), 1.0f);
  EXPECT_EQ(HalfToFloat(0x0001), 0x1p-24f);
  EXPECT_EQ(HalfToFloat(0xfbff), -65504.0f);
}

TEST(Half, RoundsToNearestEven) {
  EXPECT_EQ(FloatToHalf(1.0f + 0x1p-11f), 0x3c00);      // tie: down to even
  EXPECT_EQ(FloatToHalf(1.0f + 3 * 0x1p-11f), 0x3c02);  // tie: up to even
  EXPECT_EQ(FloatToHalf(65519.99f), 0x7bff);
  EXPECT_EQ(FloatToHalf(65520.0f), 0x7c00);  // tie beyond the largest: infinity
  EXPECT_EQ(FloatToHalf(0x1p-25f), 0x0000);  // half of the least subnormal: to even
  EXPECT_EQ(FloatToHalf(0x1.8p-25f), 0x0001);
  EXPECT_EQ(FloatToHalf(-std::numeric_limits<float>::infinity()), 0xfc00);
  EXPECT_EQ(FloatToBf16(1.0f + 0x1p-8f), 0x3f80);
  EXPECT_EQ(FloatToBf16(1.0f + 3 * 0x1p-8f), 0x3f82);
  EXPECT_TRUE(std::isnan(Bf16ToFloat(FloatToBf16(std::nanf("")))));
}

}  // namespace
}  // namespace facet
