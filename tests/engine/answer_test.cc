// What a client sees of an answer's tokens.
#include "engine/answer.h"
#include "support/paths.h"

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

Result<std::shared_ptr<const Tokenizer>> LoadTokenizer() {
  return Tokenizer::Load(std::filesystem::path(TestsDir()) / "reference/gemma4/vocab.gguf");
}

// The model says `ids`; what the answer forces comes in between. Returns how often it did.
int Play(GenerationListener& answer, const std::vector<TokenId>& ids) {
  int times = 0;
  const auto say = [&](TokenId id) {
    return answer.OnToken({.id = id, .logprob = 0, .top = {}}).force;
  };
  for (const TokenId id : ids) {
    const std::vector<TokenId> forced = say(id);
    times += !forced.empty();
    for (const TokenId next : forced) EXPECT_TRUE(say(next).empty());
  }
  return times;
}

TEST(Answer, CallsThatALimitCutOffAreNoCalls) {
  const auto tokenizer = LoadTokenizer();
  ASSERT_TRUE(tokenizer.ok());
  const auto reason = [&](const std::string& text, Outcome::Reason cause) {
    const auto sink = std::make_shared<Seen>();
    const auto answer = MakeAnswer(*tokenizer, {.thinking_budget = {}, .stop = {}}, sink);
    Play(*answer, (*tokenizer)->Encode(text));
    answer->OnDone({.reason = cause, .error = {}, .stats = {}});
    return sink->end->reason;
  };
  using End = AnswerEnd::Reason;
  using Cause = Outcome::Reason;
  const std::string whole = "<|tool_call>call:f{a:1}<tool_call|>";
  const std::string broken = "<|tool_call>call:f{a:<|\"|>x";
  EXPECT_EQ(reason(whole, Cause::kStop), End::kToolCalls);
  EXPECT_EQ(reason(whole + whole, Cause::kStop), End::kToolCalls);
  EXPECT_EQ(reason("<|tool_call>call:f{a:1}", Cause::kStop), End::kToolCalls);
  EXPECT_EQ(reason(broken, Cause::kStop), End::kToolCalls);  // the model ended its turn
  EXPECT_EQ(reason(whole + broken, Cause::kStop), End::kToolCalls);
  EXPECT_EQ(reason(whole + broken, Cause::kListener), End::kStop);
  EXPECT_EQ(reason(broken, Cause::kLength), End::kLength);
  EXPECT_EQ(reason("text", Cause::kStop), End::kStop);
}

TEST(Answer, TheBudgetCoversAllThoughts) {
  const auto tokenizer = LoadTokenizer();
  ASSERT_TRUE(tokenizer.ok());
  const auto play = [&](int budget, const std::string& text, Seen& seen) {
    const auto sink = std::make_shared<Seen>();
    const auto answer = MakeAnswer(*tokenizer, {.thinking_budget = budget, .stop = {}}, sink);
    const int times = Play(*answer, (*tokenizer)->Encode(text));
    answer->OnDone({.reason = Outcome::Reason::kStop, .error = {}, .stats = {}});
    seen = *sink;
    return times;
  };
  std::string words;
  for (int i = 0; i < 50; ++i) words += " word";
  Seen seen;
  // The first thought uses it up; each later one is closed as it begins.
  const std::string again = "<|channel>thought\nagain";
  EXPECT_EQ(play(6, "<|channel>thought\n" + words + again + again, seen), 3);
  EXPECT_EQ(seen.reasoning.find("again"), std::string::npos) << seen.reasoning;
  EXPECT_NE(seen.content.find("again"), std::string::npos) << seen.content;
  // Two thoughts share it.
  const std::string two = "<|channel>thought\na b c\n<channel|>x<|channel>thought\n" + words;
  EXPECT_EQ(play(20, two, seen), 1);
  EXPECT_TRUE(seen.reasoning.starts_with("a b c")) << seen.reasoning;
  EXPECT_GT(seen.reasoning.size(), 15u);
  EXPECT_LE(seen.end->reasoning_tokens, 22);
}

TEST(Answer, AThousandRandomAnswersLeakNoControlToken) {
  const auto tokenizer = LoadTokenizer();
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
