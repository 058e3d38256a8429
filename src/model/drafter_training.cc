#include "model/drafter_training.h"

#include <algorithm>
#include <cassert>

namespace facet {

DrafterTraining::DrafterTraining(const TextConfig& config, const TrainWeights& weights,
                                 TrainProjector& projector, int drafts, ThreadPool& pool)
    : config_(config), weights_(weights), projector_(projector), pool_(pool), chain_(drafts) {
  for (Link& link : chain_)
    link.decoder = std::make_unique<DecoderTraining>(config, weights, projector, pool);
}

void DrafterTraining::set_keep_bytes(size_t bytes) {
  for (Link& link : chain_) link.decoder->set_keep_bytes(bytes / chain_.size());
}

RmsNormArgs DrafterTraining::FinalNorm() const {
  return {config_.width, weights_.final_norm.value.data(), config_.eps};
}

// Outputs that follow each other in one sequence: rows and positions both go up by one.
void DrafterTraining::FindRounds(const DrafterBatch& batch) {
  const std::vector<int32_t>& outputs = batch.rows->outputs;
  const std::vector<int32_t>& positions = batch.rows->positions;
  const int32_t count = static_cast<int32_t>(outputs.size());
  std::vector<int32_t> behind(outputs.size());  // outputs right behind each
  for (int32_t i = count - 2; i >= 0; --i) {
    const int32_t row = outputs[i], next = outputs[i + 1];
    const bool follows = next == row + 1 && positions[next] == positions[row] + 1;
    behind[i] = follows ? behind[i + 1] + 1 : 0;
  }
  for (size_t draft = 0; draft < chain_.size(); ++draft) {
    Link& link = chain_[draft];
    link.rounds.clear();
    link.before.clear();
    const std::vector<int32_t> all = draft > 0 ? chain_[draft - 1].rounds : std::vector<int32_t>();
    const int32_t candidates = draft > 0 ? static_cast<int32_t>(all.size()) : count;
    for (int32_t c = 0; c < candidates; ++c) {
      const int32_t output = draft > 0 ? all[c] : c;
      if (behind[output] <= static_cast<int32_t>(draft)) continue;
      link.rounds.push_back(output);
      link.before.push_back(c);
    }
    // All drafts of a round have their query in one place: behind the last key.
    link.rows = {};
    for (size_t i = 0; i < link.rounds.size(); ++i) {
      const int32_t row = outputs[link.rounds[i]], begin = batch.rows->full[row].begin;
      link.rows.positions.push_back(positions[row] + 1);
      link.rows.full.push_back({begin, row + 1});
      link.rows.sliding.push_back({std::max(begin, row + 2 - batch.target_window), row + 1});
      link.rows.outputs.push_back(static_cast<int32_t>(i));
    }
  }
}

// [embed(token) ; hidden]: the token is the text's own, as it is wherever a draft counts.
void DrafterTraining::FillInput(const DrafterBatch& batch, int draft) {
  Link& link = chain_[draft];
  const int64_t width = batch.states.cols();
  Mat input = link.input.Resize(static_cast<int64_t>(link.rounds.size()), 2 * width);
  pool_.ParallelFor(input.rows(), [&](int64_t r) {
    const int32_t output = link.rounds[r];
    const float* token = batch.next.row(output + draft);
    const float* hidden =
        draft == 0 ? batch.states.row(output) : chain_[draft - 1].hidden.view().row(link.before[r]);
    std::copy_n(token, width, input.row(r));
    std::copy_n(hidden, width, input.row(r) + width);
  });
}

// Mirrors Drafter::Draft.
void DrafterTraining::Forward(const DrafterBatch& batch, bool gradients) {
  FindRounds(batch);
  for (int draft = 0; draft < drafts(); ++draft) {
    Link& link = chain_[draft];
    const int64_t count = static_cast<int64_t>(link.rounds.size());
    Mat normed = link.normed.Resize(count, config_.width);
    if (count == 0) continue;
    FillInput(batch, draft);
    link.decoder->ReadKeys(batch.sliding, batch.full);
    Mat x = link.decoder->Begin(link.rows, gradients);
    projector_.Forward(weights_.drafter->pre_projection, link.input, x);
    link.states = link.decoder->Forward();
    RmsNorm(FinalNorm(), link.states, normed, pool_);
    if (draft + 1 == drafts()) continue;
    projector_.Forward(weights_.drafter->post_projection, normed,
                       link.hidden.Resize(count, batch.states.cols()));
  }
}

Mat DrafterTraining::StatesGradient(int draft) {
  const ConstMat normed = States(draft);
  return chain_[draft].dnormed.Resize(normed.rows(), normed.cols());
}

// dinput_ holds the gradient of the input of `after`; its second half is that of `link`'s hidden
// states.
void DrafterTraining::AddHiddenGradient(Link& link, const Link& after) {
  const int64_t width = link.hidden.cols();
  Mat dhidden = dhidden_.Resize(link.hidden.rows(), width);
  for (int64_t r = 0; r < dhidden.rows(); ++r) std::fill_n(dhidden.row(r), width, 0.0f);
  const ConstMat dinput = dinput_;
  for (int64_t r = 0; r < dinput.rows(); ++r)
    std::copy_n(dinput.row(r) + width, width, dhidden.row(after.before[r]));
  projector_.Backward(weights_.drafter->post_projection, link.normed, dhidden, Into::kAdd,
                      link.dnormed);
}

void DrafterTraining::Backward() {
  for (int draft = drafts() - 1; draft >= 0; --draft) {
    Link& link = chain_[draft];
    if (link.rounds.empty()) continue;
    assert(link.dnormed.rows() == link.normed.rows());
    if (draft + 1 < drafts() && !chain_[draft + 1].rounds.empty())
      AddHiddenGradient(link, chain_[draft + 1]);
    Mat dstates = dstates_.Resize(link.states.rows(), link.states.cols());
    RmsNormBackward(FinalNorm(), link.states, link.dnormed, Into::kStore, dstates,
                    weights_.final_norm.gradient, pool_);
    const Mat dx = link.decoder->Backward(dstates, true);
    Mat dinput;  // the first draft's hidden state is the target's
    if (draft > 0) dinput = dinput_.Resize(link.input.rows(), link.input.cols());
    projector_.Backward(weights_.drafter->pre_projection, link.input, dx, Into::kStore, dinput);
  }
}

}  // namespace facet
