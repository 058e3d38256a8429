#include "cli/commands/verify_alternatives.h"

#include <algorithm>
#include <cmath>

namespace facet::cli {
namespace {

// What counts as clearly better: so many standard errors, and so many nats a token, of the loss
// too. With a hundred alternatives, one in a million sound models would fail by chance alone; the
// share of the loss is for what merely makes a model less sure of itself.
constexpr double kCertainty = 5, kGain = 0.01, kShareOfLoss = 0.05;

struct Change {
  std::string what;
  std::function<void(ModelConfig&, Weights&)> apply;
};

using LayerNorm = std::vector<float> LayerWeights::*;
struct NormKind {
  const char* name;
  LayerNorm values;
};
constexpr NormKind kNorms[] = {
    {"norms before attention", &LayerWeights::attn_norm},
    {"norms behind attention", &LayerWeights::post_attn_norm},
    {"norms before the feed forward", &LayerWeights::ffn_norm},
    {"norms behind the feed forward", &LayerWeights::post_ffn_norm},
    {"norms of queries", &LayerWeights::q_norm},
    {"norms of keys", &LayerWeights::k_norm},
};

void AddTo(std::vector<float>& values, float shift) {
  for (float& value : values) value += shift;
}

void AddNorms(std::vector<Change>& out) {
  for (const float shift : {1.0f, -1.0f}) {
    const std::string by = shift > 0 ? " and 1" : " less 1";
    for (const NormKind& kind : kNorms) {
      out.push_back({kind.name + by, [values = kind.values, shift](ModelConfig&, Weights& w) {
                       for (LayerWeights& layer : w.layers) AddTo(layer.*values, shift);
                     }});
    }
    out.push_back(
        {"the last norm" + by, [shift](ModelConfig&, Weights& w) { AddTo(w.final_norm, shift); }});
    out.push_back({"all norms" + by, [shift](ModelConfig&, Weights& w) {
                     for (LayerWeights& layer : w.layers) {
                       for (const NormKind& kind : kNorms) AddTo(layer.*kind.values, shift);
                     }
                     AddTo(w.final_norm, shift);
                   }});
  }
}

// Values that models of the family have, without the one that this model has.
template <typename T, typename F>
void AddNumbers(std::vector<Change>& out, const std::string& what, T now, std::vector<T> others,
                F field) {
  for (const T other : others) {
    if (std::fabs(other - now) <= 1e-3 * std::fabs(now)) continue;
    out.push_back({Cat(what, " ", other),
                   [field, other](ModelConfig& c, Weights&) { field(c.text) = other; }});
  }
}

void AddConfig(const TextConfig& text, std::vector<Change>& out) {
  AddNumbers<double>(out, "sliding layers with a RoPE base of", text.rope_sliding.theta,
                     {1e4, 1e5, 1e6},
                     [](TextConfig& t) -> double& { return t.rope_sliding.theta; });
  AddNumbers<double>(out, "full layers with a RoPE base of", text.rope_full.theta, {1e4, 1e5, 1e6},
                     [](TextConfig& t) -> double& { return t.rope_full.theta; });
  AddNumbers<double>(out, "full layers with a RoPE scale of", text.rope_full.scale, {1, 8},
                     [](TextConfig& t) -> double& { return t.rope_full.scale; });
  std::vector<float> scales = {1};
  for (const LayerConfig& layer : text.layers) {
    const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(layer.head_dim)));
    if (std::find(scales.begin(), scales.end(), scale) == scales.end()) scales.push_back(scale);
  }
  AddNumbers<float>(out, "attention with a scale of", text.attention_scale, scales,
                    [](TextConfig& t) -> float& { return t.attention_scale; });
  AddNumbers<float>(out, "embeddings with a scale of", text.embedding_scale,
                    {1, static_cast<float>(std::sqrt(static_cast<double>(text.width)))},
                    [](TextConfig& t) -> float& { return t.embedding_scale; });
  AddNumbers<float>(out, "logits with a cap of", text.softcap, {0, 30},
                    [](TextConfig& t) -> float& { return t.softcap; });
  AddNumbers<float>(out, "norms with an eps of", text.eps, {1e-6f, 1e-5f},
                    [](TextConfig& t) -> float& { return t.eps; });
  out.push_back({text.value_norm ? "values without a norm" : "values with a norm",
                 [](ModelConfig& c, Weights&) { c.text.value_norm = !c.text.value_norm; }});
}

bool SameShape(const LayerWeights& a, const LayerWeights& b) {
  const auto same = [](const Linear& x, const Linear& y) {
    return x.rows() == y.rows() && x.cols() == y.cols() &&
           (x.weight.data == nullptr) == (y.weight.data == nullptr);
  };
  return same(a.q, b.q) && same(a.k, b.k) && same(a.v, b.v) && same(a.o, b.o) &&
         same(a.gate, b.gate) && same(a.down, b.down);
}

void AddLayers(const Weights& weights, std::vector<Change>& out) {
  out.push_back({"gate and up exchanged", [](ModelConfig&, Weights& w) {
                   for (LayerWeights& layer : w.layers) std::swap(layer.gate, layer.up);
                 }});
  const auto& layers = weights.layers;
  if (std::any_of(layers.begin(), layers.end(),
                  [](const LayerWeights& layer) { return layer.layer_scalar != 1; })) {
    out.push_back({"layers without their scalar", [](ModelConfig&, Weights& w) {
                     for (LayerWeights& layer : w.layers) layer.layer_scalar = 1;
                   }});
  }
  for (size_t i = 0; i + 1 < layers.size(); ++i) {
    // The next one of the same shape: in between may stand one of the other kind.
    for (size_t k = i + 1; k < std::min(i + 3, layers.size()); ++k) {
      if (!SameShape(layers[i], layers[k])) continue;
      out.push_back({Cat("layers ", i, " and ", k, " exchanged"),
                     [i, k](ModelConfig&, Weights& w) { std::swap(w.layers[i], w.layers[k]); }});
      break;
    }
  }
}

// Pictures and sound take longer than what is read of them, and no alternative is about them.
KnownTexts WithoutMedia(const KnownTexts& texts) {
  KnownTexts out{texts.what, {}};
  for (const tune::Example& example : texts.examples)
    if (example.items.empty()) out.examples.push_back(example);
  return out.examples.empty() ? texts : out;
}

Alternative CompareScores(const std::string& what, const std::vector<float>& now,
                          const std::vector<float>& then) {
  const auto n = static_cast<double>(now.size());
  double sum = 0, squares = 0;
  for (size_t i = 0; i < now.size(); ++i) {
    const double gain = static_cast<double>(then[i]) - now[i];
    sum += gain;
    squares += gain * gain;
  }
  const double mean = sum / n, variance = std::max(0.0, squares / n - mean * mean);
  const double error = std::sqrt(variance / std::max(1.0, n - 1));
  return {what, mean, error > 0 ? mean / error : 0};
}

}  // namespace

Result<std::vector<Alternative>> BetterAlternatives(
    Model& model, const KnownTexts& all_texts,
    const std::function<void(size_t, size_t)>& progress) {
  const KnownTexts texts = WithoutMedia(all_texts);
  FACET_ASSIGN(const std::vector<float> scores, ScoreTexts(model, texts));
  const ModelConfig config = model.config();
  const Weights weights = model.weights();
  std::vector<Change> changes;
  AddNorms(changes);
  AddConfig(config.text, changes);
  AddLayers(weights, changes);
  const double least = std::max(kGain, kShareOfLoss * MeanLoss(scores));
  std::vector<Alternative> better;
  for (size_t i = 0; i < changes.size(); ++i) {
    progress(i, changes.size());
    ModelConfig changed_config = config;
    Weights changed_weights = weights;
    changes[i].apply(changed_config, changed_weights);
    model.Replace(changed_config, changed_weights);
    const auto changed = ScoreTexts(model, texts);
    model.Replace(config, weights);
    FACET_TRY(changed);
    const Alternative found = CompareScores(changes[i].what, scores, *changed);
    if (found.gain >= least && found.certainty >= kCertainty) better.push_back(found);
  }
  std::sort(better.begin(), better.end(),
            [](const Alternative& a, const Alternative& b) { return a.gain > b.gain; });
  return better;
}

}  // namespace facet::cli
