// What the scheduler needs of a model: sequences that grow by steps, copies of them that cost
// nothing, and logits. The real model stands behind it (model_executor.h), or a script
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

namespace facet {

// The keys and values of one sequence, or whatever a model remembers.
class SequenceState {
 public:
  virtual ~SequenceState() = default;
  virtual int length() const = 0;  // committed positions
  virtual std::unique_ptr<SequenceState> Copy() const = 0;
  virtual bool CanRewind(int length) const = 0;
  virtual Result<void> Rewind(int length) = 0;
  virtual void Commit(int rows) = 0;
};

// Pictures, film frames and sounds of a prompt, sorted by begin. Their rows are filled when they
// are needed first.
using Media = std::span<const std::shared_ptr<SoftItem>>;

// New tokens of one sequence in one step.
struct Piece {
  SequenceState* state = nullptr;
  std::span<const TokenId> tokens;  // at positions state->length() and on
  Media media;                      // of the whole prompt
  int outputs = 0;                  // logits are wanted after that many of the last tokens
  // Where not null, the states of all tokens after the final norm are added to it (width).
  std::vector<double>* sum = nullptr;
  const Adapter* adapter = nullptr;  // LoRA of this sequence; null: the model's own
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
  // Computes all pieces in one batch. Logits: as many rows for each piece as it has outputs, in
  // order. The caller commits. kResource: the cache is full and no sequence has changed.
  virtual Result<void> Step(std::span<const Piece> pieces, Buffer& logits) = 0;
  // Tokens to take next, at most `limit`, where no picture is cut.
  virtual int PieceLength(Media media, int begin, int total, int limit) const = 0;

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

// At most `limit` tokens from `begin`, ending before a picture that would be cut, or behind it
// where it comes first.
int UncutLength(Media media, int begin, int total, int limit);

}  // namespace facet
