#include "formats/safetensors.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/checked.h"
#include "base/file_kind.h"
#include "formats/json.h"

namespace facet {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the reference library's own limit
constexpr uintmax_t kMaxIndexBytes = 256 << 20;
constexpr size_t kMaxSafetensorsDims = 8;
constexpr char kMetadata[] = "__metadata__";
constexpr char kWholeFile[] = "model.safetensors";

std::optional<DType> FromSafetensorsName(std::string_view name) {
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kI8, DType::kU8,
                           DType::kI32, DType::kI64, DType::kBool}) {
    if (Traits(type).name == name) return type;
  }
  return std::nullopt;
}

// A tensor of the header; [begin, end) counts from the end of the header.
struct HeaderEntry {
  std::string name;
  std::optional<std::string> type;
  std::optional<std::vector<int64_t>> shape;
  std::optional<std::vector<uint64_t>> offsets;
};

// Reads the header without building a tree: {name: {dtype, shape, data_offsets}, "__metadata__":
// {key: text}}.
class HeaderReader : public nlohmann::json_sax<json> {
 public:
  std::vector<HeaderEntry> entries;
  std::map<std::string, std::string> metadata;
  Error error;

  bool key(string_t& text) override {
    if (depth_ == 1) {
      in_metadata_ = text == kMetadata;
      if (in_metadata_) {
        if (seen_metadata_) return Fail(Cat("duplicate ", kMetadata));
        seen_metadata_ = true;
      } else {
        entries.push_back({text, {}, {}, {}});
      }
    } else {
      field_ = text;
    }
    return true;
  }
  bool start_object(std::size_t) override {
    if (depth_ == 0 || (depth_ == 1 && !array_)) {
      ++depth_;
      return true;
    }
    return Fail(Cat(Place(), ": unexpected object"));
  }
  bool end_object() override {
    --depth_;
    return true;
  }
  bool start_array(std::size_t) override {
    if (depth_ != 2 || in_metadata_ || array_) return Fail(Cat(Place(), ": unexpected array"));
    HeaderEntry& entry = entries.back();
    if (field_ == "shape") {
      if (entry.shape) return Duplicate();
      entry.shape.emplace();
    } else if (field_ == "data_offsets") {
      if (entry.offsets) return Duplicate();
      entry.offsets.emplace();
    } else {
      return Fail(Cat(Place(), ": unknown field"));
    }
    array_ = true;
    return true;
  }
  bool end_array() override {
    array_ = false;
    return true;
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (!array_) return Fail(Cat(Place(), ": unexpected number"));
    HeaderEntry& entry = entries.back();
    if (field_ == "shape") {
      const auto size = CheckedCast<int64_t>(value);
      if (!size) return Fail(Cat(Place(), ": the dimension ", value, " is too large"));
      if (entry.shape->size() == kMaxSafetensorsDims)
        return Fail(Cat(Place(), ": more than ", kMaxSafetensorsDims, " dimensions"));
      entry.shape->push_back(*size);
    } else {
      if (entry.offsets->size() == 2) return Fail(Cat(Place(), ": more than two numbers"));
      entry.offsets->push_back(value);
    }
    return true;
  }
  bool number_integer(number_integer_t value) override {
    return Fail(Cat(Place(), ": the negative number ", value));
  }
  bool number_float(number_float_t, const string_t& text) override {
    return Fail(Cat(Place(), ": ", Printable(text), " is not a whole number below 2^64"));
  }
  bool string(string_t& value) override {
    if (depth_ != 2 || array_) return Fail(Cat(Place(), ": unexpected string"));
    if (in_metadata_) {
      return metadata.emplace(field_, value).second ? true : Duplicate();
    }
    if (field_ != "dtype") return Fail(Cat(Place(), ": unknown field"));
    if (entries.back().type) return Duplicate();
    entries.back().type = value;
    return true;
  }
  bool null() override { return Fail(Cat(Place(), ": unexpected null")); }
  bool boolean(bool) override { return Fail(Cat(Place(), ": unexpected boolean")); }
  bool binary(binary_t&) override { return Fail("binary data in the header"); }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return Fail(Cat("the header is not valid JSON at byte ", position));
  }

 private:
  bool Fail(std::string message) {
    error = {std::move(message)};
    return false;
  }
  bool Duplicate() { return Fail(Cat(Place(), ": duplicate field")); }
  std::string Place() const {
    if (in_metadata_) return Cat(kMetadata, ", field ", Printable(field_));
    if (entries.empty()) return "the header";
    return Cat("tensor ", Printable(entries.back().name),
               depth_ == 2 ? Cat(", field ", Printable(field_)) : "");
  }

  int depth_ = 0;
  bool array_ = false, in_metadata_ = false, seen_metadata_ = false;
  std::string field_;
};

// The entry as a tensor whose bytes are checked to lie within `data`.
Result<Tensor> MakeTensor(HeaderEntry& entry, std::span<const std::byte> data) {
  const std::string where = Cat("tensor ", Printable(entry.name));
  if (!entry.type || !entry.shape || !entry.offsets || entry.offsets->size() != 2) {
    return Error{Cat(where, ": dtype, shape and two data_offsets are needed")};
  }
  const std::optional<DType> type = FromSafetensorsName(*entry.type);
  if (!type) {
    return Error{Cat(where, ": the element type ", Printable(*entry.type), " is not supported"),
                 ErrorKind::kUnsupported};
  }
  const uint64_t begin = (*entry.offsets)[0], end = (*entry.offsets)[1];
  if (begin > end || end > data.size()) {
    return Error{Cat(where, ": its range [", begin, ", ", end,
                     ") lies outside the file, whose data has ", data.size(), " bytes",
                     begin <= end ? kIncompleteFile : std::string_view())};
  }
  Tensor tensor{std::move(entry.name), *type, std::move(*entry.shape),
                data.subspan(begin, end - begin)};
  const std::optional<uint64_t> bytes = TensorBytes(*type, tensor.shape);
  if (!bytes) return Error{Cat(where, ": the shape ", tensor.Describe(), " is too large")};
  if (*bytes != end - begin) {
    return Expected(Cat(*bytes, " bytes for ", tensor.Describe()), end - begin, where);
  }
  return tensor;
}

// The tensors must fill the data without overlap or hole, as the reference library demands.
Result<void> CheckCover(std::vector<Tensor>& tensors, std::span<const std::byte> data) {
  std::ranges::stable_sort(tensors, [](const Tensor& a, const Tensor& b) {
    return std::pair(a.data.data(), a.data.size()) < std::pair(b.data.data(), b.data.size());
  });
  const std::byte* at = data.data();
  for (const Tensor& tensor : tensors) {
    if (tensor.data.data() != at) {
      return Error{Cat(
          "tensor ", Printable(tensor.name),
          tensor.data.data() < at ? " overlaps the one before it" : " leaves a hole before it")};
    }
    at += tensor.data.size();
  }
  if (at != data.data() + data.size()) {
    return Error{Cat(data.data() + data.size() - at, " bytes follow the last tensor")};
  }
  return Ok();
}

Result<std::vector<Tensor>> ParseFile(std::span<const std::byte> bytes,
                                      std::map<std::string, std::string>& metadata) {
  uint64_t length;
  if (bytes.size() < sizeof(length))
    return Error{Cat("the file ends within the header's length", kIncompleteFile)};
  std::memcpy(&length, bytes.data(), sizeof(length));
  if (length > kMaxHeaderBytes || length > bytes.size() - sizeof(length)) {
    const std::string_view head(reinterpret_cast<const char*>(bytes.data()),
                                std::min(bytes.size(), kFileKindBytes));
    if (IsKnownFileKind(head))
      return Error{Cat("this is ", GuessFileKind(head).Text()), ErrorKind::kUnsupported};
    return Error{Cat("the header claims ", length, " bytes; the file has ",
                     bytes.size() - sizeof(length), " and ", kMaxHeaderBytes, " is the limit",
                     length > kMaxHeaderBytes ? std::string_view() : kIncompleteFile)};
  }
  const auto header = bytes.subspan(sizeof(length), length);
  const std::string_view text(reinterpret_cast<const char*>(header.data()), header.size());
  if (text.empty() || text[0] != '{') return Error{"the header does not begin with {"};
  HeaderReader reader;
  if (!json::sax_parse(text, &reader)) return reader.error;

  const auto data = bytes.subspan(sizeof(length) + length);
  std::vector<Tensor> tensors;
  tensors.reserve(reader.entries.size());
  for (HeaderEntry& entry : reader.entries) {
    FACET_ASSIGN(Tensor tensor, MakeTensor(entry, data));
    tensors.push_back(std::move(tensor));
  }
  FACET_TRY(CheckCover(tensors, data));
  metadata.merge(reader.metadata);
  return tensors;
}

// A shard's name must stay under the folder that the index lies in.
bool StaysInside(std::string_view name) {
  const fs::path path(name);
  if (name.empty() || path.is_absolute() || name.find('\\') != name.npos ||
      name.find('\0') != name.npos) {
    return false;
  }
  return std::ranges::none_of(path, [](const fs::path& part) { return part == ".."; });
}

Result<ShardMap> ReadIndexFile(const fs::path& path) {
  std::error_code code;
  if (const uintmax_t size = fs::file_size(path, code); !code && size > kMaxIndexBytes)
    return Expected(Cat("at most ", kMaxIndexBytes, " bytes"), size, path.string());
  FACET_ASSIGN(const std::string text, ReadFile(path));
  return ParseShardIndex(text, path.string());
}

// The file to open for a folder. The index comes before model.safetensors, which may be one of its
// shards.
Result<fs::path> FindInFolder(const fs::path& folder) {
  FACET_ASSIGN(const auto shards, ReadShardIndex(folder));
  if (shards) return folder / kShardIndex;
  std::error_code code;
  if (fs::exists(folder / kWholeFile, code)) return folder / kWholeFile;
  std::vector<fs::path> found;
  for (fs::directory_iterator it(folder, code), end; !code && it != end; it.increment(code)) {
    if (it->path().extension() == ".safetensors") found.push_back(it->path());
  }
  if (found.size() == 1) return found[0];
  return Error{Cat(folder.string(), ": expected ", kWholeFile, ", ", kShardIndex,
                   " or a single .safetensors file but got ", found.size(), " .safetensors files"),
               ErrorKind::kNotFound};
}

}  // namespace

Result<ShardMap> ParseShardIndex(std::string_view text, std::string_view where) {
  FACET_ASSIGN(const json index, ParseJson(text, where));
  const auto map = index.is_object() ? index.find("weight_map") : index.end();
  if (!index.is_object() || map == index.end() || !map->is_object() || map->empty()) {
    return Error{Cat(where, ": expected an object \"weight_map\" that names the shards")};
  }
  ShardMap shards;
  for (const auto& [tensor, shard] : map->items()) {
    if (!shard.is_string()) {
      return Error{Cat(where, ": the shard of tensor ", Printable(tensor), " is not a file name")};
    }
    shards[shard.get<std::string>()].push_back(tensor);
  }
  for (const auto& [shard, tensors] : shards) {
    if (StaysInside(shard)) continue;
    return Error{Cat(where, ": the shard \"", Printable(shard), "\" lies outside the folder"),
                 ErrorKind::kPermission};
  }
  return shards;
}

Result<std::optional<ShardMap>> ReadShardIndex(const fs::path& folder) {
  std::error_code code;
  if (!fs::exists(folder / kShardIndex, code)) return std::optional<ShardMap>();
  FACET_ASSIGN(ShardMap shards, ReadIndexFile(folder / kShardIndex));
  const bool whole = std::ranges::all_of(
      shards, [&](const auto& shard) { return fs::exists(folder / shard.first, code); });
  if (!whole && fs::exists(folder / kWholeFile, code)) return std::optional<ShardMap>();
  return std::optional(std::move(shards));
}

Result<std::unique_ptr<Safetensors>> Safetensors::Open(const fs::path& path) {
  std::error_code code;
  fs::path file = path;
  if (fs::is_directory(path, code)) {
    FACET_ASSIGN(file, FindInFolder(path));
  }
  auto out = std::make_unique<Safetensors>();
  out->path_ = path;
  if (file.extension() == ".json") {
    FACET_TRY(out->AddIndex(file));
  } else {
    FACET_TRY(out->AddFile(file));
  }
  return out;
}

Result<void> Safetensors::AddFile(const fs::path& path) {
  FACET_ASSIGN(MappedFile file, MappedFile::Open(path));
  auto parsed = ParseFile(file.bytes(), metadata_);
  if (!parsed.ok()) return parsed.error().In(path.string());
  for (Tensor& tensor : *parsed) {
    if (Find(tensor.name) != nullptr) {
      return Error{Cat(path.string(), ": duplicate tensor ", Printable(tensor.name))};
    }
    const size_t alignment = Traits(tensor.type).bytes;
    if (reinterpret_cast<uintptr_t>(tensor.data.data()) % alignment != 0) {
      copies_.push_back(std::make_unique<std::byte[]>(tensor.data.size()));
      std::ranges::copy(tensor.data, copies_.back().get());
      tensor.data = {copies_.back().get(), tensor.data.size()};
    }
    AddTensor(std::move(tensor));
  }
  files_.push_back(std::move(file));
  return Ok();
}

Result<void> Safetensors::AddIndex(const fs::path& path) {
  FACET_ASSIGN(const ShardMap shards, ReadIndexFile(path));
  for (const auto& [shard, names] : shards) {
    const size_t before = tensors().size();
    FACET_TRY(AddFile(path.parent_path() / shard));
    for (const std::string& name : names) {
      const Tensor* tensor = Find(name);
      if (tensor == nullptr || static_cast<size_t>(tensor - tensors().data()) < before) {
        return Error{Cat(path.string(), ": tensor ", Printable(name), " is not in its shard ",
                         Printable(shard)),
                     ErrorKind::kNotFound};
      }
    }
  }
  return Ok();
}

void Safetensors::Drop(const Tensor& tensor) const {
  for (const MappedFile& file : files_) {
    const auto bytes = file.bytes();
    const std::less_equal<const std::byte*> no_later;
    if (no_later(bytes.data(), tensor.data.data()) &&
        no_later(tensor.data.data() + tensor.data.size(), bytes.data() + bytes.size())) {
      file.Drop(tensor.data);
    }
  }
}

}  // namespace facet
