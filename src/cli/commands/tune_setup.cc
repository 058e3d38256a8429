#include "cli/commands/tune_setup.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace facet::cli {
namespace {

// Batches hold the longest example; a number that the user gave is not changed.
Result<int> BatchTokens(const TuneFlags& flags, const tune::DataSet& data) {
  constexpr int kUsual = 2048;
  if (flags.batch_tokens == 0) return std::max(kUsual, data.longest());
  for (const auto& entry : data.entries()) {
    if (entry.tokens <= flags.batch_tokens) continue;
    return Error{Cat(data.Where(entry), ": the example has ", entry.tokens,
                     " tokens, more than a batch (--batch-tokens ", flags.batch_tokens, ")"),
                 ErrorKind::kResource};
  }
  return flags.batch_tokens;
}

double DefaultRate(const TuneFlags& flags) {
  if (flags.drafter.on) return flags.from.empty() ? 1e-3 : 2e-4;
  if (!flags.full) return 2e-4;
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
  FACET_ASSIGN(run.plan.batch_tokens, BatchTokens(flags, *session.train));
  run.plan.accumulate = flags.accumulate;
  run.plan.epochs = flags.epochs;
  run.plan.max_steps = flags.steps;
  run.plan.seed = flags.seed;
  run.learning_rate = flags.learning_rate.value_or(DefaultRate(flags));
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

}  // namespace facet::cli
