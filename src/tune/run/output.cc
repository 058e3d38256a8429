#include "tune/run/output.h"

#include <cstdio>

#include "base/atomic_file.h"

namespace facet::tune {
namespace {

namespace fs = std::filesystem;

std::string Short(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.4g", value);
  return text;
}

}  // namespace

std::string TryCommand(const ModelCard& card) {
  const std::string out = card.run.out.string();
  if (card.drafter) return Cat("facet run ", card.base, " --drafter ", out);
  return card.full ? Cat("facet run ", out) : Cat("facet run ", card.base, " --adapter ", out);
}

Result<void> WriteModelCard(const ModelCard& card) {
  const TuneOptions& run = card.run;
  const char* curves[] = {"constant", "linear", "cosine"};
  std::string text = "---\n";
  // A hub takes base_model for the name of a repository; a path is none of its business.
  if (!fs::path(card.base).is_absolute()) text += Cat("base_model: ", card.base, "\n");
  const bool lora = !card.full && !card.drafter;
  if (lora) text += "library_name: peft\n";
  text += Cat("tags:\n- facet\n- ",
              card.drafter ? "drafter"
              : card.full  ? "full-tuning"
                           : "lora",
              "\n---\n\n# ", run.out.filename().string(), "\n\n");
  text += card.drafter ? Cat("A drafter for `", card.base, "`, trained with `facet tune`.\n\n")
          : card.full  ? Cat("All weights of `", card.base, "`, tuned with `facet tune`.\n\n")
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
  if (card.drafter) {
    line(Cat("accepted of ", card.drafts, " drafts a step").c_str(),
         Cat(Short(100 * card.drafter->acceptance()), " %"));
    line("tokens a step", Short(card.drafter->tokens_per_step()));
  }
  if (lora) {
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
  text += "\n![loss](loss.svg)\n\n```\n";
  text += TryCommand(card) + "\n";
  return WriteFile(run.out / "README.md", text + "```\n");
}

}  // namespace facet::tune
