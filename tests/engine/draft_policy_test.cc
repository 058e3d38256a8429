// The choice of how many drafts to verify, against simulated machines and texts.
#include "engine/draft_policy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>

#include "engine/executor.h"
#include "engine/speculation.h"

namespace facet {
namespace {

TEST(RowCost, IsALineBetweenWhatWasMeasuredAndASlopeBeyond) {
  RowCost cost;
  EXPECT_EQ(cost.Ms(4), 0);
  for (int i = 0; i < 3; ++i) cost.Add(1, 10), cost.Add(5, 18);
  EXPECT_DOUBLE_EQ(cost.Ms(1), 10);
  EXPECT_DOUBLE_EQ(cost.Ms(3), 14);
  cost.set_slope(1);
  EXPECT_DOUBLE_EQ(cost.Ms(9), 18 + 4);
  EXPECT_DOUBLE_EQ(cost.Bound(3), 16);
  EXPECT_DOUBLE_EQ(cost.Bound(9), 18 + 4 * 3);
}

TEST(RowCost, OutliersHardlyCountAndChangesAreFollowed) {
  RowCost cost;
  for (int i = 0; i < 20; ++i) cost.Add(1, i == 10 ? 500 : 10), cost.Add(4, 20);
  EXPECT_NEAR(cost.Ms(1), 10, 0.4);
  for (int i = 0; i < 60; ++i) cost.Add(1, 20);  // a context that has grown
  EXPECT_NEAR(cost.Ms(1), 20, 0.5);
  EXPECT_GT(cost.Ms(4), 24);
}

TEST(Acceptance, FollowsWhatItSees) {
  Acceptance acceptance(0.98);
  EXPECT_NEAR(acceptance.Probability(3, 0.7), 0.7, 1e-9);
  for (int i = 0; i < 300; ++i) acceptance.Observe(3, i % 4 == 0);
  EXPECT_NEAR(acceptance.Probability(3, 0.7), 0.25, 0.08);
  EXPECT_NEAR(acceptance.Probability(4, 0.5), 0.5, 1e-9);
}

TEST(AllotDrafts, GivesRowsToTheLikeliestDrafts) {
  RowCost cost;
  for (int rows = 1; rows <= 10; ++rows) {
    for (int i = 0; i < 3; ++i) cost.Add(rows, 10 + (rows > 6 ? 8.0 * (rows - 6) : 0));
  }
  const StepPlan plan{&cost, 2, 2, 0, 2.5, 32, cost.Ms(2)};
  const std::vector<std::vector<double>> survival = {{0.5, 0.2, 0.1}, {0.9, 0.8, 0.7, 0.6}};
  EXPECT_EQ(AllotDrafts(plan, survival), (std::vector<int>{0, 4}));
  // Nothing may be lost: no draft, however likely.
  StepPlan poor = plan;
  poor.credit = -0.1;
  EXPECT_EQ(AllotDrafts(poor, survival), (std::vector<int>{0, 0}));
}

// A machine and a text, and how fast drafting is on them compared with plain decoding.
struct World {
  std::function<double(int rows)> step_ms;
  double draft_ms = 1;
  std::function<bool(int position)> accepts;  // whether a draft for this place is right
  double noise = 0;
};

// A model whose next token is always its position, and a drafter that knows it or not. Its clock
// runs by what things cost in the world.
class FakeExecutor : public Executor {
 public:
  explicit FakeExecutor(const World& world) : world_(world) {}
  int context() const override { return 1 << 20; }
  int vocab() const override { return 4; }
  int width() const override { return 1; }
  std::unique_ptr<SequenceState> Create() override { return nullptr; }
  Result<void> Step(std::span<const Piece>, Buffer&) override { return Ok(); }
  size_t cache_bytes() const override { return 0; }
  size_t cache_budget() const override { return 0; }
  bool has_drafter() const override { return true; }
  bool CanDraft(const SequenceState&) const override { return true; }
  Result<void> Draft(std::span<const DraftPiece> pieces, Buffer& logits) override {
    logits.Resize(static_cast<int64_t>(pieces.size()), 4);
    for (size_t i = 0; i < pieces.size(); ++i) {
      if (pieces[i].first) at_ = position;
      const std::span<float> row = logits.view().row_span(static_cast<int64_t>(i));
      std::fill(row.begin(), row.end(), 0.0f);
      row[world_.accepts(at_) ? at_ % 3 : 3] = 4;
      ++at_;
    }
    drafted_ms += world_.draft_ms * static_cast<double>(pieces.size());
    return Ok();
  }

  int position = 0;
  double drafted_ms = 0;

 private:
  const World& world_;
  int at_ = 0;
};

class NoState : public SequenceState {
 public:
  using SequenceState::SequenceState;
  int length() const override { return 0; }
  std::unique_ptr<SequenceState> Copy() const override { return nullptr; }
  bool CanRewind(int) const override { return false; }
  Result<void> Rewind(int) override { return Ok(); }
  void Commit(int) override {}
};

struct Course {
  double speed = 0;        // of the whole, plain decoding is 1
  double worst = 1e9;      // of any 256 tokens
  double last_length = 0;  // drafts a round, of the last hundred rounds
};

Course Simulate(const World& world, int tokens) {
  FakeExecutor executor(world);
  DraftOptions options;
  options.lookup = false;
  Speculator speculator(executor, options);
  speculator.set_draft_clock([&] { return executor.drafted_ms; });
  DraftMemory memory;
  KvPool pool{CacheLayout()};
  NoState state(pool);
  const Sampler sampler({});
  const std::deque<TokenId> forced;
  std::mt19937 random(7);
  std::lognormal_distribution<double> noise(0, world.noise);
  std::vector<TokenId> text = {0};
  std::vector<double> at = {0};  // when each token came
  std::vector<int> lengths;
  double now = 0;
  while (static_cast<int>(text.size()) < tokens) {
    executor.position = static_cast<int>(text.size());
    const double before = executor.drafted_ms;
    const DraftTarget target{&memory, &state, text, 1, 100, &forced, &sampler, nullptr, {}};
    speculator.Propose({&target, 1}, 0);
    const int count = static_cast<int>(memory.drafts.size());
    const double step = world.step_ms(1 + count) * noise(random);
    now += world.step_ms(1 + count) + executor.drafted_ms - before;
    speculator.Measured(step);
    int accepted = 0;
    const auto next = [&] { return static_cast<TokenId>(text.size() % 3); };
    while (accepted < count && memory.drafts[accepted] == next()) {
      ++accepted;
      text.push_back(next());
      at.push_back(now);
    }
    text.push_back(next());
    at.push_back(now);
    speculator.Verified(memory, accepted, text.back());
    speculator.EndRound();
    lengths.push_back(count);
  }
  Course run;
  const double plain = world.step_ms(1);
  run.speed = plain * static_cast<double>(text.size()) / now;
  for (size_t i = 256; i < at.size(); ++i)
    run.worst = std::min(run.worst, 256 * plain / (at[i] - at[i - 256]));
  for (size_t i = lengths.size() - 100; i < lengths.size(); ++i)
    run.last_length += lengths[i] / 100.0;
  return run;
}

double Flat(int rows) {
  return 100 + 4 * (rows - 1);
}
double Steep(int rows) {
  return 100 + 60 * (rows - 1);
}

TEST(Speculator, DraftsNothingWhereNothingIsAccepted) {
  const Course run = Simulate({Flat, 5, [](int) { return false; }}, 2000);
  EXPECT_EQ(run.last_length, 0);
  EXPECT_GT(run.speed, 0.99);
  EXPECT_GE(run.worst, 0.98);
}

TEST(Speculator, DraftsManyWhereAllAreAccepted) {
  const Course run = Simulate({Flat, 2, [](int) { return true; }}, 2000);
  EXPECT_GT(run.last_length, 10);
  EXPECT_GT(run.speed, 6);
}

TEST(Speculator, DraftsFewWhereRowsAreDear) {
  const auto mostly = [](int at) { return at % 4 != 0; };
  const Course flat = Simulate({Flat, 2, mostly}, 3000), steep = Simulate({Steep, 2, mostly}, 3000);
  EXPECT_GT(flat.last_length, 2);
  EXPECT_GT(flat.speed, 2);
  EXPECT_LT(steep.last_length, 2);
  EXPECT_GE(steep.worst, 0.98);
}

TEST(Speculator, FindsOutWhenATextHasBecomeEasy) {
  const Course run = Simulate({Flat, 2, [](int at) { return at > 3000; }}, 6000);
  EXPECT_GT(run.last_length, 10);
  EXPECT_GE(run.worst, 0.98);
}

// Texts that turn from easy to hard at the worst moments, on machines of all kinds.
TEST(Speculator, NeverLosesMoreThanTwoPercentOfAnyWindow) {
  std::mt19937 random(3);
  for (int trial = 0; trial < 60; ++trial) {
    const double row = static_cast<double>(random() % 100), draft = 1.0 + random() % 30;
    const int block = 1 + static_cast<int>(random() % 4);  // rows that a kernel takes at once
    const int easy = 20 + static_cast<int>(random() % 400),
              hard = 20 + static_cast<int>(random() % 400);
    const auto step = [=](int rows) { return 100 + row * ((rows + block - 1) / block - 1); };
    const auto accepts = [=](int at) { return at % (easy + hard) < easy; };
    const Course run = Simulate({step, draft, accepts, trial % 2 == 0 ? 0.0 : 0.05}, 4000);
    EXPECT_GE(run.worst, trial % 2 == 0 ? 0.98 : 0.96) << "trial " << trial;
    EXPECT_GE(run.speed, 0.985) << "trial " << trial;
  }
}

}  // namespace
}  // namespace facet
