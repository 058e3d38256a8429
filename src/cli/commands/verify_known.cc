#include "cli/commands/verify_known.h"

#include <cmath>

#include "base/result.h"

namespace facet::cli {
namespace {

constexpr double kSlidingBase = 10'000, kFullBase = 1'000'000, kEps = 1e-6;

// docs/model.md, "Numbers"; Gemma 3: its technical report and the config.json of each repository.
// 1 / sqrt(256) = 0.0625; the 27B divides by sqrt(168).
constexpr KnownModel kKnown[] = {
    {.name = "Gemma 4 12B",
     .family = Family::kGemma4Unified,
     .width = 3840,
     .ffn = 15360,
     .layers = 48,
     .period = 6,
     .window = 1024,
     .heads = 16,
     .kv_heads = 8,
     .head_dim = 256,
     .full_kv_heads = 1,
     .full_head_dim = 512,
     .full_pairs = 64,
     .full_scale = 1,
     .attention_scale = 1,
     .softcap = 30},
    {.name = "pebble",
     .family = Family::kGemma4Unified,
     .width = 256,
     .ffn = 768,
     .layers = 8,
     .period = 4,
     .window = 512,
     .heads = 4,
     .kv_heads = 2,
     .head_dim = 64,
     .full_kv_heads = 1,
     .full_head_dim = 128,
     .full_pairs = 16,
     .full_scale = 1,
     .attention_scale = 1,
     .softcap = 30,
     .loss = 0.025},
    {.name = "Gemma 3 270M",
     .family = Family::kGemma3,
     .width = 640,
     .ffn = 2048,
     .layers = 18,
     .period = 6,
     .window = 512,
     .heads = 4,
     .kv_heads = 1,
     .head_dim = 256,
     .full_kv_heads = 1,
     .full_head_dim = 256,
     .full_pairs = 128,
     .full_scale = 1,
     .attention_scale = 0.0625,
     .softcap = 0,
     .loss = 1.58},
    {.name = "Gemma 3 1B",
     .family = Family::kGemma3,
     .width = 1152,
     .ffn = 6912,
     .layers = 26,
     .period = 6,
     .window = 512,
     .heads = 4,
     .kv_heads = 1,
     .head_dim = 256,
     .full_kv_heads = 1,
     .full_head_dim = 256,
     .full_pairs = 128,
     .full_scale = 1,
     .attention_scale = 0.0625,
     .softcap = 0},
    {.name = "Gemma 3 4B",
     .family = Family::kGemma3,
     .width = 2560,
     .ffn = 10240,
     .layers = 34,
     .period = 6,
     .window = 1024,
     .heads = 8,
     .kv_heads = 4,
     .head_dim = 256,
     .full_kv_heads = 4,
     .full_head_dim = 256,
     .full_pairs = 128,
     .full_scale = 8,
     .attention_scale = 0.0625,
     .softcap = 0},
    {.name = "Gemma 3 12B",
     .family = Family::kGemma3,
     .width = 3840,
     .ffn = 15360,
     .layers = 48,
     .period = 6,
     .window = 1024,
     .heads = 16,
     .kv_heads = 8,
     .head_dim = 256,
     .full_kv_heads = 8,
     .full_head_dim = 256,
     .full_pairs = 128,
     .full_scale = 8,
     .attention_scale = 0.0625,
     .softcap = 0},
    {.name = "Gemma 3 27B",
     .family = Family::kGemma3,
     .width = 5376,
     .ffn = 21504,
     .layers = 62,
     .period = 6,
     .window = 1024,
     .heads = 32,
     .kv_heads = 16,
     .head_dim = 128,
     .full_kv_heads = 16,
     .full_head_dim = 128,
     .full_pairs = 64,
     .full_scale = 8,
     .attention_scale = 0.07715167498104596,
     .softcap = 0},
};

class KnownComparison {
 public:
  void Number(const std::string& what, double got, double want) {
    if (std::fabs(got - want) > 1e-4 * std::fabs(want))
      differences_.push_back(Cat(what, " is ", got, ", not ", want));
  }

  void Layer(size_t index, const LayerConfig& layer, const KnownModel& known) {
    const std::string where = Cat("layer ", index, "'s ");
    const bool full = (index + 1) % known.period == 0;
    if (layer.sliding == full) {
      differences_.push_back(Cat("layer ", index, " is a ", layer.sliding ? "sliding" : "full",
                                 " one, and should be the other kind"));
      return;
    }
    Number(where + "number of heads", layer.heads, known.heads);
    Number(where + "number of key heads", layer.kv_heads,
           full ? known.full_kv_heads : known.kv_heads);
    Number(where + "head width", layer.head_dim, full ? known.full_head_dim : known.head_dim);
  }

  std::vector<std::string> Take() { return std::move(differences_); }

 private:
  std::vector<std::string> differences_;
};

}  // namespace

const KnownModel* FindKnownModel(const TextConfig& text) {
  for (const KnownModel& known : kKnown) {
    if (known.family == text.family && known.width == text.width && known.ffn == text.ffn)
      return &known;
  }
  return nullptr;
}

const KnownModel* KnownModelBehind(std::string_view short_name) {
  struct Behind {
    std::string_view begin, name;
  };
  constexpr Behind kBehind[] = {{"gemma4-12b", "Gemma 4 12B"}, {"gemma3-270m", "Gemma 3 270M"}};
  for (const Behind& behind : kBehind) {
    if (!short_name.starts_with(behind.begin)) continue;
    for (const KnownModel& known : kKnown) {
      if (known.name == behind.name) return &known;
    }
  }
  return nullptr;
}

TextConfig LayersOf(const KnownModel& known) {
  TextConfig text;
  text.family = known.family;
  text.width = known.width;
  text.ffn = known.ffn;
  text.window = known.window;
  text.rope_sliding.rotated_pairs = known.head_dim / 2;
  text.rope_full.rotated_pairs = known.full_pairs;
  for (int i = 0; i < known.layers; ++i) {
    const bool full = (i + 1) % known.period == 0;
    LayerConfig layer;
    layer.sliding = !full;
    layer.heads = known.heads;
    layer.kv_heads = full ? known.full_kv_heads : known.kv_heads;
    layer.head_dim = full ? known.full_head_dim : known.head_dim;
    layer.keys_are_values = full && known.family == Family::kGemma4Unified;
    text.layers.push_back(layer);
  }
  return text;
}

std::vector<std::string> DifferencesFromKnown(const TextConfig& text, const KnownModel& known) {
  KnownComparison compare;
  compare.Number("the number of layers", static_cast<double>(text.layers.size()), known.layers);
  compare.Number("the window of the sliding layers", text.window, known.window);
  compare.Number("the eps of the norms", text.eps, kEps);
  compare.Number("the sliding layers' RoPE base", text.rope_sliding.theta, kSlidingBase);
  compare.Number("the full layers' RoPE base", text.rope_full.theta, kFullBase);
  compare.Number("the sliding layers' RoPE scale", text.rope_sliding.scale, 1);
  compare.Number("the full layers' RoPE scale", text.rope_full.scale, known.full_scale);
  compare.Number("the number of pairs that turn in full layers", text.rope_full.rotated_pairs,
                 known.full_pairs);
  compare.Number("the number of pairs that turn in sliding layers", text.rope_sliding.rotated_pairs,
                 known.head_dim / 2);
  compare.Number("the scale of attention", text.attention_scale, known.attention_scale);
  compare.Number("the scale of embeddings", text.embedding_scale, std::sqrt(text.width));
  compare.Number("the cap of the logits", text.softcap, known.softcap);
  for (size_t i = 0; i < text.layers.size(); ++i) compare.Layer(i, text.layers[i], known);
  return compare.Take();
}

}  // namespace facet::cli
