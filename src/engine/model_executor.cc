#include "engine/model_executor.h"

#include <algorithm>

#include "engine/paged_state.h"

namespace facet {
namespace {

class ModelExecutor : public Executor {
 public:
  ModelExecutor(Model& model, int context) : model_(model), context_(model.config().text.context) {
    if (context > 0) context_ = std::min(context_, context);
  }

  int context() const override { return context_; }
  int vocab() const override { return model_.config().text.vocab; }
  std::unique_ptr<SequenceState> Create() override {
    return std::make_unique<PagedState>(model_.cache());
  }

  Result<void> Step(std::span<const Piece> pieces, Buffer& logits) override {
    std::vector<std::vector<SoftRun>> soft(pieces.size());
    std::vector<Chunk> chunks;
    int outputs = 0;
    for (size_t i = 0; i < pieces.size(); ++i) {
      const Piece& piece = pieces[i];
      const int begin = piece.state->length(), end = begin + static_cast<int>(piece.tokens.size());
      for (const auto& item : piece.media) {
        if (item->begin + item->count <= begin || item->begin >= end) continue;
        FACET_TRY(EmbedItem(model_, *item,
                            piece.adapter));  // what the prefix cache holds is never embedded
        soft[i].push_back({.begin = item->begin,
                           .rows = std::as_const(item->rows).view(),
                           .picture = item->kind != SoftItem::Kind::kAudio});
      }
      chunks.push_back({.sequence = &static_cast<PagedState*>(piece.state)->sequence,
                        .tokens = piece.tokens,
                        .soft = soft[i],
                        .outputs = piece.output ? 1 : 0,
                        .adapter = piece.adapter});
      outputs += piece.output;
    }
    FACET_TRY(model_.Forward(chunks, hidden_));
    if (outputs > 0) model_.Logits(hidden_, logits.Resize(outputs, vocab()));
    return Ok();
  }

  int PieceLength(Media media, int begin, int total, int limit) const override {
    return UncutLength(media, begin, total, limit);
  }
  size_t cache_bytes() const override { return model_.cache().bytes_in_use(); }
  size_t cache_budget() const override { return model_.cache().budget(); }

 private:
  Model& model_;
  int context_;
  Buffer hidden_;
};

}  // namespace

std::unique_ptr<Executor> MakeModelExecutor(Model& model, int context) {
  return std::make_unique<ModelExecutor>(model, context);
}

}  // namespace facet
