// A training run: batches to the trainer, in order; validation, checkpoints, logs, the plot.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "tune/data/data.h"
#include "tune/data/order.h"
#include "tune/run/checkpoints.h"
#include "tune/run/folder_lock.h"
#include "tune/train/processes.h"
#include "tune/train/schedule.h"
#include "tune/train/trainer.h"

namespace facet::tune {

struct TuneOptions {
  std::filesystem::path out;
  PlanOptions plan;
  double learning_rate = 1e-4, warmup = 0, clip = 1;  // warmup as WarmupSteps; clip 0: none
  Curve curve = Curve::kCosine;
  int64_t eval_every = 0;  // steps; 0: at the end of each epoch
  int64_t save_every = 0;  // steps; 0: every 500, and at the end of epochs that are long
  int64_t log_every = 1;   // steps
  int keep = 2;            // checkpoints, besides the best
  bool resume = false;
  nlohmann::ordered_json method;  // what the trainer does, for RunState::run
};

struct RunInputs {
  Trainer* trainer = nullptr;
  const DataSet* train = nullptr;
  std::vector<uint32_t> train_examples;
  const DataSet* validation = nullptr;  // null: none; may be the same as `train`
  std::vector<uint32_t> validation_examples;
  Processes* processes = nullptr;  // that share the run, each with the same parameters
  FolderLock* lock = nullptr;      // of TuneOptions::out, where the caller has taken it already
};

struct StepReport {
  int64_t step = 0, steps = 0;  // step: done, this one included
  double epoch = 0, loss = 0, grad_norm = 0, learning_rate = 0, seconds = 0;
  int64_t tokens = 0, labelled = 0;
};

// What a run shows while it goes.
class RunView {
 public:
  virtual ~RunView() = default;
  virtual void OnStart(int64_t /*step*/, int64_t /*steps*/) {}
  virtual void OnStep(const StepReport& /*report*/) {}
  virtual void OnEval(int64_t /*step*/, double /*loss*/, bool /*best*/) {}
  virtual void OnSave(const std::filesystem::path& /*checkpoint*/) {}
  virtual void OnWarning(const std::string& /*text*/) {}
};

struct RunOutcome {
  bool finished = false;  // else it was stopped, and its checkpoint is `step`'s
  int64_t step = 0, steps = 0;
  double seconds = 0;          // of this process
  int64_t tokens = 0;          // of this process
  std::optional<double> loss;  // of the last logged steps
  std::optional<double> best_loss;
  int64_t best_step = 0;
};

// Trains until the plan ends or `stop` is set; then the trainer holds the best parameters where
// there is validation data, else the last ones. Writes out/checkpoint-N, log.jsonl,
// trainer_state.json, runs/ (TensorBoard) and loss.svg. Given the same inputs, a run that
// was stopped or killed and resumed ends with the parameters of an unbroken one, bit for bit.
// Errors: a folder with an earlier run (without resume), a checkpoint of another run (names what
// differs), a loss that is not finite (names the example), a trainable tensor without a gradient at
// the first step (names it), what trainer and disk report.
Result<RunOutcome> Run(const RunInputs& inputs, const TuneOptions& options, RunView& view,
                       const std::atomic<bool>* stop);

// Mean loss over the labelled tokens of these examples.
Result<double> Validate(Trainer& trainer, const DataSet& data,
                        const std::vector<uint32_t>& examples, int batch_tokens,
                        const std::atomic<bool>* stop);

}  // namespace facet::tune
