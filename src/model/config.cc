#include "model/config.h"

#include <charconv>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/patch.h"
#include "formats/gguf.h"
#include "model/generation_config.h"

namespace facet {
namespace {

using nlohmann::json;

// Shapes beyond these are damage, not models; they keep every later product far from overflow.
constexpr int64_t kMaxLayers = 1024, kMaxWidth = 1 << 20, kMaxVocab = 1 << 24,
                  kMaxContext = 1 << 24;

// Reads typed values out of one JSON object; the first failure is kept and names the key.
class ConfigReader {
 public:
  ConfigReader(const json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) Fail("a JSON object", object.type_name(), "");
  }

  bool Has(const char* key) const {
    return object_.is_object() && object_.contains(key) && !object_[key].is_null();
  }
  const json& At(const char* key) const { return object_[key]; }

  int Int(const char* key, int64_t low, int64_t high, std::optional<int64_t> fallback = {}) {
    if (!Has(key)) return Missing(key, fallback);
    const json& v = object_[key];
    if (!v.is_number_integer() || v.get<double>() < low || v.get<double>() > high) {
      Fail(Cat("an integer from ", low, " to ", high), v.dump(), key);
      return static_cast<int>(low);
    }
    return static_cast<int>(v.get<int64_t>());
  }
  double Number(const char* key, double low, double high, std::optional<double> fallback = {}) {
    if (!Has(key)) return Missing(key, fallback);
    const json& v = object_[key];
    if (!v.is_number() || !(v.get<double>() >= low && v.get<double>() <= high)) {
      Fail(Cat("a number from ", low, " to ", high), v.dump(), key);
      return low;
    }
    return v.get<double>();
  }
  bool Bool(const char* key, bool fallback) {
    if (!Has(key)) return fallback;
    if (!object_[key].is_boolean()) Fail("true or false", object_[key].dump(), key);
    return object_[key].is_boolean() ? object_[key].get<bool>() : fallback;
  }
  std::string String(const char* key, const std::string& fallback) {
    if (!Has(key)) return fallback;
    if (!object_[key].is_string()) Fail("a string", object_[key].dump(), key);
    return object_[key].is_string() ? object_[key].get<std::string>() : fallback;
  }

  // The sub-object of that name, or an empty one.
  json Object(const char* key) const { return Has(key) ? object_[key] : json::object(); }

  Result<void> Done() const {
    if (error_) return *error_;
    return Ok();
  }
  void Fail(const std::string& want, const std::string& got, const std::string& key) {
    if (!error_)
      error_ = Expected(want, got.substr(0, 80), key.empty() ? where_ : where_ + "." + key);
  }

 private:
  template <typename T>
  T Missing(const char* key, std::optional<T> fallback) {
    if (!fallback) Fail("a value", "none", key);
    return fallback.value_or(T{1});
  }
  const json& object_;
  std::string where_;
  std::optional<Error> error_;
};

Result<RopeConfig> RopeFromJson(const json& parameters, const char* kind, int head_dim,
                                double theta) {
  const json object =
      parameters.is_object() && parameters.contains(kind) ? parameters[kind] : json::object();
  ConfigReader read(object, Cat("config.json: rope_parameters.", kind));
  const std::string type = read.String("rope_type", "default");
  if (type != "default" && type != "proportional" && type != "linear") {
    read.Fail("rope_type default, proportional or linear", type, "rope_type");
  }
  RopeConfig rope;
  rope.theta = read.Number("rope_theta", 1, 1e12, theta);
  rope.scale = type == "linear" ? read.Number("factor", 1, 1e6) : 1;
  const double part = read.Number("partial_rotary_factor", 0, 1, 1.0);
  rope.rotated_pairs = static_cast<int>(part * head_dim / 2);
  FACET_TRY(read.Done());
  return rope;
}

// The layers that per_layer_config names, and what it says of each. Keys are numbers, padded with
// zeros where a model has more than ten layers ("05").
Result<std::map<int, const json*>> PerLayerFromJson(const json& per_layer, int layers) {
  const std::string where = "config.json: text_config.per_layer_config";
  std::map<int, const json*> out;
  if (!per_layer.is_object()) return Expected("a JSON object", per_layer.type_name(), where);
  for (const auto& [key, value] : per_layer.items()) {
    int layer = -1;
    const char* end = key.data() + key.size();
    const auto parsed = std::from_chars(key.data(), end, layer);
    if (parsed.ec != std::errc() || parsed.ptr != end || layer < 0 || layer >= layers) {
      return Expected(Cat("numbers of layers from 0 to ", layers - 1),
                      Cat('"', key.substr(0, 80), '"'), where);
    }
    if (!out.emplace(layer, &value).second)
      return Error{Cat(where, ": names layer ", layer, " twice")};
  }
  return out;
}

Result<void> LayersFromJson(ConfigReader& read, TextConfig& text) {
  const int count = read.Int("num_hidden_layers", 1, kMaxLayers);
  LayerConfig base;
  base.heads = read.Int("num_attention_heads", 1, 4096);
  base.kv_heads = read.Int("num_key_value_heads", 1, 4096);
  base.head_dim = read.Int("head_dim", 2, 8192);
  const bool keys_are_values = read.Bool("attention_k_eq_v", false);
  const int full_dim = read.Int("global_head_dim", 2, 8192, base.head_dim);
  const int full_kv = read.Int("num_global_key_value_heads", 1, 4096, base.kv_heads);
  const json types = read.Has("layer_types") ? read.At("layer_types") : json();
  const json per_layer = read.Object("per_layer_config");
  if (!types.is_array() || static_cast<int>(types.size()) != count) {
    read.Fail(Cat("a list of ", count, " layer types"), types.dump(), "layer_types");
  }
  FACET_TRY(read.Done());
  using PerLayer = std::map<int, const json*>;
  FACET_ASSIGN(const PerLayer own_of, PerLayerFromJson(per_layer, count));
  for (int i = 0; i < count; ++i) {
    LayerConfig layer = base;
    if (types[i] != "sliding_attention" && types[i] != "full_attention") {
      read.Fail("sliding_attention or full_attention", types[i].dump(),
                Cat("layer_types[", i, "]"));
    }
    layer.sliding = types[i] == "sliding_attention";
    if (!layer.sliding) {
      layer.head_dim = full_dim;
      layer.kv_heads = full_kv;
      layer.keys_are_values = keys_are_values;
    }
    if (const auto at = own_of.find(i); at != own_of.end()) {
      ConfigReader own(*at->second, Cat("config.json: per_layer_config.", i));
      layer.head_dim = own.Int("head_dim", 2, 8192, layer.head_dim);
      layer.kv_heads = own.Int("num_key_value_heads", 1, 4096, layer.kv_heads);
      FACET_TRY(own.Done());
    }
    text.layers.push_back(layer);
  }
  return read.Done();
}

// What no path of this program computes is refused by name.
void RefuseUnsupported(ConfigReader& read, bool drafter) {
  if (read.Bool("attention_bias", false)) read.Fail("false", "true", "attention_bias");
  if (read.Bool("use_double_wide_mlp", false)) read.Fail("false", "true", "use_double_wide_mlp");
  if (read.Bool("enable_moe_block", false)) read.Fail("false", "true", "enable_moe_block");
  if (!drafter && read.Int("num_kv_shared_layers", 0, kMaxLayers, 0) != 0) {
    read.Fail("0", "shared layers", "num_kv_shared_layers");
  }
  if (read.Int("hidden_size_per_layer_input", 0, kMaxWidth, 0) != 0) {
    read.Fail("0", "per-layer embeddings", "hidden_size_per_layer_input");
  }
  const std::string activation = read.String("hidden_activation", "gelu_pytorch_tanh");
  if (activation != "gelu_pytorch_tanh")
    read.Fail("gelu_pytorch_tanh", activation, "hidden_activation");
}

// The shapes must fit together whatever their source was.
Result<void> CheckText(const TextConfig& text) {
  for (size_t i = 0; i < text.layers.size(); ++i) {
    const LayerConfig& layer = text.layers[i];
    const std::string where = Cat("layer ", i);
    if (layer.heads % layer.kv_heads != 0) {
      return Expected("heads that are a multiple of the kv heads",
                      Cat(layer.heads, " and ", layer.kv_heads), where);
    }
    if (layer.head_dim % 2 != 0) return Expected("an even head_dim", layer.head_dim, where);
  }
  return Ok();
}

Result<TextConfig> TextFromJson(const json& object, Family family) {
  ConfigReader read(object, "config.json: text_config");
  TextConfig text;
  text.family = family;
  text.width = read.Int("hidden_size", 1, kMaxWidth);
  text.ffn = read.Int("intermediate_size", 1, kMaxWidth);
  text.vocab = read.Int("vocab_size", 1, kMaxVocab);
  text.context = read.Int("max_position_embeddings", 1, kMaxContext, 131072);
  text.window = read.Int("sliding_window", 1, kMaxContext, 512);
  text.eps = static_cast<float>(read.Number("rms_norm_eps", 1e-12, 1, 1e-6));
  text.softcap = static_cast<float>(read.Number("final_logit_softcapping", 0, 1e6, 0));
  text.image_bidirectional = read.String("use_bidirectional_attention", "") == "vision";
  text.embedding_scale = static_cast<float>(std::sqrt(static_cast<double>(text.width)));
  text.value_norm = true;
  RefuseUnsupported(read, family == Family::kGemma4Assistant);
  FACET_TRY(LayersFromJson(read, text));
  int sliding_dim = text.layers[0].head_dim, full_dim = text.layers[0].head_dim;
  for (const LayerConfig& layer : text.layers)
    (layer.sliding ? sliding_dim : full_dim) = layer.head_dim;
  const json parameters = read.Object("rope_parameters");
  FACET_ASSIGN(text.rope_sliding, RopeFromJson(parameters, "sliding_attention", sliding_dim, 1e4));
  FACET_ASSIGN(text.rope_full, RopeFromJson(parameters, "full_attention", full_dim, 1e6));
  FACET_TRY(CheckText(text));
  return text;
}

DrafterConfig DrafterFromJson(ConfigReader& read) {
  DrafterConfig out;
  out.target_width = read.Int("backbone_hidden_size", 1, kMaxWidth);
  out.ordered_embeddings = read.Bool("use_ordered_embeddings", false);
  if (out.ordered_embeddings) {
    out.centroids = read.Int("num_centroids", 1, kMaxVocab);
    out.top_centroids = read.Int("centroid_intermediate_top_k", 1, out.centroids);
  }
  return out;
}

Result<VisionConfig> VisionFromJson(const json& object) {
  ConfigReader read(object, "config.json: vision_config");
  VisionConfig out;
  out.embed_dim = read.Int("mm_embed_dim", 1, kMaxWidth);
  out.positions = read.Int("mm_posemb_size", 1, 1 << 20);
  out.eps = static_cast<float>(read.Number("rms_norm_eps", 1e-12, 1, 1e-6));
  const int side = read.Int("patch_size", 1, 4096, 16) * read.Int("pooling_kernel_size", 1, 64, 3);
  if (side != kPatchSide) {
    read.Fail(Cat("patches of ", kPatchSide, " pixels"), std::to_string(side),
              "patch_size * pooling_kernel_size");
  }
  FACET_TRY(read.Done());
  return out;
}

Result<AudioConfig> AudioFromJson(const json& object) {
  ConfigReader read(object, "config.json: audio_config");
  AudioConfig out;
  out.frame = read.Int("audio_embed_dim", 1, 1 << 16, kFrameSamples);
  if (out.frame != kFrameSamples)
    read.Fail(std::to_string(kFrameSamples), std::to_string(out.frame), "audio_embed_dim");
  out.eps = static_cast<float>(read.Number("rms_norm_eps", 1e-12, 1, 1e-6));
  FACET_TRY(read.Done());
  return out;
}

MediaTokens TokensFromJson(ConfigReader& read) {
  const auto id = [&](const char* key) { return read.Int(key, -1, kMaxVocab, -1); };
  MediaTokens out;
  out.image = id("image_token_id");
  out.video = id("video_token_id");
  out.audio = id("audio_token_id");
  out.image_begin = id("boi_token_id");
  out.image_end = id("eoi_token_id");
  out.audio_begin = id("boa_token_id");
  // Two spellings are in use.
  out.audio_end = std::max(id("eoa_token_index"), id("eoa_token_id"));
  return out;
}

}  // namespace

Result<ModelConfig> ConfigFromJson(const json& config, const json& generation) {
  ConfigReader read(config, "config.json");
  ModelConfig out;
  const std::string type = read.String("model_type", "");
  FACET_TRY(read.Done());
  // Text saved alone has its configuration at the top.
  const bool text_alone = type == "gemma4_unified_text";
  if (type != "gemma4_unified" && type != "gemma4_unified_assistant" && !text_alone) {
    return Error{Cat("config.json: model_type \"", type,
                     "\" is not supported; gemma4_unified, gemma4_unified_text and "
                     "gemma4_unified_assistant are (and Gemma 3 text models as GGUF)"),
                 ErrorKind::kUnsupported};
  }
  if (read.Has("quantization_config")) {
    return Error{
        "config.json: quantization_config: weights that another program has quantised are "
        "not read; take the original, or a GGUF",
        ErrorKind::kUnsupported};
  }
  const bool drafter = type == "gemma4_unified_assistant";
  const json text = text_alone ? config : read.Object("text_config");
  FACET_ASSIGN(out.text,
               TextFromJson(text, drafter ? Family::kGemma4Assistant : Family::kGemma4Unified));
  if (drafter) out.drafter = DrafterFromJson(read);
  if (read.Has("vision_config")) {
    FACET_ASSIGN(out.vision, VisionFromJson(read.Object("vision_config")));
  }
  if (read.Has("audio_config")) {
    FACET_ASSIGN(out.audio, AudioFromJson(read.Object("audio_config")));
  }
  out.tokens = TokensFromJson(read);
  // Older checkpoints name the tokens that end an answer in config.json.
  json eos;
  for (const json* source : {&config, &text}) {
    if (eos.is_null()) eos = source->value("eos_token_id", json());
  }
  FACET_ASSIGN(out.generation, GenerationFromJson(generation, eos));
  if (text.contains("bos_token_id") && text["bos_token_id"].is_number_integer())
    out.bos = text["bos_token_id"].get<int>();
  FACET_TRY(read.Done());
  return out;
}

Result<void> AddProcessorConfig(const json& processor, ModelConfig& config) {
  ConfigReader read(processor, "processor_config.json");
  FACET_TRY(read.Done());
  if (!config.vision) return Ok();
  for (const auto& [name, budget] : {std::pair("image_processor", &config.vision->image_budget),
                                     std::pair("video_processor", &config.vision->video_budget)}) {
    const json object = read.Object(name);
    const std::string where = Cat("processor_config.json: ", name);
    ConfigReader part(object, where);
    const int tokens = part.Int("max_soft_tokens", 1, kMaxContext, *budget);
    FACET_TRY(part.Done());
    if (IsPictureBudget(tokens)) {
      *budget = tokens;
    } else {
      spdlog::warn("{}.max_soft_tokens: {} is none of {}; pictures get {}", where, tokens,
                   kPictureBudgetNames, *budget);
    }
  }
  return Ok();
}

}  // namespace facet
