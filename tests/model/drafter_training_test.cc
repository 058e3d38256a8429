// Chains of drafts as training runs them: where rounds begin, and every gradient against finite
// differences.
#include "model/drafter_training.h"

#include <gtest/gtest.h>

#include <deque>

#include "ops/gradient.h"
#include "ops/random.h"

namespace facet {
namespace {

constexpr int kWidth = 12, kTargetWidth = 10, kFfn = 16, kDrafts = 3;

// Weights made up, with places for their gradients.
class Made {
 public:
  TrainLinear Matrix(int64_t rows, int64_t cols) {
    Piece& piece = Add(rows, cols, 0.4f);
    return {
        {DType::kF32, rows, cols, reinterpret_cast<const std::byte*>(piece.value.view().data())},
        piece.gradient.view().data(),
        std::nullopt};
  }
  TrainVector Values(int64_t count) {
    Piece& piece = Add(1, count, 0.3f);
    for (float& v : piece.value.view().row_span(0)) v += 1;
    return {piece.value.view().row_span(0), piece.gradient.view().data()};
  }
  struct Piece {
    Buffer value, gradient;
  };
  std::deque<Piece> pieces;

 private:
  Piece& Add(int64_t rows, int64_t cols, float scale) {
    const auto seed = static_cast<uint32_t>(pieces.size() + 5);
    pieces.push_back({RandomMatrix(rows, cols, scale, seed), Buffer(rows, cols)});
    return pieces.back();
  }
};

class DrafterChain : public testing::Test {
 protected:
  DrafterChain() {
    config_.family = Family::kGemma4Assistant;
    config_.width = kWidth;
    config_.ffn = kFfn;
    config_.vocab = 20;
    config_.layers = {{true, 4, 2, 4}, {false, 4, 1, 8}};
    config_.rope_sliding.rotated_pairs = 2;
    config_.rope_full.rotated_pairs = 1;
    weights_.final_norm = made_.Values(kWidth);
    for (const LayerConfig& c : config_.layers) {
      TrainLayer w;
      for (TrainVector* norm : {&w.attn_norm, &w.post_attn_norm, &w.ffn_norm, &w.post_ffn_norm})
        *norm = made_.Values(kWidth);
      w.q_norm = made_.Values(c.head_dim);
      w.q = made_.Matrix(c.heads * c.head_dim, kWidth);
      w.o = made_.Matrix(kWidth, c.heads * c.head_dim);
      w.gate = made_.Matrix(kFfn, kWidth);
      w.up = made_.Matrix(kFfn, kWidth);
      w.down = made_.Matrix(kWidth, kFfn);
      w.layer_scalar = 0.9f;
      weights_.layers.push_back(w);
    }
    weights_.drafter = {made_.Matrix(kWidth, 2 * kTargetWidth), made_.Matrix(kTargetWidth, kWidth)};
    // Two sequences, of 7 and 5 rows.
    for (int row = 0; row < 12; ++row) {
      const int begin = row < 7 ? 0 : 7;
      rows_.positions.push_back(row - begin);
      rows_.full.push_back({begin, row + 1});
    }
    rows_.outputs = {3, 4, 5, 6, 7, 8, 10, 11};
    sliding_ = {RandomMatrix(12, 2 * 4, 1, 90), RandomMatrix(12, 2 * 4, 1, 91)};
    full_ = {RandomMatrix(12, 8, 1, 92), RandomMatrix(12, 8, 1, 93)};
    batch_ = {&rows_, states_.view(), next_.view(), 3, &sliding_, &full_};
  }

  TextConfig config_;
  TrainWeights weights_;
  Made made_;
  TrainRows rows_;
  LayerKeys sliding_, full_;
  const Buffer states_ = RandomMatrix(8, kTargetWidth, 1, 94),
               next_ = RandomMatrix(8, kTargetWidth, 1, 95);
  DrafterBatch batch_;
  ThreadPool pool_{2};
  TrainProjector projector_{Compute::kF32, pool_};
};

std::vector<int32_t> List(std::span<const int32_t> values) {
  return {values.begin(), values.end()};
}

// Rows 6 and 7 are neighbours, but of two sequences; row 9 is no output.
TEST_F(DrafterChain, RoundsStayInOneStretchOfOneSequence) {
  DrafterTraining chain(config_, weights_, projector_, kDrafts, pool_);
  chain.Forward(batch_, false);
  EXPECT_EQ(List(chain.Rounds(0)), (std::vector<int32_t>{0, 1, 2, 4, 6}));
  EXPECT_EQ(List(chain.Rounds(1)), (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(List(chain.Rounds(2)), (std::vector<int32_t>{0}));
  for (int draft = 0; draft < kDrafts; ++draft)
    EXPECT_EQ(chain.States(draft).rows(), static_cast<int64_t>(chain.Rounds(draft).size()));
}

TEST_F(DrafterChain, SeesOnlyTheKeysThatDecodingWouldHave) {
  DrafterTraining chain(config_, weights_, projector_, kDrafts, pool_);
  const auto state = [&](int draft, int row) {
    chain.Forward(batch_, false);
    const auto values = chain.States(draft).row_span(row);
    return std::vector<float>(values.begin(), values.end());
  };
  // Round 1 begins behind row 4: its queries stand at position 5 and see sliding keys above 2.
  const auto before = state(1, 1);
  const auto change = [&](LayerKeys& keys, int row) {
    const Buffer as_it_was = keys.v;
    for (float& v : keys.v.view().row_span(row)) v += 1;
    const auto after = state(1, 1);
    keys.v = as_it_was;
    return after != before;
  };
  for (int row = 0; row < 12; ++row) {
    EXPECT_EQ(change(full_, row), row <= 4) << row;
    EXPECT_EQ(change(sliding_, row), row == 3 || row == 4) << row;
  }
}

TEST_F(DrafterChain, GradientsAgreeWithFiniteDifferences) {
  DrafterTraining chain(config_, weights_, projector_, kDrafts, pool_);
  std::vector<Buffer> pulls;
  for (int draft = 0; draft < kDrafts; ++draft)
    pulls.push_back(RandomMatrix(8, kWidth, 1, 50 + draft));
  const auto loss = [&] {
    chain.Forward(batch_, false);
    double sum = 0;
    for (int draft = 0; draft < kDrafts; ++draft)
      sum += Weighted(pulls[draft], chain.States(draft));
    return sum;
  };
  for (const size_t keep : {size_t{0}, size_t{1} << 30}) {
    for (auto& piece : made_.pieces) {
      for (int64_t r = 0; r < piece.gradient.rows(); ++r)
        std::ranges::fill(piece.gradient.view().row_span(r), 0.0f);
    }
    chain.set_keep_bytes(keep);
    chain.Forward(batch_, true);
    for (int draft = 0; draft < kDrafts; ++draft) {
      Mat d = chain.StatesGradient(draft);
      for (int64_t r = 0; r < d.rows(); ++r)
        std::copy_n(pulls[draft].view().row(r), kWidth, d.row(r));
    }
    chain.Backward();
    for (size_t i = 0; i < made_.pieces.size(); ++i) {
      SCOPED_TRACE(i);
      ExpectGradient(loss, made_.pieces[i].value, made_.pieces[i].gradient, 1e-2);
    }
  }
}

}  // namespace
}  // namespace facet
