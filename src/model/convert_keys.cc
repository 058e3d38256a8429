// The keys of the GGUF files that conversion writes, as llama.cpp's loaders read them.
#include "model/convert_plan.h"

namespace facet {
namespace {

// Head dimensions of the two kinds of layers; a model without one kind repeats the other.
struct HeadDims {
  int sliding = 0, full = 0;
};

HeadDims FindHeadDims(const TextConfig& text) {
  HeadDims dims;
  for (const LayerConfig& layer : text.layers)
    (layer.sliding ? dims.sliding : dims.full) = layer.head_dim;
  if (dims.sliding == 0) dims.sliding = dims.full;
  if (dims.full == 0) dims.full = dims.sliding;
  return dims;
}

}  // namespace

void SetTextKeys(const ModelConfig& config, GgufWriter& writer) {
  const TextConfig& text = config.text;
  const std::string arch = config.drafter ? "gemma4-assistant" : "gemma4";
  const auto set = [&](const char* key, auto value) { writer.Set(Cat(arch, ".", key), value); };
  const auto set_int = [&](const char* key, int value) { set(key, static_cast<uint32_t>(value)); };
  const int layers = static_cast<int>(text.layers.size());
  const HeadDims dims = FindHeadDims(text);
  std::vector<int32_t> kv_heads;
  std::vector<bool> sliding;
  for (const LayerConfig& layer : text.layers) {
    kv_heads.push_back(layer.kv_heads);
    sliding.push_back(layer.sliding);
  }
  writer.Set("general.architecture", arch);
  writer.Set("general.type", "model");
  set_int("block_count", layers);
  set_int("context_length", text.context);
  set_int("embedding_length", text.width);
  set_int("feed_forward_length", text.ffn);
  set_int("attention.head_count", text.layers.front().heads);
  set("attention.head_count_kv", kv_heads);
  set("rope.freq_base", static_cast<float>(text.rope_full.theta));
  set("rope.freq_base_swa", static_cast<float>(text.rope_sliding.theta));
  set("attention.layer_norm_rms_epsilon", text.eps);
  set_int("attention.key_length", dims.full);
  set_int("attention.value_length", dims.full);
  if (text.softcap > 0) set("final_logit_softcapping", text.softcap);
  set_int("attention.sliding_window", text.window);
  set_int("attention.shared_kv_layers", config.drafter ? layers : 0);
  set_int("embedding_length_per_layer_input", 0);
  set("attention.sliding_window_pattern", sliding);
  set_int("attention.key_length_swa", dims.sliding);
  set_int("attention.value_length_swa", dims.sliding);
  set_int("rope.dimension_count", dims.full);
  set_int("rope.dimension_count_swa", 2 * text.rope_sliding.rotated_pairs);
  if (!config.drafter) return;
  set_int("embedding_length_out", config.drafter->target_width);
  set_int("nextn_predict_layers", layers);
  // Known to this program alone: which part of the vocabulary a draft scores.
  if (config.drafter->ordered_embeddings) set_int("centroid_top_k", config.drafter->top_centroids);
}

void SetProjectorKeys(const ModelConfig& config, GgufWriter& writer) {
  writer.Set("general.architecture", "clip");
  writer.Set("general.type", "mmproj");
  const auto set_encoder = [&](const std::string& media, int width, float eps) {
    const auto set = [&](const char* key, int value) {
      writer.Set(Cat("clip.", media, ".", key), static_cast<uint32_t>(value));
    };
    writer.Set(Cat("clip.has_", media, "_encoder"), true);
    set("projection_dim", config.text.width);
    set("embedding_length", width);
    // There is no encoder: its sizes are zero.
    set("feed_forward_length", 0);
    set("block_count", 0);
    set("attention.head_count", 0);
    writer.Set(Cat("clip.", media, ".attention.layer_norm_epsilon"), eps);
  };
  if (config.vision) {
    set_encoder("vision", config.vision->embed_dim, config.vision->eps);
    writer.Set("clip.vision.projector_type", "gemma4uv");
    writer.Set("clip.vision.image_size", uint32_t{224});  // required by readers, used by none
    writer.Set("clip.vision.patch_size", uint32_t{16});   // three of them side by side make a patch
    writer.Set("clip.vision.image_mean", std::vector<float>{0, 0, 0});
    writer.Set("clip.vision.image_std", std::vector<float>{1, 1, 1});
    // Known to this program alone, and written where it is not what others take.
    const auto set_budget = [&](const char* key, int budget, int usual) {
      if (budget != usual) writer.Set(key, static_cast<uint32_t>(budget));
    };
    set_budget("facet.image_budget", config.vision->image_budget, kImageBudget);
    set_budget("facet.video_budget", config.vision->video_budget, kVideoBudget);
  }
  if (config.audio) {
    set_encoder("audio", config.audio->frame, config.audio->eps);
    writer.Set("clip.audio.projector_type", "gemma4ua");
    writer.Set("clip.audio.num_mel_bins", uint32_t{128});  // required by readers, used by none
  }
}

}  // namespace facet
