#include "cli/commands/tune_summary.h"
#include "cli/terminal/streams.h"

#include <algorithm>
#include <cstdio>

#include "base/space.h"
#include "cli/commands/tune_setup.h"
#include "tune/data/order.h"

namespace facet::cli {
namespace {

std::string Percent(int64_t part, int64_t whole) {
  char text[32];
  std::snprintf(
      text, sizeof(text), "%.3g %%",
      100.0 * static_cast<double>(part) / static_cast<double>(std::max<int64_t>(whole, 1)));
  return text;
}

std::string DataLine(const tune::DataSet& data, const std::vector<uint32_t>& examples) {
  int64_t tokens = 0, labelled = 0, longest = 0;
  for (const uint32_t index : examples) {
    const auto& entry = data.entries()[index];
    tokens += entry.tokens;
    labelled += entry.labelled;
    longest = std::max<int64_t>(longest, entry.tokens);
  }
  return Cat(GroupedDigits(static_cast<int64_t>(examples.size())), " examples, ",
             GroupedDigits(tokens), " tokens, ", GroupedDigits(labelled), " learnt (",
             Percent(labelled, tokens), "), longest ", GroupedDigits(longest));
}

// The words for what this run trains.
const char* ResultName(const TuneFlags& flags, const char* drafter, const char* full,
                       const char* adapter) {
  return flags.drafter.on ? drafter : flags.full ? full : adapter;
}

}  // namespace

std::string GroupedDigits(int64_t number) {
  std::string text = std::to_string(number);
  for (int64_t at = static_cast<int64_t>(text.size()) - 3; at > 0; at -= 3)
    text.insert(static_cast<size_t>(at), ",");
  return text;
}

std::string DescribeRun(const TuneFlags& flags, const tune::Session& session,
                        const tune::TuneOptions& run, int64_t trained,
                        const tune::TuneMemory& memory) {
  std::string text;
  const auto line = [&](const char* name, const std::string& value) {
    char padded[16];
    std::snprintf(padded, sizeof(padded), "%-12s", name);
    text += padded + value + "\n";
  };
  line("model",
       Cat(session.files.name, ", ", GroupedDigits(session.size.parameters), " parameters"));
  const char* what = ResultName(flags, "a drafter", "all weights", "an adapter");
  line("trained", Cat(GroupedDigits(trained), " (", Percent(trained, session.size.parameters),
                      "), ", what, flags.bf16 ? ", bf16" : ""));
  if (flags.drafter.on && !flags.drafter.given_text && flags.dry_run)
    line("own text",
         "the model answers the prompts first; the figures below are of the data's own");
  line("data", DataLine(*session.train, session.split.train));
  if (!session.split.validation.empty()) {
    line("validation", DataLine(session.validation_data(), session.split.validation));
  }
  const tune::Plan plan(*session.train, session.split.train, run.plan);
  line("run", Cat(GroupedDigits(plan.steps()), " steps of at most ", run.plan.batch_tokens, " x ",
                  run.plan.accumulate, " tokens, ", GroupedDigits(plan.epochs()),
                  plan.epochs() == 1 ? " epoch" : " epochs", ", learning rate ", run.learning_rate,
                  ", ", flags.schedule));
  const int64_t machine = MemoryBytes();
  line("memory", Cat("about ", HumanBytes(static_cast<int64_t>(memory.total())),
                     machine > 0 ? Cat(" of ", HumanBytes(machine)) : ""));
  if (const std::string warning = WarningOfRun(flags, session, run, plan.steps()); !warning.empty())
    line("warning", warning);
  return text;
}

void ReportResults(const TuneFlags& flags, const tune::Session& session,
                   const tune::ModelCard& card) {
  const tune::RunOutcome& outcome = card.outcome;
  if (outcome.best_loss) {
    PrintError("lowest validation loss %.4f after step %ld: these weights are in %s\n",
               *outcome.best_loss, outcome.best_step, flags.out.c_str());
  }
  if (card.drafter) {
    const bool held_back = !session.split.validation.empty();
    PrintError("%s: %.0f %% of %d drafts a step are accepted, %.2f tokens a step\n",
               held_back ? "on what was held back" : "on its own text",
               100 * card.drafter->acceptance(), flags.drafter.drafts,
               card.drafter->tokens_per_step());
  }
  const char* what = ResultName(flags, "the drafter", "the tuned model", "the adapter");
  PrintError("%s: %s; the loss is drawn in %s/loss.svg\n", flags.out.c_str(), what,
             flags.out.c_str());
  PrintError("try it: %s\n", tune::TryCommand(card).c_str());
}

}  // namespace facet::cli
