// Names of a layer's tensors in both containers.
#pragma once

namespace facet {

// One part's name in both containers; `{}` is the layer.
struct PartName {
  const char* hub;
  const char* gguf;
};

inline constexpr PartName kAttnNorm{"input_layernorm.weight", "attn_norm.weight"};
inline constexpr PartName kQ{"self_attn.q_proj.weight", "attn_q.weight"};
inline constexpr PartName kK{"self_attn.k_proj.weight", "attn_k.weight"};
inline constexpr PartName kV{"self_attn.v_proj.weight", "attn_v.weight"};
inline constexpr PartName kO{"self_attn.o_proj.weight", "attn_output.weight"};
inline constexpr PartName kQNorm{"self_attn.q_norm.weight", "attn_q_norm.weight"};
inline constexpr PartName kKNorm{"self_attn.k_norm.weight", "attn_k_norm.weight"};
inline constexpr PartName kPostAttnNorm{"post_attention_layernorm.weight",
                                        "post_attention_norm.weight"};
inline constexpr PartName kFfnNorm{"pre_feedforward_layernorm.weight", "ffn_norm.weight"};
inline constexpr PartName kPostFfnNorm{"post_feedforward_layernorm.weight", "post_ffw_norm.weight"};
inline constexpr PartName kGate{"mlp.gate_proj.weight", "ffn_gate.weight"};
inline constexpr PartName kUp{"mlp.up_proj.weight", "ffn_up.weight"};
inline constexpr PartName kDown{"mlp.down_proj.weight", "ffn_down.weight"};
inline constexpr PartName kLayerScalar{"layer_scalar", "layer_output_scale.weight"};

inline constexpr PartName kLayerParts[] = {
    kAttnNorm,     kQ,       kK,           kV,    kO,  kQNorm, kKNorm,
    kPostAttnNorm, kFfnNorm, kPostFfnNorm, kGate, kUp, kDown,  kLayerScalar};

}  // namespace facet
