// What `facet conform` and `facet conform --grad` share: a case's prompt, and the tensors to write.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/prompt.h"
#include "formats/model_files.h"
#include "formats/safetensors.h"

namespace facet::cli {

namespace fs = std::filesystem;

struct ConformOptions {
  std::string model, mmproj, draft;
  fs::path case_file, out, media = ".";
  int top = 0, max_new = 24, chunk = 1 << 20, threads = 0;
  bool fast = false, compact = false;
  std::string cache = "f32";
  fs::path adapter;
  // Of --grad: "full" or "lora", and plain AdamW.
  std::string grad;
  int steps = 3;
  double lr = 1e-3, weight_decay = 0;
  fs::path save_adapter;
};

// Tensors to write, owned until the file is there.
class Output {
 public:
  void Floats(const std::string& name, std::vector<int64_t> shape, std::vector<float> values) {
    Add(name, DType::kF32, std::move(shape), values.data(), values.size() * sizeof(float));
  }
  void Ints(const std::string& name, std::vector<int64_t> shape,
            const std::vector<int32_t>& values) {
    Add(name, DType::kI32, std::move(shape), values.data(), values.size() * sizeof(int32_t));
  }
  void Bytes(const std::string& name, std::vector<int64_t> shape,
             const std::vector<uint8_t>& values) {
    Add(name, DType::kU8, std::move(shape), values.data(), values.size());
  }
  Result<void> Save(const fs::path& path) const {
    std::vector<TensorOut> tensors;
    for (const Entry& e : entries_) tensors.push_back({e.name, e.type, e.shape, e.data});
    return SaveSafetensors(path, tensors);
  }

 private:
  struct Entry {
    std::string name;
    DType type;
    std::vector<int64_t> shape;
    std::vector<std::byte> data;
  };
  void Add(const std::string& name, DType type, std::vector<int64_t> shape, const void* data,
           size_t bytes) {
    const auto* p = static_cast<const std::byte*>(data);
    entries_.push_back({name, type, std::move(shape), {p, p + bytes}});
  }
  std::vector<Entry> entries_;
};

// What there is before the weights are.
struct ConformCase {
  nlohmann::json request;
  ModelFiles files;  // with the projector that the options name
  std::shared_ptr<const Tokenizer> tokenizer;
};
Result<ConformCase> ReadCase(const ConformOptions& options);

// How closely the case's pictures are looked at.
MediaOptions MediaOfCase(const nlohmann::json& request);

// The case's messages rendered by the model's template, or its text as it is.
Result<Prompt> PromptOfCase(const ConformOptions& options, const ConformCase& input,
                            const ModelConfig& config);

// Loss and gradients of the case's labelled tokens, and a few optimiser steps.
Result<void> ConformGradients(const ConformOptions& options);

}  // namespace facet::cli
