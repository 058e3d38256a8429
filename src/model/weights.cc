#include "model/weights.h"

#include <atomic>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "base/log.h"
#include "base/mapped_file.h"
#include "base/patch.h"
#include "formats/gguf.h"
#include "formats/json.h"
#include "formats/recognise.h"
#include "formats/safetensors.h"
#include "model/tensor_names.h"
#include "ops/quant/quant.h"

namespace facet {
namespace {

// Finds a checkpoint's tensors under any of their names, checks their shapes and remembers which
// were used.
class TensorReader {
 public:
  TensorReader(const TensorFile& file, bool gguf, std::string prefix)
      : file_(file), gguf_(gguf), prefix_(std::move(prefix)) {}

  bool gguf() const { return gguf_; }
  std::string LayerName(int layer, const PartName& part) const {
    return gguf_ ? Cat("blk.", layer, ".", part.gguf)
                 : Cat(prefix_, "layers.", layer, ".", part.hub);
  }
  std::string TopName(const char* hub, const char* gguf) const {
    return gguf_ ? gguf : prefix_ + hub;
  }

  // The first of `names` that the file has.
  Result<const Tensor*> Find(const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      if (const Tensor* tensor = file_.Find(name)) {
        used_.insert(name);
        return tensor;
      }
    }
    return file_.Get(names.front()).error();
  }

  // A matrix of (rows, cols), left where it lies.
  Result<Linear> Matrix(const std::vector<std::string>& names, int64_t rows, int64_t cols) {
    FACET_ASSIGN(const Tensor* tensor, Find(names));
    FACET_TRY(CheckShape(*tensor, {rows, cols}));
    return Linear{tensor->name, {tensor->type, rows, cols, tensor->data.data()}, {}};
  }
  Result<Linear> Matrix(int layer, const PartName& part, int64_t rows, int64_t cols) {
    return Matrix({LayerName(layer, part)}, rows, cols);
  }

  // The values of a tensor of that shape, in float32.
  Result<std::vector<float>> Values(const std::vector<std::string>& names,
                                    std::vector<int64_t> shape) {
    FACET_ASSIGN(const Tensor* tensor, Find(names));
    FACET_TRY(CheckShape(*tensor, shape));
    std::vector<float> out(tensor->elements());
    const int64_t cols = tensor->cols();
    for (int64_t r = 0; r < tensor->rows(); ++r) {
      DequantizeRow(tensor->type, tensor->data.data() + r * RowBytes(tensor->type, cols),
                    std::span(out).subspan(r * cols, cols));
      const auto row = std::as_bytes(std::span(out).subspan(r * cols, cols));
      if (FindNonFinite(DType::kF32, row.data(), cols) >= 0)
        return NotFinite(file_, tensor->name, r);
    }
    return out;
  }
  Result<std::vector<float>> Values(int layer, const PartName& part, int64_t count) {
    return Values({LayerName(layer, part)}, {count});
  }

  // Error for a tensor inside a layer that nothing took: it would change the result. Others are
  // only reported.
  Result<void> CheckAllUsed(const std::set<std::string>& harmless) const {
    for (const Tensor& tensor : file_.tensors()) {
      if (used_.contains(tensor.name) || harmless.contains(tensor.name)) continue;
      const bool in_layer = tensor.name.find(gguf_ ? "blk." : "layers.") != std::string::npos;
      if (in_layer || tensor.name.find("output.weight") == 0 ||
          tensor.name.find("lm_head") != std::string::npos) {
        return Error{Cat(file_.path().string(), ": tensor ", tensor.name, " ", tensor.Describe(),
                         " belongs to no part of the model that is known here"),
                     ErrorKind::kUnsupported};
      }
      spdlog::warn("{}: tensor {} is not used", file_.path().string(), tensor.name);
    }
    return Ok();
  }

  Result<void> CheckShape(const Tensor& tensor, const std::vector<int64_t>& shape) const {
    if (tensor.shape == shape && IsFloating(tensor.type)) return Ok();
    Tensor want;
    want.shape = shape;
    std::string text = want.Describe();
    return Expected("shape " + text.substr(0, text.find(')') + 1) + " of floating numbers",
                    tensor.Describe(), Cat(file_.path().string(), ": ", tensor.name));
  }

 private:
  const TensorFile& file_;
  bool gguf_;
  std::string prefix_;
  std::set<std::string> used_;
};

Result<LayerWeights> ReadLayer(TensorReader& read, const ModelConfig& config, int i) {
  const TextConfig& text = config.text;
  const LayerConfig& c = text.layers[i];
  const int64_t width = text.width, q_rows = int64_t{c.heads} * c.head_dim,
                kv_rows = int64_t{c.kv_heads} * c.head_dim;
  LayerWeights w;
  FACET_ASSIGN(w.attn_norm, read.Values(i, kAttnNorm, width));
  FACET_ASSIGN(w.q, read.Matrix(i, kQ, q_rows, width));
  FACET_ASSIGN(w.q_norm, read.Values(i, kQNorm, c.head_dim));
  if (!config.drafter) {
    FACET_ASSIGN(w.k, read.Matrix(i, kK, kv_rows, width));
    FACET_ASSIGN(w.k_norm, read.Values(i, kKNorm, c.head_dim));
    if (!c.keys_are_values) {
      FACET_ASSIGN(w.v, read.Matrix(i, kV, kv_rows, width));
    }
  }
  FACET_ASSIGN(w.o, read.Matrix(i, kO, width, q_rows));
  FACET_ASSIGN(w.post_attn_norm, read.Values(i, kPostAttnNorm, width));
  FACET_ASSIGN(w.ffn_norm, read.Values(i, kFfnNorm, width));
  FACET_ASSIGN(w.gate, read.Matrix(i, kGate, text.ffn, width));
  FACET_ASSIGN(w.up, read.Matrix(i, kUp, text.ffn, width));
  FACET_ASSIGN(w.down, read.Matrix(i, kDown, width, text.ffn));
  FACET_ASSIGN(w.post_ffn_norm, read.Values(i, kPostFfnNorm, width));
  if (text.family != Family::kGemma3) {
    FACET_ASSIGN(const std::vector<float> scalar, read.Values(i, kLayerScalar, 1));
    w.layer_scalar = scalar[0];
  }
  return w;
}

// Tables of column and row positions: the hub keeps (positions, 2, width), a GGUF (2, positions,
// width).
Result<void> ReadPositions(TensorReader& read, const VisionConfig& c, VisionWeights& w) {
  const int64_t n = c.positions, d = c.embed_dim;
  if (read.gguf()) {
    FACET_ASSIGN(const std::vector<float> table,
                 read.Values({"v.position_embd.weight"}, {2, n, d}));
    w.columns.assign(table.begin(), table.begin() + n * d);
    w.rows.assign(table.begin() + n * d, table.end());
    return Ok();
  }
  FACET_ASSIGN(const std::vector<float> table, read.Values({"model.vision_embedder.pos_embedding",
                                                            "model.embed_vision.pos_embedding"},
                                                           {n, 2, d}));
  w.columns.resize(n * d);
  w.rows.resize(n * d);
  for (int64_t i = 0; i < n; ++i) {
    std::memcpy(&w.columns[i * d], &table[2 * i * d], d * sizeof(float));
    std::memcpy(&w.rows[i * d], &table[(2 * i + 1) * d], d * sizeof(float));
  }
  return Ok();
}

Result<VisionWeights> ReadVision(TensorReader& read, const ModelConfig& config) {
  const VisionConfig& c = *config.vision;
  const int64_t d = c.embed_dim;
  const auto names = [&](const std::string& hub,
                         const std::string& gguf) -> std::vector<std::string> {
    if (read.gguf()) return {gguf};
    return {"model.vision_embedder." + hub, "model.embed_vision." + hub};
  };
  VisionWeights w;
  w.channels_first = read.gguf();
  FACET_ASSIGN(w.ln1,
               read.Values(names("patch_ln1.weight", "v.patch_norm.1.weight"), {kPatchValues}));
  FACET_ASSIGN(w.ln1_bias,
               read.Values(names("patch_ln1.bias", "v.patch_norm.1.bias"), {kPatchValues}));
  FACET_ASSIGN(w.patch,
               read.Matrix(names("patch_dense.weight", "v.patch_embd.weight"), d, kPatchValues));
  FACET_ASSIGN(w.bias, read.Values(names("patch_dense.bias", "v.patch_embd.bias"), {d}));
  FACET_ASSIGN(w.ln2, read.Values(names("patch_ln2.weight", "v.patch_norm.2.weight"), {d}));
  FACET_ASSIGN(w.ln2_bias, read.Values(names("patch_ln2.bias", "v.patch_norm.2.bias"), {d}));
  FACET_TRY(ReadPositions(read, c, w));
  FACET_ASSIGN(w.pos_norm, read.Values(names("pos_norm.weight", "v.patch_norm.3.weight"), {d}));
  FACET_ASSIGN(w.pos_norm_bias, read.Values(names("pos_norm.bias", "v.patch_norm.3.bias"), {d}));
  std::vector<std::string> projection = {
      "model.embed_vision.embedding_projection.weight",
      "model.embed_vision.multimodal_embedder.embedding_projection.weight"};
  if (read.gguf()) projection = {"mm.input_projection.weight"};
  FACET_ASSIGN(w.projection, read.Matrix(projection, config.text.width, d));
  return w;
}

Result<AudioWeights> ReadAudio(TensorReader& read, const ModelConfig& config) {
  std::vector<std::string> names = {
      "model.embed_audio.embedding_projection.weight",
      "model.embed_audio.multimodal_embedder.embedding_projection.weight"};
  if (read.gguf()) names = {"mm.a.input_projection.weight"};
  AudioWeights w;
  FACET_ASSIGN(w.projection, read.Matrix(names, config.text.width, config.audio->frame));
  return w;
}

Result<std::vector<int32_t>> ReadOrdering(TensorReader& read, const std::vector<std::string>& names,
                                          int vocab) {
  FACET_ASSIGN(const Tensor* tensor, read.Find(names));
  if (tensor->elements() != vocab || (tensor->type != DType::kI64 && tensor->type != DType::kI32)) {
    return Expected(Cat("(", vocab, ") integers"), tensor->Describe(), tensor->name);
  }
  std::vector<int32_t> ids(vocab);
  for (int i = 0; i < vocab; ++i) {
    int64_t id = 0;
    if (tensor->type == DType::kI64) {
      std::memcpy(&id, tensor->data.data() + i * sizeof(int64_t), sizeof(int64_t));
    } else {
      int32_t narrow = 0;
      std::memcpy(&narrow, tensor->data.data() + i * sizeof(int32_t), sizeof(int32_t));
      id = narrow;
    }
    if (id < 0 || id >= vocab)
      return Expected(Cat("ids below ", vocab), id, Cat(tensor->name, "[", i, "]"));
    ids[i] = static_cast<int32_t>(id);
  }
  return ids;
}

Result<DrafterWeights> ReadDrafter(TensorReader& read, ModelConfig& config) {
  DrafterConfig& c = *config.drafter;
  const int64_t width = config.text.width, target = c.target_width;
  const auto names = [&](const char* hub, const char* gguf) -> std::vector<std::string> {
    return {read.gguf() ? gguf : hub};
  };
  DrafterWeights w;
  FACET_ASSIGN(w.pre_projection,
               read.Matrix(names("pre_projection.weight", "nextn.pre_projection.weight"), width,
                           2 * target));
  FACET_ASSIGN(
      w.post_projection,
      read.Matrix(names("post_projection.weight", "nextn.post_projection.weight"), target, width));
  if (!c.ordered_embeddings) return w;
  FACET_ASSIGN(w.centroids, read.Matrix(names("masked_embedding.centroids.weight",
                                              "masked_embd_centroids.weight"),
                                        c.centroids, width));
  FACET_ASSIGN(w.ordering,
               ReadOrdering(read, names("masked_embedding.token_ordering", "masked_embd_ordering"),
                            config.text.vocab));
  if (config.text.vocab % c.centroids != 0) {
    return Expected("a vocabulary that the centroids divide",
                    Cat(config.text.vocab, " and ", c.centroids), "num_centroids");
  }
  return w;
}

Result<void> ReadText(TensorReader& read, ModelConfig& config, Weights& w) {
  FACET_ASSIGN(w.embedding, read.Matrix({read.TopName("embed_tokens.weight", "token_embd.weight")},
                                        config.text.vocab, config.text.width));
  FACET_ASSIGN(w.final_norm, read.Values({read.TopName("norm.weight", "output_norm.weight")},
                                         {config.text.width}));
  for (size_t i = 0; i < config.text.layers.size(); ++i) {
    FACET_ASSIGN(LayerWeights layer, ReadLayer(read, config, static_cast<int>(i)));
    w.layers.push_back(std::move(layer));
  }
  return Ok();
}

Result<Checkpoint> LoadFolder(const std::filesystem::path& folder) {
  Checkpoint out;
  FACET_ASSIGN(const nlohmann::json config, ReadJson(folder / "config.json"));
  nlohmann::json generation = nlohmann::json::object();
  if (std::filesystem::exists(folder / "generation_config.json")) {
    FACET_ASSIGN(generation, ReadJson(folder / "generation_config.json"));
  }
  auto parsed = ConfigFromJson(config, generation);
  if (!parsed.ok()) return parsed.error().In(folder.string());
  out.config = std::move(*parsed);
  if (std::filesystem::exists(folder / "processor_config.json")) {
    FACET_ASSIGN(const nlohmann::json processor, ReadJson(folder / "processor_config.json"));
    if (auto added = AddProcessorConfig(processor, out.config); !added.ok())
      return added.error().In(folder.string());
  }
  FACET_ASSIGN(std::unique_ptr<Safetensors> file, Safetensors::Open(folder));
  out.text = std::move(file);
  TensorReader read(*out.text, false, TextPrefix(*out.text, out.config));
  FACET_TRY(ReadText(read, out.config, out.weights));
  if (out.config.drafter) {
    FACET_ASSIGN(out.weights.drafter, ReadDrafter(read, out.config));
  }
  if (out.config.vision) {
    FACET_ASSIGN(out.weights.vision, ReadVision(read, out.config));
  }
  if (out.config.audio) {
    FACET_ASSIGN(out.weights.audio, ReadAudio(read, out.config));
  }
  FACET_TRY(CheckTiedHead(*out.text, out.weights.embedding.name));
  FACET_TRY(read.CheckAllUsed({std::string(kHeadName)}));
  return out;
}

Result<Checkpoint> LoadGguf(const std::filesystem::path& path,
                            const std::optional<std::filesystem::path>& mmproj) {
  Checkpoint out;
  FACET_ASSIGN(std::unique_ptr<Gguf> file, Gguf::Open(path));
  FACET_ASSIGN(out.config, ConfigFromGguf(*file));
  if (out.config.drafter) {
    // Ordered embeddings are kept by files of this program; others leave the dense head.
    if (const Tensor* centroids = file->Find("masked_embd_centroids.weight")) {
      out.config.drafter->ordered_embeddings = true;
      out.config.drafter->centroids =
          static_cast<int>(std::min<int64_t>(centroids->rows(), 1 << 24));
      FACET_ASSIGN(const int64_t top, file->Int("gemma4-assistant.centroid_top_k"));
      if (top < 1 || top > out.config.drafter->centroids) {
        return Expected(Cat("1 to ", out.config.drafter->centroids), top,
                        "gemma4-assistant.centroid_top_k");
      }
      out.config.drafter->top_centroids = static_cast<int>(top);
    }
  }
  TensorReader read(*file, true, "");
  FACET_TRY(ReadText(read, out.config, out.weights));
  if (out.config.drafter) {
    FACET_ASSIGN(out.weights.drafter, ReadDrafter(read, out.config));
  }
  FACET_TRY(read.CheckAllUsed({"rope_freqs.weight"}));
  out.text = std::move(file);
  if (!mmproj) return out;
  FACET_ASSIGN(std::unique_ptr<Gguf> projector, Gguf::Open(*mmproj));
  FACET_TRY(AddProjectorConfig(*projector, out.config));
  TensorReader read_media(*projector, true, "");
  if (out.config.vision) {
    FACET_ASSIGN(out.weights.vision, ReadVision(read_media, out.config));
  }
  if (out.config.audio) {
    FACET_ASSIGN(out.weights.audio, ReadAudio(read_media, out.config));
  }
  FACET_TRY(read_media.CheckAllUsed({}));
  out.projector = std::move(projector);
  return out;
}

}  // namespace

const TensorFile* Checkpoint::FileOf(std::string_view name) const {
  if (text->Find(name) != nullptr) return text.get();
  return projector != nullptr && projector->Find(name) != nullptr ? projector.get() : nullptr;
}

std::string TextPrefix(const TensorFile& file, const ModelConfig& config) {
  if (config.drafter) return "model.";
  for (const char* prefix : {"model.language_model.", "model.", ""}) {
    if (file.Find(Cat(prefix, "embed_tokens.weight")) != nullptr) return prefix;
  }
  return "model.language_model.";
}

Result<void> CheckTiedHead(const TensorFile& file, std::string_view embedding) {
  const Tensor *head = file.Find(kHeadName), *tied = file.Find(embedding);
  if (head == nullptr || tied == nullptr) return Ok();
  const bool same = head->type == tied->type && head->shape == tied->shape &&
                    std::memcmp(head->data.data(), tied->data.data(), head->data.size()) == 0;
  if (same) return Ok();
  return Error{Cat(file.path().string(), ": tensor ", kHeadName, " is not the same as ", embedding,
                   "; a head of its own is not computed (train with tie_word_embeddings)"),
               ErrorKind::kUnsupported};
}

std::vector<Linear*> AllLinears(Weights& weights) {
  std::vector<Linear*> all = {&weights.embedding};
  for (LayerWeights& w : weights.layers) {
    for (Linear* linear : {&w.q, &w.k, &w.v, &w.o, &w.gate, &w.up, &w.down}) {
      if (linear->weight.data != nullptr) all.push_back(linear);
    }
  }
  if (weights.vision) all.insert(all.end(), {&weights.vision->patch, &weights.vision->projection});
  if (weights.audio) all.push_back(&weights.audio->projection);
  if (weights.drafter) {
    all.insert(all.end(), {&weights.drafter->pre_projection, &weights.drafter->post_projection});
    if (weights.drafter->centroids.weight.data != nullptr)
      all.push_back(&weights.drafter->centroids);
  }
  return all;
}

Error NotFinite(const TensorFile& file, std::string_view tensor, int64_t row) {
  return {Cat(file.path().string(), ": tensor ", Printable(tensor), ", row ", row,
              ": holds NaN or infinity; the file is damaged, or its training diverged")};
}

Result<void> CheckFinite(const Checkpoint& checkpoint, ThreadPool& pool) {
  Weights weights = checkpoint.weights;  // copies views, not matrices
  for (const Linear* linear : AllLinears(weights)) {
    const WeightView& w = linear->weight;
    std::atomic<int64_t> bad = -1;
    pool.ParallelFor(w.rows, [&](int64_t r) {
      if (FindNonFinite(w.type, w.row(r), w.cols) >= 0) bad = r;
    });
    const TensorFile* file = checkpoint.FileOf(linear->name);
    if (bad >= 0 && file != nullptr) return NotFinite(*file, linear->name, bad);
  }
  return Ok();
}

bool IsGgufFile(const std::filesystem::path& path) {
  std::error_code code;
  if (!std::filesystem::is_regular_file(path, code)) return false;
  return path.extension() == ".gguf" || path.extension() == ".GGUF";
}

Result<Checkpoint> LoadCheckpoint(const std::filesystem::path& model,
                                  const std::optional<std::filesystem::path>& mmproj) {
  // Files of other kinds are refused with what works instead.
  FACET_ASSIGN(const ModelFormat format, RecogniseModel(model));
  if (format == ModelFormat::kSafetensors) {
    if (mmproj) {
      return Error{Cat(mmproj->string(),
                       ": a projector file goes with a GGUF model; this model is a folder")};
    }
    std::error_code code;
    if (std::filesystem::is_directory(model, code)) return LoadFolder(model);
    return Error{
        Cat(model.string(), ": name the folder that holds this file together with config.json")};
  }
  return LoadGguf(model, mmproj);
}

}  // namespace facet
