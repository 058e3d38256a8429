// Any bytes as a GGUF: opened or refused, and then everything that it offers can be read.
#include <vector>

#include "formats/gguf.h"
#include "fuzz_file.h"
#include "ops/quant/quant.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace facet;
  const FuzzFile file(bytes, size);
  const auto gguf = Gguf::Open(file.path());
  if (!gguf.ok()) return 0;
  for (const auto& [key, value] : (*gguf)->metadata()) {
    (void)(*gguf)->Int(key).ok();
    (void)(*gguf)->Float(key).ok();
    (void)(*gguf)->Bool(key).ok();
    (void)(*gguf)->String(key).ok();
    (void)(*gguf)->Ints(key).ok();
    (void)(*gguf)->Floats(key).ok();
    (void)(*gguf)->Strings(key).ok();
  }
  for (const Tensor& tensor : (*gguf)->tensors()) {
    if (!IsFloating(tensor.type)) continue;
    std::vector<float> row(tensor.cols());
    for (int64_t r = 0; r < tensor.rows(); ++r) {
      DequantizeRow(tensor.type, tensor.data.data() + r * RowBytes(tensor.type, row.size()), row);
    }
  }
  return 0;
}
