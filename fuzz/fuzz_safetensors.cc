// Any bytes as a safetensors file: opened or refused, and then every byte of every tensor can be
// read.
#include "formats/safetensors.h"
#include "fuzz_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace facet;
  const FuzzFile file(bytes, size);
  const auto opened = Safetensors::Open(file.path());
  if (!opened.ok()) return 0;
  volatile uint8_t sum = 0;
  for (const Tensor& tensor : (*opened)->tensors()) {
    for (const std::byte b : tensor.data) sum = sum + std::to_integer<uint8_t>(b);
    (void)tensor.Describe();
  }
  return 0;
}
