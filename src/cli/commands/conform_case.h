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

struct ConformOptions {
  std::string model, mmproj, draft;
  std::filesystem::path case_file, out, media = ".";
  int top = 0, max_new = 24, chunk = 1 << 20, threads = 0;
  bool fast = false, compact = false;
  std::string cache = "f32";
  std::filesystem::path adapter;
  // Of --grad: "full" or "lora", and plain AdamW.
  std::string grad;
  int steps = 3;
  double lr = 1e-3, weight_decay = 0;
  std::filesystem::path save_adapter;
};

// Tensors to write, owned until the file is written.
class TensorOutput {
 public:
  void AddFloats(const std::string& name, std::vector<int64_t> shape,
                 const std::vector<float>& values);
  void AddInts(const std::string& name, std::vector<int64_t> shape,
               const std::vector<int32_t>& values);
  void AddBytes(const std::string& name, std::vector<int64_t> shape,
                const std::vector<uint8_t>& values);
  Result<void> Save(const std::filesystem::path& path) const;

 private:
  struct OwnedTensor {
    std::string name;
    DType type;
    std::vector<int64_t> shape;
    std::vector<std::byte> data;
  };
  void AddTensor(const std::string& name, DType type, std::vector<int64_t> shape, const void* data,
                 size_t bytes);
  std::vector<OwnedTensor> tensors_;
};

// What a case needs before the weights are loaded.
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
