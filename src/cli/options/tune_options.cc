#include "cli/options/tune_options.h"

#include <CLI/CLI.hpp>

#include "cli/options/number_checks.h"

namespace facet::cli {
namespace {

void AddModelOptions(CLI::App& command, TuneFlags& flags) {
  command.add_option("model", flags.model, "Model: a name, a checkpoint folder or a GGUF");
  command.add_option("--data,-d", flags.data,
                     "JSON lines to learn from; FILE:2 counts twice, FILE:0.3 a changing part");
  command.add_option("--validation", flags.validation,
                     "File to measure the loss on, or a share of the data such as 0.1");
  command.add_option("--out,-o", flags.out, "Folder to write")->capture_default_str();
  command.add_option("--from", flags.from,
                     "Adapter, tuned model or drafter to begin with, with a new optimiser");
  command.add_option("--init", flags.init,
                     "config.json of a new model with random weights; needs --tokenizer, --full");
  command.add_option("--tokenizer", flags.tokenizer,
                     "tokenizer.json of the new model; its chat template lies beside it");
  command.add_flag("--plain", flags.plain,
                   "Prompts and completions are plain text, without a chat template");
  AddMediaOptions(command, flags.media);
  command
      .add_option("--max-length", flags.max_length,
                  "Longest example in tokens; 0 = the model's context")
      ->check(CLI::Range(0, 1 << 24));
}

void AddMethodOptions(CLI::App& command, TuneFlags& flags) {
  const char* group = "What is trained";
  CLI::Option* full =
      command.add_flag("--full", flags.full, "All weights, instead of an adapter")->group(group);
  const auto adapter = [&](CLI::Option* option) { return option->excludes(full)->group(group); };
  adapter(command.add_option("--rank,-r", flags.lora.rank, "Rank of the adapter"))
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  adapter(command.add_option("--alpha", flags.lora.alpha, "Scale of the adapter is alpha / rank"))
      ->check(AboveZero())
      ->capture_default_str();
  adapter(command.add_option("--dropout", flags.lora.dropout, "Share of its inputs left out"))
      ->check(CLI::Range(0.0, 0.99))
      ->capture_default_str();
  adapter(command.add_option("--targets", flags.lora.targets,
                             "Projections with an adapter, by name or pattern; all seven if none"))
      ->delimiter(',');
  adapter(command.add_flag("--rslora", flags.lora.rank_stabilised, "Scale alpha / sqrt(rank)"));
  adapter(command.add_flag("--train-vision", flags.train_vision, "Also the picture embedder"));
  adapter(command.add_flag("--train-audio", flags.train_audio, "Also the sound projection"));
  command.add_flag("--bf16", flags.bf16, "Products in bfloat16: faster where the processor can")
      ->group(group);
}

void AddScheduleOptions(CLI::App& command, TuneFlags& flags) {
  const char* group = "How long and how fast";
  const auto add = [&](const char* names, auto& value, const char* help) {
    return command.add_option(names, value, help)->group(group);
  };
  add("--lr", flags.learning_rate,
      "Highest learning rate [by the model's width: 2e-4 for the 12B; with --full 2e-5; new models "
      "and drafters 1e-3]")
      ->check(AboveZero());
  add("--epochs", flags.epochs,
      "How often all examples are seen [3; for an adapter on few examples as often as makes 200 "
      "steps, 40 at most]")
      ->check(AboveZero());
  add("--steps", flags.steps, "Steps of the optimiser, in place of epochs")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 40));
  add("--batch-tokens", flags.batch_tokens,
      "Tokens computed together [2048, for an adapter on few examples an eighth of them; at least "
      "the longest example]")
      ->check(CLI::Range(1, 1 << 24));
  add("--accumulate", flags.accumulate, "Batches in a step")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  add("--schedule", flags.schedule, "constant, linear or cosine")
      ->check(CLI::IsMember({"constant", "linear", "cosine"}))
      ->capture_default_str();
  add("--warmup", flags.warmup, "Steps of warm-up, or their share of the run")
      ->check(NotNegative())
      ->capture_default_str();
  add("--optimizer", flags.optimizer,
      "adamw, or with --full muon: for the matrices of the layers, AdamW for the rest")
      ->check(CLI::IsMember({"adamw", "muon"}));
  add("--weight-decay", flags.weight_decay, "Of the optimiser")
      ->check(NotNegative())
      ->capture_default_str();
  add("--clip", flags.clip, "Largest norm of a gradient; 0 = any")
      ->check(NotNegative())
      ->capture_default_str();
  add("--seed", flags.seed, "Order, dropout, the start of an adapter or a new model")
      ->capture_default_str();
}

void AddRunOptions(CLI::App& command, TuneFlags& flags) {
  const char* group = "Running";
  const auto add = [&](const char* names, auto& value, const char* help) {
    return command.add_option(names, value, help)->group(group);
  };
  const auto steps = CLI::Range(int64_t{0}, int64_t{1} << 40);
  add("--eval-every", flags.eval_every, "Steps between validations; 0 = after each epoch")
      ->check(steps);
  add("--save-every", flags.save_every,
      "Steps between checkpoints; 0 = every 500, and after epochs of 50 and more")
      ->check(steps);
  add("--log-every", flags.log_every, "Steps between lines of the log")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40))
      ->capture_default_str();
  add("--keep", flags.keep, "Checkpoints that are kept, besides the best")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  add("--keep-activations", flags.keep_activations,
      "Megabytes of activations that are kept rather than computed again")
      ->check(CLI::Range(0, 1 << 24))
      ->capture_default_str();
  add("--threads,-t", flags.threads, "Threads; 0 = all cores")->check(CLI::Range(0, 1024));
  command.add_flag("--quiet,-q", flags.quiet, "Say nothing but errors")->group(group);
  command
      .add_flag("--dry-run", flags.dry_run,
                "Only say what would be trained, on how many tokens, in how much memory")
      ->group(group);
  command
      .add_option("--show-mask", flags.show_mask,
                  "Only print an example of FILE (or FILE:LINE) with what is learnt of it marked")
      ->group(group);
}

}  // namespace

void AddTuneOptions(CLI::App& command, TuneFlags& flags) {
  AddModelOptions(command, flags);
  AddMethodOptions(command, flags);
  AddDrafterOptions(command, flags.drafter);
  AddScheduleOptions(command, flags);
  AddRunOptions(command, flags);
}

}  // namespace facet::cli
