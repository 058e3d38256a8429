// What drafting is worth on this machine.
//
//   draft_bench cost MODEL [--drafter FILE]   what steps of 1 to 9 rows and a draft take, and the
//                                             speed-up that follows for 50 to 90 % acceptance
//   draft_bench versus MODEL --task edit      wall clock of answers with and without drafting, in
//                                             turns: an edited copy of the prompt, or free text
//   draft_bench guard MODEL                   what drafting loses at worst over any 256 tokens
//                                             of free text
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <optional>

#include "engine/engine.h"
#include "engine/model_executor.h"

namespace facet {
namespace {

using Clock = std::chrono::steady_clock;

double Milliseconds(Clock::duration taken) {
  return std::chrono::duration<double, std::milli>(taken).count();
}

double Since(Clock::time_point begin) {
  return Milliseconds(Clock::now() - begin);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

struct Options {
  std::filesystem::path model, drafter;
  int rows = 9, context = 128, repeat = 5, threads = 0, rounds = 3, tokens = 256;
  std::string task = "edit";
  std::optional<double> temperature;  // else 0 for an edit and 1 for text
};

Result<std::unique_ptr<Model>> LoadModel(const Options& options, ThreadPool& pool) {
  LoadOptions load;
  load.model = options.model;
  return Model::Load(load, pool);
}

// --- cost

struct Costs {
  std::vector<double> step_ms;  // by rows - 1
  double draft_ms = 0;
};

Result<Costs> Measure(const Options& options, Model& model, Drafter* drafter) {
  KvSequence sequence(model.cache());
  std::vector<int32_t> ids(options.context + options.rows);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(20 + i * 37 % 2000);
  Buffer hidden, logits, next;
  for (int at = 0; at < options.context;) {
    const int count = std::min(128, options.context - at);
    const Chunk chunk{&sequence, std::span(ids).subspan(at, count), {}, 1};
    FACET_TRY(model.Forward({&chunk, 1}, hidden));
    sequence.Commit(count);
    at += count;
  }
  const Buffer last = hidden;
  std::vector<std::vector<double>> steps(options.rows);
  std::vector<double> drafts;
  // In turns, so that a machine that slows down slows all of them down.
  for (int i = 0; i <= options.repeat; ++i) {
    for (int rows = 1; rows <= options.rows; ++rows) {
      const Chunk chunk{&sequence, std::span(ids).subspan(options.context, rows), {}, rows};
      const auto begin = Clock::now();
      FACET_TRY(model.Forward({&chunk, 1}, hidden));
      model.Logits(hidden, logits.Resize(rows, model.config().text.vocab));
      if (i > 0) steps[rows - 1].push_back(Since(begin));
    }
    if (drafter == nullptr) continue;
    for (int k = 0; k < 4; ++k) {
      const DraftRow row{&sequence, ids[k], last.view().row(0)};
      const auto begin = Clock::now();
      FACET_TRY(drafter->Draft({&row, 1}, logits, next));
      if (i > 0) drafts.push_back(Since(begin));
    }
  }
  Costs costs;
  for (auto& samples : steps) costs.step_ms.push_back(Median(std::move(samples)));
  if (!drafts.empty()) costs.draft_ms = Median(std::move(drafts));
  return costs;
}

// Tokens a round with k drafts, each accepted with probability p where those before it are.
double Tokens(double p, int k) {
  double tokens = 1, all = 1;
  for (int i = 0; i < k; ++i) tokens += all *= p;
  return tokens;
}

void PrintCosts(const Costs& costs) {
  const double plain = costs.step_ms[0];
  std::printf("rows   step ms   of one row\n");
  for (size_t i = 0; i < costs.step_ms.size(); ++i)
    std::printf("%4zu %9.2f %10.2fx\n", i + 1, costs.step_ms[i], costs.step_ms[i] / plain);
  std::printf("one draft: %.2f ms (%.1f %% of a step)\n\nspeed-up by drafts a round\n accepted",
              costs.draft_ms, 100 * costs.draft_ms / plain);
  const int most = static_cast<int>(costs.step_ms.size()) - 1;
  for (int k = 1; k <= most; ++k) std::printf("  k=%d ", k);
  std::printf("   best\n");
  for (int percent = 50; percent <= 90; percent += 5) {
    std::printf("     %d %%", percent);
    double best = 1;
    int at = 0;
    for (int k = 1; k <= most; ++k) {
      const double ratio =
          Tokens(percent / 100.0, k) * plain / (costs.step_ms[k] + k * costs.draft_ms);
      if (ratio > best) best = ratio, at = k;
      std::printf(" %5.2f", ratio);
    }
    std::printf("   %.2fx with k=%d\n", best, at);
  }
}

Result<void> RunCost(const Options& options) {
  ThreadPool pool(options.threads);
  FACET_ASSIGN(const auto model, LoadModel(options, pool));
  std::unique_ptr<Drafter> drafter;
  if (!options.drafter.empty()) {
    FACET_ASSIGN(drafter, Drafter::Load(options.drafter, *model));
  }
  FACET_ASSIGN(const Costs costs, Measure(options, *model, drafter.get()));
  PrintCosts(costs);
  return Ok();
}

// --- versus

const char* const kCode = R"(
def read_orders(path, currency="EUR"):
    """Reads the orders of a CSV file and adds up what each customer has spent."""
    totals = {}
    with open(path, encoding="utf-8") as file:
        header = file.readline().strip().split(",")
        for number, line in enumerate(file, start=2):
            fields = line.strip().split(",")
            if len(fields) != len(header):
                raise ValueError(f"line {number}: expected {len(header)} fields")
            order = dict(zip(header, fields))
            if order["currency"] != currency:
                continue
            customer = order["customer"]
            amount = float(order["amount"])
            totals[customer] = totals.get(customer, 0.0) + amount
    return totals


def print_report(totals, limit=10):
    """Prints the customers who have spent most."""
    ranking = sorted(totals.items(), key=lambda item: -item[1])
    for place, (customer, amount) in enumerate(ranking[:limit], start=1):
        print(f"{place:3d}. {customer:30s} {amount:10.2f}")
)";

const char* const kExample = R"(
def count_words(path):
    """Counts how often each word occurs in a file."""
    counts = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            for word in line.split():
                counts[word] = counts.get(word, 0) + 1
    return counts
)";

std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

std::vector<std::string> Prompts(const std::string& task) {
  if (task == "text") {
    return {"The history of the lighthouse begins", "My grandmother kept a garden in which",
            "In this article we explain how a heat pump works."};
  }
  // A base model sees one finished example before each task.
  const auto edit = [](const std::string& what, const std::string& before,
                       const std::string& after) {
    return Cat("### Change: ", what, "\n### Before:\n", kExample, "\n### After:\n", after,
               "\n### End\n\n### Change: ", what, "\n### Before:\n", before, "\n### After:\n");
  };
  return {
      edit("every function gets a docstring that begins with TODO", kCode,
           Replaced(kExample, "\"\"\"", "\"\"\"TODO: ")),
      edit("the encoding utf-8 becomes latin-1", kCode, Replaced(kExample, "utf-8", "latin-1")),
      edit("the files get a version", Cat("# version 2\n", kCode), Cat("# version 2\n", kExample))};
}

class Waiter : public GenerationListener {
 public:
  Decision OnToken(const Sampled& token) override {
    ids.push_back(token.id);
    times.push_back(Clock::now());
    return {};
  }
  void OnDone(const Outcome& result) override {
    const std::lock_guard lock(mutex_);
    outcome = result;
    done_ = true;
    changed_.notify_all();
  }
  void Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return done_; });
  }
  std::vector<TokenId> ids;
  std::vector<Clock::time_point> times;  // of the tokens
  Outcome outcome;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;
};

struct Answers {
  double ms = 0;
  int steps = 0, tokens = 0, drafted = 0, accepted = 0;
  std::vector<std::vector<TokenId>> ids;
  std::vector<std::vector<Clock::time_point>> times;
};

// All prompts of the task, one after the other, on an engine of their own.
Result<Answers> Answer(const Options& options, Model& model, const Tokenizer& tokenizer,
                       DraftOptions::Mode mode) {
  std::unique_ptr<Drafter> drafter;
  if (!options.drafter.empty() && mode != DraftOptions::Mode::kOff) {
    FACET_ASSIGN(drafter, Drafter::Load(options.drafter, model));
  }
  EngineOptions engine_options;
  engine_options.prefix_cache = false;
  engine_options.draft.mode = mode;
  Engine engine(MakeModelExecutor(model, 0, std::move(drafter)), engine_options);
  Answers answers;
  for (const std::string& text : Prompts(options.task)) {
    GenerationRequest request;
    auto prompt = std::make_shared<Prompt>();
    prompt->ids = tokenizer.EncodePlain(text);
    if (const auto bos = tokenizer.bos()) prompt->ids.insert(prompt->ids.begin(), *bos);
    request.prompt = prompt;
    request.sampling.temperature = options.temperature.value_or(options.task == "edit" ? 0 : 1);
    request.sampling.top_p = 0.95;
    request.sampling.seed = 1;
    request.max_tokens = options.tokens;
    const auto waiter = std::make_shared<Waiter>();
    FACET_TRY(engine.Submit(std::move(request), waiter));
    waiter->Wait();
    const GenerationStats& stats = waiter->outcome.stats;
    answers.ms += stats.decode_ms;
    answers.tokens += stats.generated;
    answers.drafted += stats.drafted;
    answers.accepted += stats.accepted;
    answers.ids.push_back(waiter->ids);
    answers.times.push_back(waiter->times);
  }
  return answers;
}

Result<void> RunVersus(const Options& options) {
  ThreadPool pool(options.threads);
  FACET_ASSIGN(const auto model, LoadModel(options, pool));
  FACET_ASSIGN(const auto tokenizer, Tokenizer::Load(options.model));
  std::vector<double> ratios;
  for (int round = 0; round < options.rounds; ++round) {
    FACET_ASSIGN(const Answers plain,
                 Answer(options, *model, *tokenizer, DraftOptions::Mode::kOff));
    FACET_ASSIGN(const Answers drafted,
                 Answer(options, *model, *tokenizer, DraftOptions::Mode::kAuto));
    ratios.push_back(plain.ms / drafted.ms);
    std::printf(
        "%d tokens: plain %.2f ms each, drafting %.2f ms each: %.3fx; %d of %d drafts accepted, "
        "%.2f tokens a step%s\n",
        plain.tokens, plain.ms / plain.tokens, drafted.ms / drafted.tokens, ratios.back(),
        drafted.accepted, drafted.drafted,
        static_cast<double>(drafted.tokens) / (drafted.tokens - drafted.accepted),
        plain.ids == drafted.ids ? "" : "  THE ANSWERS DIFFER");
    std::fflush(stdout);
    if (round == 0) {
      for (const auto& ids : drafted.ids)
        std::fprintf(stderr, "--- %s\n", tokenizer->Decode(ids).substr(0, 400).c_str());
    }
  }
  std::printf("median %.3fx\n", Median(ratios));
  return Ok();
}

// --- guard

constexpr size_t kWindow = 256;

// Milliseconds of every run of kWindow tokens, of all answers.
std::vector<double> WindowTimes(const Answers& answers) {
  std::vector<double> out;
  for (const auto& times : answers.times) {
    for (size_t i = kWindow; i < times.size(); ++i)
      out.push_back(Milliseconds(times[i] - times[i - kWindow]));
  }
  return out;
}

// Runs of one kind, and the median time of each window over them: one that the machine disturbed
// does not count.
class Runs {
 public:
  Result<void> Add(const Options& options, Model& model, const Tokenizer& tokenizer,
                   DraftOptions::Mode mode) {
    FACET_ASSIGN(const Answers answers, Answer(options, model, tokenizer, mode));
    times_.push_back(WindowTimes(answers));
    drafted_ += answers.drafted;
    accepted_ += answers.accepted;
    return Ok();
  }
  std::vector<double> Medians() const {
    std::vector<double> out(times_[0].size());
    for (size_t i = 0; i < out.size(); ++i) {
      std::vector<double> values;
      for (const auto& run : times_) values.push_back(run[i]);
      out[i] = Median(std::move(values));
    }
    return out;
  }
  int drafted() const { return drafted_; }
  int accepted() const { return accepted_; }

 private:
  std::vector<std::vector<double>> times_;
  int drafted_ = 0, accepted_ = 0;
};

// Speed of `other` beside `plain`, window by window: the worst, and the median.
void PrintWindows(const char* what, const std::vector<double>& plain,
                  const std::vector<double>& other) {
  std::vector<double> ratios;
  for (size_t i = 0; i < plain.size(); ++i) ratios.push_back(plain[i] / other[i]);
  std::printf("%s: at worst %.3fx over %zu tokens, median %.3fx, %zu windows\n", what,
              *std::min_element(ratios.begin(), ratios.end()), kWindow, Median(ratios),
              ratios.size());
}

// Plain decoding is run before and behind each run with drafts: drafting is compared with the mean
// of both, and how far they are apart is what the machine does.
Result<void> RunGuard(const Options& options) {
  ThreadPool pool(options.threads);
  FACET_ASSIGN(const auto model, LoadModel(options, pool));
  FACET_ASSIGN(const auto tokenizer, Tokenizer::Load(options.model));
  Runs plain, again, drafted;
  for (int round = 0; round < options.rounds; ++round) {
    FACET_TRY(plain.Add(options, *model, *tokenizer, DraftOptions::Mode::kOff));
    FACET_TRY(drafted.Add(options, *model, *tokenizer, DraftOptions::Mode::kAuto));
    FACET_TRY(again.Add(options, *model, *tokenizer, DraftOptions::Mode::kOff));
  }
  std::printf("%d of %d drafts accepted\n", drafted.accepted(), drafted.drafted());
  const std::vector<double> before = plain.Medians(), behind = again.Medians();
  std::vector<double> mean;
  for (size_t i = 0; i < before.size(); ++i) mean.push_back((before[i] + behind[i]) / 2);
  PrintWindows("plain beside plain", before, behind);
  PrintWindows("drafting beside plain", mean, drafted.Medians());
  return Ok();
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app{"What drafting is worth on this machine"};
  app.require_subcommand(1);
  Result<void> (*run)(const Options&) = nullptr;
  CLI::App* cost = app.add_subcommand("cost", "Costs of steps and drafts, and what follows");
  CLI::App* versus = app.add_subcommand("versus", "Answers with and without drafting, in turns");
  CLI::App* guard =
      app.add_subcommand("guard", "What drafting loses at worst over any 256 tokens of free text");
  cost->callback([&] { run = RunCost; });
  versus->callback([&] { run = RunVersus; });
  guard->callback([&] {
    options.task = "text";
    if (guard->count("--tokens") == 0) options.tokens = 3 * kWindow;
    run = RunGuard;
  });
  for (CLI::App* command : {cost, versus, guard}) {
    command->add_option("model", options.model)->required();
    command->add_option("--drafter", options.drafter, "Its drafter");
    command->add_option("--threads", options.threads, "0: all cores");
  }
  cost->add_option("--rows", options.rows, "Rows at most")->check(CLI::Range(1, 64));
  cost->add_option("--context", options.context, "Tokens before")->check(CLI::Range(1, 100000));
  cost->add_option("--repeat", options.repeat, "Times")->check(CLI::Range(1, 1000));
  versus->add_option("--task", options.task, "edit or text")
      ->check(CLI::IsMember({"edit", "text"}));
  for (CLI::App* command : {versus, guard}) {
    command->add_option("--rounds", options.rounds, "Runs of each kind")->check(CLI::Range(1, 100));
    command->add_option("--temperature", options.temperature, "Of the answers")
        ->check(CLI::Range(0.0, 100.0));
  }
  versus->add_option("--tokens", options.tokens, "Of each answer")->check(CLI::Range(1, 100000));
  guard->add_option("--tokens", options.tokens, "Of each answer")
      ->check(CLI::Range(static_cast<int>(kWindow) + 1, 100000));
  CLI11_PARSE(app, argc, argv);
  const Result<void> done = run(options);
  if (!done) std::fprintf(stderr, "draft_bench: %s\n", done.error().message.c_str());
  return done ? 0 : 1;
}

}  // namespace
}  // namespace facet

int main(int argc, char** argv) {
  return facet::Main(argc, argv);
}
