// Any bytes as an upload: the first line is its content type, the rest the body.
#include <cstdlib>

#include "serve/media/multipart.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  const size_t line = text.find('\n');
  if (line == std::string_view::npos) return 0;
  const std::string_view body = text.substr(line + 1);
  const auto parts = facet::serve::ParseMultipart(text.substr(0, line), body);
  if (!parts.ok()) return 0;
  for (const auto& part : *parts) {
    const bool inside = part.content.data() >= body.data() &&
                        part.content.data() + part.content.size() <= body.data() + body.size();
    if (part.name.empty() || !inside) std::abort();
  }
  return 0;
}
