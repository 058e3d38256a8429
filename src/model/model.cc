#include "model/model.h"

#include <algorithm>

#include "model/step.h"
#include "ops/elementwise/elementwise.h"

namespace facet {

Result<std::unique_ptr<Model>> Model::Load(const LoadOptions& options, ThreadPool& pool) {
  FACET_ASSIGN(Checkpoint checkpoint, LoadCheckpoint(options.model, options.mmproj));
  if (checkpoint.config.drafter) {
    return Error{Cat(options.model.string(),
                     ": is a drafter; it goes beside a model, it cannot answer alone"),
                 ErrorKind::kUnsupported};
  }
  std::unique_ptr<PackedStore> packed;
  if (options.precision == Precision::kFast) {
    FACET_ASSIGN(packed, PackedStore::Create(checkpoint, options.keep_packed, pool));
  } else {
    FACET_TRY(CheckFinite(checkpoint, pool));
  }
  return std::unique_ptr<Model>(new Model(std::move(checkpoint), std::move(packed), options, pool));
}

Model::Model(Checkpoint checkpoint, std::unique_ptr<PackedStore> packed, const LoadOptions& options,
             ThreadPool& pool)
    : checkpoint_(std::move(checkpoint)),
      packed_(std::move(packed)),
      pool_(pool),
      projector_(options.precision, pool),
      cache_(std::make_unique<KvPool>(
          CacheLayout::Create(checkpoint_.config.text, options.cache, options.compact_cache),
          options.cache_budget)),
      buffers_(std::make_unique<StepBuffers>()) {}

Model::~Model() = default;

std::string Model::Identity() const {
  const CacheLayout& layout = cache_->layout();
  const CacheType type = layout.layers.front().shape.type;
  return Cat(CheckpointIdentity(checkpoint_), packed_ ? "-packed-" : "-plain-",
             static_cast<int>(type), "-", layout.page_bytes[0], "-", layout.page_bytes[1], "-",
             layout.window);
}

Result<void> Model::Forward(std::span<const Chunk> chunks, Buffer& hidden) {
  Step step(*this, projector_, *buffers_, trace_, chunks);
  FACET_TRY(step.Begin());
  for (size_t layer = 0; layer < config().text.layers.size(); ++layer)
    step.Layer(static_cast<int>(layer));
  step.Finish(hidden);
  return Ok();
}

void Model::Logits(ConstMat hidden, Mat logits) {
  // The last product decides which token is best and runs for few rows, where reading the weights
  // takes the time: all inputs are rounded finely.
  constexpr float kAll = 0;
  projector_.Run(hidden, weights().embedding, logits, {}, kAll);
  if (config().text.softcap > 0) Softcap(config().text.softcap, logits, pool_);
}

Result<void> Model::EmbedTokens(std::span<const int32_t> ids, Mat out) {
  const TextConfig& text = config().text;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= text.vocab)
      return Expected(Cat("a token id below ", text.vocab), ids[i], "token");
    projector_.Row(weights().embedding, ids[i], out.row_span(i));
    for (float& value : out.row_span(i)) value *= text.embedding_scale;
  }
  return Ok();
}

}  // namespace facet
