// safetensors: an 8-byte length, a JSON header, the data.
// https://github.com/huggingface/safetensors (format section).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "formats/tensor_file.h"

namespace facet {

// The file that says which shard of a checkpoint holds which tensor.
constexpr char kShardIndex[] = "model.safetensors.index.json";
// The names of shards, relative to the index's folder, each with its tensors.
using ShardMap = std::map<std::string, std::vector<std::string>>;
// The shards that an index names, whatever they are called. Errors begin with `where`: not JSON, no
// object "weight_map" or an empty one, a shard that is no file name or lies outside the folder.
Result<ShardMap> ParseShardIndex(std::string_view text, std::string_view where);
// The same for the index of a folder; nullopt where it has none, or where a whole
// model.safetensors stands beside an index whose shards are not there.
Result<std::optional<ShardMap>> ReadShardIndex(const std::filesystem::path& folder);

class Safetensors : public TensorFile {
 public:
  // One .safetensors file, a model.safetensors.index.json, or a folder that holds that index,
  // model.safetensors, or a single .safetensors file. Shards may be symbolic links, as
  // in a hub cache; their names may not leave the folder. Errors name the file and the tensor:
  // truncated, bad header, unknown type, range outside the file, overlap, bytes that disagree with
  // the shape, a shard that is missing or lies outside the folder, a tensor the index promises but
  // no shard has.
  static Result<std::unique_ptr<Safetensors>> Open(const std::filesystem::path& path);

  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  void Drop(const Tensor& tensor) const override;

 private:
  Result<void> AddFile(const std::filesystem::path& path);
  Result<void> AddIndex(const std::filesystem::path& path);
  std::vector<MappedFile> files_;
  // Tensors that do not lie aligned to their elements in the file.
  std::vector<std::unique_ptr<std::byte[]>> copies_;
  std::map<std::string, std::string> metadata_;
};

// What SaveSafetensors writes: rows of bytes that the caller owns during the call.
struct TensorOut {
  std::string name;
  DType type;
  std::vector<int64_t> shape;
  std::span<const std::byte> data;
};

// Writes a file that the reference library reads (names sorted, data aligned to 8 bytes), whole or
// not at all (base/atomic_file.h).
Result<void> SaveSafetensors(const std::filesystem::path& path,
                             const std::vector<TensorOut>& tensors,
                             const std::map<std::string, std::string>& metadata = {});

}  // namespace facet
