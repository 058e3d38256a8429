// Drafting: guesses of the next tokens, which one step verifies all together. The scheduler emits
// the rows of a step as if they had been computed one at a time, each with the constraint, the
// penalties and the random number of its own place, as long as the token that comes out is the one
// that was drafted. So drafts decide how fast text comes, never which.
//
// That is also the best that can be done with guesses that are not random. Rejection sampling of a
// draft x that is always x accepts it with probability min(1, p(x) / 1) = p(x), and so often the
// token drawn from p is x. The text stays the same for a seed instead of only its distribution.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/draft_options.h"
#include "engine/draft_policy.h"
#include "engine/executor.h"
#include "engine/generation.h"
#include "engine/lookup.h"

namespace facet {

// What drafting knows of one sequence, and its drafts of this round.
struct DraftMemory {
  enum class Source { kNone, kForced, kLookup, kDrafter };
  Source source = Source::kNone;
  std::vector<TokenId> drafts;
  std::vector<Evidence> evidence;  // of each draft; none for forced ones

  NgramLookup lookup;
  Acceptance acceptance{0.98};
  // A draft that is compared with what comes, and costs no row.
  std::optional<std::pair<TokenId, Evidence>> probe;
  int probe_in = 8, probe_wait = 16;  // tokens
};

// A sequence whose newest token is to be computed.
struct DraftTarget {
  DraftMemory* memory = nullptr;
  SequenceState* state = nullptr;
  std::span<const TokenId> tokens;              // prompt and answer
  int prompt = 0;                               // tokens of the prompt
  int room = 0;                                 // drafts at most: what the answer's limit leaves
  const std::deque<TokenId>* forced = nullptr;  // tokens that come next, whatever the model says
  const Sampler* sampler = nullptr;
  const TokenConstraint* constraint = nullptr;  // null: none
  std::span<const TokenId> stops;
};

class Speculator {
 public:
  Speculator(Executor& executor, const DraftOptions& options);

  // Makes the drafts of a round for all sequences that decode; the step has `prompt_rows` rows of
  // prompts besides.
  void Propose(std::span<const DraftTarget> sequences, int prompt_rows);
  // The scheduler takes the drafts out of the round again.
  void Drop() { round_.drafts = 0; }
  // The step took so long, with the drafts in it.
  void Measured(double step_ms);
  // The first `accepted` drafts came out, and `next` after them (none where the answer ended).
  void Verified(DraftMemory& memory, int accepted, std::optional<TokenId> next);
  // All of them are verified.
  void EndRound();

  // Milliseconds, for what drafting takes; tests put their own in.
  void set_draft_clock(std::function<double()> clock) { clock_ms_ = std::move(clock); }

 private:
  // A sequence whose drafts are being made, with a copy of its constraint to try them on.
  struct Drafting {
    const DraftTarget* sequence = nullptr;
    std::unique_ptr<TokenConstraint> trial = nullptr;
    TokenId after = 0;
    bool first = true;
  };
  // A drafter's likeliest token and its distance to the second one; -1: none.
  struct Pick {
    TokenId token = -1;
    float margin = 0;
  };
  struct Round {
    int sequences = 0, prompt_rows = 0, drafts = 0, accepted = 0;
    double drafting_ms = 0;
    int rows() const { return sequences + prompt_rows; }
  };

  void Learn(const DraftTarget& sequence);
  void ProposeFixed(std::span<const DraftTarget> sequences);
  void ProposeAdaptive(std::span<const DraftTarget> sequences);
  bool MayDraft() const;
  StepPlan Plan() const;
  double Probability(const DraftMemory& memory, Evidence evidence) const;
  void Observe(DraftMemory& memory, Evidence evidence, bool accepted);
  void Force(const DraftTarget& sequence);
  void LookUp(const DraftTarget& sequence, int count);
  static void Constrain(const DraftTarget& sequence);
  std::vector<double> Survival(const DraftMemory& memory) const;
  std::vector<double> Expected(const DraftMemory& memory, int count) const;
  bool CanUseDrafter(const DraftTarget& sequence) const;
  bool WantsMore(const DraftMemory& memory, double draft_ms) const;
  double DraftMs(int rows) const;
  void Draft(std::span<const DraftTarget* const> sequences);
  std::vector<Pick> DraftNext(std::span<Drafting> all);
  static Pick BestOf(std::span<const float> logits);
  int FixedLength() const;
  void Probe(std::span<const DraftTarget> sequences);

  Executor& executor_;
  const DraftOptions& options_;
  RowCost step_, draft_;
  Acceptance acceptance_{0.998};  // of all sequences, where one has too few observations
  LossBudget budget_;
  std::function<double()> clock_ms_;
  Round round_;
  double prompt_row_ms_ = 0;
  Buffer logits_;
};

}  // namespace facet
