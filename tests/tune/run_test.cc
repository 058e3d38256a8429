// The run loop with a trainer that is a toy but has real state: order, resumption, checkpoints,
// logs, refusals.
#include "tune/run/run.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <set>
#include <thread>

#include "base/mapped_file.h"
#include "tune/models.h"

namespace facet::tune {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// Each token id has a number; a labelled token's loss is the squared distance of its number to that
// of the token before it, plus noise that depends on how often Accumulate was called (as dropout
// does).
class ToyTrainer : public Trainer {
 public:
  struct State {
    float values[64] = {}, moments[64] = {};
    int64_t passes = 0, steps = 0;
  };
  ToyTrainer() {
    for (int i = 0; i < 64; ++i) state.values[i] = std::sin(static_cast<float>(i));
  }

  Result<LossSum> Accumulate(std::span<const Example* const> batch, double scale) override {
    ++state.passes;
    std::mt19937 noise(static_cast<unsigned>(state.passes));
    LossSum sum;
    for (const Example* example : batch) {
      seen.push_back(example->where);
      for (size_t i = 1; i < example->tokens.size(); ++i) {
        if (!example->labelled[i]) continue;
        const int a = example->tokens[i - 1] % 64, b = example->tokens[i] % 64;
        const float gap = state.values[b] - state.values[a] - 0.5f +
                          0.01f * static_cast<float>(noise() % 100) / 100;
        sum.loss += gap * gap;
        ++sum.tokens;
        gradient_[b] += static_cast<float>(2 * gap * scale);
        gradient_[a] -= static_cast<float>(2 * gap * scale);
      }
    }
    if (delay.count() > 0) std::this_thread::sleep_for(delay);
    if (state.steps == nan_step) sum.loss = NAN;
    return sum;
  }
  Result<LossSum> Evaluate(std::span<const Example* const> batch) override {
    LossSum sum;
    for (const Example* example : batch) {
      if (state.steps == nan_step && example->where.ends_with(":3")) sum.loss = NAN;
      for (size_t i = 1; i < example->tokens.size(); ++i) {
        if (!example->labelled[i]) continue;
        const float gap =
            state.values[example->tokens[i] % 64] - state.values[example->tokens[i - 1] % 64];
        sum.loss += (gap - 0.5f) * (gap - 0.5f);
        ++sum.tokens;
      }
    }
    return sum;
  }
  void ForEachGradient(const std::function<void(const GradientView&)>& f) override {
    const std::string name = "toy.values";
    const int64_t shape[] = {64};
    f({name, shape, gradient_});
    std::vector<float> none(4, 0.0f);
    if (!dead_name.empty()) f({dead_name, shape, none});
  }
  Result<void> SumGradients(Processes&) override { return Ok(); }
  double GradientNorm() override {
    double sum = 0;
    for (const float g : gradient_) sum += double{g} * g;
    return std::sqrt(sum);
  }
  Result<void> Step(double learning_rate, double) override {
    for (int i = 0; i < 64; ++i) {
      state.moments[i] = 0.9f * state.moments[i] + gradient_[i];
      state.values[i] -= static_cast<float>(learning_rate) * state.moments[i];
      gradient_[i] = 0;
    }
    ++state.steps;
    return Ok();
  }
  Result<void> SaveState(const fs::path& file) const override {
    if (full_disk) return Error{file.string() + ": No space left on device", ErrorKind::kIo};
    return WriteFile(file, {reinterpret_cast<const char*>(&state), sizeof(state)});
  }
  Result<void> LoadState(const fs::path& file) override {
    FACET_ASSIGN(const std::string bytes, ReadFile(file));
    std::copy_n(bytes.data(), std::min(bytes.size(), sizeof(state)),
                reinterpret_cast<char*>(&state));
    return Ok();
  }
  Result<void> Export(const fs::path& folder) const override {
    return WriteFile(folder / "exported", "toy");
  }

  State state;
  std::vector<std::string> seen;
  int64_t nan_step = -1;
  std::string dead_name;
  bool full_disk = false;
  std::chrono::microseconds delay{0};

 private:
  float gradient_[64] = {};
};

class View : public RunView {
 public:
  void OnStep(const StepReport& report) override {
    reports.push_back(report);
    if (report.step == stop_after) stop = true;
    if (on_step) on_step(report.step);
  }
  void OnEval(int64_t step, double loss, bool best) override {
    evals.push_back({double(step), loss});
    if (best) bests.push_back(step);
  }
  void OnSave(const fs::path& path) override { saves.push_back(path.filename().string()); }
  void OnWarning(const std::string& text) override { warnings.push_back(text); }

  std::vector<StepReport> reports;
  std::vector<std::pair<double, double>> evals;
  std::vector<int64_t> bests;
  std::vector<std::string> saves, warnings;
  std::atomic<bool> stop = false;
  int64_t stop_after = -1;
  std::function<void(int64_t)> on_step;
};

class RunLoop : public testing::Test {
 protected:
  RunLoop() {
    std::ofstream out(folder_.path() / "data.jsonl");
    for (int i = 0; i < 24; ++i)
      out << R"({"messages": [{"role": "user", "content": "say )" << i * 37
          << R"("}, {"role": "assistant", "content": ")" << i * 91 % 100 << "\"}]}\n";
    out.close();
    data_ = *DataSet::Open({{folder_.path() / "data.jsonl", 1}}, *model_->renderer, {});
    options_.out = folder_.path() / "out";
    options_.plan.batch_tokens = 70;
    options_.plan.accumulate = 2;
    options_.plan.epochs = 3;
    options_.plan.seed = 5;
    options_.learning_rate = 0.05;
    options_.warmup = 2;
    options_.save_every = 3;
  }
  Result<RunOutcome> Go(ToyTrainer& trainer, View& view, double validation = 0.25) {
    RunInputs inputs;
    inputs.trainer = &trainer;
    inputs.train = inputs.validation = data_.get();
    auto split = SplitByRow(*data_, validation, 5);
    inputs.train_examples = split->train;
    inputs.validation_examples = split->validation;
    return tune::Run(inputs, options_, view, &view.stop);
  }
  static std::string Bytes(const ToyTrainer& trainer) {
    return {reinterpret_cast<const char*>(&trainer.state), sizeof(trainer.state)};
  }
  std::set<std::string> Files() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(options_.out))
      names.insert(entry.path().filename().string());
    return names;
  }

  TempFolder folder_;
  std::unique_ptr<RenderedModel> model_ = TinyModel();
  std::unique_ptr<DataSet> data_;
  TuneOptions options_;
};

TEST_F(RunLoop, TrainsLogsAndDraws) {
  ToyTrainer trainer;
  View view;
  const auto outcome = Go(trainer, view);
  ASSERT_TRUE(outcome.ok()) << outcome.error().message;
  EXPECT_TRUE(outcome->finished);
  ASSERT_GT(view.reports.size(), 6u);
  EXPECT_LT(view.reports.back().loss, view.reports.front().loss);
  EXPECT_EQ(view.evals.size(), 3u);  // after each epoch
  EXPECT_DOUBLE_EQ(view.reports.back().epoch, 3);
  EXPECT_DOUBLE_EQ(view.reports[0].learning_rate, 0);
  EXPECT_DOUBLE_EQ(view.reports[1].learning_rate, 0.025);
  for (const char* name : {"log.jsonl", "trainer_state.json", "loss.svg", "runs"})
    EXPECT_TRUE(Files().contains(name)) << name;

  const Json state = Json::parse(*ReadFile(options_.out / "trainer_state.json"));
  EXPECT_EQ(state["global_step"], outcome->steps);
  EXPECT_EQ(state["max_steps"], outcome->steps);
  EXPECT_EQ(state["log_history"].size(), view.reports.size() + 3);
  const Json first = state["log_history"][0];
  EXPECT_DOUBLE_EQ(first["loss"], view.reports[0].loss);
  EXPECT_EQ(first["step"], 1);
  for (const char* key : {"epoch", "grad_norm", "learning_rate"}) EXPECT_TRUE(first.contains(key));
  std::string lines = *ReadFile(options_.out / "log.jsonl");
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'),
            static_cast<std::ptrdiff_t>(state["log_history"].size()));
  EXPECT_NE(lines.find("\"eval_loss\""), std::string::npos);
}

TEST_F(RunLoop, AnEpochShowsEachExampleOnce) {
  ToyTrainer trainer;
  View view;
  options_.plan.epochs = 1;
  ASSERT_TRUE(Go(trainer, view).ok());
  EXPECT_EQ(trainer.seen.size(), 18u);
  EXPECT_EQ(std::set(trainer.seen.begin(), trainer.seen.end()).size(), 18u);
}

TEST_F(RunLoop, StoppedAndResumedEndsTheSame) {
  ToyTrainer whole;
  View view;
  options_.out = folder_.path() / "whole";
  const auto outcome = Go(whole, view);
  ASSERT_TRUE(outcome.ok());
  options_.out = folder_.path() / "parts";
  std::string last;
  for (int part = 0; part < 100; ++part) {
    ToyTrainer trainer;
    View v;
    v.stop_after = 2 + part * 3;
    options_.resume = part > 0;
    const auto stopped = Go(trainer, v);
    ASSERT_TRUE(stopped.ok()) << stopped.error().message;
    last = Bytes(trainer);
    if (stopped->finished) break;
    EXPECT_EQ(stopped->step, v.stop_after);
    EXPECT_TRUE(fs::exists(options_.out / Cat("checkpoint-", v.stop_after)));
  }
  EXPECT_EQ(last, Bytes(whole));
  const auto without_times = [](const fs::path& path) {
    Json log = Json::parse(*ReadFile(path / "trainer_state.json"))["log_history"];
    for (Json& entry : log) {
      entry.erase("tokens_per_second");
      entry.erase("eval_runtime");
    }
    return log;
  };
  EXPECT_EQ(without_times(folder_.path() / "parts"), without_times(folder_.path() / "whole"));
}

// The process is killed outright, five times at random moments.
TEST_F(RunLoop, KilledAndResumedEndsTheSame) {
  // Plain rows: a forked child has none of the threads that its parent renders templates with.
  std::ofstream plain(folder_.path() / "plain.jsonl");
  for (int i = 0; i < 24; ++i)
    plain << R"({"text": "say )" << i * 37 << " " << i * 91 % 100 << "\"}\n";
  plain.close();
  data_ = *DataSet::Open({{folder_.path() / "plain.jsonl", 1}}, *model_->renderer, {});
  options_.plan.batch_tokens = 2 * data_->longest();
  ToyTrainer whole;
  View view;
  options_.plan.epochs = 12;
  options_.save_every = 2;
  options_.out = folder_.path() / "whole";
  ASSERT_TRUE(Go(whole, view).ok());
  options_.out = folder_.path() / "killed";
  std::mt19937 random(17);
  for (int kills = 0; kills <= 5; ++kills) {
    options_.resume = kills > 0;
    const int64_t last_step = kills < 5 ? 3 + kills * 6 + random() % 5 : -1;
    const pid_t child = fork();
    if (child == 0) {
      ToyTrainer trainer;
      View v;
      std::atomic<bool> armed = false;
      v.on_step = [&](int64_t step) { armed = armed || step == last_step; };
      trainer.delay = std::chrono::microseconds(200);
      const auto wait = std::chrono::microseconds(random() % 5000);
      std::thread([&armed, wait] {
        while (!armed) std::this_thread::sleep_for(std::chrono::microseconds(50));
        std::this_thread::sleep_for(wait);
        kill(getpid(), SIGKILL);
      }).detach();
      const auto done = Go(trainer, v);
      _exit(done.ok() && done->finished && Bytes(trainer) == Bytes(whole) ? 0 : 2);
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_EQ(WIFSIGNALED(status), kills < 5);
    EXPECT_EQ(kills < 5 ? 0 : WEXITSTATUS(status), 0);
  }
}

TEST_F(RunLoop, KeepsTheLastCheckpointsAndTheBest) {
  ToyTrainer trainer;
  View view;
  options_.keep = 1;
  options_.save_every = 1;
  options_.eval_every = 1;
  options_.learning_rate = 3;  // diverges: the best comes early
  options_.warmup = 0;
  const auto outcome = Go(trainer, view);
  ASSERT_TRUE(outcome.ok()) << outcome.error().message;
  ASSERT_TRUE(outcome->best_loss);
  ASSERT_LT(outcome->best_step, outcome->steps);
  EXPECT_EQ(ListCheckpoints(options_.out),
            (std::vector<int64_t>{outcome->best_step, outcome->steps}));
  EXPECT_EQ(trainer.state.steps, outcome->best_step);  // whose weights the trainer now holds
  double lowest = INFINITY;
  for (const auto& [step, loss] : view.evals) lowest = std::min(lowest, loss);
  EXPECT_EQ(*outcome->best_loss, lowest);
}

TEST_F(RunLoop, AFullDiskKeepsThePreviousCheckpoint) {
  ToyTrainer trainer;
  View view;
  view.on_step = [&](int64_t step) { trainer.full_disk = step >= 4; };
  const auto outcome = Go(trainer, view, 0);
  ASSERT_FALSE(outcome.ok());
  EXPECT_NE(outcome.error().message.find("No space left on device"), std::string::npos);
  EXPECT_NE(outcome.error().message.find("the last checkpoint is "), std::string::npos);
  EXPECT_EQ(ListCheckpoints(options_.out), std::vector<int64_t>{3});
  EXPECT_FALSE(Files().contains("checkpoint-6.part"));
}

TEST_F(RunLoop, AHalfWrittenCheckpointIsNone) {
  ToyTrainer trainer;
  View view;
  view.stop_after = 4;
  ASSERT_TRUE(Go(trainer, view).ok());
  fs::create_directories(options_.out / "checkpoint-9.part");
  std::ofstream(options_.out / "checkpoint-9.part" / "trainer_state.json") << "{";
  // Another process may be writing it: looking does not remove it, the run that has the folder
  // does.
  EXPECT_EQ(ListCheckpoints(options_.out).back(), 4);
  EXPECT_TRUE(fs::exists(options_.out / "checkpoint-9.part"));
  options_.resume = true;
  View rest;
  ASSERT_TRUE(Go(trainer, rest).ok());
  EXPECT_FALSE(fs::exists(options_.out / "checkpoint-9.part"));
}

// Values that make sense and are not those of the run.
TEST_F(RunLoop, ACheckpointThatChangedUnnoticedIsNotResumed) {
  {
    ToyTrainer trainer;
    View view;
    view.stop_after = 3;
    ASSERT_TRUE(Go(trainer, view).ok());
  }
  options_.resume = true;
  const fs::path folder = options_.out / "checkpoint-3";
  const auto refused = [&](const char* name, const std::string& text) {
    const std::string before = *ReadFile(folder / name);
    EXPECT_TRUE(WriteFile(folder / name, text).ok());
    ToyTrainer trainer;
    View view;
    const auto resumed = Go(trainer, view);
    EXPECT_TRUE(WriteFile(folder / name, before).ok());
    return !resumed.ok() && resumed.error().message.find(name) != std::string::npos &&
           resumed.error().message.find("SHA256SUMS") != std::string::npos;
  };
  Json state = Json::parse(*ReadFile(folder / "trainer_state.json"));
  state["facet"]["open_loss"] = state["facet"]["open_loss"].get<double>() + 0.5;
  EXPECT_TRUE(refused("trainer_state.json", state.dump()));
  std::string weights = *ReadFile(folder / "trainer.safetensors");
  weights.back() ^= 1;
  EXPECT_TRUE(refused("trainer.safetensors", weights));
  // Written by somebody else: there is nothing to hold it to.
  fs::remove(folder / "SHA256SUMS");
  ToyTrainer trainer;
  View view;
  EXPECT_TRUE(Go(trainer, view).ok());
}

// A checkpoint whose trainer_state.json somebody or something has changed: an error, never a crash.
TEST_F(RunLoop, ADamagedStateNamesFileAndKey) {
  {
    ToyTrainer trainer;
    View view;
    view.stop_after = 3;
    ASSERT_TRUE(Go(trainer, view).ok());
  }
  const fs::path file = options_.out / "checkpoint-3" / "trainer_state.json";
  const Json sound = Json::parse(*ReadFile(file));
  options_.resume = true;
  const struct {
    const char *pointer, *value, *key;
  } cases[] = {
      {"/global_step", "\"three\"", "global_step"},
      {"/global_step", "-1", "global_step"},
      {"/global_step", "1000000", "global_step"},
      {"/global_step", "2", "global_step"},  // of another folder
      {"/max_steps", "2.5", "max_steps"},
      {"/max_steps", "1000", "max_steps"},
      {"/epoch", "[]", "epoch"},
      {"/num_train_epochs", "{}", "num_train_epochs"},
      {"/best_metric", "\"low\"", "best_metric"},
      {"/log_history", "{}", "log_history"},
      {"/log_history/0", "7", "log_history[0]"},
      {"/log_history/0/step", "\"one\"", "log_history[0].step"},
      {"/log_history/0", "{\"eval_loss\": 1}", "log_history[0].step"},
      {"/log_history/0/loss", "\"small\"", "log_history[0].loss"},
      {"/facet", "null", "facet"},
      {"/facet/open_loss", "{}", "facet.open_loss"},
      {"/facet/open_tokens", "-3", "facet.open_tokens"},
      {"/facet/run", "[]", "facet.run"},
  };
  for (const auto& damage : cases) {
    Json state = sound;
    state[Json::json_pointer(damage.pointer)] = Json::parse(damage.value);
    std::ofstream(file) << state;
    ToyTrainer trainer;
    View view;
    const auto refused = Go(trainer, view);
    ASSERT_FALSE(refused.ok()) << damage.pointer << " " << damage.value;
    EXPECT_NE(refused.error().message.find(damage.key), std::string::npos)
        << damage.pointer << ": " << refused.error().message;
    EXPECT_NE(refused.error().message.find("checkpoint-3"), std::string::npos);
  }
  for (const auto& item : sound.items()) {
    const std::string& key = item.key();
    if (key.starts_with("is_") || key == "best_model_checkpoint" || key == "best_global_step")
      continue;
    Json state = sound;
    state.erase(key);
    std::ofstream(file) << state;
    ToyTrainer trainer;
    View view;
    const auto refused = Go(trainer, view);
    ASSERT_FALSE(refused.ok()) << key;
    EXPECT_NE(refused.error().message.find(key + ": missing"), std::string::npos)
        << refused.error().message;
  }
  std::ofstream(file) << sound.dump(1) << "\n";  // what its checksum is of
  ToyTrainer trainer;
  View view;
  EXPECT_TRUE(Go(trainer, view).ok());
}

TEST_F(RunLoop, DoesNotWriteOverAnEarlierRun) {
  ToyTrainer trainer;
  View view;
  view.stop_after = 3;
  ASSERT_TRUE(Go(trainer, view).ok());
  ToyTrainer again;
  View other;
  const auto refused = Go(again, other);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("holds checkpoint-3 of an earlier run"),
            std::string::npos);
  options_.resume = true;
  options_.learning_rate = 0.01;
  const auto different = Go(again, other);
  ASSERT_FALSE(different.ok());
  EXPECT_NE(different.error().message.find("the run had learning_rate 0.05 but now has 0.01"),
            std::string::npos)
      << different.error().message;
}

TEST_F(RunLoop, OneRunAFolder) {
  ToyTrainer trainer;
  View view;
  std::string message;
  view.on_step = [&](int64_t step) {
    if (step != 1) return;
    ToyTrainer other;
    View silent;
    const auto refused = Go(other, silent);
    message = refused.ok() ? "" : refused.error().message;
  };
  ASSERT_TRUE(Go(trainer, view).ok());
  EXPECT_NE(message.find("another run is writing there"), std::string::npos) << message;
}

TEST_F(RunLoop, ALossThatIsNoNumberNamesTheExample) {
  ToyTrainer trainer;
  trainer.nan_step = 0;
  options_.plan.batch_tokens = 8000;
  View view;
  const auto outcome = Go(trainer, view, 0);
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.error().message, "step 1: the loss is not a finite number at " +
                                         (folder_.path() / "data.jsonl").string() + ":3");
}

TEST_F(RunLoop, ATensorWithoutAGradientIsNamed) {
  ToyTrainer trainer;
  trainer.dead_name = "model.layers.3.q_proj.weight";
  View view;
  const auto outcome = Go(trainer, view);
  ASSERT_FALSE(outcome.ok());
  EXPECT_NE(outcome.error().message.find("nothing reaches model.layers.3.q_proj.weight"),
            std::string::npos);
  // Media tensors without media, and the A of a new adapter, are as they should be.
  options_.out = folder_.path() / "second";
  ToyTrainer vision;
  vision.dead_name = "model.vision_embedder.patch_dense.weight";
  ASSERT_TRUE(Go(vision, view).ok());
  ASSERT_EQ(view.warnings.size(), 1u);
  options_.out = folder_.path() / "third";
  ToyTrainer lora;
  lora.dead_name = "q_proj.lora_A.weight";
  EXPECT_TRUE(Go(lora, view).ok());
}

}  // namespace
}  // namespace facet::tune
