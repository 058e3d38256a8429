#include "tune/train/export.h"

#include <unordered_map>

#include "base/atomic_file.h"
#include "base/mapped_file.h"
#include "formats/safetensors.h"
#include "ops/quant/quant.h"

namespace facet::tune {
namespace {

namespace fs = std::filesystem;

constexpr const char* kModelFiles[] = {
    "config.json",         "generation_config.json", "tokenizer.json",
    "tokenizer.model",     "tokenizer_config.json",  "special_tokens_map.json",
    "added_tokens.json",   "processor_config.json",  "preprocessor_config.json",
    "chat_template.jinja", "chat_template.json"};

// A parameter's values in the type of the checkpoint's tensor.
std::vector<std::byte> Encoded(const Parameter& p, DType type) {
  std::vector<std::byte> bytes(RowBytes(type, p.value.size()));
  QuantizeRow(type, p.value, bytes.data());
  return bytes;
}

}  // namespace

Result<void> ExportAdapter(const fs::path& folder, const LoraSet& lora) {
  std::vector<AdapterEntry> entries;
  for (const LoraSet::Entry& entry : lora.entries) {
    entries.push_back({entry.module,
                       {entry.a->value.data(), entry.a->shape[0], entry.a->shape[1]},
                       {entry.b->value.data(), entry.b->shape[0], entry.b->shape[1]}});
  }
  return SaveAdapter(folder, lora.config, entries);
}

Result<void> ExportWeights(const fs::path& folder, const Checkpoint& checkpoint,
                           const Parameters& parameters) {
  if (dynamic_cast<const Safetensors*>(checkpoint.text.get()) == nullptr)
    return Error{
        "full tuning writes a checkpoint folder, so it has to start from one, not from a "
        "GGUF",
        ErrorKind::kUnsupported};
  std::unordered_map<std::string_view, const Parameter*> trained;
  for (const Parameter& p : parameters.all()) trained[p.name] = &p;
  std::vector<TensorOut> tensors;
  std::vector<std::vector<std::byte>> encoded;
  for (const Tensor& tensor : checkpoint.text->tensors()) {
    if (tensor.name == kHeadName) continue;  // the embedding once more, as it was
    const auto at = trained.find(tensor.name);
    if (at == trained.end()) {
      tensors.push_back({tensor.name, tensor.type, tensor.shape, tensor.data});
      continue;
    }
    const Parameter& p = *at->second;
    const DType type = IsQuantized(tensor.type) ? DType::kF32 : tensor.type;
    std::span<const std::byte> data = std::as_bytes(std::span(p.value));
    if (type != DType::kF32) data = encoded.emplace_back(Encoded(p, type));
    tensors.push_back({tensor.name, type, tensor.shape, data});
  }
  FACET_TRY(MakeFolders(folder));
  return SaveSafetensors(folder / "model.safetensors", tensors, {{"format", "pt"}});
}

Result<void> CopyModelFiles(const fs::path& model, const fs::path& out) {
  std::error_code code;
  if (!fs::is_directory(model, code)) {
    return Error{Cat(model.string(), ": full tuning needs a checkpoint folder with safetensors; ",
                     "a GGUF can be tuned with an adapter"),
                 ErrorKind::kUnsupported};
  }
  if (fs::equivalent(model, out, code)) return Ok();
  for (const char* name : kModelFiles) {
    if (!fs::exists(model / name, code)) continue;
    FACET_ASSIGN(const std::string text, ReadFile(model / name));
    FACET_TRY(WriteFile(out / name, text));
  }
  return Ok();
}

}  // namespace facet::tune
