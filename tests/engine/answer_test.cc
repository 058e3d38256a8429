// What a client sees of random tokens.
#include "engine/answer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <random>

namespace facet {
namespace {

class Seen : public AnswerSink {
 public:
  void OnEvents(std::vector<OutputEvent> events, const AnswerToken*) override {
    for (const OutputEvent& event : events) {
      if (event.kind == OutputEvent::Kind::kContent) content += event.text;
      if (event.kind == OutputEvent::Kind::kReasoning) reasoning += event.text;
      if (event.kind == OutputEvent::Kind::kCallBegin) names += event.text;
    }
  }
  void OnEnd(const AnswerEnd& e) override { end = e; }
  std::string content, reasoning, names;
  std::optional<AnswerEnd> end;
};

TEST(Answer, AThousandRandomAnswersLeakNoControlToken) {
  const auto tokenizer =
      Tokenizer::Load(std::filesystem::path(FACET_TESTS_DIR) / "reference/gemma4/vocab.gguf");
  ASSERT_TRUE(tokenizer.ok());
  std::vector<TokenId> special;
  for (const std::string& token : (*tokenizer)->SpecialTokens())
    special.push_back(*(*tokenizer)->Find(token));
  const std::vector<TokenId> frequent =
      (*tokenizer)
          ->Encode(
              "<|channel>thought\n<channel|><|tool_call>call:f{a:<|\"|>b<|\"|>}<tool_call|><|turn>"
              "model\n<turn|><|image|>");
  std::mt19937 random(11);
  for (int round = 0; round < 1000; ++round) {
    const auto sink = std::make_shared<Seen>();
    const auto answer = MakeAnswer(
        *tokenizer, {.thinking = round % 2 == 0, .thinking_budget = 5, .stop = {}}, sink);
    for (int i = 0; i < 60; ++i) {
      TokenId id = static_cast<TokenId>(random() % (*tokenizer)->size());
      if (random() % 3 == 0) id = frequent[random() % frequent.size()];
      if (random() % 4 == 0) id = special[random() % special.size()];
      answer->OnToken({.id = id, .logprob = 0, .top = {}});
    }
    answer->OnDone({.reason = Outcome::Reason::kLength, .error = {}, .stats = {}});
    ASSERT_TRUE(sink->end.has_value());
    for (const TokenId id : special) {
      const std::string_view piece = (*tokenizer)->Piece(id);
      if (piece.empty()) continue;
      EXPECT_EQ(sink->content.find(piece), std::string::npos) << piece;
      EXPECT_EQ(sink->reasoning.find(piece), std::string::npos) << piece;
      EXPECT_EQ(sink->names.find(piece), std::string::npos) << piece;
    }
  }
}

}  // namespace
}  // namespace facet
