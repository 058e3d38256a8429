// SaveSafetensors: the header with every tensor's place, then their bytes.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/math.h"
#include "formats/json.h"
#include "formats/safetensors.h"

namespace facet {
namespace {

// Tensors by falling element size, then by name: every tensor then lies aligned, as the reference
// library writes them.
std::vector<const TensorOut*> FileOrder(const std::vector<TensorOut>& tensors) {
  std::vector<const TensorOut*> order;
  for (const TensorOut& tensor : tensors) order.push_back(&tensor);
  std::ranges::sort(order, [](const TensorOut* a, const TensorOut* b) {
    const int a_bytes = Traits(a->type).bytes, b_bytes = Traits(b->type).bytes;
    return a_bytes != b_bytes ? a_bytes > b_bytes : a->name < b->name;
  });
  return order;
}

Result<std::string> MakeHeader(const std::vector<const TensorOut*>& order,
                               const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const TensorOut* tensor : order) {
    const auto bytes = TensorBytes(tensor->type, tensor->shape);
    if (IsQuantized(tensor->type) || bytes != tensor->data.size()) {
      return Expected(Cat(bytes.value_or(0), " bytes of an unquantised type"),
                      Cat(tensor->data.size(), " of ", Traits(tensor->type).name),
                      Cat("tensor ", tensor->name));
    }
    if (header.contains(tensor->name)) return Error{Cat("duplicate tensor ", tensor->name)};
    header[tensor->name] = {{"dtype", Traits(tensor->type).name},
                            {"shape", tensor->shape},
                            {"data_offsets", {offset, offset + tensor->data.size()}}};
    offset += tensor->data.size();
  }
  // Names are whatever bytes the caller has; what is not UTF-8 must not throw.
  std::string text = DumpJson(header);
  text.resize(AlignUp(text.size(), 8), ' ');
  return text;
}

}  // namespace

Result<void> SaveSafetensors(const std::filesystem::path& path,
                             const std::vector<TensorOut>& tensors,
                             const std::map<std::string, std::string>& metadata) {
  const std::vector<const TensorOut*> order = FileOrder(tensors);
  auto header = MakeHeader(order, metadata);
  if (!header.ok()) return header.error().In(path.string());

  FACET_ASSIGN(AtomicFile file, AtomicFile::Create(path));
  const uint64_t length = header->size();
  FACET_TRY(file.Write(std::as_bytes(std::span(&length, 1))));
  FACET_TRY(file.Write(*header));
  for (const TensorOut* tensor : order) FACET_TRY(file.Write(tensor->data));
  return file.Commit();
}

}  // namespace facet
