// The engine's thread: which sequences run, what each step computes, and what becomes of its rows.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "engine/engine.h"
#include "engine/fair_queue.h"
#include "engine/prefix_cache.h"
#include "engine/prefix_store.h"
#include "engine/sequence.h"
#include "engine/speculation.h"
#include "engine/stats.h"

namespace facet {

// What other threads hand to the scheduler, and what it lets them see.
struct EngineInbox {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::unique_ptr<Sequence>> submitted;
  std::vector<Engine::RequestId> cancelled;
  int accepted = 0;  // submitted and not done
  Engine::RequestId next_id = 1;
  bool stop = false;
  EngineStats stats;
};

// Owns the sequences, the prefix cache and all that belongs to them; no other thread touches these.
class Scheduler {
 public:
  Scheduler(Executor& executor, const EngineOptions& options, EngineInbox& inbox);
  // Waits for the thread, which ends after inbox.stop.
  void Join();

 private:
  // Rows of one sequence in the next step.
  struct Work {
    Sequence* sequence = nullptr;
    int rows = 0;         // without drafts
    bool decode = false;  // its one row is the newest token of an answer
  };

  // --- the loop

  // Rounds of the thread until it is told to stop; then ends every sequence.
  void Run();
  // Moves what has arrived from the inbox to waiting_ and marks what was cancelled; sleeps while
  // there is nothing to do. False: stop.
  bool TakeInbox();
  // Ends cancelled sequences and removes what is done from running_ and waiting_.
  void RemoveDone();
  // Copies stats_ to where Engine::Stats reads them.
  void PublishStats();

  // --- admission

  // Moves sequences from waiting_ to running_ as long as there are places.
  void Admit();
  // True where it may take a free place now.
  bool MayStart(const Sequence& candidate) const;
  // True where a running sequence is computing a long prefix of it, so that waiting saves work.
  bool IsPrefixBeingComputed(const Sequence& candidate) const;
  // Gives the sequence a state: its longest cached prefix, or an empty one.
  void StartSequence(Sequence& sequence);
  // Preempts one sequence whose reader has been behind for long, where another could start. False:
  // none.
  bool PreemptStalled();
  // Drops the sequence's state and moves it from running_ to the front of waiting_. What it has
  // emitted stays emitted.
  void Preempt(Sequence& sequence);

  // --- one step

  // Chooses rows for the next step: every decode, and shares of the prompts. Notes whose reader is
  // behind.
  std::vector<Work> PlanStep();
  // Prompt tokens that a step may have: what takes options_.step_ms where others wait for its end,
  // to write, to read their prompts, or to start.
  int PrefillLimit(bool others) const;
  // Computes the step, with the work around it. On an error that nothing helps against, ends the
  // sequences in it.
  void ExecuteStep(std::span<const Work> work);
  // Evicts snapshots while the cache is nearly full.
  void EvictToLowWater();
  // Sets draft.drafts of each decode.
  void ProposeDrafts(std::span<const Work> work);
  // Clears draft.drafts of each decode.
  void DropDrafts(std::span<const Work> work);
  // Fills logits_ and reports the milliseconds. Where the rows of drafts do not fit into the cache,
  // drops the drafts and tries again: speculative rows must not cause a preemption.
  Result<double> StepOrRetryWithoutDrafts(std::span<const Work> work);
  // Fills logits_: the rows of all sequences, each decode's drafts after its newest token. An error
  // leaves all sequences as they were.
  Result<void> ComputeRows(std::span<const Work> work);
  // Frees room for a step that did not fit: evicts, makes steps smaller, or preempts the sequence
  // that came last. False where nothing helps.
  bool MakeCacheRoom(int prefill_rows);
  // Updates what is measured of steps, and the step size.
  void AccountStep(std::span<const Work> work, double step_ms);
  // Commits the rows of each sequence and hands on what came of them.
  void DeliverRows(std::span<const Work> work);

  // --- one sequence

  // Commits rows, with snapshots on the way.
  void CommitRows(Sequence& sequence, int rows);
  // Where the commit after `from` ends: at `end`, or before it where a snapshot is taken.
  int NextCommit(const Sequence& sequence, int from, int end) const;
  // Puts a copy of the state into the prefix cache.
  void TakeSnapshot(Sequence& sequence, bool anchor);
  // Emits tokens from `row` of logits_ on, as long as each is the one that was drafted.
  void VerifyDrafts(Sequence& sequence, int row);
  // Chooses the next token, appends it and tells the listener; may end the sequence.
  void EmitToken(Sequence& sequence, std::span<float> logits);
  // Forced, or sampled under the constraint, which accepts it. Changes `logits`.
  Result<Sampled> ChooseToken(Sequence& sequence, std::span<float> logits);
  // Logits wanted of a sequence's rows in the next step, drafts aside.
  static int Outputs(const Work& work);
  // Tells the log-probabilities of the prompt's tokens that follow the `rows` just computed, from
  // `row` of logits_ on.
  void ReportPrompt(Sequence& sequence, int row, int rows);
  // Ends an embedding request with its mean.
  void DeliverMean(Sequence& sequence);
  // Marks the sequence done, frees its state and tells the listener. Nothing where it was done.
  void EndSequence(Sequence& sequence, Outcome::Reason reason, Error error = {});

  Executor& executor_;
  const EngineOptions& options_;
  EngineInbox& inbox_;
  PrefixCache cache_;
  PrefixKeeper keeper_{options_.keep, executor_, cache_};
  Speculator speculator_;
  Sequences running_;
  FairQueue waiting_;
  EngineStats stats_;
  Buffer logits_;           // (rows with outputs, vocab) of the last step
  double rows_per_ms_ = 0;  // measured speed of prefill
  // Prompt tokens in a step: options_.chunk, or fewer while the cache is short of room.
  int chunk_ = options_.chunk;
  // The cache is full and a sequence was preempted: none starts before another one has ended.
  bool admission_paused_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace facet
