// `facet bench`: how fast a model runs here, beside what this machine can do at all.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <random>

#include "base/os/os.h"
#include "base/space.h"
#include "cli/commands.h"
#include "cli/options/cache_type.h"
#include "cli/options/draft_options.h"
#include "cli/resolve.h"
#include "cli/terminal/report.h"
#include "engine/sampler.h"
#include "media/media.h"
#include "model/drafter.h"
#include "model/model.h"
#include "ops/cpu.h"
#include "ops/roofline.h"
#include "text/tokenizer.h"

namespace facet::cli {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

struct Options {
  std::string model, drafter, cache = "f16", fill = "computed";
  int prompt = 512, gen = 64, context = 0, threads = 0, repeat = 3;
  std::vector<int> rows;
  int image = 0, film = 0;
  double audio = 0;  // seconds
  bool draft = false, as_json = false, wait_for_packed = false, no_limits = false;
};

double Since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

// What one repetition took, and the machine's limits measured right before it.
struct Sample {
  double seconds = 0, bandwidth = 0, int8_peak = 0;
};

// One line of the report: `count` units of work in each sample.
struct Test {
  std::string name, unit;
  double count = 0;
  double bytes = 0;       // that have to be read, where memory is the limit
  double operations = 0;  // 8-bit ones, where arithmetic is
  std::vector<Sample> samples;

  double Seconds() const {
    return Of([](const Sample& s) { return s.seconds; });
  }
  double Bandwidth() const {
    return bytes == 0
               ? 0
               : Of([this](const Sample& s) { return Share(bytes / s.seconds, s.bandwidth); });
  }
  double Int8() const {
    return operations == 0
               ? 0
               : Of([this](const Sample& s) { return Share(operations / s.seconds, s.int8_peak); });
  }

 private:
  // 0 where the limit was not measured.
  static double Share(double rate, double limit) { return limit == 0 ? 0 : rate / limit; }
  template <typename F>
  double Of(F f) const {
    std::vector<double> values;
    for (const Sample& s : samples) values.push_back(f(s));
    return Median(values);
  }
};

class Bench {
 public:
  // `drafter` may be null.
  Bench(Model& model, Drafter* drafter, const Options& options)
      : model_(model), drafter_(drafter), options_(options) {}

  Result<std::vector<Test>> Run() {
    if (options_.prompt > 0) FACET_TRY(Prompt());
    if (options_.gen > 0) FACET_TRY(Generate());
    for (const int rows : options_.rows) FACET_TRY(Rows(rows));
    if (drafter_ != nullptr) FACET_TRY(Draft());
    if (options_.image > 0) FACET_TRY(Patches("image", options_.image, 1));
    if (options_.film > 0) FACET_TRY(Patches("film", 70, options_.film));
    if (options_.audio > 0) FACET_TRY(Audio());
    return std::move(tests_);
  }

 private:
  const TextConfig& text() const { return model_.config().text; }

  // Any tokens do: the time does not depend on them.
  std::vector<TokenId> Tokens(int count) {
    std::uniform_int_distribution<TokenId> any(0, std::min(text().vocab, 4096) - 1);
    std::vector<TokenId> ids(count);
    for (TokenId& id : ids) id = any(random_);
    return ids;
  }

  template <typename F>
  Result<void> Repeat(Test test, F run) {
    for (int i = 0; i < options_.repeat; ++i) {
      Sample sample;
      if (!options_.no_limits) sample = {0, ReadBandwidth(model_.pool()), Int8Peak(model_.pool())};
      FACET_ASSIGN(sample.seconds, run());
      test.samples.push_back(sample);
    }
    tests_.push_back(std::move(test));
    return Ok();
  }

  // Bytes of all matrices that a step reads, and 8-bit operations of a row without the head.
  void CountLayers(double& bytes, double& operations) const {
    bytes = operations = 0;
    for (const LayerWeights& w : model_.weights().layers) {
      for (const Linear* linear : {&w.q, &w.k, &w.v, &w.o, &w.gate, &w.up, &w.down}) {
        if (linear->weight.data == nullptr) continue;
        bytes +=
            static_cast<double>(PackedBytes(linear->weight.type, linear->rows(), linear->cols()));
        operations += 2.0 * static_cast<double>(linear->rows() * linear->cols());
      }
    }
  }

  double StepBytes(const KvSequence& sequence) const {
    double bytes = 0, operations = 0;
    CountLayers(bytes, operations);
    const Linear& head = model_.weights().embedding;
    return bytes + static_cast<double>(PackedBytes(head.weight.type, head.rows(), head.cols())) +
           static_cast<double>(sequence.bytes());
  }

  Result<void> Read(KvSequence& sequence, std::span<const TokenId> ids, int outputs = 1) {
    const Chunk chunk{&sequence, ids, {}, outputs};
    FACET_TRY(model_.Forward({&chunk, 1}, hidden_));
    return Ok();
  }

  Result<void> ReadPrompt(KvSequence& sequence, std::span<const TokenId> ids) {
    constexpr size_t kChunk = 512;
    for (size_t at = 0; at < ids.size(); at += kChunk) {
      const auto part = ids.subspan(at, std::min(kChunk, ids.size() - at));
      FACET_TRY(Read(sequence, part));
      sequence.Commit(static_cast<int>(part.size()));
    }
    return Ok();
  }

  // Brings a sequence to --ctx tokens.
  Result<void> Fill(KvSequence& sequence) {
    if (options_.fill == "synthetic") return sequence.FillSynthetic(options_.context);
    return ReadPrompt(sequence, Tokens(options_.context));
  }

  TokenId Next() {
    model_.Logits(hidden_, logits_.Resize(1, text().vocab));
    return static_cast<TokenId>(ArgMax(std::as_const(logits_).view().row_span(0)));
  }

  Result<void> Prompt() {
    double bytes = 0, operations = 0;
    CountLayers(bytes, operations);
    const std::vector<TokenId> ids = Tokens(options_.prompt);
    const double count = options_.prompt;
    Test test{Cat("prompt ", options_.prompt), "tok/s", count, 0, count * operations, {}};
    return Repeat(std::move(test), [&]() -> Result<double> {
      KvSequence sequence(model_.cache());
      const auto start = Clock::now();
      FACET_TRY(ReadPrompt(sequence, ids));
      Next();
      return Since(start);
    });
  }

  Result<void> Generate() {
    KvSequence filled(model_.cache());
    FACET_TRY(Fill(filled));
    const std::string at = options_.context > 0 ? Cat(" at ", options_.context) : "";
    Test test{Cat("generate ", options_.gen, at), "tok/s", static_cast<double>(options_.gen),
              options_.gen * StepBytes(filled),   0,       {}};
    return Repeat(std::move(test), [&]() -> Result<double> {
      KvSequence sequence = filled;
      TokenId token = 1;
      FACET_TRY(Read(sequence, {&token, 1}));  // copies the shared page, warms up
      sequence.Commit(1);
      const auto start = Clock::now();
      for (int i = 0; i < options_.gen; ++i) {
        token = Next();
        FACET_TRY(Read(sequence, {&token, 1}));
        sequence.Commit(1);
      }
      return Since(start);
    });
  }

  // One step of several rows, as drafts and concurrent answers need it.
  Result<void> Rows(int rows) {
    KvSequence filled(model_.cache());
    FACET_TRY(Fill(filled));
    const std::vector<TokenId> ids = Tokens(rows);
    Test test{Cat("step of ", rows, rows == 1 ? " row" : " rows"), "steps/s", 8, 0, 0, {}};
    test.bytes = 8 * StepBytes(filled);
    double bytes = 0;
    CountLayers(bytes, test.operations);
    test.operations = 8 * rows * (test.operations + 2.0 * text().vocab * text().width);
    return Repeat(std::move(test), [&]() -> Result<double> {
      KvSequence sequence = filled;
      FACET_TRY(Read(sequence, ids, rows));
      const auto start = Clock::now();
      for (int i = 0; i < 8; ++i) {
        FACET_TRY(Read(sequence, ids, rows));
        model_.Logits(hidden_, logits_.Resize(rows, text().vocab));
      }
      return Since(start);
    });
  }

  // One draft after the other, as a round of drafting makes them.
  Result<void> Draft() {
    constexpr int kDrafts = 8;
    KvSequence filled(model_.cache());
    FACET_TRY(Fill(filled));
    TokenId token = 1;
    FACET_TRY(Read(filled, {&token, 1}));
    filled.Commit(1);
    Buffer state, next;
    return Repeat(
        {Cat(kDrafts, " drafts"), "drafts/s", kDrafts, 0, 0, {}}, [&]() -> Result<double> {
          state = hidden_;
          const auto start = Clock::now();
          for (int i = 0; i < kDrafts; ++i) {
            const DraftRow row{&filled, token, std::as_const(state).view().row(0)};
            FACET_TRY(drafter_->Draft({&row, 1}, logits_, next));
            token = static_cast<TokenId>(ArgMax(std::as_const(logits_).view().row_span(0)));
            std::swap(state, next);
          }
          return Since(start);
        });
  }

  // `count` pictures of `patches` soft tokens each.
  Result<void> Patches(const char* name, int patches, int count) {
    if (!model_.config().vision) return Error{"this model does not see", ErrorKind::kUnsupported};
    int columns = static_cast<int>(std::sqrt(patches));
    while (patches % columns != 0) --columns;
    std::vector<uint8_t> pixels(int64_t{patches} * media::kPatchValues);
    for (uint8_t& p : pixels) p = static_cast<uint8_t>(random_());
    Buffer out(patches, text().width);
    Test test{Cat(name, " of ", count > 1 ? count : patches, count > 1 ? " frames" : " tokens"),
              "tok/s",
              static_cast<double>(patches) * count,
              0,
              0,
              {}};
    return Repeat(std::move(test), [&]() -> Result<double> {
      const auto start = Clock::now();
      for (int i = 0; i < count; ++i) {
        FACET_TRY(model_.EmbedPatches({pixels.data(), patches, media::kPatchValues}, columns, out));
      }
      return Since(start);
    });
  }

  Result<void> Audio() {
    if (!model_.config().audio) return Error{"this model does not hear", ErrorKind::kUnsupported};
    constexpr int kFrame = 640, kFramesPerSecond = 25;
    const auto frames = static_cast<int64_t>(std::ceil(options_.audio * kFramesPerSecond));
    Buffer sound(frames, kFrame), out(frames, text().width);
    std::uniform_real_distribution<float> sample(-1, 1);
    for (int64_t r = 0; r < frames; ++r) {
      for (float& x : sound.view().row_span(r)) x = sample(random_);
    }
    char name[48];
    std::snprintf(name, sizeof(name), "sound of %g s", options_.audio);
    return Repeat({name, "tok/s", static_cast<double>(frames), 0, 0, {}}, [&]() -> Result<double> {
      const auto start = Clock::now();
      FACET_TRY(model_.EmbedAudio(sound, out));
      return Since(start);
    });
  }

  Model& model_;
  Drafter* drafter_;
  const Options& options_;
  std::mt19937 random_{1};
  Buffer hidden_, logits_;
  std::vector<Test> tests_;
};

struct BenchReport {
  std::string model;
  int threads = 0;
  double ready = 0;  // seconds from the start of loading until the first step can run
  bool packed_before = false;
  int64_t weights = 0, peak = 0;
  std::vector<Test> tests;
};

json AsJson(const BenchReport& report) {
  json out = {{"model", report.model},
              {"cpu", IsaName(ActiveIsa())},
              {"threads", report.threads},
              {"ready_seconds", report.ready},
              {"packed_before", report.packed_before},
              {"weight_bytes", report.weights},
              {"peak_resident_bytes", report.peak},
              {"tests", json::array()}};
  for (const Test& test : report.tests) {
    json entry = {{"name", test.name},
                  {"count", test.count},
                  {"seconds", test.Seconds()},
                  {"per_second", test.count / test.Seconds()},
                  {"samples", json::array()}};
    if (test.Bandwidth() > 0) entry["of_bandwidth"] = test.Bandwidth();
    if (test.Int8() > 0) entry["of_int8_peak"] = test.Int8();
    for (const Sample& s : test.samples) {
      entry["samples"].push_back(
          {{"seconds", s.seconds}, {"bandwidth", s.bandwidth}, {"int8_peak", s.int8_peak}});
    }
    out["tests"].push_back(std::move(entry));
  }
  return out;
}

std::string Percent(double share) {
  if (share == 0) return "";
  char text[16];
  std::snprintf(text, sizeof(text), "%.0f%%", 100 * share);
  return text;
}

void PrintTable(const BenchReport& report) {
  std::printf(
      "%s\n",
      Cat(report.model, ", ", IsaName(ActiveIsa()), ", ", report.threads, " threads").c_str());
  std::printf("ready after %.2f s (%s), weights %s, peak memory %s\n\n", report.ready,
              report.packed_before ? "packed weights mapped" : "packed at this start",
              HumanBytes(report.weights).c_str(), HumanBytes(report.peak).c_str());
  std::printf("%-22s %12s %10s %14s %14s\n", "", "", "ms", "of bandwidth", "of int8 peak");
  for (const Test& test : report.tests) {
    char rate[32];
    std::snprintf(rate, sizeof(rate), "%.4g %s", test.count / test.Seconds(), test.unit.c_str());
    std::printf("%-22s %12s %10.1f %14s %14s\n", test.name.c_str(), rate, test.Seconds() * 1e3,
                Percent(test.Bandwidth()).c_str(), Percent(test.Int8()).c_str());
  }
}

Result<void> Run(const Options& options) {
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
  report.ready = Since(start);
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
  FACET_ASSIGN(report.tests, Bench(*model, drafter.get(), options).Run());
  report.peak = PeakMemoryBytes();
  if (options.as_json) {
    std::printf("%s\n", AsJson(report).dump(2).c_str());
  } else {
    PrintTable(report);
  }
  return Ok();
}

void AddOptions(CLI::App& command, Options& options) {
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
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "bench", "Measure how fast a model runs, beside what this machine can do at all");
  AddOptions(*command, *options);
  command->callback([options, &exit_code] { exit_code = Report(Run(*options)); });
}

}  // namespace facet::cli
