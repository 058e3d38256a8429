// What a checkpoint says about itself: shapes, rotary frequencies, special tokens, generation
// defaults. Sources: config.json in both spellings (hub and re-saved), generation_config.json,
// processor_config.json, GGUF metadata (gemma4, gemma3, gemma4-assistant, clip). Every value is
// read; none is assumed for a model by name. docs/model.md, "Numbers".
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/patch.h"
#include "base/picture_budget.h"
#include "base/result.h"

namespace facet {

class Gguf;

enum class Family { kGemma4Unified, kGemma4Assistant, kGemma3 };

struct RopeConfig {
  double theta = 10000;
  // Pairs (i, i + head_dim / 2) with i < rotated_pairs rotate, the others stand still.
  int rotated_pairs = 0;
  // Positions are divided by this (linear scaling of Gemma 3's long-context models).
  double scale = 1;
};

struct LayerConfig {
  bool sliding = false;
  int heads = 0, kv_heads = 0, head_dim = 0;
  bool keys_are_values = false;  // attention_k_eq_v: one projection for both
};

struct TextConfig {
  Family family = Family::kGemma4Unified;
  int width = 0;    // of the residual stream
  int ffn = 0;      // width inside the feed forward
  int vocab = 0;    // tokens
  int context = 0;  // tokens that a sequence may have
  int window = 0;   // keys that a query of a sliding layer sees at most, its own included
  float eps = 1e-6f;
  std::vector<LayerConfig> layers;
  RopeConfig rope_sliding, rope_full;
  float embedding_scale = 1;         // of token embeddings: sqrt(width)
  float attention_scale = 1;         // of scores
  float softcap = 0;                 // final_logit_softcapping; 0 = none
  bool value_norm = false;           // Gemma 4 normalises values
  bool image_bidirectional = false;  // use_bidirectional_attention == "vision"

  const RopeConfig& rope(bool sliding) const { return sliding ? rope_sliding : rope_full; }
};

struct VisionConfig {
  int embed_dim = 0;  // width of the patch embedding
  int positions = 0;  // rows of each position table
  float eps = 1e-6f;  // of the norm before the projection
  // Soft tokens of a picture and of a film's frame at most, where the request has no budget.
  int image_budget = kImageBudget, video_budget = kVideoBudget;
};

struct AudioConfig {
  int frame = kFrameSamples;  // samples of a soft token
  float eps = 1e-6f;
};

struct DrafterConfig {
  int target_width = 0;  // backbone_hidden_size
  bool ordered_embeddings = false;
  int centroids = 0, top_centroids = 0;
};

// Ids of the placeholders; -1 where the vocabulary has none.
struct MediaTokens {
  int image = -1, video = -1, audio = -1;
  int image_begin = -1, image_end = -1, audio_begin = -1, audio_end = -1;
};

// generation_config.json, or what the GGUF says (model/generation_config.h).
struct GenerationConfig {
  std::vector<int> eos;       // any of these ends the answer
  std::vector<int> suppress;  // never sampled
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<int> top_k;
  std::optional<bool> do_sample;
  // The whole of generation_config.json as JSON, with `eos`; empty where there was none.
  std::string source;
};

struct ModelConfig {
  TextConfig text;
  std::optional<VisionConfig> vision;
  std::optional<AudioConfig> audio;
  std::optional<DrafterConfig> drafter;
  MediaTokens tokens;
  GenerationConfig generation;
  int bos = 2;
};

// config.json and (may be null) generation_config.json. Errors name the key.
Result<ModelConfig> ConfigFromJson(const nlohmann::json& config, const nlohmann::json& generation);
// Adds what processor_config.json says: max_soft_tokens of pictures and films. A budget that facet
// does not have is left out, with a warning. Errors name the key.
Result<void> AddProcessorConfig(const nlohmann::json& processor, ModelConfig& config);
// Of a text model's or a drafter's GGUF; vision and audio come from the projector's file
// (AddProjectorConfig). Errors name the file and the key.
Result<ModelConfig> ConfigFromGguf(const Gguf& file);
// Adds vision and audio from a projector file (general.architecture "clip"). Errors likewise.
Result<void> AddProjectorConfig(const Gguf& mmproj, ModelConfig& config);

}  // namespace facet
