#include "engine/grammar_constraint.h"

#include <text_core.h>

namespace facet {
namespace {

// A grammar that cannot be enforced never can be: whoever asked for it has to change it.
Error TakeError(tc_text text) {
  Error error{std::string(text.data == nullptr ? "" : text.data, text.size),
              ErrorKind::kUnsupported, "unsupported_schema"};
  tc_text_free(text);
  return error;
}

class GrammarConstraint : public TokenConstraint {
 public:
  GrammarConstraint(tc_constraint* handle, size_t vocabulary)
      : handle_(handle), vocabulary_(vocabulary), mask_((vocabulary + 31) / 32) {}
  ~GrammarConstraint() override { tc_constraint_free(handle_); }
  GrammarConstraint(const GrammarConstraint&) = delete;
  GrammarConstraint& operator=(const GrammarConstraint&) = delete;

  Result<std::span<const uint32_t>> Allowed() override {
    tc_text error{};
    if (tc_constraint_mask(handle_, mask_.data(), mask_.size(), &error) != TC_OK)
      return TakeError(error);
    return std::span<const uint32_t>(mask_);
  }
  Result<void> Accept(TokenId id) override {
    if (id < 0 || static_cast<size_t>(id) >= vocabulary_)
      return Expected("a token of the vocabulary", id, "token");
    tc_text error{};
    if (tc_constraint_accept(handle_, static_cast<uint32_t>(id), &error) != TC_OK)
      return TakeError(error);
    return Ok();
  }
  std::unique_ptr<TokenConstraint> Copy() const override {
    tc_constraint* copy = tc_constraint_copy(handle_);
    if (copy == nullptr) return nullptr;
    return std::make_unique<GrammarConstraint>(copy, vocabulary_);
  }

 private:
  tc_constraint* handle_;
  size_t vocabulary_;
  std::vector<uint32_t> mask_;
};

}  // namespace

Result<std::shared_ptr<const ConstraintVocabulary>> ConstraintVocabulary::Create(
    const Tokenizer& tokenizer, std::span<const TokenId> stops) {
  std::string bytes;
  std::vector<size_t> ends;
  std::vector<uint8_t> special;
  for (TokenId id = 0; id < tokenizer.size(); ++id) {
    bytes += tokenizer.Piece(id);
    ends.push_back(bytes.size());
    special.push_back(tokenizer.IsSpecial(id));
  }
  const std::vector<uint32_t> stop_ids(stops.begin(), stops.end());
  tc_vocabulary* handle = nullptr;
  tc_text error{};
  const int32_t status =
      tc_vocabulary_new(reinterpret_cast<const uint8_t*>(bytes.data()), ends.data(), special.data(),
                        ends.size(), stop_ids.data(), stop_ids.size(), &handle, &error);
  if (status != TC_OK) return TakeError(error);
  std::shared_ptr<ConstraintVocabulary> made(new ConstraintVocabulary());
  made->handle_ = handle;
  made->size_ = ends.size();
  return std::shared_ptr<const ConstraintVocabulary>(std::move(made));
}

ConstraintVocabulary::~ConstraintVocabulary() {
  tc_vocabulary_free(static_cast<tc_vocabulary*>(handle_));
}

Result<std::unique_ptr<TokenConstraint>> ConstraintVocabulary::Compile(const std::string& grammar,
                                                                       std::stop_token stop) const {
  const auto wanted = [](void* token) -> int32_t {
    return !static_cast<std::stop_token*>(token)->stop_requested();
  };
  tc_constraint* constraint = nullptr;
  tc_text text{};
  const int32_t status = tc_constraint_new(static_cast<tc_vocabulary*>(handle_), grammar.data(),
                                           grammar.size(), wanted, &stop, &constraint, &text);
  if (status == TC_OK)
    return std::unique_ptr<TokenConstraint>(new GrammarConstraint(constraint, size_));
  Error error = TakeError(text);
  if (status != TC_LIMIT) return error;
  return Error{error.message, stop.stop_requested() ? ErrorKind::kCancelled : ErrorKind::kBusy};
}

}  // namespace facet
