// `facet synth`: a model with random weights in a given shape, for benchmarks.
#include "model/synth.h"
#include "cli/terminal/streams.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "base/clock.h"
#include "cli/commands.h"
#include "cli/options/dtype_names.h"
#include "cli/terminal/progress.h"
#include "cli/terminal/report.h"

namespace facet::cli {
namespace {

struct SynthFlags {
  SynthOptions options;
  std::string type = "q4_0";
};

Result<void> RunSynth(SynthFlags flags) {
  FACET_ASSIGN(flags.options.type, ParseDType(flags.type, "--type"));
  StatusLine line;
  uint64_t shown = 0, all = 0;
  flags.options.progress = [&](uint64_t done, uint64_t total) {
    all = total;
    if (line.terminal() && (done == total || done - shown >= total / 100)) {
      shown = done;
      char text[48];
      std::snprintf(text, sizeof(text), "%3d %% of %.2f GB", static_cast<int>(100 * done / total),
                    total * 1e-9);
      line.Draw(text);
    }
    return true;
  };
  const auto start = Clock::now();
  const auto written = WriteSynthModel(flags.options);
  line.Clear();
  FACET_TRY(written);
  const double seconds = SecondsSince(start);
  Print("%s: %.2f GB of random weights in %.1f s\n", flags.options.output.c_str(), all * 1e-9,
        seconds);
  return Ok();
}

}  // namespace

void AddSynth(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<SynthFlags>();
  CLI::App* command =
      app.add_subcommand("synth", "Write a GGUF with random weights, for benchmarks");
  std::string shapes;
  for (const SynthShape& shape : SynthShapes()) {
    shapes += Cat("\n  ", shape.name,
                  std::string(14 - std::min<size_t>(13, shape.name.size()), ' '), shape.help);
  }
  command->footer(
      Cat("Shapes:", shapes, "\n\nExample: facet synth --shape 12b --type q4_0 random-12b.gguf"));
  command->add_option("--shape", flags->options.shape, "Which model's shape (below)")->required();
  command
      ->add_option("--type", flags->type, "Type of the matrices: q4_0, q8_0, q4_k, f16, bf16, f32")
      ->capture_default_str();
  command->add_option("--vocab", flags->options.vocabulary,
                      "GGUF whose vocabulary is used; else a made-up one");
  command->add_option("--seed", flags->options.seed, "Another seed gives other weights")
      ->capture_default_str();
  command->add_option("OUT", flags->options.output, "File to write")->required();
  command->callback([flags, &exit_code] { exit_code = Report(RunSynth(*flags)); });
}

}  // namespace facet::cli
