// Any bytes as a picture, a sound and a film: decoded within small limits, or refused.
#include <cstdlib>

#include "support/any_media.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace facet::media;
  if (!TryEveryDecoder(std::as_bytes(std::span(bytes, size))).empty()) std::abort();
  return 0;
}
