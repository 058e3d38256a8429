#include "tune/output.h"

#include <cstdio>

#include "base/mapped_file.h"

namespace facet::tune {
namespace {

namespace fs = std::filesystem;

constexpr const char* kModelFiles[] = {
    "config.json",         "generation_config.json", "tokenizer.json",
    "tokenizer.model",     "tokenizer_config.json",  "special_tokens_map.json",
    "added_tokens.json",   "processor_config.json",  "preprocessor_config.json",
    "chat_template.jinja", "chat_template.json"};

std::string Short(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.4g", value);
  return text;
}

}  // namespace

Result<void> CopyModelFiles(const fs::path& model, const fs::path& out) {
  std::error_code code;
  if (!fs::is_directory(model, code)) {
    return Error{Cat(model.string(), ": full tuning needs a checkpoint folder with safetensors; ",
                     "a GGUF can be tuned with an adapter"),
                 ErrorKind::kUnsupported};
  }
  if (fs::equivalent(model, out, code)) return Ok();
  for (const char* name : kModelFiles) {
    if (!fs::exists(model / name, code)) continue;
    FACET_ASSIGN(const std::string text, ReadFile(model / name));
    FACET_TRY(WriteFile(out / name, text));
  }
  return Ok();
}

Result<void> WriteModelCard(const ModelCard& card) {
  const RunOptions& run = card.run;
  const char* curves[] = {"constant", "linear", "cosine"};
  std::string text = "---\n";
  // A hub takes base_model for the name of a repository; a path is none of its business.
  if (!fs::path(card.base).is_absolute()) text += Cat("base_model: ", card.base, "\n");
  if (!card.full) text += "library_name: peft\n";
  text += Cat("tags:\n- facet\n- ", card.full ? "full-tuning" : "lora", "\n---\n\n# ",
              run.out.filename().string(), "\n\n");
  text += card.full ? Cat("All weights of `", card.base, "`, tuned with `facet tune`.\n\n")
                    : Cat("A LoRA adapter for `", card.base, "`, trained with `facet tune`.\n\n");
  text += "| | |\n|---|---|\n";
  const auto line = [&](const char* name, const std::string& value) {
    text += Cat("| ", name, " | ", value, " |\n");
  };
  line("examples", Cat(card.examples, " (", card.tokens, " tokens, ", card.labelled, " learnt)"));
  line("steps", Cat(card.outcome.step, " of at most ", run.plan.batch_tokens, " x ",
                    run.plan.accumulate, " tokens"));
  line("learning rate", Cat(Short(run.learning_rate), ", ", curves[static_cast<int>(run.curve)],
                            ", warm-up ", Short(run.warmup)));
  if (!card.full) {
    line("rank, alpha, dropout",
         Cat(card.lora.rank, ", ", Short(card.lora.alpha), ", ", Short(card.lora.dropout),
             card.lora.rank_stabilised ? ", rank-stabilised" : ""));
  }
  line("seed", Cat(run.plan.seed));
  if (card.outcome.loss) line("training loss at the end", Short(*card.outcome.loss));
  if (card.outcome.best_loss) {
    line("validation loss", Cat(Short(*card.outcome.best_loss), " (after step ",
                                card.outcome.best_step, ", whose weights these are)"));
  }
  text += "\n![loss](loss.png)\n\n```\n";
  text += card.full ? Cat("facet run ", run.out.string(), "\n")
                    : Cat("facet run ", card.base, " --adapter ", run.out.string(), "\n");
  return WriteFile(run.out / "README.md", text + "```\n");
}

}  // namespace facet::tune
