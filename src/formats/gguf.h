// GGUF v2 and v3: typed metadata and tensors. ggml/docs/gguf.md of llama.cpp.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <variant>

#include "base/mapped_file.h"
#include "formats/tensor_file.h"

namespace facet {

// An array is a view into the file: 514,906 merges cost nothing until they are read.
struct GgufArray {
  enum class Kind { kUnsigned, kSigned, kFloat, kBool, kString } kind = Kind::kUnsigned;
  uint64_t count = 0;
  int element_bytes = 0;  // 0 for strings
  // The elements; each string after its 8-byte length. All lengths have been checked.
  std::span<const std::byte> bytes;
};

using GgufValue = std::variant<uint64_t, int64_t, double, bool, std::string_view, GgufArray>;

class Gguf : public TensorFile {
 public:
  // A single file. Errors name the key or the tensor: bad magic or version, counts and lengths
  // beyond the file, unknown types, duplicate keys or names, products that overflow, offsets that
  // are misaligned, overlap or end outside the file.
  static Result<std::unique_ptr<Gguf>> Open(const std::filesystem::path& path);

  const std::map<std::string, GgufValue, std::less<>>& metadata() const { return metadata_; }
  bool Has(std::string_view key) const { return metadata_.contains(key); }

  // Typed look-ups. Missing key or other type: an error that names the key, what was expected and
  // what was found. Integers of any width and sign are accepted where the value fits.
  Result<int64_t> Int(std::string_view key) const;
  Result<double> Float(std::string_view key) const;
  Result<bool> Bool(std::string_view key) const;
  Result<std::string_view> String(std::string_view key) const;
  // Boolean arrays too; a scalar is an array of one.
  Result<std::vector<int64_t>> Ints(std::string_view key) const;
  Result<std::vector<float>> Floats(std::string_view key) const;
  Result<std::vector<std::string_view>> Strings(std::string_view key) const;

  // general.architecture.
  Result<std::string_view> Architecture() const { return String("general.architecture"); }
  void Drop(const Tensor& tensor) const override;

 private:
  friend class GgufParser;
  Result<const GgufValue*> Value(std::string_view key) const;
  Error WrongType(std::string_view key, std::string_view wanted, const GgufValue& got) const;

  MappedFile file_;
  std::map<std::string, GgufValue, std::less<>> metadata_;
};

// Writes GGUF v3 tensor by tensor, so that no more than one tensor is in memory.
class GgufWriter {
 public:
  void Set(std::string key, uint32_t value);
  void Set(std::string key, int32_t value);
  void Set(std::string key, uint64_t value);
  void Set(std::string key, float value);
  void Set(std::string key, bool value);
  void Set(std::string key, std::string_view value);
  void Set(std::string key, const char* value) { Set(std::move(key), std::string_view(value)); }
  void Set(std::string key, const std::vector<std::string>& value);
  void Set(std::string key, const std::vector<int32_t>& value);
  void Set(std::string key, const std::vector<float>& value);
  void Set(std::string key, const std::vector<bool>& value);
  // Copies a value of another file. Arrays keep their element type; scalars are written with 32
  // bits where they fit, as every known key expects.
  void Copy(std::string key, const GgufValue& value);

  // Declares a tensor; shape outermost first. Order of declaration is order in the file.
  void Declare(std::string name, DType type, std::vector<int64_t> shape);
  // Creates a temporary file beside `path` and writes header and metadata. After this, Append each
  // tensor's bytes in the order of declaration, in one piece or several. Errors: a declared shape
  // that is not whole blocks, a duplicate name.
  Result<void> Begin(const std::filesystem::path& path);
  Result<void> Append(std::span<const std::byte> data);
  // Checks that all declared bytes were written, flushes the file to the device, and gives it its
  // name.
  Result<void> Finish();

  GgufWriter();
  ~GgufWriter();  // an unfinished file is removed

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace facet
