// Named tensors of a mapped checkpoint, whatever its container.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/dtype.h"
#include "base/result.h"

namespace facet {

// What stands behind the errors of files that end before their contents do.
inline constexpr std::string_view kIncompleteFile =
    ": the file is incomplete; download or copy it again";

// Text from a file made fit for an error message: control bytes become \xNN, and what is long is
// cut.
std::string Printable(std::string_view text);

// Bytes of a tensor of this type and shape; nothing where a dimension is negative, the row is not
// whole blocks, or a product does not fit.
std::optional<uint64_t> TensorBytes(DType type, std::span<const int64_t> shape);

// "(4096, 3840)".
std::string ShapeText(std::span<const int64_t> shape);

// A tensor as it lies in its file. The bytes live as long as the TensorFile that it came from.
struct Tensor {
  std::string name;
  DType type = DType::kF32;
  // Outermost first (the reverse of GGUF's order); the last dimension is contiguous.
  std::vector<int64_t> shape;
  std::span<const std::byte> data;

  // As a matrix: the last dimension against all others.
  int64_t cols() const { return shape.empty() ? 1 : shape.back(); }
  int64_t rows() const {
    int64_t n = 1;
    for (size_t i = 0; i + 1 < shape.size(); ++i) n *= shape[i];
    return n;
  }
  int64_t elements() const { return rows() * cols(); }
  // "(4096, 3840) Q4_0", for error texts and listings.
  std::string Describe() const;
};

// Every tensor's byte range has been checked against its file before it is listed here.
class TensorFile {
 public:
  virtual ~TensorFile() = default;

  const std::vector<Tensor>& tensors() const { return tensors_; }
  // Null where there is none of that name.
  const Tensor* Find(std::string_view name) const;
  // The error names the tensor and the file.
  Result<const Tensor*> Get(std::string_view name) const;
  const std::filesystem::path& path() const { return path_; }
  // Tells the kernel that this tensor's source pages are no longer needed.
  virtual void Drop(const Tensor& tensor) const = 0;

 protected:
  // The name must be new; the caller has checked the range.
  void AddTensor(Tensor tensor);
  std::filesystem::path path_;

 private:
  std::vector<Tensor> tensors_;
  std::unordered_map<std::string, size_t> index_;
};

}  // namespace facet
