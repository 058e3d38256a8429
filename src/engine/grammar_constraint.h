// Constraints by llguidance over a model's vocabulary.
#pragma once

#include <memory>
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

  // Errors: the grammar does not compile, or something in it cannot be enforced.
  Result<std::unique_ptr<TokenConstraint>> Compile(const std::string& grammar) const;

 private:
  ConstraintVocabulary() = default;
  void* handle_ = nullptr;
  size_t size_ = 0;
};

}  // namespace facet
