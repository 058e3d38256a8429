#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

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
    if (header.contains(tensor->name))
      return Error{Cat("tensor ", tensor->name, " would be written twice")};
    header[tensor->name] = {{"dtype", Traits(tensor->type).name},
                            {"shape", tensor->shape},
                            {"data_offsets", {offset, offset + tensor->data.size()}}};
    offset += tensor->data.size();
  }
  // Names are whatever bytes the caller has; what is not UTF-8 must not throw.
  std::string text = header.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace

Result<void> SaveSafetensors(const std::filesystem::path& path,
                             const std::vector<TensorOut>& tensors,
                             const std::map<std::string, std::string>& metadata) {
  static std::atomic<int> counter = 0;
  const std::vector<const TensorOut*> order = FileOrder(tensors);
  auto header = MakeHeader(order, metadata);
  if (!header.ok()) return header.error().In(path.string());

  const std::filesystem::path temporary =
      path.string() + Cat(".", getpid(), ".", counter.fetch_add(1), ".part");
  const auto failed = [&](const std::string& why) {
    std::error_code ignored;
    std::filesystem::remove(temporary, ignored);
    return Error{Cat(path.string(), ": cannot be written: ", why), ErrorKind::kIo};
  };
  std::FILE* file = std::fopen(temporary.c_str(), "wbe");
  if (file == nullptr) return failed(std::strerror(errno));
  const uint64_t length = header->size();
  bool good = std::fwrite(&length, sizeof(length), 1, file) == 1 &&
              std::fwrite(header->data(), 1, length, file) == length;
  for (const TensorOut* tensor : order) {
    good = good &&
           std::fwrite(tensor->data.data(), 1, tensor->data.size(), file) == tensor->data.size();
  }
  good = good && std::fflush(file) == 0;
  const int code = errno;
  std::fclose(file);
  if (!good) return failed(std::strerror(code));
  std::error_code renamed;
  std::filesystem::rename(temporary, path, renamed);
  if (renamed) return failed(renamed.message());
  return Ok();
}

}  // namespace facet
