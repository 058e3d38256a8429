// `facet estimate`: whether it fits, before anything is loaded.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/report.h"
#include "cli/resolve.h"
#include "formats/space.h"
#include "model/estimate.h"

namespace facet::cli {
namespace {

struct Options {
  std::string model, cache = "f16";
  int64_t context = 4096;
  bool as_json = false;
};

Result<void> Estimate(const Options& options) {
  FACET_ASSIGN(const ModelFiles files, ResolveModel(options.model));
  FACET_ASSIGN(const Checkpoint checkpoint, LoadCheckpoint(files.model, files.mmproj));
  EstimateOptions estimate;
  estimate.context = options.context;
  estimate.cache = options.cache == "q8_0"  ? CacheType::kQ8_0
                   : options.cache == "f32" ? CacheType::kF32
                                            : CacheType::kF16;
  if (options.context > checkpoint.config.text.context) {
    return Expected(Cat("at most ", checkpoint.config.text.context, " tokens"), options.context,
                    "--ctx");
  }
  MemoryEstimate memory = EstimateMemory(checkpoint, estimate);
  size_t drafter_bytes = 0;
  if (files.drafter) {
    FACET_ASSIGN(const Checkpoint drafter, LoadCheckpoint(*files.drafter, std::nullopt));
    drafter_bytes = EstimateMemory(drafter, {.context = 1}).weights;
  }
  const int64_t machine = MemoryBytes();
  const size_t total = memory.total() + drafter_bytes;
  if (options.as_json) {
    const nlohmann::json out = {{"weights", memory.weights},  {"drafter", drafter_bytes},
                                {"cache", memory.cache},      {"workspace", memory.workspace},
                                {"program", memory.program},  {"total", total},
                                {"context", options.context}, {"machine", machine}};
    std::printf("%s\n", out.dump(2).c_str());
    return Ok();
  }
  const auto line = [](const char* name, size_t bytes) {
    std::printf("%-28s %12s\n", name, HumanBytes(static_cast<int64_t>(bytes)).c_str());
  };
  line("weights", memory.weights);
  if (drafter_bytes > 0) line("drafter", drafter_bytes);
  line(Cat("cache, ", options.context, " tokens, ", options.cache).c_str(), memory.cache);
  line("workspace", memory.workspace);
  line("program and vocabulary", memory.program);
  line("total", total);
  if (machine > 0) {
    std::printf("%-28s %12s: %s\n", "this machine", HumanBytes(machine).c_str(),
                static_cast<size_t>(machine) >= total ? "it fits" : "it does not fit");
  }
  return Ok();
}

}  // namespace

void AddEstimate(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("estimate", "Say what a model takes in memory, without loading it");
  command->add_option("model", options->model, "A name, a checkpoint folder or a GGUF")->required();
  command
      ->add_option("--ctx,--ctx-size,-c", options->context, "Length of the conversation in tokens")
      ->check(CLI::Range(1, 1 << 24))
      ->capture_default_str();
  command->add_option("--cache-type", options->cache, "Keys and values: f32, f16 or q8_0")
      ->check(CLI::IsMember({"f32", "f16", "q8_0"}))
      ->capture_default_str();
  command->add_flag("--json", options->as_json, "As JSON, in bytes");
  command->footer("Example:\n  facet estimate gemma4-12b --ctx 32768 --cache-type q8_0");
  command->callback([options, &exit_code] { exit_code = Report(Estimate(*options)); });
}

}  // namespace facet::cli
