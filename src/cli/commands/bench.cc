// `facet bench`: how fast a model runs here, beside what this machine can do at all.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/os/os.h"
#include "base/space.h"
#include "cli/commands.h"
#include "cli/commands/bench_measure.h"
#include "cli/options/cache_type.h"
#include "cli/options/draft_options.h"
#include "cli/terminal/report.h"
#include "cli/terminal/resolve.h"
#include "cli/terminal/streams.h"
#include "model/drafter.h"
#include "model/model.h"
#include "ops/cpu.h"
#include "text/tokenizer.h"

namespace facet::cli {
namespace {

using nlohmann::json;
struct BenchReport {
  std::string model;
  int threads = 0;
  double ready = 0;  // seconds from the start of loading until the first step can run
  bool packed_before = false;
  int64_t weights = 0, peak = 0;
  std::vector<Measurement> tests;
};

json ReportAsJson(const BenchReport& report) {
  json out = {{"model", report.model},
              {"cpu", IsaName(ActiveIsa())},
              {"threads", report.threads},
              {"ready_seconds", report.ready},
              {"packed_before", report.packed_before},
              {"weight_bytes", report.weights},
              {"peak_resident_bytes", report.peak},
              {"tests", json::array()}};
  for (const Measurement& test : report.tests) {
    json entry = {{"name", test.name},
                  {"count", test.count},
                  {"seconds", test.Seconds()},
                  {"per_second", test.count / test.Seconds()},
                  {"samples", json::array()}};
    if (test.ShareOfBandwidth() > 0) entry["of_bandwidth"] = test.ShareOfBandwidth();
    if (test.ShareOfInt8Peak() > 0) entry["of_int8_peak"] = test.ShareOfInt8Peak();
    for (const BenchSample& s : test.samples) {
      entry["samples"].push_back(
          {{"seconds", s.seconds}, {"bandwidth", s.bandwidth}, {"int8_peak", s.int8_peak}});
    }
    out["tests"].push_back(std::move(entry));
  }
  return out;
}

std::string SharePercent(double share) {
  if (share == 0) return "";
  char text[16];
  std::snprintf(text, sizeof(text), "%.0f%%", 100 * share);
  return text;
}

void PrintReport(const BenchReport& report) {
  Print("%s\n",
        Cat(report.model, ", ", IsaName(ActiveIsa()), ", ", report.threads, " threads").c_str());
  Print("ready after %.2f s (%s), weights %s, peak memory %s\n\n", report.ready,
        report.packed_before ? "packed weights mapped" : "packed at this start",
        HumanBytes(report.weights).c_str(), HumanBytes(report.peak).c_str());
  Print("%-22s %12s %10s %14s %14s\n", "", "", "ms", "of bandwidth", "of int8 peak");
  for (const Measurement& test : report.tests) {
    char rate[32];
    std::snprintf(rate, sizeof(rate), "%.4g %s", test.count / test.Seconds(), test.unit.c_str());
    Print("%-22s %12s %10.1f %14s %14s\n", test.name.c_str(), rate, test.Seconds() * 1e3,
          SharePercent(test.ShareOfBandwidth()).c_str(),
          SharePercent(test.ShareOfInt8Peak()).c_str());
  }
}

Result<void> RunBench(const BenchOptions& options) {
  FACET_ASSIGN(ModelSpec spec, ResolveSpec(options.model));
  if (spec.script) return Error{"a script has no speed of its own", ErrorKind::kUnsupported};
  DraftOptions unused;
  FACET_TRY(ApplyDraftFlags({"auto", options.drafter}, spec, unused));
  BenchReport report;
  ThreadPool pool(options.threads);
  LoadOptions load;
  load.model = spec.files.model;
  load.mmproj = spec.files.mmproj;
  load.cache = CacheTypeOf(options.cache);
  const auto start = Clock::now();
  FACET_ASSIGN(const auto tokenizer, Tokenizer::Load(load.model));
  FACET_ASSIGN(const std::unique_ptr<Model> model, Model::Load(load, pool));
  report.ready = SecondsSince(start);
  if (options.context + std::max(options.gen, 16) + 1 > model->config().text.context) {
    return Expected(Cat("at most the model's context of ", model->config().text.context),
                    options.context, "--ctx");
  }
  report.model = spec.id;
  report.threads = pool.threads();
  report.packed_before = model->packed()->mapped();
  report.weights = static_cast<int64_t>(model->packed()->bytes());
  if (options.wait_for_packed) model->packed()->WaitForFile();
  std::unique_ptr<Drafter> drafter;
  if (options.draft || !options.drafter.empty()) {
    if (!spec.files.drafter) return Error{Cat(spec.id, ": there is no drafter beside it")};
    FACET_ASSIGN(drafter, Drafter::Load(*spec.files.drafter, *model));
  }
  FACET_ASSIGN(report.tests, RunBenchmarks(*model, drafter.get(), options));
  report.peak = PeakMemoryBytes();
  if (options.as_json) {
    Print("%s\n", ReportAsJson(report).dump(2).c_str());
  } else {
    PrintReport(report);
  }
  return Ok();
}

void AddBenchOptions(CLI::App& command, BenchOptions& options) {
  command.add_option("model", options.model, "A name, a checkpoint folder or a GGUF")->required();
  const auto count = [&](const char* name, int& value, int most, const char* help) {
    command.add_option(name, value, help)->check(CLI::Range(0, most))->capture_default_str();
  };
  count("--prompt", options.prompt, 1 << 20, "Tokens of a prompt to read; 0 = none");
  count("--gen", options.gen, 1 << 20, "Tokens to generate, one at a time; 0 = none");
  count("--ctx", options.context, 1 << 24, "Tokens before those that are generated");
  command
      .add_option("--fill", options.fill,
                  "How --ctx tokens come into the cache: computed, or synthetic, which writes "
                  "random keys and values")
      ->check(CLI::IsMember({"computed", "synthetic"}))
      ->capture_default_str();
  command.add_option("--rows", options.rows, "Also steps of so many rows, e.g. 1,4,8")
      ->delimiter(',')
      ->check(CLI::Range(1, 4096));
  command.add_flag("--draft", options.draft, "Also drafts, by the drafter beside the model");
  command.add_option("--drafter", options.drafter, "Also drafts, by this drafter");
  count("--image", options.image, 1120, "Also embed a picture of so many soft tokens");
  count("--film", options.film, 1 << 16, "Also embed a film of so many frames of 70 soft tokens");
  command.add_option("--audio", options.audio, "Also embed so many seconds of sound")
      ->check(CLI::Range(0.0, 86400.0));
  AddCacheType(command, "--cache-type", options.cache);
  count("--threads", options.threads, 1024, "Threads; 0 = all cores");
  command.add_option("--repeat", options.repeat, "Repetitions; medians are shown")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command.add_flag("--wait-for-packed", options.wait_for_packed,
                   "Begin after the packed weights of a first start are on disk");
  command.add_flag("--no-limits", options.no_limits,
                   "Do not measure the machine's limits, which takes 256 MB of memory");
  command.add_flag("--json", options.as_json, "As JSON, with every repetition");
  command.footer(
      "Limits of the machine (reading memory, 8-bit multiply-adds) are measured before every "
      "repetition.\nExamples:\n"
      "  facet bench gemma3-270m --prompt 2048 --gen 128\n"
      "  facet bench gemma4-12b --prompt 0 --gen 16 --ctx 262000 --fill synthetic --cache-type "
      "q8_0");
}

}  // namespace

void AddBench(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* command = app.add_subcommand(
      "bench", "Measure how fast a model runs, beside what this machine can do at all");
  AddBenchOptions(*command, *options);
  command->callback([options, &exit_code] { exit_code = Report(RunBench(*options)); });
}

}  // namespace facet::cli
