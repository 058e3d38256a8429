#include "engine/model_executor.h"

#include <algorithm>
#include <map>

#include "model/drafter.h"

namespace facet {
namespace {

// Pages, and what belongs to the generation that runs: the soft tokens that it is about to read,
// and what a drafter begins with.
class ModelState : public SequenceState {
 public:
  using SequenceState::SequenceState;
  std::unique_ptr<SequenceState> Copy() const override {
    return SharePages(std::make_unique<ModelState>(pages.pool()));
  }

  // Rows (count, width) of an item, computed when a step first needs them: what the prefix cache
  // holds is never embedded.
  Result<ConstMat> SoftRows(Model& model, const SoftItem& item, const Adapter* adapter) {
    const auto [at, added] = soft_rows_.try_emplace(item.begin);
    if (added) {
      const auto done = EmbedItem(model, item, adapter, at->second);
      if (!done.ok()) {
        soft_rows_.erase(at);
        return done.error();
      }
    }
    return std::as_const(at->second).view();
  }
  // Those of items that have been read whole.
  void DropSoftRows(Media media) {
    for (const auto& item : media) {
      if (item->end() <= length()) soft_rows_.erase(item->begin);
    }
  }

  // Keeps a step's states after the final norm (rows, width): of the positions from `begin` on.
  void KeepStates(int begin, ConstMat hidden) {
    begin_ = begin;
    Mat kept = hidden_.Resize(hidden.rows(), hidden.cols());
    for (int64_t r = 0; r < hidden.rows(); ++r)
      std::copy_n(hidden.row(r), hidden.cols(), kept.row(r));
  }
  // The one at the last committed position (width); null where no step has computed it.
  const float* NewestState() const {
    const int row = length() - 1 - begin_;
    return row >= 0 && row < hidden_.rows() ? hidden_.view().row(row) : nullptr;
  }

  std::vector<float> chain;  // the hidden state that the draft before gave (width)

 private:
  int begin_ = 0;
  Buffer hidden_;
  std::map<int, Buffer> soft_rows_;  // by the item's begin
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
      auto& state = static_cast<ModelState&>(*piece.state);
      FACET_ASSIGN(soft[i], SoftRuns(piece, state));
      chunks.push_back({.sequence = &state.pages,
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

  bool has_drafter() const override { return drafter_ != nullptr; }
  bool CanDraft(const SequenceState& state) const override {
    return drafter_ && static_cast<const ModelState&>(state).NewestState() != nullptr;
  }
  Result<void> Draft(std::span<const DraftPiece> pieces, Buffer& logits) override {
    std::vector<DraftRow> rows;
    for (const DraftPiece& piece : pieces) {
      const auto& state = static_cast<const ModelState&>(*piece.state);
      const float* hidden = piece.first ? state.NewestState() : state.chain.data();
      rows.push_back({&state.pages, piece.token, hidden});
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
  // The soft tokens that a piece reads.
  Result<std::vector<SoftRun>> SoftRuns(const Piece& piece, ModelState& state) {
    std::vector<SoftRun> runs;
    state.DropSoftRows(piece.media);
    const int begin = state.length(), end = begin + static_cast<int>(piece.tokens.size());
    for (const auto& item : piece.media) {
      if (item->count == 0 || item->end() <= begin || item->begin >= end) continue;
      FACET_ASSIGN(const ConstMat rows, state.SoftRows(model_, *item, piece.adapter));
      runs.push_back({item->begin, rows, item->picture()});
    }
    return runs;
  }

  void KeepStates(std::span<const Piece> pieces) {
    int64_t row = 0;
    for (const Piece& piece : pieces) {
      const int end = piece.state->length() + static_cast<int>(piece.tokens.size());
      if (piece.outputs > 0) {
        static_cast<ModelState*>(piece.state)
            ->KeepStates(end - piece.outputs,
                         std::as_const(hidden_).view().rows_at(row, piece.outputs));
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
