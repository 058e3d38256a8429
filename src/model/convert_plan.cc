#include "model/convert_plan.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <set>

#include "model/tensor_names.h"
#include "model/weights.h"

namespace facet {
namespace {

constexpr int kBlock = 32;

// The nearest type whose blocks fill a row of `cols` elements.
DType FitRow(DType type, int64_t cols) {
  if (cols % Traits(type).block == 0) return type;
  if (cols % kBlock != 0) return DType::kF16;
  return type == DType::kQ4_K ? DType::kQ5_0 : DType::kQ8_0;
}

struct ProjectorPart {
  const char* hub;
  const char* gguf;
  RowOrder order = RowOrder::kSame;
};

constexpr std::array<ProjectorPart, 9> kVisionParts = {{
    {"patch_ln1.weight", "v.patch_norm.1.weight", RowOrder::kPatchColumns},
    {"patch_ln1.bias", "v.patch_norm.1.bias", RowOrder::kPatchColumns},
    {"patch_dense.weight", "v.patch_embd.weight", RowOrder::kPatchColumns},
    {"patch_dense.bias", "v.patch_embd.bias"},
    {"patch_ln2.weight", "v.patch_norm.2.weight"},
    {"patch_ln2.bias", "v.patch_norm.2.bias"},
    {"pos_embedding", "v.position_embd.weight", RowOrder::kPositionTables},
    {"pos_norm.weight", "v.patch_norm.3.weight"},
    {"pos_norm.bias", "v.patch_norm.3.bias"},
}};

// Adds tensors to a plan by name and remembers which of the source's were used.
class Planner {
 public:
  Planner(const TensorFile& source, const TypeRule& types) : source_(source), types_(types) {}

  bool Has(const std::string& name) const { return source_.Find(name) != nullptr; }

  // The first of `names` that the source has.
  Result<void> Add(const std::vector<std::string>& names, std::string gguf,
                   RowOrder order = RowOrder::kSame) {
    for (const std::string& name : names) {
      const Tensor* tensor = source_.Find(name);
      if (tensor == nullptr) continue;
      PlannedTensor planned{std::move(gguf), DType::kF32, tensor->shape, tensor, order, {}};
      if (order == RowOrder::kPositionTables) std::swap(planned.shape[0], planned.shape[1]);
      planned.type =
          order == RowOrder::kIntegers ? DType::kI32 : types_.TypeOf(planned.name, planned.shape);
      plan.push_back(std::move(planned));
      return Ok();
    }
    return source_.Get(names.front()).error();
  }

  TensorPlan plan;

 private:
  const TensorFile& source_;
  const TypeRule& types_;
};

}  // namespace

DType TypeRule::TypeOf(std::string_view name, const std::vector<int64_t>& shape) const {
  if (shape.size() < 2 || name == "v.position_embd.weight") return DType::kF32;
  // The patch layer is convolved by other readers, which take no quantised one.
  if (name == "v.patch_embd.weight") {
    return wanted == DType::kF32 || wanted == DType::kBF16 ? DType::kF32 : DType::kF16;
  }
  DType type = wanted;
  const bool small = wanted == DType::kQ4_0 || wanted == DType::kQ4_K;
  if (small && (name == "token_embd.weight" || std::ranges::find(precise, name) != precise.end())) {
    type = DType::kQ6_K;
  }
  return FitRow(type, shape.back());
}

TypeRule MakeTypeRule(DType wanted, const TextConfig& text) {
  TypeRule rule{wanted, {}};
  if (wanted != DType::kQ4_K) return rule;
  const size_t layers = text.layers.size();
  for (size_t i = 0; i < layers; ++i) {
    // The choice of llama-quantize's Q4_K_M: the first and last eighth, and every third between.
    const bool chosen = i < layers / 8 || i >= 7 * layers / 8 || (i - layers / 8) % 3 == 2;
    if (!chosen) continue;
    // Where keys are values too, their projection deserves the same.
    const char* values = text.layers[i].keys_are_values ? kK.gguf : kV.gguf;
    rule.precise.push_back(Cat("blk.", i, ".", values));
    rule.precise.push_back(Cat("blk.", i, ".", kDown.gguf));
  }
  return rule;
}

uint32_t FileType(DType wanted) {
  switch (wanted) {
    case DType::kF16:
      return 1;
    case DType::kQ4_0:
      return 2;
    case DType::kQ8_0:
      return 7;
    case DType::kQ4_K:
      return 15;
    case DType::kBF16:
      return 32;
    default:
      return 0;
  }
}

std::string SizeLabel(uint64_t parameters) {
  double scaled = static_cast<double>(parameters);
  const char* unit = "";
  for (const char* larger : {"K", "M", "B", "T"}) {
    if (scaled < 1000 && *unit != '\0') break;
    scaled /= 1000;
    unit = larger;
  }
  char text[32];
  std::snprintf(text, sizeof(text), scaled < 9.95 ? "%.1f%s" : "%.0f%s", scaled, unit);
  return text;
}

std::vector<float> RopeFactors(const TextConfig& text) {
  int dim = 0;
  for (const LayerConfig& layer : text.layers) {
    if (!layer.sliding) dim = layer.head_dim;
  }
  std::vector<float> factors(dim / 2, 1e30f);
  std::fill_n(factors.begin(), std::min(text.rope_full.rotated_pairs, dim / 2), 1.0f);
  return factors;
}

Result<TensorPlan> PlanText(const TensorFile& source, const ModelConfig& config,
                            const TypeRule& types) {
  Planner planner(source, types);
  const std::string prefix = TextPrefix(source, config);
  if (std::vector<float> factors = RopeFactors(config.text); !factors.empty()) {
    const int64_t count = static_cast<int64_t>(factors.size());
    planner.plan.push_back({"rope_freqs.weight",
                            DType::kF32,
                            {count},
                            nullptr,
                            RowOrder::kGenerated,
                            std::move(factors)});
  }
  FACET_TRY(planner.Add({prefix + "embed_tokens.weight"}, "token_embd.weight"));
  for (size_t i = 0; i < config.text.layers.size(); ++i) {
    for (const PartName& part : kLayerParts) {
      const std::string name = Cat(prefix, "layers.", i, ".", part.hub);
      const bool optional =
          part.hub == kV.hub || (config.drafter && (part.hub == kK.hub || part.hub == kKNorm.hub));
      if (optional && !planner.Has(name)) continue;
      FACET_TRY(planner.Add({name}, Cat("blk.", i, ".", part.gguf)));
    }
  }
  FACET_TRY(planner.Add({prefix + "norm.weight"}, "output_norm.weight"));
  if (!config.drafter) return planner.plan;
  FACET_TRY(planner.Add({"post_projection.weight"}, "nextn.post_projection.weight"));
  FACET_TRY(planner.Add({"pre_projection.weight"}, "nextn.pre_projection.weight"));
  if (config.drafter->ordered_embeddings) {
    FACET_TRY(planner.Add({"masked_embedding.centroids.weight"}, "masked_embd_centroids.weight"));
    FACET_TRY(planner.Add({"masked_embedding.token_ordering"}, "masked_embd_ordering",
                          RowOrder::kIntegers));
  }
  return planner.plan;
}

Result<TensorPlan> PlanProjector(const TensorFile& source, const ModelConfig& config,
                                 const TypeRule& types) {
  Planner planner(source, types);
  const auto projection = [](const std::string& media) {
    const std::string base = "model.embed_" + media + ".";
    return std::vector<std::string>{base + "embedding_projection.weight",
                                    base + "multimodal_embedder.embedding_projection.weight"};
  };
  if (config.audio) FACET_TRY(planner.Add(projection("audio"), "mm.a.input_projection.weight"));
  if (config.vision) {
    FACET_TRY(planner.Add(projection("vision"), "mm.input_projection.weight"));
    for (const ProjectorPart& part : kVisionParts) {
      const std::string hub = part.hub;
      FACET_TRY(planner.Add({"model.vision_embedder." + hub, "model.embed_vision." + hub},
                            part.gguf, part.order));
    }
  }
  return planner.plan;
}

TensorPlan PlanSame(const TensorFile& source, const TypeRule& types) {
  TensorPlan plan;
  for (const Tensor& tensor : source.tensors()) {
    const DType type =
        IsFloating(tensor.type) ? types.TypeOf(tensor.name, tensor.shape) : tensor.type;
    plan.push_back({tensor.name, type, tensor.shape, &tensor, RowOrder::kSame, {}});
  }
  return plan;
}

}  // namespace facet
