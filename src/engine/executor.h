// What the scheduler needs of a model: sequences that grow by steps, copies of them that cost
// nothing, and logits. Implemented by the real model (model_executor.h) and by a script
// (scripted_executor.h). Everything here is called from the engine's one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/matrix.h"
#include "base/result.h"
#include "engine/prompt.h"
#include "model/kv_cache.h"

namespace facet {

// One sequence as a model remembers it: pages of the cache. What an executor keeps beside them of
// the generation that runs lies in a class of its own derived from this. Virtual for tests.
class SequenceState {
 public:
  explicit SequenceState(KvPool& pool) : pages(pool) {}
  virtual ~SequenceState() = default;

  virtual int length() const { return pages.length(); }  // committed positions
  // The same positions on shared pages, of the same class; what is kept beside them is not copied.
  virtual std::unique_ptr<SequenceState> Copy() const = 0;
  virtual bool CanRewind(int length) const { return pages.CanRewind(length); }
  virtual Result<void> Rewind(int length) { return pages.Rewind(length); }
  virtual void Commit(int rows) { pages.Commit(rows); }

  KvSequence pages;

 protected:
  // Copy's work, given an empty state of the class.
  std::unique_ptr<SequenceState> SharePages(std::unique_ptr<SequenceState> empty) const {
    empty->pages = pages;
    // Pages that were reserved beyond the length belong to the original alone.
    (void)empty->pages.Rewind(pages.length());
    return empty;
  }
};

// New tokens of one sequence in one step.
struct Piece {
  SequenceState* state = nullptr;
  std::span<const TokenId> tokens;  // at positions state->length() and on
  Media media;                      // of the whole prompt
  int outputs = 0;                  // logits are wanted after that many of the last tokens
  // Where not null, the states of all tokens after the final norm are added to it (width).
  std::vector<double>* sum = nullptr;
  const Adapter* adapter = nullptr;  // LoRA of this sequence; null: none
};

// The next draft of one sequence.
struct DraftPiece {
  SequenceState* state = nullptr;
  TokenId token = 0;   // the sequence's newest token, or the draft before this one
  bool first = false;  // of its round: the drafter begins at the model's own last state
};

class Executor {
 public:
  virtual ~Executor() = default;

  // Tokens of a sequence, prompt and answer: at most what the cache holds of one.
  virtual int context() const = 0;
  virtual int vocab() const = 0;
  virtual int width() const = 0;  // of a position's state
  virtual std::unique_ptr<SequenceState> Create() = 0;
  // A generation begins on this state (which holds a cached prefix of the prompt or nothing).
  virtual void Begin(SequenceState&, std::span<const TokenId> /*prompt*/) {}
  // Computes all pieces in one batch. Logits (sum of outputs, vocab): as many rows for each piece
  // as it has outputs, in order. The caller commits. kResource: the cache is full and no sequence
  // has changed.
  virtual Result<void> Step(std::span<const Piece> pieces, Buffer& logits) = 0;

  // Names all that the states depend on; empty where they cannot be kept on disk.
  virtual std::string identity() const { return {}; }

  // A drafter guesses what a step would give, at a small part of its cost.
  virtual bool has_drafter() const { return false; }
  // False where a drafter has nothing to begin with: no step has computed this state's last
  // position.
  virtual bool CanDraft(const SequenceState&) const { return false; }
  // One draft for each piece: logits (pieces, vocab). Changes no sequence.
  virtual Result<void> Draft(std::span<const DraftPiece>, Buffer& /*logits*/) {
    return Error{"there is no drafter", ErrorKind::kUnsupported};
  }

  virtual size_t cache_bytes() const = 0;
  virtual size_t cache_budget() const = 0;  // 0: none
};

}  // namespace facet
