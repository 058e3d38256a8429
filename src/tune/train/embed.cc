#include "tune/train/embed.h"

#include "media/media.h"

namespace facet::tune {

ConstMat FramesOf(const SoftItem& item) {
  return {item.frames.data(), item.count, media::kFrameSamples};
}

PatchGrid GridOf(const SoftItem& item) {
  return {{item.patches.pixels.data(), item.patches.count(), media::kPatchValues},
          item.patches.columns};
}

void EmbedTokens(const BatchEmbedder& with, std::span<const int32_t> ids, Mat out) {
  with.pool.ParallelFor(out.rows(), [&](int64_t r) {
    with.projector.Row(with.embedding, ids[r], out.row_span(r));
    for (float& value : out.row_span(r)) value *= with.text.embedding_scale;
  });
}

Result<void> EmbedBatch(const BatchEmbedder& with, const PackedBatch& batch, Mat x) {
  EmbedTokens(with, batch.tokens, x);
  for (const PlacedItem& placed : batch.items) {
    const Mat rows = x.rows_at(placed.row, placed.item->count);
    FACET_TRY(placed.item->kind == SoftItem::Kind::kAudio
                  ? with.embedders.Sound(FramesOf(*placed.item), rows)
                  : with.embedders.Picture(GridOf(*placed.item), rows));
  }
  return Ok();
}

}  // namespace facet::tune
