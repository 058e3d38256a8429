// How many drafts pay. Three things that are learnt while the engine runs, costs by rows,
// acceptance by evidence and what drafting has lost so far, and the choice that follows from them.
// No clock in here: times come in as numbers.
//
// With cost T(rows) of a step and survival S_i, the probability that the first i drafts are all
// accepted, a round of one sequence with k drafts gives 1 + S_1 + ... + S_k tokens in
// T(1 + k) + cost of drafting. The k with the most tokens a millisecond is taken, 0 included.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/lookup.h"

namespace facet {

// What a call costs by its number of rows, in milliseconds.
class RowCost {
 public:
  static constexpr int kRows = 64;  // counts up to here are learnt one by one

  void Add(int rows, double ms);
  // What each row of a long step costs: a first idea of what one more costs in a short one.
  void set_slope(double ms_per_row) { slope_ = ms_per_row; }
  // 0 where nothing at all is known. A line between measured counts; beyond them optimistic, so
  // that a larger count is tried, and then known.
  double Ms(int rows) const;
  // No more than this, as far as one can tell: what may be risked to try a count.
  double Bound(int rows) const;
  int count(int rows) const { return rows <= kRows ? entries_[rows].count : 0; }
  // Calls since the last one with so many rows.
  uint64_t Age(int rows) const { return rows <= kRows ? calls_ - entries_[rows].last : UINT64_MAX; }

 private:
  struct Entry {
    double ms = 0;
    int count = 0;
    uint64_t last = 0;
  };
  int Below(int rows) const;
  int Above(int rows) const;
  double OptimisticRowMs() const;
  std::array<Entry, kRows + 1> entries_;
  uint64_t calls_ = 0;
  double slope_ = 0;
};

// What speaks for a draft: a cell in which acceptances are counted. Finer than the position in the
// round, and it carries from sequence to sequence: a match that has held for 30 tokens, or a
// drafter that is sure, is as good at the fourth draft as at the first.
using Evidence = int;
constexpr int kLookupEvidence = 9, kDrafterEvidence = 8;
constexpr Evidence kDrafterAny = kLookupEvidence + kDrafterEvidence;  // of all its drafts together
constexpr int kEvidence = kDrafterAny + 1;
// The draft that follows a match after `ahead` others that followed it too.
Evidence LookupEvidence(const NgramLookup::Match& match, int ahead);
// `margin`: the drafter's best logit less its second best.
Evidence DrafterEvidence(float margin);

// Shares of accepted drafts, old ones fading.
class Acceptance {
 public:
  // `fade`: what an observation weighs less with each that follows.
  explicit Acceptance(double fade) : fade_(fade) {}
  void Observe(Evidence evidence, bool accepted);
  // Drawn towards `prior` while there are few observations.
  double Probability(Evidence evidence, double prior) const;
  // What is assumed before anything was observed.
  static double Prior(Evidence evidence);

 private:
  struct Count {
    double hits = 0, tries = 0;
  };
  double fade_;
  std::array<Count, kEvidence> counts_;
};

// Bounds what drafting may lose against plain decoding, whatever the estimates said. Losses are
// counted in plain steps. What 256 steps may lose at most, kCredit + 256 * kRefill = 5.06, leaves
// 256 / 261.06 = 0.98 of plain speed: a window of any 256 tokens begins with no more credit than
// kCredit, and nothing is risked that the credit does not cover.
class LossBudget {
 public:
  static constexpr double kCredit = 2.5, kRefill = 0.01;
  bool Covers(double worst) const { return worst <= credit_; }
  // A round took `cost` more than its plain step and gave `gain` plain steps' worth of tokens more;
  // `steps`: of plain decoding that it stands for.
  void Settle(double cost, double gain, double steps);
  double credit() const { return credit_; }

 private:
  double credit_ = kCredit;
};

// A step into which drafts are to be put.
struct StepPlan {
  const RowCost* cost = nullptr;
  int rows = 0;         // of everything but the drafts
  int tokens = 0;       // that it gives without any: one for each sequence that decodes
  double spent_ms = 0;  // on drafting so far
  double credit = 0;    // plain steps that may be lost
  int most = 0;         // rows of drafts at most
  double plain_ms = 0;  // cost of a step of `tokens` rows, the unit of credit
};

// Drafts to verify of each sequence; `survival[s]` falls along the drafts of sequence s. The most
// tokens a millisecond, and clearly more than without drafts.
std::vector<int> AllotDrafts(const StepPlan& plan, std::span<const std::vector<double>> survival);

// How many of one sequence's drafts pay; the first `made` are there, each further one costs
// `draft_ms`. `rate`: tokens a millisecond.
struct BestLength {
  int length = 0;
  double rate = 0;
};
BestLength FindBestLength(const StepPlan& plan, std::span<const double> survival, int made,
                          double draft_ms);

}  // namespace facet
