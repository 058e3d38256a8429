#include "engine/model_executor.h"

#include <algorithm>

#include "engine/paged_state.h"

namespace facet {
namespace {

// Pages, and what a drafter begins with. Copies (snapshots) are pages alone.
class ModelState : public PagedState {
 public:
  using PagedState::PagedState;
  std::unique_ptr<SequenceState> Copy() const override {
    auto copy = std::make_unique<ModelState>(sequence.pool());
    copy->sequence = sequence;
    (void)copy->sequence.Rewind(copy->length());
    return copy;
  }

  // Keeps a step's states after the final norm: of the positions from `begin` on.
  void Keep(int begin, ConstMat hidden) {
    begin_ = begin;
    Mat kept = hidden_.Resize(hidden.rows(), hidden.cols());
    for (int64_t r = 0; r < hidden.rows(); ++r)
      std::copy_n(hidden.row(r), hidden.cols(), kept.row(r));
  }
  // The one at the last committed position; null where no step has computed it.
  const float* Newest() const {
    const int row = length() - 1 - begin_;
    return row >= 0 && row < hidden_.rows() ? hidden_.view().row(row) : nullptr;
  }

  Vector chain;  // the hidden state that the draft before gave

 private:
  int begin_ = 0;
  Buffer hidden_;
};

class ModelExecutor : public Executor {
 public:
  ModelExecutor(Model& model, int context, std::unique_ptr<Drafter> drafter)
      : model_(model), context_(model.config().text.context), drafter_(std::move(drafter)) {
    if (context > 0) context_ = std::min(context_, context);
    context_ = model.cache().layout().TokensIn(model.cache().budget(), context_);
  }

  int context() const override { return context_; }
  int vocab() const override { return model_.config().text.vocab; }
  int width() const override { return model_.config().text.width; }
  std::string identity() const override { return model_.Identity(); }
  std::unique_ptr<SequenceState> Create() override {
    return std::make_unique<ModelState>(model_.cache());
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
      outputs += piece.outputs;
    }
    FACET_TRY(model_.Forward(chunks, hidden_));
    TakeSums(pieces);
    if (drafter_) KeepStates(pieces);
    if (outputs > 0) model_.Logits(hidden_, logits.Resize(outputs, vocab()));
    return Ok();
  }

  int PieceLength(Media media, int begin, int total, int limit) const override {
    return UncutLength(media, begin, total, limit);
  }
  bool has_drafter() const override { return drafter_ != nullptr; }
  bool CanDraft(const SequenceState& state) const override {
    return drafter_ && static_cast<const ModelState&>(state).Newest() != nullptr;
  }
  Result<void> Draft(std::span<const DraftPiece> pieces, Buffer& logits) override {
    std::vector<DraftRow> rows;
    for (const DraftPiece& piece : pieces) {
      const auto& state = static_cast<const ModelState&>(*piece.state);
      const float* hidden = piece.first ? state.Newest() : state.chain.data();
      rows.push_back({&state.sequence, piece.token, hidden});
    }
    FACET_TRY(drafter_->Draft(rows, logits, draft_hidden_));
    for (size_t i = 0; i < pieces.size(); ++i) {
      const std::span<float> hidden = draft_hidden_.view().row_span(static_cast<int64_t>(i));
      static_cast<ModelState&>(*pieces[i].state).chain.assign(hidden.begin(), hidden.end());
    }
    return Ok();
  }
  size_t cache_bytes() const override { return model_.cache().bytes_in_use(); }
  size_t cache_budget() const override { return model_.cache().budget(); }

 private:
  void KeepStates(std::span<const Piece> pieces) {
    int64_t row = 0;
    for (const Piece& piece : pieces) {
      const int end = piece.state->length() + static_cast<int>(piece.tokens.size());
      if (piece.outputs > 0) {
        static_cast<ModelState*>(piece.state)
            ->Keep(end - piece.outputs, std::as_const(hidden_).view().rows_at(row, piece.outputs));
      }
      row += piece.outputs;
    }
  }

  // Rows of a piece whose states are wanted.
  static int Outputs(const Piece& piece) {
    if (piece.sum != nullptr) return static_cast<int>(piece.tokens.size());
    return piece.outputs;
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
        if (i < rows - piece.outputs) continue;
        std::copy(state.begin(), state.end(), hidden_.view().row_span(kept++).begin());
      }
    }
    hidden_.Resize(kept, width());
  }

  Model& model_;
  int context_;
  std::unique_ptr<Drafter> drafter_;
  Buffer hidden_, draft_hidden_;
};

}  // namespace

std::unique_ptr<Executor> MakeModelExecutor(Model& model, int context,
                                            std::unique_ptr<Drafter> drafter) {
  return std::make_unique<ModelExecutor>(model, context, std::move(drafter));
}

}  // namespace facet
