// Any bytes as JSON: refused, or read the same again from what is written of it.
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "formats/json.h"

namespace {

template <class Json>
void ReadTwice(std::string_view text, const facet::JsonLimits& limits) {
  const auto first = facet::ParseJsonAs<Json>(text, limits);
  if (!first.ok()) return;
  const auto second = facet::ParseJsonAs<Json>(facet::DumpJson(*first), limits);
  if (!second.ok() || facet::DumpJson(*second) != facet::DumpJson(*first)) std::abort();
  (void)facet::ShowJson(*first);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace facet;
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  for (const DuplicateKeys keys : {DuplicateKeys::kRefuse, DuplicateKeys::kLastWins}) {
    ReadTwice<nlohmann::json>(text, {.max_depth = 16, .duplicates = keys});
    ReadTwice<nlohmann::ordered_json>(text, {.max_depth = 16, .duplicates = keys});
  }
  return 0;
}
