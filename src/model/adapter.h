// LoRA adapters in the folder format of PEFT: adapter_config.json and adapter_model.safetensors.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/matrix.h"
#include "base/result.h"
#include "model/config.h"
#include "model/weights.h"

namespace facet {

// A projection that an adapter can stand beside, under the name that PEFT gives its module
// ("model.language_model.layers.0.self_attn.q_proj").
template <typename T>
struct Module {
  std::string name;
  T* linear = nullptr;
};
std::vector<Module<const Linear>> AdapterModules(const Weights& weights, const ModelConfig& config);

// y += scale * (x A^T) B^T
struct LoraPair {
  Buffer a, b;  // (rank, cols), (rows, rank)
  float scale = 1;
};

// What adapter_config.json says, as far as it changes anything here.
struct AdapterConfig {
  int rank = 16;
  double alpha = 32, dropout = 0;
  bool rank_stabilised = false;      // scale alpha / sqrt(rank) in place of alpha / rank
  std::vector<std::string> targets;  // names of modules, or the ends of names
  std::string target_pattern;        // a regular expression in place of `targets`
  std::string base_model;

  float Scale(int64_t rank_of_pair) const;
};

// Of a PEFT folder. Errors name the key: a kind of adapter that is not computed here.
Result<AdapterConfig> ReadAdapterConfig(const std::filesystem::path& folder);

class Adapter {
 public:
  // Errors name the key or the tensor: a kind of adapter that is not computed here, a tensor that
  // belongs to no projection of this model, one half of a pair, a wrong shape.
  static Result<std::unique_ptr<Adapter>> Load(const std::filesystem::path& folder,
                                               const Weights& weights, const ModelConfig& config);

  const AdapterConfig& config() const { return config_; }
  // Null where the adapter leaves this projection as it is.
  const LoraPair* Find(const Linear& linear) const { return Find(linear.name); }
  // The same by the checkpoint's name of the weight.
  const LoraPair* Find(const std::string& tensor) const {
    const auto at = pairs_.find(tensor);
    return at == pairs_.end() ? nullptr : &at->second;
  }

 private:
  AdapterConfig config_;
  std::unordered_map<std::string, LoraPair> pairs_;  // by Linear::name
};

// Row `row` of a weight gets its part of scale * B A, so that it computes what it did with the
// adapter beside it.
void MergeRow(const LoraPair& pair, int64_t row, std::span<float> weight);

// One module's pair, to be written.
struct AdapterEntry {
  std::string module;
  ConstMat a, b;
};
Result<void> SaveAdapter(const std::filesystem::path& folder, const AdapterConfig& config,
                         const std::vector<AdapterEntry>& entries);

// "base_model.model.MODULE.lora_A.weight", and lora_B.
std::string LoraTensorName(const std::string& module, char half);

}  // namespace facet
