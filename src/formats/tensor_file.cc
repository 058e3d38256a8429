#include "formats/tensor_file.h"

#include "base/checked.h"

namespace facet {

std::string Printable(std::string_view text) {
  constexpr size_t kLongest = 120;
  constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (const char c : text.substr(0, kLongest)) {
    const unsigned char byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      out += c;
    } else {
      out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  if (text.size() > kLongest) out += "...";
  return out;
}

std::optional<uint64_t> TensorBytes(DType type, std::span<const int64_t> shape) {
  const DTypeTraits traits = Traits(type);
  if (shape.empty())
    return traits.block == 1 ? std::optional<uint64_t>(traits.bytes) : std::nullopt;
  if (shape.back() % traits.block != 0) return std::nullopt;
  std::optional<uint64_t> elements = 1;
  for (const int64_t dim : shape) {
    const std::optional<uint64_t> size = CheckedCast<uint64_t>(dim);
    if (!size) return std::nullopt;
    elements = CheckedMul(*elements, *size);
    // Element counts travel as int64_t everywhere else.
    if (!elements || !CheckedCast<int64_t>(*elements)) return std::nullopt;
  }
  const auto bytes = CheckedMul<uint64_t>(*elements / traits.block, traits.bytes);
  if (!bytes || !CheckedCast<int64_t>(*bytes)) return std::nullopt;
  return bytes;
}

std::string ShapeText(std::span<const int64_t> shape) {
  std::string out = "(";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) out += ", ";
    out += std::to_string(shape[i]);
  }
  return out + ")";
}

std::string Tensor::Describe() const {
  return Cat(ShapeText(shape), " ", Traits(type).name);
}

const Tensor* TensorFile::Find(std::string_view name) const {
  const auto it = index_.find(std::string(name));
  return it == index_.end() ? nullptr : &tensors_[it->second];
}

Result<const Tensor*> TensorFile::Get(std::string_view name) const {
  if (const Tensor* tensor = Find(name)) return tensor;
  return Error{Cat(path_.string(), ": there is no tensor ", Printable(name)), ErrorKind::kNotFound};
}

void TensorFile::AddTensor(Tensor tensor) {
  assert(!index_.contains(tensor.name));
  index_.emplace(tensor.name, tensors_.size());
  tensors_.push_back(std::move(tensor));
}

}  // namespace facet
