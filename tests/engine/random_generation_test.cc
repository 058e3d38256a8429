// Random weights asked for everything at once: a form of the answer, tools, a budget for thoughts,
// drafts, stop strings, limits. Whatever meets, each generation ends, and what ended by itself is
// valid.
#include <condition_variable>
#include <iostream>
#include <map>
#include <mutex>
#include <random>

#include "chat/grammar.h"
#include "engine/answer.h"
#include "engine/engine.h"
#include "engine/grammar_constraint.h"
#include "engine/model_executor.h"
#include "support/random_forms.h"
#include "support/reference.h"

namespace facet {
namespace {

using nlohmann::json;

// What one answer said.
class Said : public AnswerSink {
 public:
  void OnEvents(std::vector<OutputEvent> events, const AnswerToken*) override {
    for (const OutputEvent& event : events) {
      using Kind = OutputEvent::Kind;
      if (event.kind == Kind::kContent) content += event.text;
      if (event.kind == Kind::kCallBegin) calls.emplace_back(event.text, "");
      if (event.kind == Kind::kCallArguments) calls.at(event.call).second += event.text;
    }
  }
  void OnEnd(const AnswerEnd& ended) override {
    const std::lock_guard lock(mutex_);
    end = ended;
    changed_.notify_all();
  }
  void Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return end.has_value(); });
  }

  std::string content;
  std::vector<std::pair<std::string, std::string>> calls;
  std::optional<AnswerEnd> end;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

struct Wish {
  GenerationRequest generation;  // without a constraint
  AnswerOptions answer;
  std::optional<AnswerForm> form;
  std::string shown;
};

class RandomGenerations : public testing::TestWithParam<DraftOptions> {
 protected:
  void SetUp() override {
    const TestModel& files = TinyFolder();
    UseTestCache();
    LoadOptions options;
    options.model = Reference(files.model);
    model_ = Take(Model::Load(options, pool_));
    tokenizer_ = Take(Tokenizer::Load(Reference(files.model)));
    stops_ = {*tokenizer_->Find("<eos>"), *tokenizer_->Find("<turn|>"),
              *tokenizer_->Find("<|tool_response>")};
    vocabulary_ = Take(ConstraintVocabulary::Create(*tokenizer_, stops_));
    EngineOptions engine;
    engine.draft = GetParam();
    auto drafter = Take(Drafter::Load(Reference(files.drafter), *model_));
    engine_ = std::make_unique<Engine>(MakeModelExecutor(*model_, 0, std::move(drafter)), engine);
  }

  int Below(int n) { return static_cast<int>(random_() % static_cast<uint32_t>(n)); }
  template <typename T>
  T Pick(std::initializer_list<T> list) {
    return list.begin()[Below(static_cast<int>(list.size()))];
  }

  Wish MakeWish() {
    Wish wish;
    const bool open = Below(3) == 0;
    auto prompt = std::make_shared<Prompt>();
    prompt->ids =
        tokenizer_->Encode(Cat("<bos><|turn>user\n", Below(1000), "<turn|>\n<|turn>model\n",
                               open            ? "<|channel>thought\n"
                               : Below(2) == 0 ? "<|channel>thought\n<channel|>"
                                               : ""));
    GenerationRequest& generation = wish.generation;
    generation.prompt = prompt;
    generation.sampling.seed = static_cast<uint64_t>(Below(1 << 30));
    generation.sampling.temperature = Pick({0.0, 0.7, 1.0, 1.5});
    if (Below(4) == 0) generation.sampling.frequency_penalty = 0.5;
    generation.max_tokens = Below(4) == 0 ? 1 + Below(40) : 400;
    generation.stop_tokens = stops_;
    wish.answer.thinking = open;
    // As for clients: thoughts before a form have a limit.
    wish.answer.thinking_budget =
        std::min(Pick({0, 1, 2, 3, 5, 8, 20, 60, 1000}), std::max(1, generation.max_tokens / 2));
    if (Below(3) == 0)
      wish.answer.stop = {Pick<const char*>({"a", "e", "\n", "}", "\"", "the", "zzz"}), "qqq"};
    AnswerForm form;
    using Thinking = AnswerForm::Thinking;
    form.thinking = open ? Thinking::kOpen : Pick({Thinking::kMay, Thinking::kNone});
    const int kind = Below(4);
    if (kind != 1) form.schema = RandomForms()[Below(4)];
    if (kind == 1 || kind == 2) {
      form.tools = RandomTools(true);
      form.parallel = Below(2) == 0;
      if (Below(3) == 0) form.only = "tool_2";
      if (kind == 1) form.calls = Pick({AnswerForm::Calls::kMust, AnswerForm::Calls::kMay});
      wish.answer.tools = std::make_shared<const DeclaredTools>(ToolsOf(form.tools));
    }
    wish.answer.one_call = !form.parallel;
    wish.shown =
        Cat("schema ", form.schema.dump(), ", tools ", form.tools.is_array(), ", must ",
            form.calls == AnswerForm::Calls::kMust, ", thinking ", static_cast<int>(form.thinking),
            ", budget ", *wish.answer.thinking_budget, ", stop ", json(wish.answer.stop).dump(),
            ", tokens ", generation.max_tokens, ", seed ", generation.sampling.seed);
    wish.form = form;
    return wish;
  }

  std::shared_ptr<Said> Ask(const Wish& wish, bool stop_strings = true) {
    GenerationRequest request;
    request.prompt = wish.generation.prompt;
    request.sampling = wish.generation.sampling;
    request.max_tokens = wish.generation.max_tokens;
    request.stop_tokens = stops_;
    request.constraint = Take(vocabulary_->Compile(Take(AnswerGrammar(*wish.form, *tokenizer_))));
    AnswerOptions answer = wish.answer;
    if (!stop_strings) answer.stop.clear();
    auto said = std::make_shared<Said>();
    (void)Take(engine_->Submit(std::move(request), MakeAnswer(tokenizer_, answer, said)));
    said->Wait();
    return said;
  }

  // The content ends where a stop string came.
  bool WasStopped(const Wish& wish, const Said& said) {
    if (wish.answer.stop.empty()) return false;
    const std::string whole = Ask(wish, false)->content;
    return whole.starts_with(said.content) &&
           std::any_of(wish.answer.stop.begin(), wish.answer.stop.end(),
                       [&](const std::string& stop) {
                         return whole.compare(said.content.size(), stop.size(), stop) == 0;
                       });
  }

  void Check(const Wish& wish, const Said& said) {
    for (const auto& [name, arguments] : said.calls)
      EXPECT_TRUE(json::accept(arguments)) << arguments;
    using Reason = AnswerEnd::Reason;
    ++ends_[said.end->reason];
    ASSERT_NE(said.end->reason, Reason::kError) << said.end->error.message;
    if (said.end->reason == Reason::kLength) return;
    if (said.end->reason == Reason::kToolCalls) {
      EXPECT_TRUE(!wish.form->only || said.calls[0].first == *wish.form->only);
      for (const auto& [name, arguments] : said.calls)
        EXPECT_TRUE(FitsTool(name, arguments)) << name << arguments;
      return;
    }
    ASSERT_EQ(said.end->reason, Reason::kStop);
    const bool free = wish.form->schema.is_null() && wish.form->calls == AnswerForm::Calls::kMay;
    const json value = json::parse(said.content, nullptr, false);
    EXPECT_TRUE(free || WasStopped(wish, said) ||
                (!wish.form->schema.is_null() && FitsForm(value, wish.form->schema)))
        << said.content;
  }

  std::mt19937 random_{20260};
  ThreadPool pool_{1};
  std::unique_ptr<Model> model_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::vector<TokenId> stops_;
  std::shared_ptr<const ConstraintVocabulary> vocabulary_;
  std::unique_ptr<Engine> engine_;
  std::map<AnswerEnd::Reason, int> ends_;
};

TEST_P(RandomGenerations, EndAndAreValidSlow) {
  const int rounds = RandomRounds(200);
  for (int round = 0; round < rounds && !HasFailure(); ++round) {
    const Wish wish = MakeWish();
    SCOPED_TRACE(Cat("round ", round, ": ", wish.shown));
    Check(wish, *Ask(wish));
  }
  using Reason = AnswerEnd::Reason;
  std::cout << ends_[Reason::kStop] << " stopped, " << ends_[Reason::kToolCalls] << " called, "
            << ends_[Reason::kLength] << " reached their limit\n";
  EXPECT_GT(ends_[Reason::kStop], rounds / 10);
  EXPECT_GT(ends_[Reason::kToolCalls], rounds / 10);
}
INSTANTIATE_TEST_SUITE_P(Drafts, RandomGenerations,
                         testing::Values(DraftOptions{DraftOptions::Mode::kOff, 0, false, false},
                                         DraftOptions{},
                                         DraftOptions{DraftOptions::Mode::kFixed, 3, true, true}));

}  // namespace
}  // namespace facet
