#include "tune/run/run.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <deque>

#include "base/mapped_file.h"
#include "tune/run/events.h"
#include "tune/run/plot.h"

namespace facet::tune {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

// Between checkpoints, where nobody says: at most, and at least (epochs can be short).
constexpr int64_t kSaveSteps = 500, kSaveSpacing = 50;

double Since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

bool IsSet(const std::atomic<bool>* flag) {
  return flag != nullptr && flag->load();
}

// log.jsonl and TensorBoard's files.
class Log {
 public:
  static Result<std::unique_ptr<Log>> Open(const fs::path& out, const RunState& state) {
    auto log = std::unique_ptr<Log>(new Log(out / "log.jsonl"));
    std::string lines;
    for (const Json& entry : state.log) lines += entry.dump() + "\n";
    FACET_TRY(WriteFile(log->path_, lines));  // what came behind the checkpoint is gone
    FACET_ASSIGN(log->events_, EventWriter::Create(out / "runs", state.step));
    return log;
  }

  Result<void> Add(const Json& entry, std::string_view prefix) {
    const std::string line = entry.dump() + "\n";
    const int fd = open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    const bool written =
        fd >= 0 && write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size());
    if (fd >= 0) close(fd);
    if (!written) return Error{Cat(path_.string(), ": cannot be written"), ErrorKind::kIo};
    for (const auto& [key, value] : entry.items()) {
      if (key == "step" || !value.is_number()) continue;
      const std::string_view name = std::string_view(key).substr(key.starts_with("eval_") ? 5 : 0);
      FACET_TRY(events_->Add(entry["step"], Cat(prefix, "/", name), value.get<double>()));
    }
    return events_->Flush();
  }

 private:
  explicit Log(fs::path path) : path_(std::move(path)) {}
  fs::path path_;
  std::unique_ptr<EventWriter> events_;
};

std::string Places(std::span<const Example* const> batch) {
  std::string places;
  for (const Example* example : batch) places += (places.empty() ? "" : ", ") + example->where;
  return places;
}

// Which examples of a batch have a loss that is not finite by themselves.
std::string Culprits(Trainer& trainer, std::span<const Example* const> batch) {
  std::vector<const Example*> found;
  for (const Example* example : batch) {
    const auto loss = trainer.Evaluate(std::span(&example, 1));
    if (loss.ok() && !std::isfinite(loss->loss)) found.push_back(example);
  }
  return Places(found.empty() ? batch : std::span<const Example* const>(found));
}

// What a run must agree in with the checkpoint that it goes on from.
Json Identity(const RunInputs& inputs, const RunOptions& options) {
  Json files = Json::array();
  for (const DataFile& file : inputs.train->files()) files.push_back(file.weight);
  return {{"method", options.method},
          {"data", inputs.train->Fingerprint()},
          {"weights", files},
          {"examples", inputs.train_examples.size()},
          {"validation", inputs.validation_examples.size()},
          {"batch_tokens", options.plan.batch_tokens},
          {"accumulate", options.plan.accumulate},
          {"epochs", options.plan.epochs},
          {"steps", options.plan.max_steps},
          {"seed", options.plan.seed},
          {"learning_rate", options.learning_rate},
          {"warmup", options.warmup},
          {"clip", options.clip},
          {"schedule", static_cast<int>(options.curve)},
          {"eval_every", options.eval_every},
          {"log_every", options.log_every}};
}

Result<void> CheckIdentity(const Json& now, const Json& then, const std::string& where) {
  for (const auto& [key, value] : now.items()) {
    const Json before = then.value(key, Json());
    if (before == value) continue;
    if (key == "data") {
      return Error{Cat(where, ": the data have changed since; start anew with --from ", where)};
    }
    return Error{Cat(where, ": the run had ", key, " ", before.dump(), " but now has ",
                     value.dump(), "; start anew with --from ", where)};
  }
  return Ok();
}

class Runner {
 public:
  Runner(const RunInputs& inputs, const RunOptions& options, RunView& view,
         const std::atomic<bool>* stop)
      : in_(inputs),
        options_(options),
        view_(view),
        stop_(stop),
        plan_(*inputs.train, inputs.train_examples, options.plan),
        prefetch_(*inputs.train) {
    schedule_ = {options.curve, options.learning_rate, WarmupSteps(options.warmup, plan_.steps()),
                 plan_.steps()};
  }

  Result<RunOutcome> Go() {
    FACET_TRY(Begin());
    const auto begin = Clock::now();
    FACET_TRY(Loop());
    outcome_.seconds = Since(begin);
    outcome_.step = state_.step;
    outcome_.steps = state_.steps;
    outcome_.best_loss = state_.best_loss;
    outcome_.best_step = state_.best_step;
    FACET_TRY(End());
    return outcome_;
  }

 private:
  bool alone() const { return in_.processes == nullptr || in_.processes->alone(); }
  bool writes() const { return alone() || in_.processes->rank() == 0; }
  Trainer& trainer() { return *in_.trainer; }

  Result<void> Begin() {
    state_.steps = plan_.steps();
    state_.epochs = plan_.epochs();
    state_.run = Identity(in_, options_);
    if (state_.steps == 0) return Error{"there is nothing to do: no step"};
    if (writes() && in_.lock == nullptr) {
      FACET_ASSIGN(lock_, FolderLock::Take(options_.out));
    }
    if (writes()) RemoveHalves(options_.out);
    const auto steps = ListCheckpoints(options_.out);
    if (!options_.resume && !steps.empty()) {
      return Error{Cat(options_.out.string(), " holds checkpoint-", steps.back(),
                       " of an earlier run: go on with --resume, or name another folder")};
    }
    if (options_.resume && !steps.empty()) FACET_TRY(Resume(steps.back()));
    if (writes()) {
      FACET_ASSIGN(log_, Log::Open(options_.out, state_));
    }
    view_.OnStart(state_.step, state_.steps);
    return Ok();
  }

  Result<void> Resume(int64_t step) {
    const fs::path path = CheckpointPath(options_.out, step);
    const Json run = state_.run;
    FACET_ASSIGN(state_, LoadCheckpointState(path, trainer()));
    saved_ = state_.step;
    for (const Json& entry : state_.log) {
      if (entry.contains("eval_loss")) evaluated_ = entry["step"];
    }
    return CheckIdentity(run, state_.run, path.string());
  }

  // Every turn of the loop can be gone into from a checkpoint of that step.
  Result<void> Loop() {
    while (true) {
      const bool due = EvalDue(state_.step) && evaluated_ != state_.step && !IsSet(stop_);
      if (due) FACET_TRY(Evaluate());
      FACET_ASSIGN(const bool stopping, Stopping());
      if (state_.step == state_.steps && !stopping) {
        outcome_.finished = true;
        return Save();
      }
      if (SaveDue(state_.step) || stopping) FACET_TRY(Save());
      if (stopping) return Ok();
      FACET_TRY(Step());
    }
  }

  // All processes stop at the same step.
  Result<bool> Stopping() {
    double stopping = IsSet(stop_) ? 1 : 0;
    if (!alone()) FACET_TRY(in_.processes->Sum(std::span<double>(&stopping, 1)));
    return stopping > 0;
  }

  bool EvalDue(int64_t step) const {
    if (in_.validation_examples.empty() || step == 0) return false;
    if (step == state_.steps) return true;
    return options_.eval_every > 0 ? step % options_.eval_every == 0 : plan_.EndsEpoch(step);
  }
  bool SaveDue(int64_t step) const {
    if (step == 0) return false;
    if (options_.save_every > 0) return step % options_.save_every == 0;
    const bool epoch = plan_.EndsEpoch(step) && step - saved_ >= kSaveSpacing;
    return step % kSaveSteps == 0 || epoch;
  }

  Result<void> Evaluate() {
    const auto begin = Clock::now();
    auto loss = Validate(trainer(), *in_.validation, in_.validation_examples,
                         options_.plan.batch_tokens, stop_);
    if (!loss.ok() && loss.error().kind == ErrorKind::kCancelled) return Ok();
    if (!loss.ok()) return loss.error();
    evaluated_ = state_.step;
    const bool best = !state_.best_loss || *loss < *state_.best_loss;
    if (best) {
      state_.best_loss = *loss;
      state_.best_step = state_.step;
    }
    FACET_TRY(Record({{"epoch", state_.epoch},
                      {"eval_loss", *loss},
                      {"eval_runtime", Since(begin)},
                      {"step", state_.step}},
                     "eval"));
    view_.OnEval(state_.step, *loss, best);
    return best ? Save() : Ok();
  }

  Result<void> Save() {
    if (saved_ == state_.step && state_.step > 0) return Ok();
    saved_ = state_.step;
    if (!writes()) return Ok();
    FACET_TRY(SaveCheckpoint(options_.out, state_, trainer()));
    RemoveOldCheckpoints(options_.out, options_.keep,
                         state_.best_loss ? std::optional(state_.best_step) : std::nullopt);
    view_.OnSave(CheckpointPath(options_.out, state_.step));
    return Ok();
  }

  Result<void> Record(const Json& entry, std::string_view prefix) {
    state_.log.push_back(entry);
    return log_ ? log_->Add(entry, prefix) : Ok();
  }

  // The batches of a step that this process computes.
  std::vector<Batch> Mine(const StepPlan& plan) const {
    if (alone()) return plan.batches;
    std::vector<Batch> mine;
    for (size_t i = 0; i < plan.batches.size(); ++i) {
      if (static_cast<int>(i) % in_.processes->count() == in_.processes->rank())
        mine.push_back(plan.batches[i]);
    }
    return mine;
  }

  Result<std::vector<std::shared_ptr<const Example>>> Fetch(const Batch& batch) {
    std::vector<std::shared_ptr<const Example>> examples;
    for (const uint32_t index : batch) {
      if (ordered_.empty() || ordered_.front() != index) Order();
      FACET_ASSIGN(auto example, prefetch_.Next());
      ordered_.pop_front();
      examples.push_back(std::move(example));
    }
    return examples;
  }
  // All that is still to come of this step and the next ones.
  void Order() {
    ordered_.clear();
    for (int64_t step = state_.step; step < std::min(state_.step + kAhead, state_.steps); ++step) {
      for (const Batch& batch : Mine(plan_.Step(step)))
        ordered_.insert(ordered_.end(), batch.begin(), batch.end());
    }
    prefetch_.Start({ordered_.begin(), ordered_.end()});
  }

  Result<double> Accumulate(const StepPlan& plan) {
    double loss = 0;
    for (const Batch& batch : Mine(plan)) {
      FACET_ASSIGN(const auto held, Fetch(batch));
      std::vector<const Example*> examples;
      for (const auto& example : held) examples.push_back(example.get());
      auto sum = trainer().Accumulate(examples, 1.0 / static_cast<double>(plan.labelled));
      if (!sum.ok()) return sum.error().In(Places(examples));
      if (!std::isfinite(sum->loss)) {
        return Error{Cat("step ", plan.step + 1, ": the loss is not a finite number at ",
                         Culprits(trainer(), examples))};
      }
      loss += sum->loss;
    }
    if (!alone()) {
      FACET_TRY(in_.processes->Sum(std::span<double>(&loss, 1)));
      FACET_TRY(trainer().SumGradients(*in_.processes));
    }
    return loss;
  }

  // A run that learns nothing is worse than one that fails. At the start a LoRA's A has no gradient
  // because its B is zero; media tensors have none where the first examples have no media.
  Result<void> CheckGradients(const StepPlan& plan) {
    std::vector<std::string> dead, silent;
    bool media = false;
    for (const Batch& batch : plan.batches) {
      for (const uint32_t index : batch) media |= in_.train->entries()[index].media;
    }
    trainer().ForEachGradient([&](const GradientView& gradient) {
      const bool zero = std::all_of(gradient.values.begin(), gradient.values.end(),
                                    [](float v) { return v == 0; });
      if (!zero || gradient.name.find("lora_A") != std::string::npos) return;
      const bool of_media = gradient.name.find("vision") != std::string::npos ||
                            gradient.name.find("audio") != std::string::npos;
      (of_media ? silent : dead).push_back(gradient.name);
    });
    if (!dead.empty()) {
      return Error{Cat("nothing reaches ", dead.front(),
                       dead.size() > 1 ? Cat(" and ", dead.size() - 1, " more tensors") : "",
                       ": its gradient is zero at the first step, it would not learn")};
    }
    if (!silent.empty() && writes()) {
      view_.OnWarning(
          Cat(silent.front(), silent.size() > 1 ? Cat(" and ", silent.size() - 1, " more") : "",
              media ? " have no gradient from the media of the first step"
                    : " learn only from examples with media, and the first step has none"));
    }
    return Ok();
  }

  Result<void> Step() {
    const auto begin = Clock::now();
    const StepPlan plan = plan_.Step(state_.step);
    FACET_ASSIGN(const double loss, Accumulate(plan));
    if (state_.step == 0) FACET_TRY(CheckGradients(plan));
    const double norm = trainer().GradientNorm();
    if (!std::isfinite(norm)) {
      return Error{Cat("step ", plan.step + 1, ": the gradient is not finite (norm ", norm,
                       "); a lower learning rate or float32 may help")};
    }
    StepReport report;
    report.learning_rate = schedule_.At(state_.step);
    FACET_TRY(trainer().Step(report.learning_rate, options_.clip));
    ++state_.step;
    state_.epoch = plan.epoch;
    state_.open_loss += loss;
    state_.open_tokens += plan.labelled;
    report.step = state_.step;
    report.steps = state_.steps;
    report.epoch = plan.epoch;
    report.loss = loss / static_cast<double>(plan.labelled);
    report.grad_norm = norm;
    report.seconds = Since(begin);
    report.tokens = plan.tokens;
    report.labelled = plan.labelled;
    outcome_.tokens += plan.tokens;
    FACET_TRY(LogStep(report));
    view_.OnStep(report);
    return Ok();
  }

  Result<void> LogStep(const StepReport& report) {
    if (state_.step % options_.log_every != 0 && state_.step != state_.steps) return Ok();
    outcome_.loss = state_.open_loss / static_cast<double>(state_.open_tokens);
    state_.open_loss = 0;
    state_.open_tokens = 0;
    return Record({{"epoch", report.epoch},
                   {"grad_norm", report.grad_norm},
                   {"learning_rate", report.learning_rate},
                   {"loss", *outcome_.loss},
                   {"tokens_per_second", static_cast<double>(report.tokens) / report.seconds},
                   {"step", report.step}},
                  "train");
  }

  Result<void> End() {
    if (writes()) {
      FACET_TRY(WriteFile(options_.out / "trainer_state.json", ToJson(state_).dump(1) + "\n"));
      LossCurves curves;
      for (const Json& entry : state_.log) {
        const double step = entry["step"];
        if (entry.contains("eval_loss")) curves.validation.push_back({step, entry["eval_loss"]});
        if (entry.contains("loss")) curves.train.push_back({step, entry["loss"]});
      }
      FACET_TRY(WriteFile(options_.out / "loss.svg", PlotSvg(curves)));
      FACET_TRY(WriteFile(options_.out / "loss.png", PlotPng(curves)));
    }
    if (!writes()) return Ok();
    if (!outcome_.finished || !state_.best_loss || state_.best_step == state_.step) return Ok();
    const auto best =
        LoadCheckpointState(CheckpointPath(options_.out, state_.best_step), trainer());
    return best.ok() ? Ok() : Result<void>(best.error());
  }

  static constexpr int64_t kAhead = 64;  // steps that are ordered from the prefetcher at once

  const RunInputs& in_;
  const RunOptions& options_;
  RunView& view_;
  const std::atomic<bool>* stop_;
  Plan plan_;
  Prefetcher prefetch_;
  std::deque<uint32_t> ordered_;  // and not fetched yet
  Schedule schedule_;
  RunState state_;
  int64_t evaluated_ = -1, saved_ = 0;
  RunOutcome outcome_;
  std::unique_ptr<FolderLock> lock_;
  std::unique_ptr<Log> log_;
};

}  // namespace

Result<double> Validate(Trainer& trainer, const DataSet& data,
                        const std::vector<uint32_t>& examples, int batch_tokens,
                        const std::atomic<bool>* stop) {
  LossSum all;
  FACET_TRY(ForEachBatch(data, examples, batch_tokens, stop,
                         [&](std::span<const Example* const> batch) -> Result<void> {
                           FACET_ASSIGN(const LossSum sum, trainer.Evaluate(batch));
                           all.loss += sum.loss;
                           all.tokens += sum.tokens;
                           return Ok();
                         }));
  return all.loss / static_cast<double>(std::max<int64_t>(all.tokens, 1));
}

Result<RunOutcome> Run(const RunInputs& inputs, const RunOptions& options, RunView& view,
                       const std::atomic<bool>* stop) {
  return Runner(inputs, options, view, stop).Go();
}

}  // namespace facet::tune
