#include "cli/commands/bench_measure.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>

#include "base/clock.h"
#include "base/patch.h"
#include "engine/sampler.h"
#include "model/synth_cache.h"
#include "ops/roofline.h"
#include "text/tokenizer.h"

namespace facet::cli {
namespace {

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

template <typename F>
double MedianOf(const std::vector<BenchSample>& samples, F value) {
  std::vector<double> values;
  for (const BenchSample& sample : samples) values.push_back(value(sample));
  return Median(values);
}

double ShareOf(double rate, double limit) {
  return limit == 0 ? 0 : rate / limit;
}

// Repeats work, measures the machine's limits before each repetition, and keeps the results.
class Stopwatch {
 public:
  Stopwatch(ThreadPool& pool, const BenchOptions& options) : pool_(pool), options_(options) {}

  // `run` returns the seconds that the work took.
  template <typename F>
  Result<void> Repeat(Measurement measurement, F run) {
    for (int i = 0; i < options_.repeat; ++i) {
      BenchSample sample;
      if (!options_.no_limits) sample = {0, ReadBandwidth(pool_), Int8Peak(pool_)};
      FACET_ASSIGN(sample.seconds, run());
      measurement.samples.push_back(sample);
    }
    measurements_.push_back(std::move(measurement));
    return Ok();
  }

  std::vector<Measurement> Take() { return std::move(measurements_); }

 private:
  ThreadPool& pool_;
  const BenchOptions& options_;
  std::vector<Measurement> measurements_;
};

// Bytes of the layers' matrices, and 8-bit operations of one row through them, without the head.
struct LayerWork {
  double bytes = 0, operations = 0;
};

LayerWork CountLayers(const Model& model) {
  LayerWork work;
  for (const LayerWeights& w : model.weights().layers) {
    for (const Linear* linear : {&w.q, &w.k, &w.v, &w.o, &w.gate, &w.up, &w.down}) {
      if (linear->weight.data == nullptr) continue;
      work.bytes +=
          static_cast<double>(PackedBytes(linear->weight.type, linear->rows(), linear->cols()));
      work.operations += 2.0 * static_cast<double>(linear->rows() * linear->cols());
    }
  }
  return work;
}

// Reading prompts, generating, and steps of several rows.
class TextBench {
 public:
  TextBench(Model& model, const BenchOptions& options, Stopwatch& watch)
      : model_(model), options_(options), watch_(watch) {}

  Result<void> Prompt() {
    const std::vector<TokenId> ids = RandomTokens(options_.prompt);
    const double count = options_.prompt;
    return watch_.Repeat({Cat("prompt ", options_.prompt), "tok/s", count, 0,
                          count * CountLayers(model_).operations},
                         [&]() -> Result<double> {
                           KvSequence sequence(model_.cache());
                           const auto start = Clock::now();
                           FACET_TRY(ReadPrompt(sequence, ids));
                           BestToken();
                           return SecondsSince(start);
                         });
  }

  Result<void> Generate() {
    KvSequence filled(model_.cache());
    FACET_TRY(Fill(filled));
    const std::string at = options_.context > 0 ? Cat(" at ", options_.context) : "";
    const double count = options_.gen;
    return watch_.Repeat(
        {Cat("generate ", options_.gen, at), "tok/s", count, count * StepBytes(filled), 0},
        [&]() -> Result<double> {
          KvSequence sequence = filled;
          TokenId token = 1;
          FACET_TRY(Read(sequence, {&token, 1}));  // copies the shared page, warms up
          sequence.Commit(1);
          const auto start = Clock::now();
          for (int i = 0; i < options_.gen; ++i) {
            token = BestToken();
            FACET_TRY(Read(sequence, {&token, 1}));
            sequence.Commit(1);
          }
          return SecondsSince(start);
        });
  }

  // One step of several rows, as drafts and concurrent answers need it.
  Result<void> Rows(int rows) {
    constexpr int kSteps = 8;
    KvSequence filled(model_.cache());
    FACET_TRY(Fill(filled));
    const std::vector<TokenId> ids = RandomTokens(rows);
    const double row_operations =
        CountLayers(model_).operations + 2.0 * text().vocab * text().width;
    return watch_.Repeat({Cat("step of ", rows, rows == 1 ? " row" : " rows"), "steps/s", kSteps,
                          kSteps * StepBytes(filled), kSteps * rows * row_operations},
                         [&]() -> Result<double> {
                           KvSequence sequence = filled;
                           FACET_TRY(Read(sequence, ids, rows));
                           const auto start = Clock::now();
                           for (int i = 0; i < kSteps; ++i) {
                             FACET_TRY(Read(sequence, ids, rows));
                             model_.Logits(hidden_, logits_.Resize(rows, text().vocab));
                           }
                           return SecondsSince(start);
                         });
  }

  // One draft after the other, as a round of drafting makes them.
  Result<void> Drafts(Drafter& drafter) {
    constexpr int kDrafts = 8;
    KvSequence filled(model_.cache());
    FACET_TRY(Fill(filled));
    TokenId token = 1;
    FACET_TRY(Read(filled, {&token, 1}));
    filled.Commit(1);
    Buffer state, next;
    return watch_.Repeat(
        {Cat(kDrafts, " drafts"), "drafts/s", kDrafts, 0, 0}, [&]() -> Result<double> {
          state = hidden_;
          const auto start = Clock::now();
          for (int i = 0; i < kDrafts; ++i) {
            const DraftRow row{&filled, token, std::as_const(state).view().row(0)};
            FACET_TRY(drafter.Draft({&row, 1}, logits_, next));
            token = static_cast<TokenId>(ArgMax(std::as_const(logits_).view().row_span(0)));
            std::swap(state, next);
          }
          return SecondsSince(start);
        });
  }

 private:
  const TextConfig& text() const { return model_.config().text; }

  // Any tokens do: the time does not depend on them.
  std::vector<TokenId> RandomTokens(int count) {
    std::uniform_int_distribution<TokenId> any(0, std::min(text().vocab, 4096) - 1);
    std::vector<TokenId> ids(count);
    for (TokenId& id : ids) id = any(random_);
    return ids;
  }

  // What a step reads: all matrices, and the sequence's keys and values.
  double StepBytes(const KvSequence& sequence) const {
    const Linear& head = model_.weights().embedding;
    return CountLayers(model_).bytes +
           static_cast<double>(PackedBytes(head.weight.type, head.rows(), head.cols())) +
           static_cast<double>(sequence.bytes());
  }

  Result<void> Read(KvSequence& sequence, std::span<const TokenId> ids, int outputs = 1) {
    const Chunk chunk{&sequence, ids, {}, outputs};
    return model_.Forward({&chunk, 1}, hidden_);
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
    if (options_.fill == "synthetic") return FillSynthetic(sequence, options_.context);
    return ReadPrompt(sequence, RandomTokens(options_.context));
  }

  TokenId BestToken() {
    model_.Logits(hidden_, logits_.Resize(1, text().vocab));
    return static_cast<TokenId>(ArgMax(std::as_const(logits_).view().row_span(0)));
  }

  Model& model_;
  const BenchOptions& options_;
  Stopwatch& watch_;
  std::mt19937 random_{1};
  Buffer hidden_, logits_;
};

// `frames` pictures of `patches` soft tokens each.
Result<void> MeasurePictures(Model& model, Stopwatch& watch, std::string name, int patches,
                             int frames) {
  if (!model.config().vision) return Error{"this model does not see", ErrorKind::kUnsupported};
  int columns = static_cast<int>(std::sqrt(patches));
  while (patches % columns != 0) --columns;
  std::mt19937 random(1);
  std::vector<uint8_t> pixels(int64_t{patches} * kPatchValues);
  for (uint8_t& p : pixels) p = static_cast<uint8_t>(random());
  Buffer out(patches, model.config().text.width);
  return watch.Repeat(
      {std::move(name), "tok/s", static_cast<double>(patches) * frames, 0, 0},
      [&]() -> Result<double> {
        const auto start = Clock::now();
        for (int i = 0; i < frames; ++i) {
          FACET_TRY(model.EmbedPatches({pixels.data(), patches, kPatchValues}, columns, out));
        }
        return SecondsSince(start);
      });
}

Result<void> MeasureSound(Model& model, Stopwatch& watch, double seconds) {
  if (!model.config().audio) return Error{"this model does not hear", ErrorKind::kUnsupported};
  constexpr int kFramesPerSecond = 16000 / kFrameSamples;
  const auto frames = static_cast<int64_t>(std::ceil(seconds * kFramesPerSecond));
  Buffer sound(frames, kFrameSamples), out(frames, model.config().text.width);
  std::mt19937 random(1);
  std::uniform_real_distribution<float> sample(-1, 1);
  for (int64_t r = 0; r < frames; ++r) {
    for (float& x : sound.view().row_span(r)) x = sample(random);
  }
  char name[48];
  std::snprintf(name, sizeof(name), "sound of %g s", seconds);
  return watch.Repeat({name, "tok/s", static_cast<double>(frames), 0, 0}, [&]() -> Result<double> {
    const auto start = Clock::now();
    FACET_TRY(model.EmbedAudio(sound, out));
    return SecondsSince(start);
  });
}

}  // namespace

double Measurement::Seconds() const {
  return MedianOf(samples, [](const BenchSample& s) { return s.seconds; });
}

double Measurement::ShareOfBandwidth() const {
  return MedianOf(samples,
                  [this](const BenchSample& s) { return ShareOf(bytes / s.seconds, s.bandwidth); });
}

double Measurement::ShareOfInt8Peak() const {
  return MedianOf(samples, [this](const BenchSample& s) {
    return ShareOf(operations / s.seconds, s.int8_peak);
  });
}

Result<std::vector<Measurement>> RunBenchmarks(Model& model, Drafter* drafter,
                                               const BenchOptions& options) {
  Stopwatch watch(model.pool(), options);
  TextBench text(model, options, watch);
  if (options.prompt > 0) FACET_TRY(text.Prompt());
  if (options.gen > 0) FACET_TRY(text.Generate());
  for (const int rows : options.rows) FACET_TRY(text.Rows(rows));
  if (drafter != nullptr) FACET_TRY(text.Drafts(*drafter));
  if (options.image > 0) {
    FACET_TRY(MeasurePictures(model, watch, Cat("image of ", options.image, " tokens"),
                              options.image, 1));
  }
  if (options.film > 0) {
    constexpr int kFramePatches = 70;
    // A film of one frame is named by its tokens.
    const std::string name = options.film > 1 ? Cat("film of ", options.film, " frames")
                                              : Cat("film of ", kFramePatches, " tokens");
    FACET_TRY(MeasurePictures(model, watch, name, kFramePatches, options.film));
  }
  if (options.audio > 0) FACET_TRY(MeasureSound(model, watch, options.audio));
  return watch.Take();
}

}  // namespace facet::cli
