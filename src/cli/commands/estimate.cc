// `facet estimate`: whether it fits, before anything is loaded.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/space.h"
#include "cli/commands.h"
#include "cli/commands/verify_known.h"
#include "cli/options/cache_type.h"
#include "cli/terminal/report.h"
#include "cli/terminal/resolve.h"
#include "cli/terminal/streams.h"
#include "hub/short_names.h"
#include "model/estimate.h"
#include "model/model.h"
#include "runtime/resolve.h"
#include "tune/run/estimate.h"

namespace facet::cli {
namespace {

struct EstimateFlags {
  std::string model, drafter, cache = "f16";
  int64_t context = 4096;
  bool as_json = false;
  bool tune = false, full = false;
  int rank = 16, batch_tokens = 2048;
};

void PrintLine(const std::string& name, size_t bytes) {
  Print("%-28s %12s\n", name.c_str(), HumanBytes(static_cast<int64_t>(bytes)).c_str());
}

void PrintMachine(size_t total) {
  const int64_t machine = MemoryBytes();
  if (machine <= 0) return;
  Print("%-28s %12s: %s\n", "this machine", HumanBytes(machine).c_str(),
        static_cast<size_t>(machine) >= total ? "it fits" : "it does not fit");
}

Result<void> EstimateTune(const EstimateFlags& flags, const Checkpoint& checkpoint) {
  const tune::TuneShape shape{.full = flags.full,
                              .trained = tune::AdapterParameters(checkpoint, flags.rank),
                              .batch_tokens = flags.batch_tokens};
  const tune::CheckpointSize size = tune::MeasureCheckpoint(checkpoint);
  const tune::TuneMemory memory = tune::EstimateTuning(checkpoint.config.text, size, shape);
  const int64_t trained = flags.full ? size.parameters : shape.trained;
  if (flags.as_json) {
    const nlohmann::json out = {{"weights", memory.weights},
                                {"trained", memory.trained},
                                {"workspace", memory.workspace},
                                {"program", memory.program},
                                {"total", memory.total()},
                                {"parameters", trained},
                                {"batch_tokens", flags.batch_tokens},
                                {"machine", MemoryBytes()}};
    Print("%s\n", out.dump(2).c_str());
    return Ok();
  }
  PrintLine(flags.full ? "weights, as they are read" : "frozen weights", memory.weights);
  PrintLine(Cat(trained, " parameters, trained"), memory.trained);
  PrintLine(Cat("workspace, ", flags.batch_tokens, " tokens"), memory.workspace);
  PrintLine("program and vocabulary", memory.program);
  PrintLine("total", memory.total());
  PrintMachine(memory.total());
  return Ok();
}

// Of a short name that has not been imported: its download and the cache, which are nearly all.
Result<void> EstimateDownload(const EstimateFlags& flags, const ShortName& name) {
  const KnownModel* known = KnownModelBehind(name.name);
  if (known == nullptr || flags.tune || !flags.drafter.empty())
    return Error{Cat(name.name, " is not imported yet: facet import ", name.name),
                 ErrorKind::kNotFound};
  const CacheLayout layout =
      CacheLayout::Create(LayersOf(*known), CacheTypeOf(flags.cache), LoadOptions().compact_cache);
  const size_t cache = layout.PeakBytes(flags.context), weights = static_cast<size_t>(name.bytes);
  if (flags.as_json) {
    const nlohmann::json out = {{"weights", weights},       {"cache", cache},
                                {"total", weights + cache}, {"context", flags.context},
                                {"machine", MemoryBytes()}, {"imported", false}};
    std::printf("%s\n", out.dump(2).c_str());
    return Ok();
  }
  PrintLine("weights, as downloaded", weights);
  PrintLine(Cat("cache, ", flags.context, " tokens, ", flags.cache), cache);
  PrintLine("total, about", weights + cache);
  PrintMachine(weights + cache);
  std::printf("not imported yet: facet import %s\n", std::string(name.name).c_str());
  return Ok();
}

Result<void> Estimate(const EstimateFlags& flags) {
  const ShortName* name = FindShortName(flags.model);
  const auto found = facet::ResolveModel(flags.model);
  if (!found.ok() && found.error().kind == ErrorKind::kNotFound && name != nullptr)
    return EstimateDownload(flags, *name);
  FACET_TRY(found);
  ModelFiles files = *found;
  if (!flags.drafter.empty()) {
    FACET_ASSIGN(const ModelFiles drafter, ResolveModel(flags.drafter));
    files.drafter = drafter.model;
  }
  FACET_ASSIGN(const Checkpoint checkpoint, LoadCheckpoint(files.model, files.mmproj));
  if (flags.tune) return EstimateTune(flags, checkpoint);
  EstimateOptions estimate;
  estimate.context = flags.context;
  estimate.cache = CacheTypeOf(flags.cache);
  if (flags.context > checkpoint.config.text.context) {
    return Expected(Cat("at most ", checkpoint.config.text.context, " tokens"), flags.context,
                    "--ctx");
  }
  MemoryEstimate memory = EstimateMemory(checkpoint, estimate);
  size_t drafter_bytes = 0;
  if (files.drafter) {
    FACET_ASSIGN(const DrafterEstimate drafter, EstimateDrafter(*files.drafter, 1));
    drafter_bytes = drafter.total();
  }
  const int64_t machine = MemoryBytes();
  const size_t total = memory.total() + drafter_bytes;
  if (flags.as_json) {
    const nlohmann::json out = {{"weights", memory.weights}, {"drafter", drafter_bytes},
                                {"cache", memory.cache},     {"workspace", memory.workspace},
                                {"program", memory.program}, {"total", total},
                                {"context", flags.context},  {"machine", machine}};
    Print("%s\n", out.dump(2).c_str());
    return Ok();
  }
  PrintLine("weights", memory.weights);
  if (drafter_bytes > 0) PrintLine("drafter", drafter_bytes);
  PrintLine(Cat("cache, ", flags.context, " tokens, ", flags.cache), memory.cache);
  PrintLine("workspace", memory.workspace);
  PrintLine("program and vocabulary", memory.program);
  PrintLine("total", total);
  PrintMachine(total);
  return Ok();
}

}  // namespace

void AddEstimate(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<EstimateFlags>();
  CLI::App* command =
      app.add_subcommand("estimate", "Say what a model takes in memory, without loading it");
  command->add_option("model", flags->model, "A name, a checkpoint folder or a GGUF")->required();
  command->add_option("--ctx,--ctx-size,-c", flags->context, "Length of the conversation in tokens")
      ->check(CLI::Range(1, 1 << 24))
      ->capture_default_str();
  AddCacheType(*command, "--cache-type", flags->cache);
  CLI::Option* drafter = command->add_option(
      "--drafter", flags->drafter, "Drafter: a folder or a GGUF; else the one beside the model");
  command->add_flag("--json", flags->as_json, "As JSON, in bytes");
  CLI::Option* tune =
      command->add_flag("--tune", flags->tune, "Tuning instead of answering: an adapter")
          ->excludes(drafter);
  command->add_flag("--full", flags->full, "Tuning of all weights")->needs(tune);
  command->add_option("--rank", flags->rank, "Rank of the adapter")
      ->check(CLI::Range(1, 65536))
      ->needs(tune)
      ->capture_default_str();
  command->add_option("--batch-tokens", flags->batch_tokens, "Tokens that are trained together")
      ->check(CLI::Range(1, 1 << 24))
      ->needs(tune)
      ->capture_default_str();
  command->footer(
      "Examples:\n  facet estimate gemma4-12b --ctx 32768 --cache-type q8_0\n"
      "  facet estimate gemma4-12b --tune --rank 16");
  command->callback([flags, &exit_code] { exit_code = Report(Estimate(*flags)); });
}

}  // namespace facet::cli
