#include "engine/model_executor.h"

#include <algorithm>

#include "engine/paged_state.h"
#include "media/media.h"

namespace facet {
namespace {

class ModelExecutor : public Executor {
 public:
  ModelExecutor(Model& model, int context) : model_(model), context_(model.config().text.context) {
    if (context > 0) context_ = std::min(context_, context);
  }

  int context() const override { return context_; }
  int vocab() const override { return model_.config().text.vocab; }
  std::unique_ptr<SequenceState> Create() override { return std::make_unique<PagedState>(model_.cache()); }

  Result<void> Step(std::span<const Piece> pieces, Buffer& logits) override {
    std::vector<std::vector<SoftRun>> soft(pieces.size());
    std::vector<Chunk> chunks;
    int outputs = 0;
    for (size_t i = 0; i < pieces.size(); ++i) {
      const Piece& piece = pieces[i];
      for (const MediaRun& run : piece.media) {
        const int begin = piece.state->length(), end = begin + static_cast<int>(piece.tokens.size());
        if (run.end() <= begin || run.begin >= end) continue;
        FACET_TRY(Embed(run));
        soft[i].push_back({.begin = run.begin, .rows = run.data->rows.view(), .picture = run.picture});
      }
      chunks.push_back({.sequence = &static_cast<PagedState*>(piece.state)->sequence,
                        .tokens = piece.tokens,
                        .soft = soft[i],
                        .outputs = piece.output ? 1 : 0});
      outputs += piece.output;
    }
    FACET_TRY(model_.Forward(chunks, hidden_));
    if (outputs > 0) model_.Logits(hidden_, logits.Resize(outputs, vocab()));
    return Ok();
  }

  int PieceLength(std::span<const MediaRun> media, int begin, int total, int limit) const override {
    return UncutLength(media, begin, total, limit);
  }
  size_t cache_bytes() const override { return model_.cache().bytes_in_use(); }
  size_t cache_budget() const override { return model_.cache().budget(); }

 private:
  // What the prefix cache holds is never embedded.
  Result<void> Embed(const MediaRun& run) {
    MediaData& data = *run.data;
    if (data.rows.rows() > 0) return Ok();
    const Mat out = data.rows.Resize(run.count, model_.config().text.width);
    if (data.columns > 0) {
      const MatrixView<const uint8_t> pixels(data.pixels.data(), run.count, media::kPatchValues);
      return model_.EmbedPatches(pixels, data.columns, out);
    }
    return model_.EmbedAudio(ConstMat(data.frames.data(), run.count, media::kFrameSamples), out);
  }

  Model& model_;
  int context_;
  Buffer hidden_;
};

}  // namespace

std::unique_ptr<Executor> MakeModelExecutor(Model& model, int context) {
  return std::make_unique<ModelExecutor>(model, context);
}

}  // namespace facet
