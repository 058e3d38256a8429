#include "tune/train/drafter_trainer.h"

#include <algorithm>

#include "base/atomic_file.h"
#include "base/mapped_file.h"
#include "engine/sampler.h"
#include "model/drafter.h"
#include "model/embedder_training.h"
#include "ops/elementwise/backward.h"
#include "tune/data/order.h"
#include "tune/data/packing.h"
#include "tune/train/embed.h"
#include "tune/train/export.h"
#include "tune/train/full.h"
#include "tune/train/parameter_trainer.h"

namespace facet::tune {
namespace {

// Logits that are held at a time, of the target and of the drafter each: 128 rows of the largest
// vocabulary.
constexpr int64_t kLogits = int64_t{128} << 18;

// The target, which only reads.
class Teacher {
 public:
  Teacher(Checkpoint checkpoint, Compute compute, ThreadPool& pool)
      : checkpoint_(std::move(checkpoint)),
        pool_(pool),
        weights_(FrozenWeights(checkpoint_.weights, checkpoint_.config)),
        projector_(compute, pool),
        embedders_(checkpoint_.config, weights_, projector_, pool),
        decoder_(text(), weights_, projector_, pool) {
    const KeyLayers sources = KeyLayersOf(text());
    if (sources.sliding >= 0) decoder_.KeepKeys(sources.sliding, &sliding_);
    if (sources.full >= 0) decoder_.KeepKeys(sources.full, &full_);
  }

  const ModelConfig& config() const { return checkpoint_.config; }
  const TextConfig& text() const { return checkpoint_.config.text; }

  // Reads a batch; what it gives lives until the next.
  Result<DrafterBatch> Read(const PackedBatch& packed) {
    const BatchEmbedder embedder{text(), weights_.embedding, projector_, embedders_, pool_};
    FACET_TRY(EmbedBatch(embedder, packed, decoder_.Begin(packed.rows, false)));
    const ConstMat last = decoder_.Forward();
    Mat states = states_.Resize(last.rows(), last.cols());
    RmsNorm({text().width, weights_.final_norm.value.data(), text().eps}, last, states, pool_);
    Mat next = next_.Resize(last.rows(), last.cols());
    EmbedTokens(embedder, packed.targets, next);
    return DrafterBatch{&packed.rows, states, next, text().window, &sliding_, &full_};
  }

  // What it would say next at outputs [begin, begin + p.rows()) of the batch that was read.
  void Distributions(int64_t begin, Mat p, std::span<double> entropies) {
    projector_.Forward(weights_.embedding, states_.view().rows_at(begin, p.rows()), p);
    Softmax(text().softcap, p, entropies, pool_);
  }

 private:
  Checkpoint checkpoint_;
  ThreadPool& pool_;
  TrainWeights weights_;
  TrainProjector projector_;
  EmbedderTraining embedders_;
  DecoderTraining decoder_;
  LayerKeys sliding_, full_;
  Buffer states_, next_;
};

class Distiller : public DrafterTrainer {
 public:
  Distiller(Checkpoint target, Checkpoint drafter, std::string config_text,
            const DrafterTrainerOptions& options, ThreadPool& pool)
      : DrafterTrainer(options.trainer, pool),
        teacher_(std::move(target), options.trainer.compute, pool),
        checkpoint_(std::move(drafter)),
        config_text_(std::move(config_text)),
        weights_(FrozenWeights(checkpoint_.weights, checkpoint_.config)),
        projector_(options.trainer.compute, pool),
        chain_(checkpoint_.config.text, weights_, projector_, options.drafts, pool) {
    chain_.set_keep_bytes(options.trainer.keep_bytes);
  }

  Result<void> Init() { return TrainEverything(checkpoint_, weights_, parameters_); }

  Result<LossSum> Accumulate(std::span<const Example* const> batch, double scale) override {
    FACET_TRY(Draft(batch, true));
    const LossSum sum = Loss(scale, true, {});
    chain_.Backward();
    parameters_.Touch(Part::kText);
    return sum;
  }

  Result<LossSum> Evaluate(std::span<const Example* const> batch) override {
    FACET_TRY(Draft(batch, false));
    return Loss(0, false, {});
  }

  Result<void> Score(std::span<const Example* const> batch, DraftScore& score) override {
    FACET_TRY(Draft(batch, false));
    const size_t outputs = packed_.targets.size();
    std::vector<uint8_t> right(outputs * chain_.drafts());
    Loss(0, false, right);
    // A round begins at the first token of an answer, and then after the tokens of the round
    // before.
    for (size_t output = 0; output < outputs;) {
      const int drafts = DraftsAt(static_cast<int32_t>(output));
      int accepted = 0;
      while (accepted < drafts && right[output * chain_.drafts() + accepted] != 0) ++accepted;
      if (drafts > 0) {  // else the answer ends here
        ++score.rounds;
        score.drafted += drafts;
        score.accepted += accepted;
        const bool more = DraftsAt(static_cast<int32_t>(output) + accepted) > 0;
        score.tokens += accepted + (more ? 1 : 0);  // the step that verifies gives one itself
      }
      output += accepted + 1;
    }
    return Ok();
  }

  Result<void> Export(const std::filesystem::path& folder) const override {
    FACET_TRY(ExportWeights(folder, checkpoint_, parameters_));
    return WriteFile(folder / "config.json", config_text_);
  }

 private:
  Result<void> Draft(std::span<const Example* const> batch, bool gradients) {
    FACET_ASSIGN(packed_, Pack(teacher_.text(), batch));
    FACET_ASSIGN(batch_, teacher_.Read(packed_));
    chain_.Forward(batch_, gradients);
    return Ok();
  }

  // Drafts of a round that begins at this output.
  int DraftsAt(int32_t output) const {
    int count = 0;
    while (count < chain_.drafts()) {
      const std::span<const int32_t> rounds = chain_.Rounds(count);
      if (!std::binary_search(rounds.begin(), rounds.end(), output)) break;
      ++count;
    }
    return count;
  }

  // Divergences of all drafts, some of the target's distributions at a time. With `gradient`, the
  // chain's states get theirs, times `scale`. `right`, where not empty, is set by output and draft:
  // 1 where the likeliest token is the text's.
  LossSum Loss(double scale, bool gradient, std::span<uint8_t> right) {
    const int64_t count = static_cast<int64_t>(packed_.targets.size());
    const int64_t step = std::max<int64_t>(1, kLogits / teacher_.text().vocab);
    LossSum sum;
    for (int draft = 0; draft < chain_.drafts(); ++draft) {
      sum.tokens += static_cast<int64_t>(chain_.Rounds(draft).size());
      if (gradient) chain_.StatesGradient(draft);
    }
    for (int64_t begin = 0; begin < count; begin += step) {
      Mat p = probabilities_.Resize(std::min(step, count - begin), teacher_.text().vocab);
      entropies_.resize(p.rows());
      teacher_.Distributions(begin, p, entropies_);
      for (int draft = 0; draft < chain_.drafts(); ++draft)
        sum.loss += DraftLoss(draft, {begin, p}, scale, gradient, right);
    }
    return sum;
  }

  // The target's distributions at outputs from `begin` on.
  struct Taught {
    int64_t begin;
    ConstMat p;
  };
  double DraftLoss(int draft, const Taught& taught, double scale, bool gradient,
                   std::span<uint8_t> right) {
    const std::span<const int32_t> rounds = chain_.Rounds(draft);
    const int64_t ahead = draft + 1;
    const auto at = [&](int64_t output) {
      return std::lower_bound(rounds.begin(), rounds.end(), output - ahead) - rounds.begin();
    };
    const int64_t first = at(taught.begin), rows = at(taught.begin + taught.p.rows()) - first;
    if (rows == 0) return 0;
    taught_rows_.resize(rows);
    for (int64_t r = 0; r < rows; ++r)
      taught_rows_[r] = static_cast<int32_t>(rounds[first + r] + ahead - taught.begin);
    const ConstMat states = chain_.States(draft).rows_at(first, rows);
    Mat logits = logits_.Resize(rows, taught.p.cols());
    projector_.Forward(weights_.embedding, states, logits);
    for (int64_t r = 0; !right.empty() && r < rows; ++r) {
      const int32_t output = rounds[first + r];
      const bool hit = ArgMax(logits.row_span(r)) == packed_.targets[output + ahead];
      right[static_cast<size_t>(output) * chain_.drafts() + draft] = hit;
    }
    losses_.resize(rows);
    SoftCrossEntropy({taught.p, taught_rows_, static_cast<float>(scale), gradient}, logits, losses_,
                     pool_);
    double sum = 0;
    for (int64_t r = 0; r < rows; ++r) sum += losses_[r] - entropies_[taught_rows_[r]];
    if (gradient) {
      projector_.Backward(weights_.embedding, states, logits, Into::kStore,
                          chain_.StatesGradient(draft).rows_at(first, rows));
    }
    return sum;
  }

  Teacher teacher_;
  Checkpoint checkpoint_;
  std::string config_text_;
  TrainWeights weights_;
  TrainProjector projector_;
  DrafterTraining chain_;
  PackedBatch packed_;
  DrafterBatch batch_;
  Buffer probabilities_, logits_;
  std::vector<double> entropies_, losses_;
  std::vector<int32_t> taught_rows_;
};

}  // namespace

int32_t CountDrafts(const Example& example, int drafts) {
  int32_t count = 0, run = 0;  // labelled tokens so far, one after the other
  for (size_t i = 1; i < example.labelled.size(); ++i) {  // nothing predicts the first token
    run = example.labelled[i] != 0 ? run + 1 : 0;
    count += std::clamp(run - 1, 0, drafts);
  }
  return count;
}

Result<std::unique_ptr<DrafterTrainer>> DrafterTrainer::Create(Checkpoint target,
                                                               const std::filesystem::path& drafter,
                                                               const DrafterTrainerOptions& options,
                                                               ThreadPool& pool) {
  if (target.config.drafter)
    return Error{"a drafter is trained for a model; this is a drafter", ErrorKind::kUnsupported};
  if (target.config.text.window < 2)
    return Expected("a window of at least 2", target.config.text.window, "sliding_window");
  FACET_ASSIGN(Checkpoint checkpoint, LoadCheckpoint(drafter, std::nullopt));
  const std::string where = drafter.string();
  if (!checkpoint.config.drafter) return Error{Cat(where, ": is not a drafter")};
  if (checkpoint.config.drafter->ordered_embeddings)
    return Error{Cat(where, ": has ordered embeddings (use_ordered_embeddings), which are not ",
                     "trained here"),
                 ErrorKind::kUnsupported};
  std::error_code code;
  if (!std::filesystem::is_directory(drafter, code))
    return Error{Cat(where, ": a drafter is trained from a folder with safetensors, not a GGUF"),
                 ErrorKind::kUnsupported};
  if (auto fits = CheckDrafterFits(checkpoint.config, target.config); !fits.ok())
    return fits.error().In(where);
  FACET_TRY(CheckFinite(target, pool));
  FACET_TRY(CheckFinite(checkpoint, pool));
  FACET_ASSIGN(std::string config, ReadFile(drafter / "config.json"));
  auto distiller = std::make_unique<Distiller>(std::move(target), std::move(checkpoint),
                                               std::move(config), options, pool);
  FACET_TRY(distiller->Init());
  return std::unique_ptr<DrafterTrainer>(std::move(distiller));
}

Result<DraftScore> ScoreDrafts(DrafterTrainer& trainer, const DataSet& data,
                               const std::vector<uint32_t>& examples, int batch_tokens) {
  DraftScore score;
  FACET_TRY(ForEachBatch(
      data, examples, batch_tokens, nullptr,
      [&](std::span<const Example* const> batch) { return trainer.Score(batch, score); }));
  return score;
}

}  // namespace facet::tune
