#include "tune/train/drafter_config.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/math.h"
#include "model/drafter.h"

namespace facet::tune {
namespace {

using nlohmann::ordered_json;

// The target's layers whose keys a drafter reads. Where the target has only one kind of layers,
// both are the same.
struct KeySources {
  const LayerConfig *sliding = nullptr, *full = nullptr;
  bool has_sliding = false, has_full = false;
};

KeySources SourcesOf(const TextConfig& target) {
  const KeyLayers at = KeyLayersOf(target);
  KeySources sources{.has_sliding = at.sliding >= 0, .has_full = at.full >= 0};
  sources.sliding = &target.layers[sources.has_sliding ? at.sliding : at.full];
  sources.full = &target.layers[sources.has_full ? at.full : at.sliding];
  return sources;
}

// rope_parameters of one kind of layers.
ordered_json RopeParameters(const RopeConfig& rope, const LayerConfig& layer) {
  ordered_json out = {{"rope_theta", rope.theta}, {"rope_type", "default"}};
  const int pairs = layer.head_dim / 2;
  if (rope.scale != 1) {
    out["rope_type"] = "linear";
    out["factor"] = rope.scale;
  }
  if (rope.rotated_pairs == pairs) return out;
  out["partial_rotary_factor"] = static_cast<double>(rope.rotated_pairs) / pairs;
  out["rope_type"] = "proportional";
  return out;
}

// layer_types, and per_layer_config of the layers whose heads differ from the sliding ones.
struct DrafterLayers {
  ordered_json types = ordered_json::array(), heads = ordered_json::object();
};

DrafterLayers DrafterLayersOf(const KeySources& sources, int count) {
  DrafterLayers out;
  for (int i = 0; i < count; ++i) {
    const bool last = i + 1 == count;  // full, where the target has full layers
    const bool sliding = !sources.has_full || (!last && sources.has_sliding);
    out.types.push_back(sliding ? "sliding_attention" : "full_attention");
    const LayerConfig &first = *sources.sliding, &own = sliding ? *sources.sliding : *sources.full;
    if (own.head_dim == first.head_dim && own.kv_heads == first.kv_heads) continue;
    out.heads[std::to_string(i)] = {{"head_dim", own.head_dim},
                                    {"num_key_value_heads", own.kv_heads}};
  }
  return out;
}

int DrafterWidth(const TextConfig& target) {
  constexpr int kLeast = 256, kBlock = 32;  // widths of whole blocks of the quantised types
  return std::max(AlignUp(target.width / 4, kBlock), std::min(target.width, kLeast));
}

}  // namespace

ordered_json DeriveDrafterConfig(const ModelConfig& target, const DrafterShape& shape) {
  const TextConfig& model = target.text;
  const KeySources sources = SourcesOf(model);
  const int width = shape.width > 0 ? shape.width : DrafterWidth(model);
  const DrafterLayers layers = DrafterLayersOf(sources, shape.layers);
  const LayerConfig& c = *sources.sliding;
  ordered_json text = {
      {"attention_bias", false},
      {"attention_k_eq_v", sources.full->keys_are_values},
      {"final_logit_softcapping", nullptr},
      {"head_dim", c.head_dim},
      {"hidden_activation", "gelu_pytorch_tanh"},
      {"hidden_size", width},
      {"initializer_range", 0.02},
      {"intermediate_size", shape.ffn > 0 ? shape.ffn : 2 * width},
      {"layer_types", layers.types},
      {"max_position_embeddings", model.context},
      {"model_type", "gemma4_unified_text"},
      {"num_attention_heads", c.heads},
      {"num_hidden_layers", shape.layers},
      {"num_key_value_heads", c.kv_heads},
      {"num_kv_shared_layers", shape.layers},
      {"rms_norm_eps", std::stod(Cat(model.eps))},  // 1e-06, not what float makes of it
      {"rope_parameters",
       {{"full_attention", RopeParameters(model.rope(false), *sources.full)},
        {"sliding_attention", RopeParameters(model.rope(true), *sources.sliding)}}},
      {"sliding_window", model.window},
      {"tie_word_embeddings", true},
      {"vocab_size", model.vocab}};
  if (!layers.heads.empty()) text["per_layer_config"] = layers.heads;
  return {{"architectures", {"Gemma4UnifiedAssistantForCausalLM"}},
          {"backbone_hidden_size", model.width},
          {"dtype", "float32"},
          {"model_type", "gemma4_unified_assistant"},
          {"text_config", text},
          {"tie_word_embeddings", true},
          {"use_ordered_embeddings", false}};
}

}  // namespace facet::tune
