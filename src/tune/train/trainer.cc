#include "tune/train/trainer.h"

#include <algorithm>
#include <cmath>

#include "model/decoder_training.h"
#include "model/embedder_training.h"
#include "ops/elementwise/backward.h"
#include "ops/elementwise/dropout.h"
#include "tune/data/packing.h"
#include "tune/train/embed.h"
#include "tune/train/export.h"
#include "tune/train/full.h"
#include "tune/train/lora.h"
#include "tune/train/parameter_trainer.h"

namespace facet::tune {
namespace {

// Logits that are held at a time: 128 rows of the largest vocabulary.
constexpr int64_t kLogits = int64_t{128} << 18;

class ModelTrainer : public ParameterTrainer {
 public:
  ModelTrainer(Checkpoint checkpoint, const TrainerOptions& options, ThreadPool& pool)
      : ParameterTrainer(options, pool),
        checkpoint_(std::move(checkpoint)),
        weights_(FrozenWeights(checkpoint_.weights, checkpoint_.config)),
        projector_(options.compute, pool),
        embedders_(checkpoint_.config, weights_, projector_, pool),
        decoder_(checkpoint_.config.text, weights_, projector_, pool) {
    decoder_.set_keep_bytes(options.keep_bytes);
  }

  Result<void> Init() {
    if (options_.full) return TrainEverything(checkpoint_, weights_, parameters_);
    FACET_ASSIGN(lora_, TrainLora(checkpoint_, options_, weights_, parameters_));
    return Ok();
  }

  Result<LossSum> Accumulate(std::span<const Example* const> batch, double scale) override {
    FACET_ASSIGN(const PackedBatch packed, Pack(text(), batch));
    projector_.set_dropout_key(DropoutKey(batch));
    FACET_TRY(Embed(packed, decoder_.Begin(packed.rows, true)));
    const ConstMat states = decoder_.Forward();
    Mat dstates = dstates_.Resize(states.rows(), states.cols());
    const LossSum loss = Loss(packed, states, scale, dstates);
    const Mat dembedded = decoder_.Backward(dstates, EmbeddingsTrained(packed));
    if (dembedded.data() != nullptr) EmbedBackward(packed, dembedded);
    parameters_.Touch(Part::kText);
    if (packed.pictures) parameters_.Touch(Part::kVision);
    if (packed.sounds) parameters_.Touch(Part::kAudio);
    return loss;
  }

  Result<LossSum> Evaluate(std::span<const Example* const> batch) override {
    FACET_ASSIGN(const PackedBatch packed, Pack(text(), batch));
    projector_.set_dropout_key(0);
    FACET_TRY(Embed(packed, decoder_.Begin(packed.rows, false)));
    return Loss(packed, decoder_.Forward(), 0, {});
  }

  Result<void> Export(const std::filesystem::path& folder) const override {
    if (!options_.full) return ExportAdapter(folder, lora_);
    FACET_TRY(ExportWeights(folder, checkpoint_, parameters_));
    return options_.model_files.empty() ? Ok() : CopyModelFiles(options_.model_files, folder);
  }

 private:
  const TextConfig& text() const { return checkpoint_.config.text; }

  Result<void> Embed(const PackedBatch& batch, Mat x) {
    return EmbedBatch({text(), weights_.embedding, projector_, embedders_, pool_}, batch, x);
  }

  bool VisionTrained() const { return weights_.vision && weights_.vision->trained(); }
  bool AudioTrained() const { return weights_.audio && weights_.audio->trained(); }
  bool EmbeddingsTrained(const PackedBatch& batch) const {
    return weights_.embedding.trained() || (batch.pictures && VisionTrained()) ||
           (batch.sounds && AudioTrained());
  }

  void EmbedBackward(const PackedBatch& batch, Mat dx) {
    for (const PlacedItem& placed : batch.items) {
      const Mat rows = dx.rows_at(placed.row, placed.item->count);
      if (placed.item->kind == SoftItem::Kind::kAudio) {
        if (AudioTrained()) embedders_.SoundBackward(FramesOf(*placed.item), rows);
      } else if (VisionTrained()) {
        embedders_.PictureBackward(GridOf(*placed.item), rows);
      }
      for (int64_t r = 0; r < rows.rows(); ++r) std::fill_n(rows.row(r), rows.cols(), 0.0f);
    }
    float* gradient = weights_.embedding.gradient;
    if (gradient == nullptr) return;
    for (int64_t r = 0; r < dx.rows(); ++r) {
      float* row = gradient + batch.tokens[r] * dx.cols();
      for (int64_t c = 0; c < dx.cols(); ++c) row[c] += dx(r, c) * text().embedding_scale;
    }
  }

  // Cross-entropy of the labelled rows, some rows' logits at a time. dstates (no data: loss alone)
  // becomes scale times the gradient of the states before the final norm.
  LossSum Loss(const PackedBatch& batch, ConstMat states, double scale, Mat dstates) {
    const bool gradient = dstates.data() != nullptr;
    const int64_t count = states.rows(), step = std::max<int64_t>(1, kLogits / text().vocab);
    const RmsNormArgs norm{text().width, weights_.final_norm.value.data(), text().eps};
    Mat h = normed_.Resize(count, text().width), dh;
    RmsNorm(norm, states, h, pool_);
    if (gradient) dh = dnormed_.Resize(count, text().width);
    LossSum sum;
    for (int64_t begin = 0; begin < count; begin += step) {
      const int64_t rows = std::min(step, count - begin);
      Mat logits = logits_.Resize(rows, text().vocab);
      const ConstMat part = ConstMat(h).rows_at(begin, rows);
      projector_.Forward(weights_.embedding, part, logits);
      losses_.resize(rows);
      const std::span targets = std::span(batch.targets).subspan(begin, rows);
      CrossEntropy({targets, text().softcap, static_cast<float>(scale), gradient}, logits, losses_,
                   pool_);
      for (const double loss : losses_) sum.loss += loss;
      if (gradient)
        projector_.Backward(weights_.embedding, part, logits, Into::kStore,
                            dh.rows_at(begin, rows));
    }
    sum.tokens = count;
    if (gradient)
      RmsNormBackward(norm, states, dh, Into::kStore, dstates, weights_.final_norm.gradient, pool_);
    return sum;
  }

  Checkpoint checkpoint_;
  TrainWeights weights_;
  LoraSet lora_;
  TrainProjector projector_;
  EmbedderTraining embedders_;
  DecoderTraining decoder_;
  Buffer dstates_, normed_, dnormed_, logits_;
  std::vector<double> losses_;
};

}  // namespace

Result<std::unique_ptr<Trainer>> Trainer::Create(Checkpoint checkpoint,
                                                 const TrainerOptions& options, ThreadPool& pool) {
  if (checkpoint.config.drafter)
    return Error{"a drafter is trained with --drafter: name the model that it goes with",
                 ErrorKind::kUnsupported};
  FACET_TRY(CheckFinite(checkpoint, pool));
  auto trainer = std::make_unique<ModelTrainer>(std::move(checkpoint), options, pool);
  FACET_TRY(trainer->Init());
  return std::unique_ptr<Trainer>(std::move(trainer));
}

}  // namespace facet::tune
