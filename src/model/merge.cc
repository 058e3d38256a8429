#include "model/merge.h"

#include <atomic>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "formats/safetensors.h"
#include "model/adapter.h"
#include "ops/quant/quant.h"

namespace facet {
namespace {

namespace fs = std::filesystem;

constexpr size_t kShardBytes = size_t{2} << 30;

// Errors: a sum beyond what the tensor's type can hold.
Result<std::vector<std::byte>> Merged(const TensorFile& file, const Tensor& tensor,
                                      const LoraPair& pair, ThreadPool& pool) {
  const int64_t cols = tensor.cols();
  const size_t bytes = RowBytes(tensor.type, cols);
  std::vector<std::byte> out(tensor.data.size());
  std::atomic<int64_t> bad = -1;
  pool.ParallelFor(tensor.rows(), [&](int64_t r) {
    thread_local std::vector<float> row;
    row.resize(cols);
    DequantizeRow(tensor.type, tensor.data.data() + r * bytes, row);
    MergeRow(pair, r, row);
    QuantizeRow(tensor.type, row, out.data() + r * bytes);
    if (FindNonFinite(tensor.type, out.data() + r * bytes, cols) >= 0) bad = r;
  });
  if (bad >= 0) {
    return Error{Cat(file.path().string(), ": tensor ", Printable(tensor.name), ", row ",
                     bad.load(), ": with the adapter's term it is no finite ",
                     Traits(tensor.type).name, " number")};
  }
  return out;
}

// Tensors in shards that are written one after another.
std::vector<std::vector<const Tensor*>> Shards(const TensorFile& file) {
  std::vector<std::vector<const Tensor*>> shards(1);
  size_t bytes = 0;
  for (const Tensor& tensor : file.tensors()) {
    if (bytes + tensor.data.size() > kShardBytes && !shards.back().empty()) {
      shards.emplace_back();
      bytes = 0;
    }
    shards.back().push_back(&tensor);
    bytes += tensor.data.size();
  }
  return shards;
}

std::string ShardName(size_t index, size_t count) {
  if (count == 1) return "model.safetensors";
  char name[64];
  std::snprintf(name, sizeof(name), "model-%05zu-of-%05zu.safetensors", index + 1, count);
  return name;
}

Result<void> WriteIndex(const fs::path& folder, const nlohmann::json& places, size_t bytes) {
  const fs::path path = folder / "model.safetensors.index.json";
  const nlohmann::json index = {{"metadata", {{"total_size", bytes}}}, {"weight_map", places}};
  return WriteFile(path, index.dump(2) + "\n");
}

Result<void> WriteWeights(const Checkpoint& checkpoint, const Adapter& adapter,
                          const fs::path& output, ThreadPool& pool) {
  const auto shards = Shards(*checkpoint.text);
  nlohmann::json places = nlohmann::json::object();
  size_t total = 0;
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = ShardName(i, shards.size());
    std::vector<TensorOut> tensors;
    std::vector<std::vector<std::byte>> merged;
    for (const Tensor* tensor : shards[i]) {
      std::span<const std::byte> data = tensor->data;
      if (const LoraPair* pair = adapter.Find(tensor->name)) {
        FACET_ASSIGN(auto sum, Merged(*checkpoint.text, *tensor, *pair, pool));
        data = merged.emplace_back(std::move(sum));
      }
      tensors.push_back({tensor->name, tensor->type, tensor->shape, data});
      places[tensor->name] = name;
      total += data.size();
    }
    FACET_TRY(SaveSafetensors(output / name, tensors, {{"format", "pt"}}));
    for (const Tensor* tensor : shards[i]) checkpoint.text->Drop(*tensor);
  }
  return shards.size() == 1 ? Ok() : WriteIndex(output, places, total);
}

// Configuration, tokenizer, template: everything but the weights.
Result<void> CopyOthers(const fs::path& source, const fs::path& output) {
  FACET_ASSIGN(const auto shards, ReadShardIndex(source));
  std::error_code code;
  for (const fs::directory_entry& entry : fs::directory_iterator(source, code)) {
    const std::string name = entry.path().filename().string();
    if (name.find(".safetensors") != std::string::npos || !entry.is_regular_file()) continue;
    if (shards && shards->contains(name)) continue;
    fs::copy_file(entry.path(), output / name, fs::copy_options::overwrite_existing, code);
    if (code) break;
  }
  if (code) return Error{Cat(output.string(), ": ", code.message()), ErrorKind::kIo};
  return Ok();
}

}  // namespace

Result<void> MergeToFolder(const fs::path& source, const fs::path& adapter_folder,
                           const fs::path& output, ThreadPool& pool) {
  FACET_ASSIGN(const Checkpoint checkpoint, LoadCheckpoint(source, std::nullopt));
  if (dynamic_cast<const Safetensors*>(checkpoint.text.get()) == nullptr)
    return Error{Cat(source.string(), ": a GGUF merges into a GGUF: name the output OUT.gguf"),
                 ErrorKind::kUnsupported};
  FACET_TRY(CheckFinite(checkpoint, pool));
  FACET_ASSIGN(const std::unique_ptr<Adapter> adapter,
               Adapter::Load(adapter_folder, checkpoint.weights, checkpoint.config));
  std::error_code code;
  fs::create_directories(output, code);
  if (code) return Error{Cat(output.string(), ": ", code.message()), ErrorKind::kIo};
  if (fs::exists(output / "config.json", code))
    return Error{Cat(output.string(), ": holds a model already")};
  FACET_TRY(WriteWeights(checkpoint, *adapter, output, pool));
  return CopyOthers(source, output);
}

}  // namespace facet
