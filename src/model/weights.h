// Weights of a checkpoint under the names that the forward pass uses, whatever its container and
// spelling.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "formats/tensor_file.h"
#include "model/config.h"
#include "ops/matmul/packed.h"

namespace facet {

// A projection y = x W^T. `name` is the checkpoint's name, for adapters, exports and errors.
struct Linear {
  std::string name;
  WeightView weight;
  PackedMatrix packed;  // for the fast kernels; data null until packed
  int64_t rows() const { return weight.rows; }
  int64_t cols() const { return weight.cols; }
};

struct LayerWeights {
  std::vector<float> attn_norm, post_attn_norm, ffn_norm, post_ffn_norm;  // (width)
  std::vector<float> q_norm, k_norm;                                      // (head_dim)
  // q (heads * head_dim, width); k and v (kv_heads * head_dim, width); o (width, heads * head_dim);
  // gate and up (ffn, width); down (width, ffn). v.weight.data is null where keys are values, and
  // k's and v's are in a drafter.
  Linear q, k, v, o, gate, up, down;
  float layer_scalar = 1;
};

struct VisionWeights {
  std::vector<float> ln1, ln1_bias;                                 // (6912)
  std::vector<float> bias, ln2, ln2_bias, pos_norm, pos_norm_bias;  // (embed_dim)
  Linear patch;                                                     // (embed_dim, 6912)
  Linear projection;                                                // (width, embed_dim)
  std::vector<float> columns, rows;                                 // (positions, embed_dim) each
  bool channels_first = false;  // the patch weights' columns are ordered channel, row, column
};

struct AudioWeights {
  Linear projection;  // (width, samples of a frame)
};

struct DrafterWeights {
  Linear pre_projection;          // (width, 2 * target width)
  Linear post_projection;         // (target width, width)
  Linear centroids;               // (centroids, width); with ordered embeddings
  std::vector<int32_t> ordering;  // (vocab): token ids, centroid after centroid
};

struct Weights {
  Linear embedding;               // (vocab, width); the tied head too
  std::vector<float> final_norm;  // (width)
  std::vector<LayerWeights> layers;
  std::optional<VisionWeights> vision;
  std::optional<AudioWeights> audio;
  std::optional<DrafterWeights> drafter;
};

// A checkpoint on disk: mapped files, configuration, weights that point into them.
struct Checkpoint {
  std::unique_ptr<TensorFile> text, projector;  // projector: a GGUF's mmproj
  ModelConfig config;
  Weights weights;

  // The file that holds a tensor's bytes.
  const TensorFile* FileOf(std::string_view name) const;
};

// What the names of a folder's decoder begin with: "model.language_model.", or "model." where text
// alone was saved, or nothing where the decoder was; "model." for a drafter.
std::string TextPrefix(const TensorFile& file, const ModelConfig& config);

// The head, which some programs save although it is the embedding. Error: it is another matrix.
constexpr std::string_view kHeadName = "lm_head.weight";
Result<void> CheckTiedHead(const TensorFile& file, std::string_view embedding);

// Every Linear of the weights, in a fixed order.
std::vector<Linear*> AllLinears(Weights& weights);

// `model`: a folder with config.json and safetensors, or a GGUF; `mmproj`: a projector GGUF for the
// latter. Errors name the file and the tensor: missing, wrong shape, unsupported type, a layer's
// tensor that nothing here computes.
Result<Checkpoint> LoadCheckpoint(const std::filesystem::path& model,
                                  const std::optional<std::filesystem::path>& mmproj);

// The error for a weight that is NaN or infinite. `row` counts from the tensor's first one.
Error NotFinite(const TensorFile& file, std::string_view tensor, int64_t row);

// Every matrix of the weights has finite values alone; the vectors are checked as they are read.
// For those who do not pack them (model/packed_store.h), where it is done on the way.
Result<void> CheckFinite(const Checkpoint& checkpoint, ThreadPool& pool);

// A regular file whose name ends in .gguf.
bool IsGgufFile(const std::filesystem::path& path);

}  // namespace facet
