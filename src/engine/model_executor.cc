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
  int width() const override { return model_.config().text.width; }
  std::string identity() const override { return model_.Identity(); }
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
                        .outputs = Outputs(piece),
                        .adapter = piece.adapter});
      outputs += piece.output;
    }
    FACET_TRY(model_.Forward(chunks, hidden_));
    TakeSums(pieces);
    if (outputs > 0) model_.Logits(hidden_, logits.Resize(outputs, vocab()));
    return Ok();
  }

  int PieceLength(Media media, int begin, int total, int limit) const override {
    return UncutLength(media, begin, total, limit);
  }
  size_t cache_bytes() const override { return model_.cache().bytes_in_use(); }
  size_t cache_budget() const override { return model_.cache().budget(); }

 private:
  // Rows of a piece whose states are wanted.
  static int Outputs(const Piece& piece) {
    if (piece.sum != nullptr) return static_cast<int>(piece.tokens.size());
    return piece.output ? 1 : 0;
  }

  // Adds up the states of the pieces that want it, row after row, so that neither the cut of the
  // prompt nor its neighbours change the sum. What stays are the rows that logits are wanted of.
  void TakeSums(std::span<const Piece> pieces) {
    if (std::none_of(pieces.begin(), pieces.end(), [](const Piece& p) { return p.sum != nullptr; }))
      return;
    int64_t row = 0, kept = 0;
    for (const Piece& piece : pieces) {
      const int rows = Outputs(piece);
      for (int i = 0; i < rows; ++i, ++row) {
        const std::span<float> state = hidden_.view().row_span(row);
        if (piece.sum != nullptr) {
          piece.sum->resize(state.size());
          for (size_t k = 0; k < state.size(); ++k) (*piece.sum)[k] += state[k];
        }
        if (!piece.output || i + 1 < rows) continue;
        std::copy(state.begin(), state.end(), hidden_.view().row_span(kept++).begin());
      }
    }
    hidden_.Resize(kept, width());
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
