// ModelConfig from the keys of a GGUF: text models, drafters, projector files.
#include <algorithm>
#include <cmath>

#include "formats/gguf.h"
#include "model/config.h"
#include "model/generation_config.h"

namespace facet {
namespace {

// Metadata under one architecture's prefix; the first failure is kept.
class GgufKeys {
 public:
  GgufKeys(const Gguf& file, std::string prefix) : file_(file), prefix_(std::move(prefix)) {}

  bool Has(const char* key) const { return file_.Has(prefix_ + key); }
  int Int(const char* key, int64_t low, int64_t high, std::optional<int64_t> fallback = {}) {
    if (!Has(key) && fallback) return static_cast<int>(*fallback);
    const Result<int64_t> value = file_.Int(prefix_ + key);
    return static_cast<int>(InRange(key, value.ok() ? *value : low, low, high, value));
  }
  double Number(const char* key, double low, double high, std::optional<double> fallback = {}) {
    if (!Has(key) && fallback) return *fallback;
    const Result<double> value = file_.Float(prefix_ + key);
    return InRange(key, value.ok() ? *value : low, low, high, value);
  }
  // One value a layer: an array of that length, or one number for all.
  std::vector<int> PerLayer(const char* key, int layers, int64_t low, int64_t high) {
    const Result<std::vector<int64_t>> values = file_.Ints(prefix_ + key);
    if (!values.ok()) {
      Fail(values.error());
      return std::vector<int>(layers, static_cast<int>(low));
    }
    if (values->size() != 1 && static_cast<int>(values->size()) != layers) {
      Fail(Expected(Cat(layers, " values"), values->size(), prefix_ + key));
      return std::vector<int>(layers, static_cast<int>(low));
    }
    std::vector<int> out(layers);
    for (int i = 0; i < layers; ++i) {
      const int64_t v = (*values)[values->size() == 1 ? 0 : i];
      out[i] = static_cast<int>(InRange(key, v, low, high, values));
    }
    return out;
  }
  Result<void> Done() const {
    if (error_) return error_->In(file_.path().string());
    return Ok();
  }

 private:
  template <typename T, typename R>
  T InRange(const char* key, T value, T low, T high, const R& source) {
    if (!source.ok()) {
      Fail(source.error());
      return low;
    }
    if (!(value >= low && value <= high)) {
      Fail(Expected(Cat("a value from ", low, " to ", high), value, prefix_ + key));
      return low;
    }
    return value;
  }
  void Fail(Error error) {
    if (!error_) error_ = std::move(error);
  }
  const Gguf& file_;
  std::string prefix_;
  std::optional<Error> error_;
};

int FindToken(const std::vector<std::string_view>& tokens, std::string_view text) {
  const auto at = std::find(tokens.begin(), tokens.end(), text);
  return at == tokens.end() ? -1 : static_cast<int>(at - tokens.begin());
}

// Ids that end an answer and ids of the placeholders come from the vocabulary's texts, as
// llama.cpp's loader does it.
Result<void> ReadTokens(const Gguf& file, ModelConfig& out) {
  FACET_ASSIGN(const std::vector<std::string_view> tokens, file.Strings("tokenizer.ggml.tokens"));
  const auto find = [&](std::string_view text) { return FindToken(tokens, text); };
  out.tokens = {find("<|image|>"), find("<|video|>"), find("<|audio|>"), find("<|image>"),
                find("<image|>"),  find("<|audio>"),  find("<audio|>")};
  const auto add_eos = [&](int id) {
    if (id >= 0 && std::find(out.generation.eos.begin(), out.generation.eos.end(), id) ==
                       out.generation.eos.end()) {
      out.generation.eos.push_back(id);
    }
  };
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"}) {
    if (const auto id = file.Int(key); id.ok()) add_eos(static_cast<int>(*id));
  }
  for (const char* text : {"<eos>", "<turn|>", "<|tool_response>", "<end_of_turn>"})
    add_eos(find(text));
  if (file.Has("tokenizer.ggml.suppress_tokens")) {
    FACET_ASSIGN(const std::vector<int64_t> ids, file.Ints("tokenizer.ggml.suppress_tokens"));
    out.generation.suppress.assign(ids.begin(), ids.end());
  }
  if (const auto bos = file.Int("tokenizer.ggml.bos_token_id"); bos.ok())
    out.bos = static_cast<int>(*bos);
  return Ok();
}

void ReadShape(GgufKeys& keys, TextConfig& text) {
  text.width = keys.Int("embedding_length", 1, 1 << 20);
  text.context = keys.Int("context_length", 1, 1 << 24);
  text.ffn = keys.Int("feed_forward_length", 1, 1 << 20);
  text.eps = static_cast<float>(keys.Number("attention.layer_norm_rms_epsilon", 1e-12, 1));
  text.window = keys.Int("attention.sliding_window", 1, 1 << 24, 512);
  text.embedding_scale = static_cast<float>(std::sqrt(static_cast<double>(text.width)));
}

// Gemma 3: local rope base 10000 unless the file says otherwise, five sliding layers to one full
// one.
void ReadGemma3(GgufKeys& keys, TextConfig& text) {
  text.family = Family::kGemma3;
  const int count = keys.Int("block_count", 1, 1024);
  const int pattern = keys.Int("attention.sliding_window_pattern", 1, 1024, 6);
  LayerConfig layer;
  layer.heads = keys.Int("attention.head_count", 1, 4096);
  layer.kv_heads = keys.Int("attention.head_count_kv", 1, 4096);
  layer.head_dim = keys.Int("attention.key_length", 2, 8192);
  for (int i = 0; i < count; ++i) {
    layer.sliding = (i + 1) % pattern != 0;
    text.layers.push_back(layer);
  }
  text.rope_full = {keys.Number("rope.freq_base", 1, 1e12, 1e6), layer.head_dim / 2,
                    keys.Number("rope.scaling.factor", 1, 1e6, 1.0)};
  text.rope_sliding = {keys.Number("rope.freq_base_swa", 1, 1e12, 1e4), layer.head_dim / 2, 1};
  text.attention_scale = static_cast<float>(keys.Number(
      "attention.scale", 1e-9, 1e3, 1 / std::sqrt(static_cast<double>(layer.head_dim))));
  text.softcap = static_cast<float>(keys.Number("final_logit_softcapping", 0, 1e6, 0.0));
}

// Rotated pairs of the full layers: as many as rope_freqs has ones; pairs with a huge divisor stand
// still.
Result<int> RotatedPairs(const Gguf& file, int head_dim) {
  const Tensor* factors = file.Find("rope_freqs.weight");
  if (factors == nullptr) return head_dim / 2;
  if (factors->type != DType::kF32 || factors->elements() != head_dim / 2) {
    return Expected(Cat("(", head_dim / 2, ") F32"), factors->Describe(), "rope_freqs.weight");
  }
  const auto* value = reinterpret_cast<const float*>(factors->data.data());
  int pairs = 0;
  while (pairs < head_dim / 2 && value[pairs] == 1.0f) ++pairs;
  for (int i = pairs; i < head_dim / 2; ++i) {
    if (!(value[i] >= 1e20f))
      return Expected("1 or at least 1e20", value[i], Cat("rope_freqs.weight[", i, "]"));
  }
  return pairs;
}

Result<void> ReadGemma4(const Gguf& file, GgufKeys& keys, TextConfig& text) {
  const int count = keys.Int("block_count", 1, 1024);
  const std::vector<int> sliding = keys.PerLayer("attention.sliding_window_pattern", count, 0, 1);
  const std::vector<int> heads = keys.PerLayer("attention.head_count", count, 1, 4096);
  const std::vector<int> kv_heads = keys.PerLayer("attention.head_count_kv", count, 1, 4096);
  const int full_dim = keys.Int("attention.key_length", 2, 8192);
  const int sliding_dim = keys.Int("attention.key_length_swa", 2, 8192, full_dim);
  FACET_TRY(keys.Done());
  const bool drafter = text.family == Family::kGemma4Assistant;
  for (int i = 0; i < count; ++i) {
    const bool own_values = file.Find(Cat("blk.", i, ".attn_v.weight")) != nullptr;
    text.layers.push_back({sliding[i] != 0, heads[i], kv_heads[i],
                           sliding[i] ? sliding_dim : full_dim, !drafter && !own_values});
  }
  if (!drafter && keys.Int("attention.shared_kv_layers", 0, 1024, 0) != 0) {
    return Error{"shared kv layers are not supported (attention.shared_kv_layers)",
                 ErrorKind::kUnsupported};
  }
  if (keys.Int("embedding_length_per_layer_input", 0, 1 << 20, 0) != 0) {
    return Error{"per-layer embeddings are not supported (embedding_length_per_layer_input)",
                 ErrorKind::kUnsupported};
  }
  if (keys.Has("expert_count")) {
    return Error{"mixtures of experts are not supported (expert_count)", ErrorKind::kUnsupported};
  }
  FACET_ASSIGN(text.rope_full.rotated_pairs, RotatedPairs(file, full_dim));
  text.rope_full.theta = keys.Number("rope.freq_base", 1, 1e12, 1e6);
  text.rope_sliding = {keys.Number("rope.freq_base_swa", 1, 1e12, 1e4), sliding_dim / 2, 1};
  text.softcap = static_cast<float>(keys.Number("final_logit_softcapping", 0, 1e6, 0.0));
  text.value_norm = true;
  text.image_bidirectional = !drafter;
  return Ok();
}

}  // namespace

Result<ModelConfig> ConfigFromGguf(const Gguf& file) {
  FACET_ASSIGN(const std::string_view arch, file.Architecture());
  ModelConfig out;
  GgufKeys keys(file, std::string(arch) + ".");
  if (arch != "gemma4" && arch != "gemma3" && arch != "gemma4-assistant") {
    return Error{Cat(file.path().string(), ": architecture \"", arch,
                     "\" is not supported; gemma4, gemma3 and gemma4-assistant are"),
                 ErrorKind::kUnsupported};
  }
  ReadShape(keys, out.text);
  if (arch == "gemma3") {
    ReadGemma3(keys, out.text);
  } else {
    out.text.family = arch == "gemma4" ? Family::kGemma4Unified : Family::kGemma4Assistant;
    if (auto read = ReadGemma4(file, keys, out.text); !read.ok())
      return read.error().In(file.path().string());
  }
  if (arch == "gemma4-assistant") {
    out.drafter = DrafterConfig{};
    out.drafter->target_width = keys.Int("embedding_length_out", 1, 1 << 20);
  }
  FACET_TRY(keys.Done());
  for (size_t i = 0; i < out.text.layers.size(); ++i) {
    const LayerConfig& layer = out.text.layers[i];
    if (layer.heads % layer.kv_heads != 0) {
      return Expected("heads that are a multiple of the kv heads",
                      Cat(layer.heads, " and ", layer.kv_heads),
                      Cat(file.path().string(), ": layer ", i));
    }
  }
  const Tensor* embedding = file.Find("token_embd.weight");
  if (embedding != nullptr)
    out.text.vocab = static_cast<int>(std::min<int64_t>(embedding->rows(), 1 << 24));
  if (file.Has("tokenizer.ggml.tokens")) FACET_TRY(ReadTokens(file, out));
  FACET_TRY(ReadGenerationKeys(file, out.generation));
  return out;
}

Result<void> AddProjectorConfig(const Gguf& mmproj, ModelConfig& config) {
  const std::string where = mmproj.path().string();
  FACET_ASSIGN(const std::string_view arch, mmproj.Architecture());
  if (arch != "clip") return Expected("architecture clip", arch, where);
  const auto projector = [&](const char* key, const char* want) -> Result<void> {
    FACET_ASSIGN(const std::string_view type, mmproj.String(key));
    if (type != want)
      return Error{Cat(where, ": ", key, " \"", type, "\" is not supported; ", want, " is"),
                   ErrorKind::kUnsupported};
    return Ok();
  };
  const auto flag = [&](const char* key) { return mmproj.Bool(key).ok() && *mmproj.Bool(key); };
  GgufKeys keys(mmproj, "clip.");
  if (flag("clip.has_vision_encoder")) {
    FACET_TRY(projector("clip.vision.projector_type", "gemma4uv"));
    VisionConfig vision;
    vision.embed_dim = keys.Int("vision.embedding_length", 1, 1 << 20);
    vision.eps =
        static_cast<float>(keys.Number("vision.attention.layer_norm_epsilon", 1e-12, 1, 1e-6));
    FACET_ASSIGN(const Tensor* table, mmproj.Get("v.position_embd.weight"));
    if (table->shape.size() != 3 || table->shape[0] != 2) {
      return Expected("(2, positions, width)", table->Describe(),
                      where + ": v.position_embd.weight");
    }
    vision.positions = static_cast<int>(std::min<int64_t>(table->shape[1], 1 << 20));
    for (const auto& [key, budget] : {std::pair("facet.image_budget", &vision.image_budget),
                                      std::pair("facet.video_budget", &vision.video_budget)}) {
      if (!mmproj.Has(key)) continue;
      FACET_ASSIGN(const int64_t tokens, mmproj.Int(key));
      if (!IsPictureBudget(tokens))
        return Expected(kPictureBudgetNames, tokens, Cat(where, ": ", key));
      *budget = static_cast<int>(tokens);
    }
    config.vision = vision;
  }
  if (flag("clip.has_audio_encoder")) {
    FACET_TRY(projector("clip.audio.projector_type", "gemma4ua"));
    AudioConfig audio;
    audio.eps =
        static_cast<float>(keys.Number("audio.attention.layer_norm_epsilon", 1e-12, 1, 1e-6));
    config.audio = audio;
  }
  return keys.Done();
}

}  // namespace facet
