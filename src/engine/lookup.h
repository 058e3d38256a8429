// Drafts without a drafter: what followed the last time that a sequence's newest tokens occurred in
// its prompt or answer. Edits, code and transcripts repeat themselves.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "text/tokenizer.h"

namespace facet {

class NgramLookup {
 public:
  // Where the sequence seems to repeat an earlier part of itself.
  struct Match {
    int next = -1;      // index of the token that would come next; -1: no match
    int length = 0;     // tokens before it that equal the newest ones
    bool near = false;  // found beside the place where a long match broke, not by its n-gram
  };

  // Takes in what `tokens` has more than at the call before: O(1) a token. Memory is bounded: of
  // more n-grams than the tables hold, later ones replace earlier ones.
  void Extend(std::span<const TokenId> tokens);
  int size() const { return size_; }

  const Match& match() const { return match_; }
  // The tokens that follow the match, at most `count`. A match that reaches the end of the sequence
  // continues with its own prediction.
  std::vector<TokenId> Predict(std::span<const TokenId> tokens, int count) const;

 private:
  static constexpr std::array<int, 3> kSizes = {12, 6, 3};  // of n-grams, longest first

  void Push(std::span<const TokenId> tokens, int i);
  void Follow(std::span<const TokenId> tokens, int i);
  void Find(std::span<const TokenId> tokens, int i);
  void Resume(std::span<const TokenId> tokens, int i);
  void Remember(std::span<const TokenId> tokens, int i);
  void Reserve(std::span<const TokenId> tokens);
  size_t Slot(std::span<const TokenId> tokens, int i, size_t table) const;

  // For each size, by the hash of an n-gram: the index after its last occurrence, or 0.
  std::array<std::vector<int32_t>, kSizes.size()> tables_;
  int size_ = 0;
  Match match_;
  // The token `next` was expected at index `at`, after a match long enough to be an edited copy.
  struct {
    int next = -1, at = 0;
  } lost_;
};

}  // namespace facet
