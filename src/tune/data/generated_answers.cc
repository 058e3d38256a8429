#include "tune/data/generated_answers.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/atomic_file.h"
#include "base/mapped_file.h"
#include "engine/engine.h"
#include "engine/model_executor.h"
#include "formats/json.h"
#include "tune/data/seed.h"

namespace facet::tune {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int kTogether = 16;  // sequences in a step of the engine
constexpr int kWaiting = 64;   // requests that are submitted ahead
constexpr int kLeast = 2;      // tokens of an answer that has something to draft
// Bytes of the key cache, as servers have by default.
constexpr size_t kCacheBytes = size_t{2} << 30;

// Collects an answer up to the token that ends it, that one included.
class AnswerCollector : public GenerationListener {
 public:
  explicit AnswerCollector(std::vector<int> ends) : ends_(std::move(ends)) {}

  Decision OnToken(const Sampled& token) override {
    tokens_.push_back(token.id);
    Decision decision;
    decision.stop = std::find(ends_.begin(), ends_.end(), token.id) != ends_.end();
    return decision;
  }
  void OnDone(const Outcome& outcome) override {
    const std::lock_guard lock(mutex_);
    outcome_ = outcome;
    changed_.notify_all();
  }
  Result<std::vector<TokenId>> Wait(const std::atomic<bool>* cancelled) {
    std::unique_lock lock(mutex_);
    while (!outcome_) {
      changed_.wait_for(lock, std::chrono::milliseconds(50));
      if (cancelled != nullptr && cancelled->load())
        return Error{"interrupted", ErrorKind::kCancelled};
    }
    if (outcome_->reason == Outcome::Reason::kError) return outcome_->error;
    return tokens_;
  }

 private:
  std::vector<int> ends_;
  std::vector<TokenId> tokens_;  // the engine's until OnDone
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Outcome> outcome_;
};

// An answer that was asked for.
struct PendingAnswer {
  uint32_t entry = 0;
  int32_t begin = 0;
  std::shared_ptr<const Example> example = nullptr;
  std::shared_ptr<AnswerCollector> collector = nullptr;
};

// The places at which an example's answers begin.
std::vector<int32_t> AnswersOf(const Example& example) {
  std::vector<int32_t> begins;
  for (size_t i = 1; i < example.labelled.size(); ++i) {
    if (example.labelled[i] != 0 && example.labelled[i - 1] == 0)
      begins.push_back(static_cast<int32_t>(i));
  }
  return begins;
}

class AnswerGenerator {
 public:
  AnswerGenerator(Model& model, const Tokenizer& tokenizer, const GeneratedAnswersOptions& options,
                  const DataSet& data)
      : model_(model), tokenizer_(tokenizer), options_(options), data_(data) {
    sampling_ = DefaultSampling(model.config().generation);
    if (options.temperature) sampling_.temperature = *options.temperature;
    limit_ = model.config().text.context;
    if (options.example_tokens > 0) limit_ = std::min(limit_, options.example_tokens);
  }

  Result<std::vector<GeneratedAnswer>> Run() {
    ChooseEntries();
    FACET_TRY(ReadAnswers());
    FACET_TRY(AnswerRest());
    std::erase_if(answers_, [](const GeneratedAnswer& a) { return a.tokens.size() < kLeast; });
    return std::move(answers_);
  }

 private:
  // Which examples' prompts are answered, in order.
  void ChooseEntries() {
    entries_.resize(data_.entries().size());
    std::iota(entries_.begin(), entries_.end(), 0u);
    if (options_.prompts <= 0 || options_.prompts >= static_cast<int64_t>(entries_.size())) return;
    Shuffle(entries_, MixSeed(options_.seed, 0x0127));
    entries_.resize(options_.prompts);
    std::sort(entries_.begin(), entries_.end());
  }

  Json Identity() const {
    return {{"data", std::to_string(data_.Fingerprint())},
            {"model", model_.Identity()},
            {"prompts", entries_.size()},
            {"max_tokens", options_.max_tokens},
            {"example_tokens", limit_},
            {"temperature", sampling_.temperature},
            {"seed", options_.seed}};
  }

  // The answers of earlier calls; a line that the end of one cut off is removed.
  Result<void> ReadAnswers() {
    std::error_code code;
    fs::create_directories(options_.file.parent_path(), code);
    const std::string where = options_.file.string();
    if (!fs::exists(options_.file, code))
      return WriteFile(options_.file, Json{{"own_text", Identity()}}.dump() + "\n");
    FACET_ASSIGN(const std::string text, ReadFile(options_.file));
    size_t at = 0;
    for (size_t end; (end = text.find('\n', at)) != text.npos; at = end + 1) {
      const auto parsed = ParseJsonAs<Json>(std::string_view(text).substr(at, end - at));
      const Json line = parsed.ok() ? *parsed : Json();
      try {
        if (at == 0) {
          FACET_TRY(CheckIdentity(line.at("own_text")));
        } else {
          FACET_TRY(AddRead({line.at("example"), line.at("begin"), line.at("tokens")}, where));
        }
      } catch (const Json::exception& error) {
        return Error{Cat(where, ": is not a file of this program (", error.what(), ")")};
      }
    }
    return at < text.size() ? WriteFile(options_.file, text.substr(0, at)) : Ok();
  }

  Result<void> AddRead(GeneratedAnswer answer, const std::string& where) {
    const int vocab = model_.config().text.vocab;
    const bool known = std::binary_search(entries_.begin(), entries_.end(), answer.entry) &&
                       answer.begin > 0 && answer.begin < limit_ &&
                       IsNew(answer.entry, answer.begin);
    const bool tokens = std::all_of(answer.tokens.begin(), answer.tokens.end(),
                                    [&](TokenId id) { return id >= 0 && id < vocab; });
    if (!known || !tokens || answer.begin + static_cast<int64_t>(answer.tokens.size()) > limit_)
      return Error{
          Cat(where, ": answer ", answers_.size() + 1, " does not belong to this data set")};
    answers_.push_back(std::move(answer));
    return Ok();
  }

  bool IsNew(uint32_t entry, int32_t begin) const {
    if (answers_.empty()) return true;
    const GeneratedAnswer& last = answers_.back();
    return entry > last.entry || (entry == last.entry && begin > last.begin);
  }

  Result<void> CheckIdentity(const Json& then) const {
    const Json now = Identity();
    for (const auto& [key, value] : now.items()) {
      if (then.value(key, Json()) == value) continue;
      return Error{Cat(options_.file.string(), ": has the answers of another run (", key, " ",
                       then.value(key, Json()).dump(), ", now ", value.dump(),
                       "): remove it, or name another --out")};
    }
    return Ok();
  }

  Result<void> AnswerRest() {
    EngineOptions engine_options;
    engine_options.max_sequences = kTogether;
    // One example may have more answers than kWaiting.
    engine_options.max_queue = 1 << 20;
    Engine engine(MakeModelExecutor(model_), engine_options);
    FACET_TRY(CheckIsFile(options_.file));
    std::ofstream file(options_.file, std::ios::app);
    if (!answers_.empty())
      next_ = std::lower_bound(entries_.begin(), entries_.end(), answers_.back().entry) -
              entries_.begin();
    std::deque<PendingAnswer> pending;
    while (true) {
      while (pending.size() < kWaiting && next_ < entries_.size())
        FACET_TRY(AskNext(engine, pending));
      if (pending.empty()) return Ok();
      FACET_TRY(WriteAnswer(pending.front(), file));
      pending.pop_front();
    }
  }

  // Asks for all answers of the next example that are not there.
  Result<void> AskNext(Engine& engine, std::deque<PendingAnswer>& pending) {
    if (options_.cancelled != nullptr && options_.cancelled->load())
      return Error{"interrupted", ErrorKind::kCancelled};
    const uint32_t entry = entries_[next_++];
    FACET_ASSIGN(Example built, data_.Build(entry));
    const auto example = std::make_shared<const Example>(std::move(built));
    for (const int32_t begin : AnswersOf(*example)) {
      if (!IsNew(entry, begin) || begin + kLeast > limit_) continue;
      PendingAnswer asked{entry, begin, example};
      FACET_TRY(Ask(engine, asked));
      pending.push_back(std::move(asked));
    }
    return Ok();
  }

  Result<void> WriteAnswer(const PendingAnswer& asked, std::ofstream& file) {
    FACET_ASSIGN(std::vector<TokenId> tokens, asked.collector->Wait(options_.cancelled));
    const Json line = {{"example", asked.entry},
                       // Absolute, as a run that is resumed names its files.
                       {"from", std::filesystem::absolute(asked.example->where).string()},
                       {"begin", asked.begin},
                       {"text", tokenizer_.Decode(tokens)},
                       {"tokens", tokens}};
    // Random weights write bytes that are no UTF-8; the text is for people, the tokens count.
    file << line.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n" << std::flush;
    if (!file) return Error{Cat(options_.file.string(), ": cannot be written"), ErrorKind::kIo};
    answers_.push_back({asked.entry, asked.begin, std::move(tokens)});
    if (options_.progress)
      options_.progress(static_cast<int64_t>(next_), static_cast<int64_t>(entries_.size()));
    return Ok();
  }

  Result<void> Ask(Engine& engine, PendingAnswer& asked) {
    auto prompt = std::make_shared<Prompt>();
    prompt->ids.assign(asked.example->tokens.begin(), asked.example->tokens.begin() + asked.begin);
    for (const auto& item : asked.example->items) {
      if (item->begin < asked.begin) prompt->items.push_back(item);
    }
    GenerationRequest request;
    request.prompt = std::move(prompt);
    request.sampling = sampling_;
    request.sampling.seed = MixSeed(MixSeed(options_.seed, asked.entry), asked.begin);
    request.max_tokens = std::min(options_.max_tokens, limit_ - asked.begin);
    asked.collector = std::make_shared<AnswerCollector>(options_.ends);
    const auto id = engine.Submit(std::move(request), asked.collector);
    return id.ok() ? Ok() : Result<void>(id.error().In(asked.example->where));
  }

  Model& model_;
  const Tokenizer& tokenizer_;
  const GeneratedAnswersOptions& options_;
  const DataSet& data_;
  SamplingParams sampling_;
  int limit_ = 0;                  // tokens of prompt and answer
  std::vector<uint32_t> entries_;  // that are asked about
  size_t next_ = 0;                // of entries_
  std::vector<GeneratedAnswer> answers_;
};

}  // namespace

Result<void> UseGeneratedAnswers(Model& model, const Tokenizer& tokenizer,
                                 const GeneratedAnswersOptions& options, DataSet& data) {
  FACET_ASSIGN(std::vector<GeneratedAnswer> answers,
               AnswerGenerator(model, tokenizer, options, data).Run());
  return data.SetAnswers(std::move(answers));
}

Result<void> GenerateAnswers(const ModelFiles& files, const Tokenizer& tokenizer,
                             const GeneratedAnswersOptions& options, ThreadPool& pool,
                             DataSet& data) {
  FACET_ASSIGN(
      const std::unique_ptr<Model> model,
      Model::Load({.model = files.model, .mmproj = files.mmproj, .cache_budget = kCacheBytes},
                  pool));
  return UseGeneratedAnswers(*model, tokenizer, options, data);
}

}  // namespace facet::tune
