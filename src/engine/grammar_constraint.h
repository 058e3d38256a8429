// Constraints by llguidance over a model's vocabulary.
#pragma once

#include <memory>
#include <stop_token>
#include <string>

#include "engine/generation.h"

namespace facet {

// The vocabulary as the constraint engine keeps it: built once for a model, used by all its
// requests.
class ConstraintVocabulary {
 public:
  static Result<std::shared_ptr<const ConstraintVocabulary>> Create(const Tokenizer& tokenizer,
                                                                    std::span<const TokenId> stops);
  ~ConstraintVocabulary();

  // Takes a second of the processor at most, whatever the grammar. Errors (kUnsupported,
  // "unsupported_schema"): it does not compile, no text fits it, or it is too complex.
  // It is tried in a process of its own first, which `stop` ends (kCancelled); kBusy where the
  // machine has no time for it.
  Result<std::unique_ptr<TokenConstraint>> Compile(const std::string& grammar,
                                                   std::stop_token stop = {}) const;

 private:
  ConstraintVocabulary() = default;
  void* handle_ = nullptr;
  size_t size_ = 0;
};

}  // namespace facet
