#include "engine/draft_policy.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <tuple>

namespace facet {
namespace {

// Times of a busy machine have a long tail. The first few give the least of them; later ones move
// the estimate by a bounded step, so that an outlier counts like any other value above it.
constexpr int kFirst = 3;
constexpr double kLearn = 0.2, kOutlier = 0.15;
// What moves one count (a longer context, a busy machine) moves the others too, if not as much.
constexpr double kSharedChange = 0.3;
// What one more row costs where it was never measured: of a step alone, or of a row of a long
// step, which uses the kernels best and has no logits.
constexpr double kOptimisticRow = 0.15, kPessimisticRow = 0.6, kPessimism = 3;

// A gain below this is not worth the risk that the estimates are wrong.
constexpr double kClearGain = 1.02;

constexpr double kPriorWeight = 6;

}  // namespace

void RowCost::Add(int rows, double ms) {
  if (rows < 1 || rows > kRows || ms <= 0) return;
  ++calls_;
  Entry& entry = entries_[rows];
  entry.last = calls_;
  if (++entry.count <= kFirst) {
    entry.ms = entry.count == 1 ? ms : std::min(entry.ms, ms);
    return;
  }
  const double change = kLearn * std::clamp(std::log(ms / entry.ms), -kOutlier, kOutlier);
  for (Entry& other : entries_)
    other.ms *= std::exp(&other == &entry ? change : kSharedChange * change);
}

// The nearest measured counts; 0 or kRows + 1 where there is none.
int RowCost::Below(int rows) const {
  int below = std::min(rows, kRows);
  while (below > 0 && entries_[below].count == 0) --below;
  return below;
}
int RowCost::Above(int rows) const {
  int above = rows;
  while (above <= kRows && entries_[above].count == 0) ++above;
  return std::min(above, kRows + 1);
}

// What one more row may cost, in the best case: as much as those that were measured, or as one of a
// long step.
double RowCost::OptimisticRowMs() const {
  const int first = Above(1), last = Below(kRows);
  if (last == 0) return slope_;
  const double guess = slope_ > 0 ? slope_ : kOptimisticRow * entries_[first].ms / first;
  if (first == last) return guess;
  const double measured = (entries_[last].ms - entries_[first].ms) / (last - first);
  return std::clamp(measured, 0.0, guess);
}

double RowCost::Ms(int rows) const {
  const int below = Below(rows), above = Above(rows);
  if (below == rows) return entries_[rows].ms;
  if (below > 0 && above <= kRows) {
    const double share = static_cast<double>(rows - below) / (above - below);
    return entries_[below].ms + share * (entries_[above].ms - entries_[below].ms);
  }
  if (below > 0) return entries_[below].ms + (rows - below) * OptimisticRowMs();
  if (above > kRows) return rows * slope_;
  const double ms = entries_[above].ms;
  return std::max(ms * rows / above, ms - (above - rows) * OptimisticRowMs());
}

double RowCost::Bound(int rows) const {
  const int below = Below(rows), above = Above(rows);
  if (below == rows || below == 0 || rows > kRows) return Ms(rows);
  // A row more never costs what a step of its own does.
  const double alone = entries_[Above(1)].ms / Above(1);
  const double each = slope_ > 0 ? std::min(kPessimism * slope_, alone) : kPessimisticRow * alone;
  const double bound = entries_[below].ms + (rows - below) * each;
  return above <= kRows ? std::min(bound, std::max(entries_[above].ms, entries_[below].ms)) : bound;
}

Evidence LookupEvidence(const NgramLookup::Match& match, int ahead) {
  const int length = match.length + ahead;
  if (match.near && length < 5) return std::min(length, 3);
  for (const auto& [below, evidence] : {std::pair(5, 4), {8, 5}, {16, 6}, {32, 7}}) {
    if (length < below) return evidence;
  }
  return 8;
}

Evidence DrafterEvidence(float margin) {
  int evidence = kLookupEvidence;
  for (const float step : {0.25f, 0.5f, 1.0f, 2.0f, 3.0f, 5.0f, 8.0f}) evidence += margin >= step;
  return evidence;
}

double Acceptance::Prior(Evidence evidence) {
  static constexpr std::array<double, kEvidence> kPriors = {
      0.3, 0.4,  0.6, 0.8, 0.3, 0.5, 0.7, 0.85, 0.95,  // lookup: near 0 to 3, then by length
      0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9,  0.6};  // drafter: by margin, any
  return kPriors[evidence];
}

void Acceptance::Observe(Evidence evidence, bool accepted) {
  Count& count = counts_[evidence];
  count.hits = fade_ * count.hits + (accepted ? 1 : 0);
  count.tries = fade_ * count.tries + 1;
}

double Acceptance::Probability(Evidence evidence, double prior) const {
  const Count& count = counts_[evidence];
  return (count.hits + kPriorWeight * prior) / (count.tries + kPriorWeight);
}

void LossBudget::Settle(double cost, double gain, double steps) {
  credit_ = std::min(kCredit, credit_ - cost + gain + kRefill * steps);
}

namespace {

// Cost of a step with ever more drafts; a measurement that says less for more rows is noise.
class Growth {
 public:
  explicit Growth(const StepPlan& plan) : plan_(plan), plain_(plan.cost->Ms(plan.rows)) {
    ms_ = plain_;
  }
  double Add() {
    ms_ = std::max(ms_, plan_.cost->Ms(plan_.rows + ++drafts_));
    bound_ = std::max({ms_, bound_, plan_.cost->Bound(plan_.rows + drafts_)});
    return ms_;
  }
  double plain() const { return plain_; }
  // Whether all of them may be rejected.
  bool Covered(double drafting_ms) const {
    return bound_ - plain_ + drafting_ms <= plan_.credit * plan_.plain_ms;
  }

 private:
  const StepPlan& plan_;
  double plain_, ms_, bound_ = 0;
  int drafts_ = 0;
};

}  // namespace

std::vector<int> AllotDrafts(const StepPlan& plan, std::span<const std::vector<double>> survival) {
  struct Draft {
    double survival;
    size_t sequence, place;
  };
  std::vector<Draft> drafts;
  for (size_t s = 0; s < survival.size(); ++s) {
    for (size_t i = 0; i < survival[s].size(); ++i) drafts.push_back({survival[s][i], s, i});
  }
  // Survival falls along a sequence, so its earlier drafts come first.
  std::sort(drafts.begin(), drafts.end(), [](const Draft& a, const Draft& b) {
    return std::tie(b.survival, a.place, a.sequence) < std::tie(a.survival, b.place, b.sequence);
  });
  Growth growth(plan);
  double tokens = plan.tokens, best = kClearGain * tokens / (growth.plain() + plan.spent_ms);
  size_t taken = 0;
  const size_t most = std::min<size_t>(drafts.size(), plan.most);
  for (size_t n = 1; n <= most; ++n) {
    tokens += drafts[n - 1].survival;
    const double rate = tokens / (growth.Add() + plan.spent_ms);
    if (!growth.Covered(plan.spent_ms)) break;
    if (rate <= best) continue;
    best = rate;
    taken = n;
  }
  std::vector<int> lengths(survival.size(), 0);
  for (size_t n = 0; n < taken; ++n) ++lengths[drafts[n].sequence];
  return lengths;
}

BestLength FindBestLength(const StepPlan& plan, std::span<const double> survival, int made,
                          double draft_ms) {
  Growth growth(plan);
  double tokens = plan.tokens, spent = plan.spent_ms;
  BestLength best{0, tokens / (growth.plain() + spent)};
  double wanted = kClearGain * best.rate;
  const int most = std::min(plan.most, static_cast<int>(survival.size()));
  for (int n = 1; n <= most; ++n) {
    tokens += survival[n - 1];
    if (n > made) spent += draft_ms;
    const double rate = tokens / (growth.Add() + spent);
    if (!growth.Covered(spent)) break;
    if (rate <= wanted) continue;
    best = {n, rate};
    wanted = rate;
  }
  return best;
}

}  // namespace facet
