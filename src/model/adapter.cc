#include "model/adapter.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "base/atomic_file.h"
#include "base/checksums.h"
#include "formats/json.h"
#include "formats/safetensors.h"
#include "model/tensor_names.h"
#include "ops/quant/quant.h"

namespace facet {
namespace {

constexpr const char* kWeightsFile = "adapter_model.safetensors";

using nlohmann::json;

constexpr std::string_view kPrefix = "base_model.model.";

// Keys that change nothing about what a finished adapter computes, or that are read here.
const std::set<std::string>& KnownKeys() {
  static const std::set<std::string> keys = {"auto_mapping",
                                             "base_model_name_or_path",
                                             "bias",
                                             "corda_config",
                                             "ensure_weight_tying",
                                             "eva_config",
                                             "exclude_modules",
                                             "inference_mode",
                                             "init_lora_weights",
                                             "layers_pattern",
                                             "layers_to_transform",
                                             "loftq_config",
                                             "lora_alpha",
                                             "lora_dropout",
                                             "lora_ga_config",
                                             "megatron_core",
                                             "peft_type",
                                             "peft_version",
                                             "qalora_group_size",
                                             "r",
                                             "rank_pattern",
                                             "revision",
                                             "runtime_config",
                                             "target_modules",
                                             "task_type",
                                             "use_rslora"};
  return keys;
}

bool SaysNothing(const json& value) {
  return value.is_null() || value == false || value == "" ||
         (value.is_structured() && value.empty());
}

Result<double> Number(const json& config, const char* key, double least) {
  if (!config.contains(key) || !config[key].is_number() || config[key].get<double>() < least)
    return Expected(Cat("a number of at least ", least),
                    config.contains(key) ? config[key].dump() : "nothing", key);
  return config[key].get<double>();
}

// A way of starting that also changed the base model's weights would need those.
Result<void> CheckStart(const json& config) {
  const json start = config.value("init_lora_weights", json(true));
  if (start.is_boolean() || start == "gaussian" || start == "eva" || start == "orthogonal")
    return Ok();
  return Error{Cat("init_lora_weights ", start.dump(),
                   " changes the base model; convert the adapter to a plain one first"),
               ErrorKind::kUnsupported};
}

Result<AdapterConfig> ParseConfig(const json& config) {
  if (!config.is_object() || config.value("peft_type", json()) != "LORA")
    return Error{"peft_type is not \"LORA\"; only LoRA adapters are computed",
                 ErrorKind::kUnsupported};
  if (config.value("bias", json("none")) != "none")
    return Error{"bias is not \"none\": trained biases have no place in this model",
                 ErrorKind::kUnsupported};
  for (const auto& [key, value] : config.items()) {
    if (!KnownKeys().contains(key) && !SaysNothing(value) && value != "megatron.core")
      return Error{Cat(key, " = ", value.dump().substr(0, 60), " is not supported"),
                   ErrorKind::kUnsupported};
  }
  FACET_TRY(CheckStart(config));
  AdapterConfig out;
  FACET_ASSIGN(const double rank, Number(config, "r", 1));
  if (rank > 65536) return Expected("a rank of at most 65536", rank, "r");
  out.rank = static_cast<int>(rank);
  FACET_ASSIGN(out.alpha, Number(config, "lora_alpha", 0));
  if (config.contains("lora_dropout")) {
    FACET_ASSIGN(out.dropout, Number(config, "lora_dropout", 0));
    if (out.dropout >= 1) return Expected("a share below 1", out.dropout, "lora_dropout");
  }
  const json stabilised = config.value("use_rslora", json(false));
  out.rank_stabilised = stabilised == true;
  const json targets = config.value("target_modules", json());
  if (targets.is_string()) out.target_pattern = targets.get<std::string>();
  if (targets.is_array()) {
    for (const json& target : targets) {
      if (!target.is_string()) return Expected("names", target.dump(), "target_modules");
      out.targets.push_back(target.get<std::string>());
    }
  }
  if (const json base = config.value("base_model_name_or_path", json()); base.is_string())
    out.base_model = base.get<std::string>();
  return out;
}

Result<json> ReadSettings(const std::filesystem::path& folder) {
  return ReadJson(folder / "adapter_config.json");
}
Result<AdapterConfig> ConfigOf(const json& settings, const std::filesystem::path& folder) {
  auto parsed = ParseConfig(settings);
  if (!parsed.ok()) return parsed.error().In((folder / "adapter_config.json").string());
  return parsed;
}

// One spelling for the modules whose path differs between releases and containers.
std::string Canonical(std::string module) {
  constexpr std::pair<std::string_view, std::string_view> kSpellings[] = {
      {"model.vision_embedder.patch_dense", "model.embed_vision.patch_dense"},
      {"model.embed_vision.embedding_projection",
       "model.embed_vision.multimodal_embedder.embedding_projection"},
      {"model.embed_audio.multimodal_embedder.embedding_projection",
       "model.embed_audio.embedding_projection"}};
  for (const auto& [other, name] : kSpellings) {
    if (module == other) return std::string(name);
  }
  return module;
}

// A tensor's module and half; nothing for a name of another form.
struct Half {
  std::string module;
  char which = 'A';
};
std::optional<Half> ParseName(std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  for (const char which : {'A', 'B'}) {
    const std::string end = Cat(".lora_", which, ".weight");
    if (name.ends_with(end))
      return Half{Canonical(std::string(name.substr(0, name.size() - end.size()))), which};
  }
  return std::nullopt;
}

Result<void> ReadHalf(const TensorFile& file, const Tensor& tensor, Buffer& out) {
  if (tensor.shape.size() != 2 || !IsFloating(tensor.type) || IsQuantized(tensor.type))
    return Expected("a matrix of floating numbers", tensor.Describe(), tensor.name);
  Mat rows = out.Resize(tensor.rows(), tensor.cols());
  for (int64_t r = 0; r < rows.rows(); ++r) {
    DequantizeRow(tensor.type, tensor.data.data() + r * RowBytes(tensor.type, tensor.cols()),
                  rows.row_span(r));
    const auto row = std::as_bytes(rows.row_span(r));
    if (FindNonFinite(DType::kF32, row.data(), tensor.cols()) >= 0)
      return NotFinite(file, tensor.name, r);
  }
  return Ok();
}

Result<void> CheckPair(const std::string& module, const Linear& linear, const LoraPair& pair,
                       const json& config, int rank) {
  const std::string a = LoraTensorName(module, 'A'), b = LoraTensorName(module, 'B');
  if (pair.a.rows() == 0) return Error{Cat("tensor ", a, " is missing"), ErrorKind::kNotFound};
  if (pair.b.rows() == 0) return Error{Cat("tensor ", b, " is missing"), ErrorKind::kNotFound};
  const bool one_rank = SaysNothing(config.value("rank_pattern", json()));
  const int64_t r = one_rank ? rank : pair.a.rows();
  if (pair.a.rows() != r || pair.a.cols() != linear.cols())
    return Expected(Cat("(", r, ", ", linear.cols(), ")"),
                    Cat("(", pair.a.rows(), ", ", pair.a.cols(), ")"), a);
  if (pair.b.rows() != linear.rows() || pair.b.cols() != r)
    return Expected(Cat("(", linear.rows(), ", ", r, ")"),
                    Cat("(", pair.b.rows(), ", ", pair.b.cols(), ")"), b);
  return Ok();
}

}  // namespace

std::string LoraTensorName(const std::string& module, char half) {
  return Cat(kPrefix, module, ".lora_", half, ".weight");
}

void MergeRow(const LoraPair& pair, int64_t row, std::span<float> weight) {
  for (int64_t i = 0; i < pair.a.rows(); ++i) {
    const float factor = pair.scale * pair.b.view()(row, i);
    const float* a = pair.a.view().row(i);
    for (size_t c = 0; c < weight.size(); ++c) weight[c] += factor * a[c];
  }
}

float AdapterConfig::Scale(int64_t rank_of_pair) const {
  const auto r = static_cast<double>(rank_of_pair);
  return static_cast<float>(alpha / (rank_stabilised ? std::sqrt(r) : r));
}

std::vector<Module<const Linear>> AdapterModules(const Weights& weights,
                                                 const ModelConfig& config) {
  // As the checkpoint spells it; a GGUF has names of its own.
  constexpr std::string_view kEmbedding = "embed_tokens.weight";
  std::string prefix =
      config.text.family == Family::kGemma3 ? "model.layers." : "model.language_model.layers.";
  if (std::string_view stem = weights.embedding.name; stem.ends_with(kEmbedding)) {
    stem.remove_suffix(kEmbedding.size());
    prefix = Cat(stem, "layers.");
  }
  std::vector<Module<const Linear>> modules;
  const auto add = [&](const Linear& linear, std::string name) {
    if (linear.weight.data == nullptr) return;
    constexpr std::string_view kEnd = ".weight";
    if (name.ends_with(kEnd)) name.resize(name.size() - kEnd.size());
    modules.push_back({std::move(name), &linear});
  };
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    const LayerWeights& w = weights.layers[i];
    const std::pair<const Linear*, const PartName*> parts[] = {
        {&w.q, &kQ},       {&w.k, &kK},   {&w.v, &kV},      {&w.o, &kO},
        {&w.gate, &kGate}, {&w.up, &kUp}, {&w.down, &kDown}};
    for (const auto& [linear, part] : parts) add(*linear, Cat(prefix, i, ".", part->hub));
  }
  if (weights.vision) {
    add(weights.vision->patch, "model.embed_vision.patch_dense");
    add(weights.vision->projection, "model.embed_vision.multimodal_embedder.embedding_projection");
  }
  if (weights.audio) add(weights.audio->projection, "model.embed_audio.embedding_projection");
  return modules;
}

Result<AdapterConfig> ReadAdapterConfig(const std::filesystem::path& folder) {
  FACET_ASSIGN(const json settings, ReadSettings(folder));
  return ConfigOf(settings, folder);
}

Result<std::unique_ptr<Adapter>> Adapter::Load(const std::filesystem::path& folder,
                                               const Weights& weights, const ModelConfig& config) {
  auto out = std::make_unique<Adapter>();
  FACET_ASSIGN(const json settings, ReadSettings(folder));
  FACET_ASSIGN(out->config_, ConfigOf(settings, folder));
  const std::filesystem::path file = folder / kWeightsFile;
  FACET_ASSIGN(const std::unique_ptr<Safetensors> tensors, Safetensors::Open(file));
  FACET_TRY(VerifyChecksum(folder, kWeightsFile));
  std::unordered_map<std::string, const Linear*> linears;
  const auto modules = AdapterModules(weights, config);
  for (const auto& module : modules) linears[module.name] = module.linear;
  for (const Tensor& tensor : tensors->tensors()) {
    const std::optional<Half> half = ParseName(tensor.name);
    const auto at = half ? linears.find(half->module) : linears.end();
    if (at == linears.end())
      return Error{Cat(file.string(), ": tensor ", Printable(tensor.name),
                       " belongs to no projection of this model"),
                   ErrorKind::kUnsupported};
    LoraPair& pair = out->pairs_[at->second->name];
    FACET_TRY(ReadHalf(*tensors, tensor, half->which == 'A' ? pair.a : pair.b));
  }
  if (out->pairs_.empty()) return Error{Cat(file.string(), ": holds no tensor")};
  for (const auto& module : modules) {
    const auto at = out->pairs_.find(module.linear->name);
    if (at == out->pairs_.end()) continue;
    const auto checked =
        CheckPair(module.name, *module.linear, at->second, settings, out->config_.rank);
    if (!checked.ok()) return checked.error().In(file.string());
    at->second.scale = out->config_.Scale(at->second.a.rows());
    if (!std::isfinite(at->second.scale))
      return Expected("a finite scale", at->second.scale,
                      Cat((folder / "adapter_config.json").string(), ": lora_alpha"));
  }
  return out;
}

Result<void> SaveAdapter(const std::filesystem::path& folder, const AdapterConfig& config,
                         const std::vector<AdapterEntry>& entries) {
  FACET_TRY(MakeFolders(folder));
  std::vector<TensorOut> tensors;
  for (const AdapterEntry& entry : entries) {
    for (const char half : {'A', 'B'}) {
      const ConstMat m = half == 'A' ? entry.a : entry.b;
      tensors.push_back({LoraTensorName(entry.module, half),
                         DType::kF32,
                         {m.rows(), m.cols()},
                         std::as_bytes(std::span(m.data(), m.rows() * m.cols()))});
    }
  }
  FACET_TRY(RemoveChecksums(folder, {kWeightsFile}));
  FACET_TRY(SaveSafetensors(folder / kWeightsFile, tensors, {{"format", "pt"}}));
  FACET_TRY(WriteChecksums(folder, {kWeightsFile}));
  json out = {{"alpha_pattern", json::object()},
              {"auto_mapping", nullptr},
              {"base_model_name_or_path", nullptr},
              {"bias", "none"},
              {"fan_in_fan_out", false},
              {"inference_mode", true},
              {"init_lora_weights", true},
              {"layers_pattern", nullptr},
              {"layers_to_transform", nullptr},
              {"lora_dropout", config.dropout},
              {"modules_to_save", nullptr},
              {"peft_type", "LORA"},
              {"r", config.rank},
              {"rank_pattern", json::object()},
              {"revision", nullptr},
              {"task_type", nullptr},
              {"use_dora", false},
              {"use_rslora", config.rank_stabilised}};
  if (config.alpha == std::floor(config.alpha)) {
    out["lora_alpha"] = static_cast<int64_t>(config.alpha);
  } else {
    out["lora_alpha"] = config.alpha;
  }
  if (!config.base_model.empty()) out["base_model_name_or_path"] = config.base_model;
  if (config.target_pattern.empty()) {
    out["target_modules"] = config.targets;
  } else {
    out["target_modules"] = config.target_pattern;
  }
  return WriteFile(folder / "adapter_config.json", out.dump(2) + "\n");
}

}  // namespace facet
