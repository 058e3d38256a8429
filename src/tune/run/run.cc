#include "tune/run/run.h"

#include <algorithm>
#include <cmath>

#include "base/atomic_file.h"
#include "base/clock.h"
#include "tune/run/batch_feed.h"
#include "tune/run/first_step.h"
#include "tune/run/plot.h"
#include "tune/run/run_identity.h"
#include "tune/run/run_log.h"

namespace facet::tune {
namespace {

using Json = nlohmann::ordered_json;

// Between checkpoints, where the options name no number: at most, and at least (epochs can be
// short).
constexpr int64_t kSaveSteps = 500, kSaveSpacing = 50;

bool IsSet(const std::atomic<bool>* flag) {
  return flag != nullptr && flag->load();
}

bool HasMedia(const DataSet& data, const StepPlan& plan) {
  for (const Batch& batch : plan.batches) {
    for (const uint32_t index : batch) {
      if (data.entries()[index].media) return true;
    }
  }
  return false;
}

// One run from its folder to its outcome. `state_` is all that a checkpoint needs besides the
// trainer's own; every method that changes it says so.
class Runner {
 public:
  Runner(const RunInputs& inputs, const TuneOptions& options, RunView& view,
         const std::atomic<bool>* stop)
      : in_(inputs),
        options_(options),
        view_(view),
        stop_(stop),
        plan_(*inputs.train, inputs.train_examples, options.plan),
        feed_(*inputs.train, plan_, inputs.processes),
        schedule_{options.curve, options.learning_rate, WarmupSteps(options.warmup, plan_.steps()),
                  plan_.steps()} {}

  Result<RunOutcome> Run() {
    FACET_TRY(Begin());
    const Clock::time_point begin = Clock::now();
    FACET_TRY(Loop());
    outcome_.seconds = SecondsSince(begin);
    outcome_.step = state_.step;
    outcome_.steps = state_.steps;
    outcome_.best_loss = state_.best_loss;
    outcome_.best_step = state_.best_step;
    if (writes()) FACET_TRY(WriteSummary());
    if (writes()) FACET_TRY(TakeBest());
    return outcome_;
  }

 private:
  bool alone() const { return in_.processes == nullptr || in_.processes->alone(); }
  // Of several processes the first writes and shows.
  bool writes() const { return alone() || in_.processes->rank() == 0; }
  Trainer& trainer() { return *in_.trainer; }

  // Fills state_: new, or that of the last checkpoint. Takes the folder's lock.
  Result<void> Begin() {
    state_.steps = plan_.steps();
    state_.epochs = plan_.epochs();
    state_.run = RunIdentity(in_, options_);
    if (state_.steps == 0) return Error{"there is nothing to do: no step"};
    if (writes() && in_.lock == nullptr) {
      FACET_ASSIGN(lock_, FolderLock::Take(options_.out));
    }
    if (writes()) RemovePartialCheckpoints(options_.out);
    const auto steps = ListCheckpoints(options_.out);
    if (!options_.resume && !steps.empty()) {
      return Error{Cat(options_.out.string(), " holds checkpoint-", steps.back(),
                       " of an earlier run: go on with --resume, or name another folder")};
    }
    if (options_.resume && !steps.empty()) FACET_TRY(Resume(steps.back()));
    if (writes()) {
      FACET_ASSIGN(log_, RunLog::Open(options_.out, state_));
    }
    view_.OnStart(state_.step, state_.steps);
    return Ok();
  }

  // Replaces state_ and the trainer's state by those of a checkpoint of this very run.
  Result<void> Resume(int64_t step) {
    const std::filesystem::path path = CheckpointPath(options_.out, step);
    const Json run = state_.run;
    FACET_ASSIGN(state_, LoadCheckpointState(path, trainer()));
    FACET_TRY(CheckRunIdentity(run, state_.run, path.string()));
    if (state_.steps != plan_.steps())
      return Expected(Cat("max_steps ", plan_.steps()), state_.steps, path.string());
    FACET_TRY(VerifyState(path));
    saved_ = state_.step;
    for (const Json& entry : state_.log) {
      if (entry.contains("eval_loss")) evaluated_ = entry["step"];
    }
    return Ok();
  }

  // Steps until the plan ends or a stop is asked for. Each turn can be resumed from a checkpoint of
  // its step: what is due then is decided from state_ alone.
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

  // Whether any process was asked to stop: all stop at the same step.
  Result<bool> Stopping() {
    double stopping = IsSet(stop_) ? 1 : 0;
    if (!alone()) FACET_TRY(in_.processes->Sum(std::span<double>(&stopping, 1)));
    return stopping > 0;
  }

  // Whether validation comes after this step: every eval_every steps or at the end of an epoch, and
  // at the end of the run.
  bool EvalDue(int64_t step) const {
    if (in_.validation_examples.empty() || step == 0) return false;
    if (step == state_.steps) return true;
    return options_.eval_every > 0 ? step % options_.eval_every == 0 : plan_.EndsEpoch(step);
  }

  // Whether a checkpoint comes after this step.
  bool SaveDue(int64_t step) const {
    if (step == 0) return false;
    if (options_.save_every > 0) return step % options_.save_every == 0;
    const bool epoch = plan_.EndsEpoch(step) && step - saved_ >= kSaveSpacing;
    return step % kSaveSteps == 0 || epoch;
  }

  // Logs the validation loss; the lowest so far becomes state_'s best and gets a checkpoint.
  Result<void> Evaluate() {
    const Clock::time_point begin = Clock::now();
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
    FACET_TRY(LogEntry({{"epoch", state_.epoch},
                        {"eval_loss", *loss},
                        {"eval_runtime", SecondsSince(begin)},
                        {"step", state_.step}},
                       "eval"));
    view_.OnEval(state_.step, *loss, best);
    return best ? Save() : Ok();
  }

  // Writes a checkpoint of this step where there is none yet, and removes old ones.
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

  // Adds an entry to state_'s log and to the files of it.
  Result<void> LogEntry(const Json& entry, std::string_view prefix) {
    state_.log.push_back(entry);
    return log_ ? log_->Add(entry, prefix) : Ok();
  }

  // The gradients of a step's batches, over all processes. Returns the summed loss.
  Result<double> Accumulate(const StepPlan& plan) {
    double loss = 0;
    for (const Batch& batch : feed_.OwnBatches(plan)) {
      FACET_ASSIGN(const auto held, feed_.Fetch(batch, state_.step));
      std::vector<const Example*> examples;
      for (const auto& example : held) examples.push_back(example.get());
      auto sum = trainer().Accumulate(examples, 1.0 / static_cast<double>(plan.labelled));
      if (!sum.ok()) return sum.error().In(PlacesOf(examples));
      if (!std::isfinite(sum->loss)) {
        return Error{Cat("step ", plan.step + 1, ": the loss is not a finite number at ",
                         PlacesNotFinite(trainer(), examples))};
      }
      loss += sum->loss;
    }
    if (!alone()) {
      FACET_TRY(in_.processes->Sum(std::span<double>(&loss, 1)));
      FACET_TRY(trainer().SumGradients(*in_.processes));
    }
    return loss;
  }

  // Before the first update: stops a run that would not learn.
  Result<void> CheckFirstGradients(const StepPlan& plan) {
    FACET_ASSIGN(const auto warning, CheckGradients(trainer(), HasMedia(*in_.train, plan)));
    if (warning && writes()) view_.OnWarning(*warning);
    return Ok();
  }

  // One step of the optimiser: advances the trainer and state_, and reports.
  Result<void> Step() {
    const Clock::time_point begin = Clock::now();
    const StepPlan plan = plan_.Step(state_.step);
    FACET_ASSIGN(const double loss, Accumulate(plan));
    if (state_.step == 0) FACET_TRY(CheckFirstGradients(plan));
    const double norm = trainer().GradientNorm();
    if (!std::isfinite(norm)) {
      return Error{Cat("step ", plan.step + 1, ": the gradient is not finite (norm ", norm,
                       "); a lower learning rate or float32 may help")};
    }
    const double learning_rate = schedule_.At(state_.step);
    FACET_TRY(trainer().Step(learning_rate, options_.clip));
    ++state_.step;
    state_.epoch = plan.epoch;
    state_.open_loss += loss;
    state_.open_tokens += plan.labelled;
    outcome_.tokens += plan.tokens;
    const StepReport report{.step = state_.step,
                            .steps = state_.steps,
                            .epoch = plan.epoch,
                            .loss = loss / static_cast<double>(plan.labelled),
                            .grad_norm = norm,
                            .learning_rate = learning_rate,
                            .seconds = SecondsSince(begin),
                            .tokens = plan.tokens,
                            .labelled = plan.labelled};
    FACET_TRY(LogStep(report));
    view_.OnStep(report);
    return Ok();
  }

  // Every log_every steps, and at the end: the mean loss since the last such entry.
  Result<void> LogStep(const StepReport& report) {
    if (state_.step % options_.log_every != 0 && state_.step != state_.steps) return Ok();
    outcome_.loss = state_.open_loss / static_cast<double>(state_.open_tokens);
    state_.open_loss = 0;
    state_.open_tokens = 0;
    return LogEntry({{"epoch", report.epoch},
                     {"grad_norm", report.grad_norm},
                     {"learning_rate", report.learning_rate},
                     {"loss", *outcome_.loss},
                     {"tokens_per_second", static_cast<double>(report.tokens) / report.seconds},
                     {"step", report.step}},
                    "train");
  }

  // trainer_state.json and the plot beside the checkpoints.
  Result<void> WriteSummary() const {
    FACET_TRY(WriteFile(options_.out / "trainer_state.json", ToJson(state_).dump(1) + "\n"));
    return WriteFile(options_.out / "loss.svg", PlotSvg(CurvesOf(state_)));
  }

  // After a finished run the trainer holds the parameters of the lowest validation loss.
  Result<void> TakeBest() {
    if (!outcome_.finished || !state_.best_loss || state_.best_step == state_.step) return Ok();
    const auto best =
        LoadCheckpointState(CheckpointPath(options_.out, state_.best_step), trainer());
    return best.ok() ? Ok() : Result<void>(best.error());
  }

  const RunInputs& in_;
  const TuneOptions& options_;
  RunView& view_;
  const std::atomic<bool>* stop_;
  Plan plan_;
  BatchFeed feed_;
  Schedule schedule_;
  RunState state_;
  int64_t evaluated_ = -1, saved_ = 0;  // steps of the last evaluation and checkpoint
  RunOutcome outcome_;
  std::unique_ptr<FolderLock> lock_;
  std::unique_ptr<RunLog> log_;
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

Result<RunOutcome> Run(const RunInputs& inputs, const TuneOptions& options, RunView& view,
                       const std::atomic<bool>* stop) {
  return Runner(inputs, options, view, stop).Run();
}

}  // namespace facet::tune
