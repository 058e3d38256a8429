// One forward step: the rows of all chunks, taken through the decoder layers together.
#pragma once

#include <span>
#include <vector>

#include "model/blocks.h"
#include "model/model.h"

namespace facet {

// Buffers that live from step to step, so that a decode allocates nothing.
struct StepBuffers {
  Buffer x;                                          // residual stream: (rows, width)
  Buffer k, v;                                       // (rows, kv_heads * head_dim)
  BlockBuffers block;                                // of the layer at work
  RopeTable sliding, full;                           // angles by row, of either layer type
  std::vector<int32_t> positions;                    // by row
  std::vector<std::vector<const std::byte*>> tiles;  // by chunk
  std::vector<AttentionRow> ranges;                  // by row
};

class Step {
 public:
  // `trace` may be empty. All must outlive the step.
  Step(Model& model, Projector& projector, StepBuffers& buffers, const Trace& trace,
       std::span<const Chunk> chunks);

  // Checks the chunks, reserves their pages and places the embeddings of tokens and soft runs.
  Result<void> Begin();
  void Layer(int layer);
  // States after the final norm of the rows that were asked for: (sum of outputs, width).
  void Finish(Buffer& hidden);

 private:
  struct Row {
    int chunk = 0;
    int position = 0;  // absolute, in its sequence
    int run_end = 0;   // end of the picture it lies in; 0 outside
  };
  void FindAdaptedRows();
  Result<void> AddChunk(int index);
  Result<void> Embed(int row, int32_t token, const SoftRun* run);
  void FillAngles();
  void Attention(int layer, ConstMat h);
  void WriteRecords(int layer, ConstMat keys, ConstMat values);
  void FillRanges(int layer);

  Model& model_;
  const TextConfig& config_;
  StepBuffers& buffers_;
  BlockContext context_;
  std::span<const Chunk> chunks_;
  std::vector<Row> rows_;
  std::vector<AdaptedRows> adapted_;
};

}  // namespace facet
