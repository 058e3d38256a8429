#include "model/drafter.h"

#include <algorithm>
#include <numeric>

namespace facet {

Result<std::unique_ptr<Drafter>> Drafter::Load(const std::filesystem::path& path, Model& target) {
  FACET_ASSIGN(Checkpoint checkpoint, LoadCheckpoint(path, std::nullopt));
  if (!checkpoint.config.drafter) return Error{Cat(path.string(), ": is not a drafter")};
  std::unique_ptr<PackedStore> packed;
  if (target.precision() == Precision::kFast) {
    FACET_ASSIGN(packed, PackedStore::Create(checkpoint, true, target.pool()));
  } else {
    FACET_TRY(CheckFinite(checkpoint, target.pool()));
  }
  std::unique_ptr<Drafter> drafter(new Drafter(std::move(checkpoint), std::move(packed), target));
  const auto fits = CheckDrafterFits(drafter->config(), target.config());
  if (!fits.ok()) return fits.error().In(path.string());
  return drafter;
}

Drafter::Drafter(Checkpoint checkpoint, std::unique_ptr<PackedStore> packed, Model& target)
    : checkpoint_(std::move(checkpoint)),
      packed_(std::move(packed)),
      target_(target),
      projector_(target.precision(), target.pool()),
      sources_(KeyLayersOf(target.config().text)) {}

KeyLayers KeyLayersOf(const TextConfig& target) {
  KeyLayers last;
  for (size_t i = 0; i < target.layers.size(); ++i)
    (target.layers[i].sliding ? last.sliding : last.full) = static_cast<int>(i);
  return last;
}

Result<void> CheckDrafterFits(const ModelConfig& drafter, const ModelConfig& model) {
  const TextConfig& own = drafter.text;
  const TextConfig& target = model.text;
  const KeyLayers sources = KeyLayersOf(target);
  if (drafter.drafter->target_width != target.width) {
    return Expected(Cat("a drafter for width ", target.width), drafter.drafter->target_width,
                    "backbone_hidden_size");
  }
  if (own.vocab != target.vocab)
    return Expected(Cat("a vocabulary of ", target.vocab), own.vocab, "vocab_size");
  for (size_t i = 0; i < own.layers.size(); ++i) {
    const LayerConfig& c = own.layers[i];
    const int source = c.sliding ? sources.sliding : sources.full;
    const std::string where = Cat("layer ", i);
    if (source < 0) return Error{Cat(where, ": the target has no layer of this type")};
    const LayerConfig& keys = target.layers[source];
    if (c.head_dim != keys.head_dim)
      return Expected(Cat("head_dim ", keys.head_dim), c.head_dim, where);
    if (c.heads % keys.kv_heads != 0)
      return Expected(Cat("a multiple of ", keys.kv_heads, " heads"), c.heads, where);
    if (own.rope(c.sliding).rotated_pairs != target.rope(c.sliding).rotated_pairs) {
      return Expected(Cat(target.rope(c.sliding).rotated_pairs, " rotating pairs"),
                      own.rope(c.sliding).rotated_pairs, where);
    }
  }
  return Ok();
}

Result<void> Drafter::Draft(std::span<const DraftRow> rows, Buffer& logits, Buffer& hidden) {
  const int64_t width = target_.config().text.width, count = static_cast<int64_t>(rows.size());
  Mat input = input_.Resize(count, 2 * width), x = x_.Resize(count, config().text.width);
  std::vector<int32_t> positions(rows.size());
  for (int64_t r = 0; r < count; ++r) {
    FACET_TRY(target_.EmbedTokens({&rows[r].token, 1}, input.rows_at(r, 1).cols_at(0, width)));
    std::copy(rows[r].hidden, rows[r].hidden + width, input.row(r) + width);
    positions[r] = rows[r].sequence->length();
  }
  projector_.Run(input, checkpoint_.weights.drafter->pre_projection, x);
  for (const LayerConfig& c : config().text.layers) {
    (c.sliding ? sliding_ : full_)
        .Fill(RopeFrequencies(config().text.rope(c.sliding), c.head_dim), positions);
  }
  tiles_.resize(std::max(tiles_.size(), rows.size()));
  for (size_t layer = 0; layer < config().text.layers.size(); ++layer)
    Layer(static_cast<int>(layer), rows);

  const Mat h = NormInput(Context(), x, checkpoint_.weights.final_norm);
  projector_.Run(h, checkpoint_.weights.drafter->post_projection, hidden.Resize(count, width));
  Mat out = logits.Resize(count, config().text.vocab);
  if (config().drafter->ordered_embeddings) {
    OrderedLogits(h, out);
  } else {
    projector_.Run(h, checkpoint_.weights.embedding, out);
  }
  return Ok();
}

BlockContext Drafter::Context() {
  return {config().text, projector_, target_.pool(), block_};
}

void Drafter::Layer(int layer, std::span<const DraftRow> rows) {
  DecoderLayer(Context(), layer, checkpoint_.weights.layers[layer], x_,
               [&](ConstMat h) { Attention(layer, rows, h); });
}

// Queries alone: keys and values are the target's, of its last layer of the same type.
void Drafter::Attention(int layer, std::span<const DraftRow> rows, ConstMat h) {
  const LayerWeights& w = checkpoint_.weights.layers[layer];
  const bool sliding = config().text.layers[layer].sliding;
  const int source = sliding ? sources_.sliding : sources_.full;
  const int window = target_.config().text.window;
  ranges_.resize(rows.size());
  for (size_t r = 0; r < rows.size(); ++r) {
    rows[r].sequence->TilePointers(source, tiles_[r]);
    const int index = rows[r].sequence->length();
    ranges_[r] = {tiles_[r].data(), sliding ? std::max(0, index - window + 1) : 0, index};
  }
  projector_.Run(h, w.q, block_.q.Resize(h.rows(), w.q.rows()));
  const KeySource keys{target_.cache().layout().layers[source],
                       target_.weights().layers[source].k_norm};
  AttendAndProject(Context(), layer, w, keys, sliding ? sliding_ : full_, ranges_);
}

void Drafter::OrderedLogits(ConstMat h, Mat logits) {
  const DrafterWeights& w = *checkpoint_.weights.drafter;
  const DrafterConfig& c = *config().drafter;
  const int each = config().text.vocab / c.centroids;
  Mat scores = scores_.Resize(h.rows(), c.centroids);
  projector_.Run(h, w.centroids, scores);
  std::vector<int> order(c.centroids);
  std::vector<float> embedding(h.cols());
  for (int64_t r = 0; r < h.rows(); ++r) {
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(order.begin(), order.begin() + c.top_centroids, order.end(),
                      [&](int a, int b) { return scores(r, a) > scores(r, b); });
    std::vector<std::pair<int32_t, float>> scored;
    for (int i = 0; i < c.top_centroids; ++i) {
      for (int k = 0; k < each; ++k) {
        const int32_t id = w.ordering[int64_t{order[i]} * each + k];
        projector_.Row(checkpoint_.weights.embedding, id, embedding);
        scored.emplace_back(id,
                            std::inner_product(embedding.begin(), embedding.end(), h.row(r), 0.0f));
      }
    }
    float lowest = scored[0].second;
    for (const auto& [id, score] : scored) lowest = std::min(lowest, score);
    std::fill(logits.row(r), logits.row(r) + logits.cols(), lowest - 1.0f);
    for (const auto& [id, score] : scored) logits(r, id) = score;
  }
}

}  // namespace facet
