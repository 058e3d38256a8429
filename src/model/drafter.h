// The multi-token-prediction drafter (gemma4_unified_assistant): a few layers with queries alone,
// which read the target's keys and values. docs/model.md, "The drafter".
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "model/blocks.h"
#include "model/model.h"

namespace facet {

// The target's layers whose keys a drafter's layers read: the last one of each type; -1: none.
struct KeyLayers {
  int sliding = -1, full = -1;
};
KeyLayers KeyLayersOf(const TextConfig& target);

// Errors name the field: a drafter whose shapes do not fit the target.
Result<void> CheckDrafterFits(const ModelConfig& drafter, const ModelConfig& target);

// One draft to make: what the target sampled last and where it stands.
struct DraftRow {
  // Keys of everything but `token`; the query stands at its length.
  const KvSequence* sequence = nullptr;
  // The newest token, or the draft before this one.
  int32_t token = 0;
  // (target width): the target's state after its final norm at the last cached position, or the
  // hidden state that the draft before this one gave.
  const float* hidden = nullptr;
};

class Drafter {
 public:
  // Errors: not a drafter, or shapes that do not fit `target`. The target must outlive the drafter.
  static Result<std::unique_ptr<Drafter>> Load(const std::filesystem::path& path, Model& target);

  // One draft for each row. logits: (rows, vocab), no soft cap; with ordered embeddings tokens
  // outside the best centroids get the lowest score minus 1. hidden: (rows, target width), for the
  // next draft of the round. Error: a token outside the vocabulary.
  Result<void> Draft(std::span<const DraftRow> rows, Buffer& logits, Buffer& hidden);

  const ModelConfig& config() const { return checkpoint_.config; }

 private:
  Drafter(Checkpoint checkpoint, std::unique_ptr<PackedStore> packed, Model& target);
  BlockContext Context();
  void Layer(int layer, std::span<const DraftRow> rows);
  void Attention(int layer, std::span<const DraftRow> rows, ConstMat h);
  // Logits (rows, vocab) of states h (rows, width), of the tokens of the best centroids alone.
  void OrderedLogits(ConstMat h, Mat logits);

  Checkpoint checkpoint_;
  std::unique_ptr<PackedStore> packed_;
  Model& target_;
  Projector projector_;
  KeyLayers sources_;
  // Kept from call to call.
  Buffer input_;   // [embedding of the token ; hidden]: (rows, 2 * target width)
  Buffer x_;       // residual stream: (rows, width)
  Buffer scores_;  // of centroids: (rows, centroids)
  BlockBuffers block_;
  RopeTable sliding_, full_;                          // angles by row, of either layer type
  std::vector<std::vector<const std::byte*>> tiles_;  // by row
  std::vector<AttentionRow> ranges_;                  // by row
};

}  // namespace facet
