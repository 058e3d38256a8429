#include "tune/train/init.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>
#include <utility>
#include <vector>

#include "base/atomic_file.h"
#include "base/mapped_file.h"
#include "base/patch.h"
#include "formats/json.h"
#include "formats/safetensors.h"
#include "model/tensor_names.h"
#include "text/tokenizer.h"
#include "tune/data/seed.h"
#include "tune/train/export.h"

namespace facet::tune {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;

// What a tensor starts with.
enum class Start { kNormal, kZero, kOne };

struct Planned {
  std::string name;
  std::vector<int64_t> shape;
  Start start = Start::kNormal;
  double one = 1;  // what kOne starts with
};

// A drafter's layers have queries, but neither keys nor values.
std::vector<Planned> LayerPlan(const TextConfig& text, size_t index) {
  const LayerConfig& layer = text.layers[index];
  const bool drafter = text.family == Family::kGemma4Assistant;
  const std::string prefix =
      Cat(drafter ? "model." : "model.language_model.", "layers.", index, ".");
  const int64_t width = text.width, ffn = text.ffn, head = layer.head_dim;
  const int64_t heads = layer.heads * head, kv = layer.kv_heads * head;
  std::vector<Planned> plan;
  const auto add = [&](const PartName& part, std::vector<int64_t> shape, Start start,
                       double one = 1) {
    plan.push_back({prefix + part.hub, std::move(shape), start, one});
  };
  for (const PartName& norm : {kAttnNorm, kFfnNorm}) add(norm, {width}, Start::kOne);
  // All branches together add as much to the residual stream as one of norm 1 would: what a token
  // is stays visible to the last layer (as GPT-2 scales what its branches end with).
  const double branch = 1 / std::sqrt(2.0 * static_cast<double>(text.layers.size()));
  for (const PartName& norm : {kPostAttnNorm, kPostFfnNorm})
    add(norm, {width}, Start::kOne, branch);
  // Scores are not divided by the root of the head's width: the norms begin with that. At 1 each,
  // they would reach the width itself, and the softmax of a new model would hardly have a gradient.
  const double scale = std::pow(static_cast<double>(head), -0.25);
  add(kQNorm, {head}, Start::kOne, scale);
  if (!drafter) add(kKNorm, {head}, Start::kOne, scale);
  add(kLayerScalar, {1}, Start::kOne);
  add(kQ, {heads, width}, Start::kNormal);
  if (!drafter) add(kK, {kv, width}, Start::kNormal);
  if (!drafter && !layer.keys_are_values) add(kV, {kv, width}, Start::kNormal);
  add(kO, {width, heads}, Start::kNormal);
  add(kGate, {ffn, width}, Start::kNormal);
  add(kUp, {ffn, width}, Start::kNormal);
  add(kDown, {width, ffn}, Start::kNormal);
  return plan;
}

std::vector<Planned> VisionPlan(const VisionConfig& vision, int64_t width) {
  constexpr int64_t kPatch = kPatchValues;
  const int64_t d = vision.embed_dim;
  std::vector<Planned> plan = {
      {"patch_ln1.weight", {kPatch}, Start::kOne}, {"patch_ln1.bias", {kPatch}, Start::kZero},
      {"patch_dense.weight", {d, kPatch}},         {"patch_dense.bias", {d}, Start::kZero},
      {"patch_ln2.weight", {d}, Start::kOne},      {"patch_ln2.bias", {d}, Start::kZero},
      {"pos_embedding", {vision.positions, 2, d}}, {"pos_norm.weight", {d}, Start::kOne},
      {"pos_norm.bias", {d}, Start::kZero}};
  for (Planned& tensor : plan) tensor.name = "model.vision_embedder." + tensor.name;
  plan.push_back({"model.embed_vision.embedding_projection.weight", {width, d}});
  return plan;
}

std::vector<Planned> ModelPlan(const ModelConfig& config) {
  const TextConfig& text = config.text;
  const std::string top = config.drafter ? "model." : "model.language_model.";
  std::vector<Planned> plan = {{top + "embed_tokens.weight", {text.vocab, text.width}},
                               {top + "norm.weight", {text.width}, Start::kOne}};
  const auto append = [&](const std::vector<Planned>& more) {
    plan.insert(plan.end(), more.begin(), more.end());
  };
  for (size_t i = 0; i < text.layers.size(); ++i) append(LayerPlan(text, i));
  if (config.vision) append(VisionPlan(*config.vision, text.width));
  if (config.audio) {
    plan.push_back(
        {"model.embed_audio.embedding_projection.weight", {text.width, config.audio->frame}});
  }
  if (config.drafter) {
    const int64_t target = config.drafter->target_width;
    plan.push_back({"pre_projection.weight", {text.width, 2 * target}});
    plan.push_back({"post_projection.weight", {target, text.width}});
  }
  return plan;
}

// Standard normal numbers by Box and Muller, a stream for each tensor.
class Normal {
 public:
  explicit Normal(uint64_t seed) : seed_(seed) {}
  double Next() {
    if (std::exchange(has_second_, false)) return second_;
    const double radius = std::sqrt(-2 * std::log(1 - Uniform()));
    const double angle = 2 * std::numbers::pi * Uniform();
    second_ = radius * std::sin(angle);
    has_second_ = true;
    return radius * std::cos(angle);
  }

 private:
  double Uniform() {  // in [0, 1)
    return static_cast<double>(MixSeed(seed_, ++count_) >> 11) * 0x1p-53;
  }
  uint64_t seed_, count_ = 0;
  double second_ = 0;
  bool has_second_ = false;
};

double InitializerRange(const json& config, const char* part) {
  const json& own = config.contains(part) ? config[part] : config;
  return own.value("initializer_range", config.value("initializer_range", 0.02));
}

std::vector<float> Values(const Planned& tensor, double deviation, uint64_t seed) {
  int64_t count = 1;
  for (const int64_t side : tensor.shape) count *= side;
  if (tensor.start != Start::kNormal)
    return std::vector<float>(static_cast<size_t>(count),
                              tensor.start == Start::kOne ? static_cast<float>(tensor.one) : 0.0f);
  Normal normal(seed);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(deviation * normal.Next());
  return values;
}

Result<void> SaveModel(const ModelConfig& config, const json& source, const fs::path& out,
                       uint64_t seed, InitialValues given = {}) {
  const std::vector<Planned> plan = ModelPlan(config);
  std::vector<std::vector<float>> values;
  std::vector<TensorOut> tensors;
  for (size_t i = 0; i < plan.size(); ++i) {
    const std::string& name = plan[i].name;
    const bool vision = name.find("vision") != name.npos, audio = name.find("audio") != name.npos;
    const char* part = vision ? "vision_config" : audio ? "audio_config" : "text_config";
    const auto own = given.find(name);
    values.push_back(own != given.end() ? std::move(own->second)
                                        : Values(plan[i], InitializerRange(source, part),
                                                 MixSeed(seed, 0x1417 + (i << 16))));
  }
  const int64_t padding =
      source.contains("text_config") ? source["text_config"].value("pad_token_id", int64_t{0}) : 0;
  if (padding >= 0 && padding < config.text.vocab)  // the table is the plan's first
    std::fill_n(values[0].begin() + padding * config.text.width, config.text.width, 0.0f);
  for (size_t i = 0; i < plan.size(); ++i)
    tensors.push_back(
        {plan[i].name, DType::kF32, plan[i].shape, std::as_bytes(std::span(values[i]))});
  return SaveSafetensors(out / "model.safetensors", tensors, {{"format", "pt"}});
}

}  // namespace

Result<void> WriteInitialModel(const InitOptions& options) {
  std::error_code code;
  const fs::path config_file =
      fs::is_directory(options.config, code) ? options.config / "config.json" : options.config;
  const fs::path tokenizer = fs::is_directory(options.tokenizer, code)
                                 ? options.tokenizer
                                 : options.tokenizer.parent_path();
  if (fs::exists(options.out / "model.safetensors", code)) {
    return Error{Cat((options.out / "model.safetensors").string(), ": is there already")};
  }
  FACET_ASSIGN(const json source, ReadJson(config_file));
  auto config = ConfigFromJson(source, json());
  if (!config) return config.error().In(config_file.string());
  if (config->text.family != Family::kGemma4Unified)
    return Error{Cat(config_file.string(), ": expected a gemma4_unified model"),
                 ErrorKind::kUnsupported};
  FACET_ASSIGN(const auto words, Tokenizer::Load(options.tokenizer));
  if (words->size() > config->text.vocab) {
    return Expected(Cat("at most ", config->text.vocab, " tokens (vocab_size)"), words->size(),
                    options.tokenizer.string());
  }
  FACET_TRY(MakeFolders(options.out));
  FACET_TRY(CopyModelFiles(tokenizer.empty() ? fs::path(".") : tokenizer, options.out));
  FACET_ASSIGN(const std::string text, ReadFile(config_file));
  FACET_TRY(WriteFile(options.out / "config.json", text));
  return SaveModel(*config, source, options.out, options.seed);
}

Result<void> ReplaceFolder(const fs::path& folder,
                           const std::function<Result<void>(const fs::path& part)>& write) {
  const fs::path part = folder.string() + ".part";
  std::error_code code;
  fs::remove_all(part, code);
  FACET_TRY(write(part));
  FACET_TRY(FlushTree(part));
  fs::remove_all(folder, code);
  return RenameAndFlush(part, folder);
}

Result<void> WriteInitialDrafter(
    const ordered_json& config, const fs::path& out, uint64_t seed,
    const std::function<InitialValues(const ModelConfig& drafter)>& start) {
  const std::string text = config.dump(2) + "\n";
  FACET_ASSIGN(const json source, ParseJson(text, "config.json"));
  FACET_ASSIGN(const ModelConfig parsed, ConfigFromJson(source, json()));
  if (!parsed.drafter)
    return Error{"config.json: expected a gemma4_unified_assistant", ErrorKind::kUnsupported};
  if (parsed.drafter->ordered_embeddings)
    return Error{"config.json: use_ordered_embeddings is not trained here",
                 ErrorKind::kUnsupported};
  FACET_TRY(MakeFolders(out));
  FACET_TRY(WriteFile(out / "config.json", text));
  return SaveModel(parsed, source, out, seed, start ? start(parsed) : InitialValues());
}

Result<void> MakeDrafter(const Checkpoint& target, const ordered_json& config,
                         const fs::path& folder, uint64_t seed, ThreadPool& pool) {
  const auto start = [&](const ModelConfig& drafter) {
    return StartLikeTarget(target, drafter, seed, pool);
  };
  return ReplaceFolder(
      folder, [&](const fs::path& part) { return WriteInitialDrafter(config, part, seed, start); });
}

}  // namespace facet::tune
