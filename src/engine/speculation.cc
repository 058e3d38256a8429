#include "engine/speculation.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

namespace facet {
namespace {

using Source = DraftMemory::Source;

constexpr int kMostDrafts = 16;  // of one sequence in a round
constexpr int kMostRows = 32;    // of all sequences: each row has logits
constexpr int kSettled = 3;      // steps that a cost is measured with before it is relied on
constexpr uint64_t kStale = 64;  // steps after which plain decoding is measured again
constexpr int kProbe = 16, kRareProbe = 256;  // tokens between probes of an idle drafter
constexpr double kGuessedDraft = 0.1;         // of a plain step, until a draft has been measured
constexpr double kProbeReserve = 1;           // plain steps of credit that a probe leaves to drafts
constexpr int kLeastMatch = 3;                // tokens that a look-up of fixed length asks for

bool Contains(std::span<const TokenId> ids, TokenId id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace

Speculator::Speculator(Executor& executor, const DraftOptions& options)
    : executor_(executor), options_(options), clock_ms_([] {
        const auto now = std::chrono::steady_clock::now().time_since_epoch();
        return std::chrono::duration<double, std::milli>(now).count();
      }) {}

// --- one round

void Speculator::Propose(std::span<const DraftTarget> sequences, int prompt_rows) {
  round_ = {.sequences = static_cast<int>(sequences.size()), .prompt_rows = prompt_rows};
  for (const DraftTarget& s : sequences) {
    s.memory->source = Source::kNone;
    s.memory->drafts.clear();
    s.memory->evidence.clear();
    s.memory->probe.reset();
    if (options_.mode != DraftOptions::Mode::kOff && options_.lookup) Learn(s);
  }
  if (options_.mode == DraftOptions::Mode::kFixed) ProposeFixed(sequences);
  if (options_.mode == DraftOptions::Mode::kAuto) ProposeAdaptive(sequences);
  for (const DraftTarget& s : sequences) round_.drafts += static_cast<int>(s.memory->drafts.size());
}

// What came is compared with what the look-up would have drafted, whether it was asked or not: its
// evidence costs nothing and never runs out.
void Speculator::Learn(const DraftTarget& s) {
  NgramLookup& lookup = s.memory->lookup;
  const int size = static_cast<int>(s.tokens.size());
  if (lookup.size() < s.prompt) lookup.Extend(s.tokens.first(s.prompt));
  while (lookup.size() < size) {
    const NgramLookup::Match match = lookup.match();
    const TokenId came = s.tokens[lookup.size()];
    if (match.next >= 0) Observe(*s.memory, LookupEvidence(match, 0), s.tokens[match.next] == came);
    lookup.Extend(s.tokens.first(lookup.size() + 1));
  }
}

void Speculator::Measured(double step_ms) {
  const int rows = round_.rows() + round_.drafts;
  if (round_.prompt_rows == 0) return step_.Add(rows, step_ms);
  if (rows < RowCost::kRows) return;
  const double row_ms = step_ms / rows;
  prompt_row_ms_ = prompt_row_ms_ == 0 ? row_ms : 0.7 * prompt_row_ms_ + 0.3 * row_ms;
  step_.set_slope(prompt_row_ms_);
}

void Speculator::Verified(DraftMemory& memory, int accepted, std::optional<TokenId> next) {
  const int count = static_cast<int>(memory.drafts.size());
  if (memory.source == Source::kDrafter) {
    for (int i = 0; i < std::min(count, accepted + (next ? 1 : 0)); ++i) {
      Observe(memory, memory.evidence[i], i < accepted);
      Observe(memory, kDrafterAny, i < accepted);
    }
    memory.probe_in = memory.probe_wait = kProbe;
  }
  if (memory.probe) {
    const std::optional<TokenId> came = accepted > 0 ? std::optional(memory.drafts[0]) : next;
    if (came) {
      const bool right = *came == memory.probe->first;
      Observe(memory, memory.probe->second, right);
      Observe(memory, kDrafterAny, right);
      if (right) memory.probe_in = memory.probe_wait = kProbe;  // ask again soon
    }
  }
  memory.probe_in -= accepted + 1;
  round_.accepted += accepted;
}

void Speculator::EndRound() {
  const double plain = step_.Ms(round_.sequences);
  if (round_.sequences == 0 || plain <= 0) return;
  const double more = step_.Ms(round_.rows() + round_.drafts) - step_.Ms(round_.rows());
  const double gain = static_cast<double>(round_.accepted) / round_.sequences;
  budget_.Settle((std::max(0.0, more) + round_.drafting_ms) / plain, gain, 1 + gain);
}

// --- how many

void Speculator::ProposeFixed(std::span<const DraftTarget> sequences) {
  std::vector<const DraftTarget*> drafting;
  for (const DraftTarget& s : sequences) {
    const NgramLookup::Match& match = s.memory->lookup.match();
    if (!s.forced->empty()) {
      Force(s);
    } else if (match.next >= 0 && (match.length >= kLeastMatch || !CanUseDrafter(s))) {
      LookUp(s, FixedLength());
      Constrain(s);
    } else if (CanUseDrafter(s)) {
      drafting.push_back(&s);
    }
  }
  Draft(drafting);
}

int Speculator::FixedLength() const {
  return std::min(options_.length, std::max(1, kMostRows / round_.sequences));
}

// A plain step must be known before anything can pay, and is measured again now and then.
bool Speculator::MayDraft() const {
  const int plain = round_.sequences;
  if (plain == 0 || plain > RowCost::kRows || step_.count(plain) < kSettled) return false;
  return round_.prompt_rows > 0 || step_.Age(plain) < kStale;
}

StepPlan Speculator::Plan() const {
  return {.cost = &step_,
          .rows = round_.rows(),
          .tokens = round_.sequences,
          .spent_ms = round_.drafting_ms,
          .credit = budget_.credit(),
          .most = kMostRows,
          .plain_ms = step_.Ms(round_.sequences)};
}

void Speculator::ProposeAdaptive(std::span<const DraftTarget> sequences) {
  if (!MayDraft()) return;
  std::vector<const DraftTarget*> drafting;
  for (const DraftTarget& s : sequences) {
    if (!s.forced->empty()) {
      Force(s);
      continue;
    }
    LookUp(s, kMostDrafts);
    const BestLength looked_up = FindBestLength(Plan(), Survival(*s.memory), 0, 0);
    BestLength drafted;
    if (CanUseDrafter(s)) {
      const std::vector<double> expected = Expected(*s.memory, std::min(s.room, kMostDrafts));
      drafted = FindBestLength(Plan(), expected, 0, DraftMs(1));
    }
    const bool draft = drafted.length > 0 && drafted.rate > looked_up.rate;
    const size_t kept = draft ? 0 : looked_up.length;
    s.memory->drafts.resize(kept);
    s.memory->evidence.resize(kept);
    draft ? drafting.push_back(&s) : Constrain(s);
  }
  Draft(drafting);

  std::vector<std::vector<double>> survival;
  for (const DraftTarget& s : sequences) survival.push_back(Survival(*s.memory));
  const std::vector<int> lengths = AllotDrafts(Plan(), survival);
  for (size_t i = 0; i < sequences.size(); ++i) {
    DraftMemory& memory = *sequences[i].memory;
    if (memory.source == Source::kDrafter && lengths[i] == 0 && !memory.drafts.empty())
      memory.probe = {memory.drafts[0], memory.evidence[0]};  // made, so it may as well teach
    memory.drafts.resize(lengths[i]);
    if (memory.source != Source::kForced) memory.evidence.resize(lengths[i]);
  }
  Probe(sequences);
}

double Speculator::Probability(const DraftMemory& memory, Evidence evidence) const {
  const double all = acceptance_.Probability(evidence, Acceptance::Prior(evidence));
  return memory.acceptance.Probability(evidence, all);
}

void Speculator::Observe(DraftMemory& memory, Evidence evidence, bool accepted) {
  memory.acceptance.Observe(evidence, accepted);
  acceptance_.Observe(evidence, accepted);
}

// The probability that a draft and all before it are accepted, for each draft of the round.
std::vector<double> Speculator::Survival(const DraftMemory& memory) const {
  std::vector<double> out;
  double all = 1;
  for (size_t i = 0; i < memory.drafts.size(); ++i) {
    if (memory.source != Source::kForced) all *= Probability(memory, memory.evidence[i]);
    out.push_back(all);
  }
  return out;
}

// The same for drafts that the drafter has not made yet.
std::vector<double> Speculator::Expected(const DraftMemory& memory, int count) const {
  std::vector<double> out = Survival(memory);
  const double each = Probability(memory, kDrafterAny);
  double all = out.empty() ? 1 : out.back();
  while (static_cast<int>(out.size()) < count) out.push_back(all *= each);
  return out;
}

// --- from where

void Speculator::Force(const DraftTarget& s) {
  const size_t count = std::min<size_t>(
      {s.forced->size(), static_cast<size_t>(s.room), static_cast<size_t>(kMostDrafts)});
  s.memory->source = Source::kForced;
  s.memory->drafts.assign(s.forced->begin(), s.forced->begin() + count);
}

// What ends the answer ends the drafts.
void Speculator::LookUp(const DraftTarget& s, int count) {
  if (!options_.lookup) return;
  DraftMemory& memory = *s.memory;
  memory.source = Source::kLookup;
  for (const TokenId id : memory.lookup.Predict(s.tokens, std::min(count, s.room))) {
    if (Contains(s.stops, id)) break;
    const int ahead = static_cast<int>(memory.drafts.size());
    memory.evidence.push_back(LookupEvidence(memory.lookup.match(), ahead));
    memory.drafts.push_back(id);
  }
}

// Cuts what was looked up at the first token that the constraint does not allow.
void Speculator::Constrain(const DraftTarget& s) {
  DraftMemory& memory = *s.memory;
  if (s.constraint == nullptr || memory.drafts.empty()) return;
  const std::unique_ptr<TokenConstraint> trial = s.constraint->Copy();
  size_t allowed = 0;
  while (trial && allowed < memory.drafts.size() && trial->Accept(memory.drafts[allowed]).ok())
    ++allowed;
  memory.drafts.resize(allowed);
  memory.evidence.resize(allowed);
}

bool Speculator::CanUseDrafter(const DraftTarget& s) const {
  return options_.drafter && executor_.has_drafter() && s.room > 0 && executor_.CanDraft(*s.state);
}

double Speculator::DraftMs(int rows) const {
  const double known = draft_.Ms(rows);
  return (known > 0 ? known : kGuessedDraft * step_.Ms(1)) / rows;
}

bool Speculator::WantsMore(const DraftMemory& memory, double draft_ms) const {
  const int made = static_cast<int>(memory.drafts.size());
  const std::vector<double> expected = Expected(memory, kMostDrafts);
  return FindBestLength(Plan(), expected, made, draft_ms).length > made;
}

// One draft after the other, for all sequences together, as long as one more pays.
void Speculator::Draft(std::span<const DraftTarget* const> sequences) {
  std::vector<Drafting> all;
  for (const DraftTarget* s : sequences) {
    s->memory->source = Source::kDrafter;
    std::unique_ptr<TokenConstraint> trial = s->constraint ? s->constraint->Copy() : nullptr;
    if (s->constraint && trial == nullptr) continue;
    all.push_back({s, std::move(trial), s->tokens.back(), true});
  }
  const bool fixed = options_.mode == DraftOptions::Mode::kFixed;
  while (!all.empty()) {
    const double draft_ms = DraftMs(static_cast<int>(all.size()));
    std::erase_if(all, [&](const Drafting& drafting) {
      const DraftMemory& memory = *drafting.sequence->memory;
      const int most = std::min(fixed ? FixedLength() : kMostDrafts, drafting.sequence->room);
      return static_cast<int>(memory.drafts.size()) >= most ||
             (!fixed && !WantsMore(memory, draft_ms));
    });
    if (all.empty()) return;
    const std::vector<Pick> picks = DraftNext(all);
    size_t i = 0;
    std::erase_if(all, [&](Drafting& drafting) {
      const Pick pick = i < picks.size() ? picks[i++] : Pick{};
      if (pick.token < 0 || Contains(drafting.sequence->stops, pick.token)) return true;
      if (drafting.trial && !drafting.trial->Accept(pick.token)) return true;
      drafting.sequence->memory->drafts.push_back(pick.token);
      drafting.sequence->memory->evidence.push_back(DrafterEvidence(pick.margin));
      drafting.after = pick.token;
      drafting.first = false;
      return false;
    });
  }
}

// Empty where the drafter fails: decoding continues without drafts.
std::vector<Speculator::Pick> Speculator::DraftNext(std::span<Drafting> all) {
  std::vector<DraftPiece> pieces;
  for (const Drafting& d : all) pieces.push_back({d.sequence->state, d.after, d.first});
  const double begin = clock_ms_();
  if (!executor_.Draft(pieces, logits_)) return {};
  std::vector<Pick> picks;
  for (size_t i = 0; i < all.size(); ++i) {
    const std::span<float> logits = logits_.view().row_span(static_cast<int64_t>(i));
    all[i].sequence->sampler->Adjust(logits);
    if (all[i].trial) {
      const auto allowed = all[i].trial->Allowed();
      if (!allowed) {
        picks.emplace_back();
        continue;
      }
      MaskLogits(*allowed, logits);
    }
    picks.push_back(BestOf(logits));
  }
  const int rows = static_cast<int>(all.size());
  draft_.Add(rows, clock_ms_() - begin);
  round_.drafting_ms += draft_.Ms(rows);
  return picks;
}

Speculator::Pick Speculator::BestOf(std::span<const float> logits) {
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  float best = kNone, second = kNone;
  Pick pick;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!(logits[i] > second)) continue;
    if (logits[i] > best) {
      second = best;
      best = logits[i];
      pick.token = static_cast<TokenId>(i);
    } else {
      second = logits[i];
    }
  }
  pick.margin = best - second;
  return pick;
}

// A drafter that is not in use is asked now and then, so that a text that has become easy is
// noticed.
void Speculator::Probe(std::span<const DraftTarget> sequences) {
  std::vector<Drafting> asked;
  for (const DraftTarget& s : sequences) {
    const bool due = s.memory->probe_in <= 0 && s.memory->source != Source::kDrafter;
    if (due && s.forced->empty() && s.constraint == nullptr && CanUseDrafter(s))
      asked.push_back({.sequence = &s, .after = s.tokens.back()});
  }
  if (asked.empty()) return;
  const int rows = static_cast<int>(asked.size());
  const double cost = rows * DraftMs(rows) + round_.drafting_ms;
  if (!budget_.Covers(kProbeReserve + cost / step_.Ms(round_.sequences))) return;
  const std::vector<Pick> picks = DraftNext(asked);
  for (size_t i = 0; i < picks.size(); ++i) {
    DraftMemory& memory = *asked[i].sequence->memory;
    if (picks[i].token >= 0) memory.probe = {picks[i].token, DrafterEvidence(picks[i].margin)};
    memory.probe_in = memory.probe_wait;
    memory.probe_wait = std::min(kRareProbe, 2 * memory.probe_wait);
  }
}

}  // namespace facet
