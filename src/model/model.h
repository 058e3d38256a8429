// A loaded model: one forward step over rows of many sequences, logits, and the embedders of
// pictures and sound. docs/model.md has the arithmetic.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/matrix.h"
#include "base/result.h"
#include "base/thread_pool.h"
#include "model/config.h"
#include "model/kv_cache.h"
#include "model/packed_store.h"
#include "model/projection.h"
#include "model/soft_run.h"
#include "model/trace.h"
#include "model/weights.h"

namespace facet {

// New tokens of one sequence in one step. A picture's run must lie in one chunk whole.
struct Chunk {
  // Positions continue at sequence->length(); Commit is the caller's.
  KvSequence* sequence = nullptr;
  std::span<const int32_t> tokens;   // ids; those under soft runs are ignored
  std::span<const SoftRun> soft;     // sorted by begin; runs outside the chunk are allowed
  int outputs = 1;                   // hidden states wanted, for that many of the last rows
  const Adapter* adapter = nullptr;  // null: none
};

struct LoadOptions {
  std::filesystem::path model;
  std::optional<std::filesystem::path> mmproj;
  Precision precision = Precision::kFast;
  CacheType cache = CacheType::kF16;
  bool compact_cache = true;
  size_t cache_budget = 0;  // bytes; 0 = no limit
  // Write packed weights of large models to the cache folder, for the next start.
  bool keep_packed = true;
};

struct StepBuffers;

class Model {
 public:
  static Result<std::unique_ptr<Model>> Load(const LoadOptions& options, ThreadPool& pool);
  ~Model();

  const ModelConfig& config() const { return checkpoint_.config; }
  const Weights& weights() const { return checkpoint_.weights; }
  KvPool& cache() { return *cache_; }
  ThreadPool& pool() { return pool_; }
  // Names the weights, and the layout and type of the cache.
  std::string Identity() const;
  Precision precision() const { return projector_.precision(); }
  // Null where precision is plain.
  PackedStore* packed() { return packed_.get(); }

  // Computes all chunks in one step. Writes keys and values behind each sequence's length (the
  // caller commits) and returns the states after the final norm: (sum of outputs, width), chunk
  // after chunk. On error (cache full, a picture that is cut, an id outside the vocabulary) no
  // sequence has changed.
  Result<void> Forward(std::span<const Chunk> chunks, Buffer& hidden);

  // Logits (rows, vocab) of such states (rows, width), soft-capped; suppress_tokens are not
  // applied.
  void Logits(ConstMat hidden, Mat logits);

  // Rows of the embedding table, scaled: (ids, width).
  Result<void> EmbedTokens(std::span<const int32_t> ids, Mat out);

  // Soft tokens of a picture of `columns` patches a row: pixels (patches, 6912) to (patches,
  // width).
  Result<void> EmbedPatches(MatrixView<const uint8_t> pixels, int columns, Mat out,
                            const Adapter* adapter = nullptr);
  // Soft tokens of sound: frames (n, 640) to (n, width).
  Result<void> EmbedAudio(ConstMat frames, Mat out, const Adapter* adapter = nullptr);

  // A LoRA adapter of this model, for chunks and embeddings that name it. Errors: Adapter::Load's.
  Result<std::shared_ptr<const Adapter>> LoadAdapter(const std::filesystem::path& folder) const {
    FACET_ASSIGN(std::shared_ptr<const Adapter> adapter,
                 Adapter::Load(folder, weights(), config()));
    return adapter;
  }

  // Goes on as if the files had said this. For `facet verify`, which asks whether another model
  // would be a better one: shapes, kinds of layers, the window and the rotated pairs must stay.
  void Replace(const ModelConfig& config, const Weights& weights) {
    checkpoint_.config = config;
    checkpoint_.weights = weights;
  }

  void set_trace(Trace trace) { trace_ = std::move(trace); }

 private:
  Model(Checkpoint checkpoint, std::unique_ptr<PackedStore> packed, const LoadOptions& options,
        ThreadPool& pool);

  Checkpoint checkpoint_;
  std::unique_ptr<PackedStore> packed_;  // null where precision is plain
  ThreadPool& pool_;
  Projector projector_;
  std::unique_ptr<KvPool> cache_;
  Trace trace_;
  std::unique_ptr<StepBuffers> buffers_;
};

}  // namespace facet
