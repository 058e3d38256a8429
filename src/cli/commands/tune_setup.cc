#include "cli/commands/tune_setup.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace facet::cli {
namespace {

// An adapter begins as nothing and moves by about the rate in each step, so a run of a few steps
// teaches nothing whatever its data are: few examples are seen more often, in smaller batches.
constexpr int64_t kEnoughSteps = 200;
constexpr int kUsualBatch = 2048, kLeastBatch = 256, kLeastBatchesOfEpoch = 8;
constexpr double kUsualEpochs = 3, kMostEpochs = 40;

int64_t TokensOf(const tune::Session& session) {
  int64_t tokens = 0;
  for (const uint32_t index : session.split.train) tokens += session.train->entries()[index].tokens;
  return tokens;
}

// Only a new adapter follows the data: what goes on from another, or has all weights, is already
// somewhere.
bool FollowsData(const TuneFlags& flags) {
  return !flags.full && !flags.drafter.on && flags.steps == 0;
}

// Batches hold the longest example; a number that the user gave is not changed.
Result<int> BatchTokens(const TuneFlags& flags, const tune::Session& session) {
  const tune::DataSet& data = *session.train;
  if (flags.batch_tokens == 0) {
    const int64_t share =
        FollowsData(flags) ? TokensOf(session) / kLeastBatchesOfEpoch : int64_t{kUsualBatch};
    return std::max(static_cast<int>(std::clamp<int64_t>(share, kLeastBatch, kUsualBatch)),
                    data.longest());
  }
  for (const auto& entry : data.entries()) {
    if (entry.tokens <= flags.batch_tokens) continue;
    return Error{Cat(data.Where(entry), ": the example has ", entry.tokens,
                     " tokens, more than a batch (--batch-tokens ", flags.batch_tokens, ")"),
                 ErrorKind::kResource};
  }
  return flags.batch_tokens;
}

double Epochs(const TuneFlags& flags, const tune::Session& session, int batch_tokens) {
  if (flags.epochs) return *flags.epochs;
  if (!FollowsData(flags)) return kUsualEpochs;
  const int64_t tokens = int64_t{batch_tokens} * flags.accumulate;
  const int64_t steps = std::max<int64_t>(1, (TokensOf(session) + tokens - 1) / tokens);
  const auto enough = static_cast<double>((kEnoughSteps + steps - 1) / steps);
  return std::clamp(enough, kUsualEpochs, kMostEpochs);
}

// Narrow models need larger steps. The exponent is that of "LoRA Without Regret" (Schulman et al.
// 2025), which fits it over models of many widths; two digits of the result.
double AdapterRate(int width) {
  constexpr double kRateOf12B = 2e-4, kWidthOf12B = 3840, kExponent = 0.781;
  const double rate = kRateOf12B * std::pow(kWidthOf12B / width, kExponent);
  const double unit = std::pow(10.0, std::floor(std::log10(rate)) - 1);
  return std::round(rate / unit) * unit;
}

double DefaultRate(const TuneFlags& flags, int width) {
  if (flags.drafter.on) return flags.from.empty() ? 1e-3 : 2e-4;
  if (!flags.full) return AdapterRate(width);
  return flags.init.empty() ? 2e-5 : 1e-3;
}

tune::TrainerOptions MakeTrainerOptions(const TuneFlags& flags, const tune::Session& session) {
  tune::TrainerOptions options;
  options.full = flags.full;
  options.lora = flags.lora;
  options.train_vision = flags.train_vision;
  options.train_audio = flags.train_audio;
  options.compute = flags.bf16 ? Compute::kBf16 : Compute::kF32;
  options.weight_decay = flags.weight_decay;
  options.muon = flags.optimizer == "muon";
  options.seed = flags.seed;
  options.keep_bytes = static_cast<size_t>(flags.keep_activations) << 20;
  options.adapter = session.adapter;
  if (flags.full) options.model_files = session.files.model;
  return options;
}

// What the trainer does, as a resumed run has to find it again.
nlohmann::ordered_json DescribeMethod(const TuneFlags& flags) {
  nlohmann::ordered_json method = {{"full", flags.full},
                                   {"bf16", flags.bf16},
                                   {"train_vision", flags.train_vision},
                                   {"train_audio", flags.train_audio},
                                   {"weight_decay", flags.weight_decay},
                                   {"optimizer", flags.optimizer}};
  if (flags.drafter.on) {
    method["drafter"] = DescribeDrafterMethod(flags.drafter);
  } else if (!flags.full) {
    method["rank"] = flags.lora.rank;
    method["alpha"] = flags.lora.alpha;
    method["dropout"] = flags.lora.dropout;
    method["rslora"] = flags.lora.rank_stabilised;
    method["targets"] = flags.lora.targets;
  }
  return method;
}

}  // namespace

Result<SessionTrainer> MakeTrainer(const TuneFlags& flags, tune::Session& session,
                                   ThreadPool& pool) {
  const tune::TrainerOptions options = MakeTrainerOptions(flags, session);
  SessionTrainer made;
  if (!flags.drafter.on) {
    FACET_ASSIGN(made.trainer, tune::Trainer::Create(std::move(session.checkpoint), options, pool));
    return made;
  }
  FACET_ASSIGN(auto drafter,
               tune::DrafterTrainer::Create(std::move(session.checkpoint), session.drafter,
                                            {options, flags.drafter.drafts}, pool));
  made.drafter = drafter.get();
  made.trainer = std::move(drafter);
  return made;
}

Result<tune::TuneOptions> MakeTuneOptions(const TuneFlags& flags, const tune::Session& session) {
  tune::TuneOptions run;
  run.out = flags.out;
  FACET_ASSIGN(run.plan.batch_tokens, BatchTokens(flags, session));
  run.plan.accumulate = flags.accumulate;
  run.plan.epochs = Epochs(flags, session, run.plan.batch_tokens);
  run.plan.max_steps = flags.steps;
  run.plan.seed = flags.seed;
  run.learning_rate = flags.learning_rate.value_or(DefaultRate(flags, session.config.text.width));
  run.warmup = flags.warmup;
  run.clip = flags.clip;
  FACET_ASSIGN(run.curve, tune::ParseCurve(flags.schedule));
  run.eval_every = flags.eval_every;
  run.save_every = flags.save_every;
  run.log_every = flags.log_every;
  run.keep = flags.keep;
  run.resume = flags.resume;
  run.method = DescribeMethod(flags);
  return run;
}

std::string WarningOfRun(const TuneFlags& flags, const tune::Session& session,
                         const tune::TuneOptions& run, int64_t steps) {
  // A new adapter alone: its rate and its number of steps say how far it can come.
  if (flags.full || flags.drafter.on || !session.adapter.empty()) return "";
  const double usual = AdapterRate(session.config.text.width);
  constexpr double kHardlyAny = 0.1, kWild = 20;
  const double way = run.learning_rate * static_cast<double>(steps);
  if (way < kHardlyAny * usual * kEnoughSteps) {
    return Cat(steps, " steps at a rate of ", run.learning_rate,
               " teach an adapter of this model next to nothing: about ", kEnoughSteps, " at ",
               usual,
               " are needed (leave out --epochs, --steps, --batch-tokens and --lr, or bring "
               "more examples)");
  }
  if (run.learning_rate > kWild * usual) {
    return Cat("a learning rate of ", run.learning_rate, " is ",
               std::round(run.learning_rate / usual),
               " times the usual one for a model of this width: the loss may never fall");
  }
  return "";
}

}  // namespace facet::cli
