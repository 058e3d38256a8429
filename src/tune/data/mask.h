// Which tokens of a conversation the model has to produce.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tune/data/example.h"
#include "tune/data/row.h"

namespace facet::tune {

// What turns rows into tokens: one model's configuration, vocabulary and template.
class Renderer {
 public:
  // `chat_template` null: a base model, which takes plain rows only. All three outlive this.
  Renderer(const ModelConfig& config, const Tokenizer& tokenizer,
           const ChatTemplate* chat_template);

  // Every trained answer follows exactly the prompt that the model gets at that place when it runs:
  // history as the template writes it, generation prompt included. Its tokens are labelled from the
  // first that the model has to produce (thought, content or tool call) to the one that ends the
  // turn. Answers share an example where the prompt of a later one continues an earlier one; a
  // template that drops thoughts from the history, or opens the answer with something that the
  // history lacks, gives an example for each answer. Safe from several threads. Errors name the
  // message: one that says nothing, a template that never ends the turn, media that the model does
  // not take or that cannot be decoded.
  // With MediaUse::kMeasure their items have no content.
  Result<std::vector<Example>> Examples(const Row& row, MediaUse use = MediaUse::kDecode) const;

  const Tokenizer& tokenizer() const { return tokenizer_; }
  int context() const { return config_.text.context; }
  // Any of these ends an answer.
  const std::vector<TokenId>& ends() const { return ends_; }

 private:
  Result<std::vector<Example>> PlainExample(const Row& row) const;

  const ModelConfig& config_;
  const Tokenizer& tokenizer_;
  const ChatTemplate* chat_template_;
  std::vector<TokenId> ends_;         // any of these ends an answer
  std::vector<std::string> special_;  // texts of the special tokens
};

}  // namespace facet::tune
