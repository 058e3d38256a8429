#include "tune/train/lora.h"

#include <algorithm>
#include <cmath>
#include <regex>
#include <unordered_map>

#include "base/random.h"

namespace facet::tune {
namespace {

constexpr const char* kDecoderTargets[] = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                           "gate_proj", "up_proj", "down_proj"};
constexpr const char* kVisionTargets[] = {"embed_vision.patch_dense",
                                          "embed_vision.multimodal_embedder.embedding_projection"};
constexpr const char* kAudioTarget = "embed_audio.embedding_projection";

using Modules = std::vector<Module<const Linear>>;

// PEFT's rule for a list: the whole name, or its end after a dot.
bool EndsWith(const std::string& module, const std::string& target) {
  return module == target || module.ends_with("." + target);
}

Result<std::regex> Pattern(const std::string& text) {
  try {
    return std::regex(text);
  } catch (const std::regex_error&) {
    return Error{Cat("lora target \"", text,
                     "\" is neither the name of a projection nor a regular expression")};
  }
}

std::string ShortNames(const Modules& modules) {
  std::vector<std::string> names;
  for (const auto& module : modules) {
    std::string name = module.name.substr(module.name.rfind('.') + 1);
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

// Marks the modules that one target names.
Result<void> Match(const Modules& modules, const std::string& target, std::vector<bool>& chosen) {
  bool any = false;
  const auto choose = [&](const auto& matches) {
    for (size_t i = 0; i < modules.size(); ++i) {
      if (!matches(modules[i].name)) continue;
      chosen[i] = true;
      any = true;
    }
  };
  if (target == "all-linear") {
    choose([](const std::string&) { return true; });
  } else {
    choose([&](const std::string& name) { return EndsWith(name, target); });
  }
  if (!any) {
    FACET_ASSIGN(const std::regex pattern, Pattern(target));
    choose([&](const std::string& name) { return std::regex_match(name, pattern); });
  }
  if (any) return Ok();
  return Error{Cat("lora target \"", target, "\" matches no projection; there are ",
                   ShortNames(modules), " and all-linear"),
               ErrorKind::kNotFound};
}

std::vector<std::string> TargetsOf(const TrainerOptions& options) {
  std::vector<std::string> targets = options.lora.targets;
  if (targets.empty()) targets.assign(std::begin(kDecoderTargets), std::end(kDecoderTargets));
  if (options.train_vision)
    targets.insert(targets.end(), std::begin(kVisionTargets), std::end(kVisionTargets));
  if (options.train_audio) targets.push_back(kAudioTarget);
  return targets;
}

// What adapter_config.json will say: the targets as they were given where PEFT understands them the
// same way, else the modules one by one.
void NameTargets(const Modules& modules, const std::vector<bool>& chosen,
                 const std::vector<std::string>& targets, AdapterConfig& config) {
  const bool names = std::all_of(targets.begin(), targets.end(), [&](const std::string& target) {
    return std::any_of(modules.begin(), modules.end(),
                       [&](const auto& module) { return EndsWith(module.name, target); });
  });
  if (names) {
    config.targets = targets;
  } else if (targets.size() == 1 && targets[0] != "all-linear") {
    config.target_pattern = targets[0];
  } else {
    for (size_t i = 0; i < modules.size(); ++i) {
      if (chosen[i]) config.targets.push_back(modules[i].name);
    }
  }
}

// Where each Linear of the checkpoint is among the weights of training.
std::unordered_map<const Linear*, TrainLinear*> Places(const Weights& from, TrainWeights& to) {
  std::unordered_map<const Linear*, TrainLinear*> places;
  for (size_t i = 0; i < from.layers.size(); ++i) {
    const LayerWeights& w = from.layers[i];
    TrainLayer& t = to.layers[i];
    places.insert({{&w.q, &t.q},
                   {&w.k, &t.k},
                   {&w.v, &t.v},
                   {&w.o, &t.o},
                   {&w.gate, &t.gate},
                   {&w.up, &t.up},
                   {&w.down, &t.down}});
  }
  if (from.vision)
    places.insert({{&from.vision->patch, &to.vision->patch},
                   {&from.vision->projection, &to.vision->projection}});
  if (from.audio) places.insert({&from.audio->projection, &*to.audio});
  return places;
}

// Uniform in +-1 / sqrt(cols), which is what PEFT's kaiming_uniform(a = sqrt 5) comes to.
std::vector<float> StartOfA(int64_t rank, int64_t cols, uint64_t key) {
  std::vector<float> a(rank * cols);
  const double bound = 1 / std::sqrt(static_cast<double>(cols));
  for (size_t i = 0; i < a.size(); ++i) {
    const double unit = static_cast<double>(MixBits(key, i) >> 11) * 0x1p-53;
    a[i] = static_cast<float>((2 * unit - 1) * bound);
  }
  return a;
}

std::vector<float> Copied(const Buffer& from) {
  return {from.view().data(), from.view().data() + from.rows() * from.cols()};
}

Part PartOf(const std::string& module) {
  if (module.find("embed_vision") != std::string::npos) return Part::kVision;
  return module.find("embed_audio") != std::string::npos ? Part::kAudio : Part::kText;
}

// Puts parameters for one module's term beside its weight.
LoraSet::Entry AddTerm(const std::string& module, TrainLinear& place, std::vector<float> a,
                       std::vector<float> b, const AdapterConfig& config, Parameters& parameters,
                       uint64_t stream) {
  const int64_t rank = static_cast<int64_t>(a.size()) / place.cols();
  const Part part = PartOf(module);
  Parameter& pa =
      parameters.Add(LoraTensorName(module, 'A'), {rank, place.cols()}, part, std::move(a));
  Parameter& pb =
      parameters.Add(LoraTensorName(module, 'B'), {place.rows(), rank}, part, std::move(b));
  place.lora = LoraTerm{.a = {pa.value.data(), rank, place.cols()},
                        .b = {pb.value.data(), place.rows(), rank},
                        .da = {pa.gradient.data(), rank, place.cols()},
                        .db = {pb.gradient.data(), place.rows(), rank},
                        .scale = config.Scale(rank),
                        .dropout = static_cast<float>(config.dropout),
                        .stream = stream};
  return {module, &pa, &pb};
}

Result<void> CheckOptions(const LoraOptions& lora) {
  if (lora.rank < 1 || lora.rank > 65536) return Expected("1 to 65536", lora.rank, "lora rank");
  if (!(lora.alpha > 0)) return Expected("a number above 0", lora.alpha, "lora alpha");
  if (!(lora.dropout >= 0 && lora.dropout < 1))
    return Expected("a share of at least 0 and below 1", lora.dropout, "lora dropout");
  return Ok();
}

}  // namespace

Result<LoraSet> TrainLora(const Checkpoint& checkpoint, const TrainerOptions& options,
                          TrainWeights& weights, Parameters& parameters) {
  const Modules modules = AdapterModules(checkpoint.weights, checkpoint.config);
  auto places = Places(checkpoint.weights, weights);
  LoraSet set;
  if (!options.adapter.empty()) {
    FACET_ASSIGN(const std::unique_ptr<Adapter> adapter,
                 Adapter::Load(options.adapter, checkpoint.weights, checkpoint.config));
    set.config = adapter->config();
    for (size_t i = 0; i < modules.size(); ++i) {
      const LoraPair* pair = adapter->Find(*modules[i].linear);
      if (pair == nullptr) continue;
      set.entries.push_back(AddTerm(modules[i].name, *places.at(modules[i].linear), Copied(pair->a),
                                    Copied(pair->b), set.config, parameters, i));
    }
    return set;
  }
  FACET_TRY(CheckOptions(options.lora));
  if (options.train_vision && !weights.vision)
    return Error{"this model cannot see: it has no vision weights to train",
                 ErrorKind::kUnsupported};
  if (options.train_audio && !weights.audio)
    return Error{"this model cannot hear: it has no audio weights to train",
                 ErrorKind::kUnsupported};
  set.config.rank = options.lora.rank;
  set.config.alpha = options.lora.alpha;
  set.config.dropout = options.lora.dropout;
  set.config.rank_stabilised = options.lora.rank_stabilised;
  const std::vector<std::string> targets = TargetsOf(options);
  std::vector<bool> chosen(modules.size());
  for (const std::string& target : targets) FACET_TRY(Match(modules, target, chosen));
  NameTargets(modules, chosen, targets, set.config);
  for (size_t i = 0; i < modules.size(); ++i) {
    if (!chosen[i]) continue;
    TrainLinear& place = *places.at(modules[i].linear);
    const int64_t rank = options.lora.rank;
    set.entries.push_back(
        AddTerm(modules[i].name, place, StartOfA(rank, place.cols(), MixBits(options.seed, i)),
                std::vector<float>(place.rows() * rank), set.config, parameters, i));
  }
  return set;
}

}  // namespace facet::tune
