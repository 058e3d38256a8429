#include "hub/short_names.h"

#include <algorithm>
#include <array>

namespace facet {
namespace {

constexpr int64_t kMB = 1'000'000;

// The one table of names. A new model is one line here.
constexpr std::array kTable = {
    ShortName{.name = "gemma4-12b",
              .description =
                  "Gemma 4 12B Unified, instruction-tuned, quantisation-aware Q4_0, with drafter",
              .repo = "google/gemma-4-12B-it-qat-q4_0-gguf",
              .file = "gemma-4-12b-it-qat-q4_0.gguf",
              .mmproj = "mmproj-gemma-4-12b-it-qat-q4_0.gguf",
              .drafter_repo = "unsloth/gemma-4-12B-it-qat-GGUF",
              .drafter = "mtp-gemma-4-12B-it.gguf",
              .bytes = 7'405 * kMB},
    ShortName{.name = "gemma4-12b-q8",
              .description = "Gemma 4 12B Unified, instruction-tuned, Q8_0",
              .repo = "unsloth/gemma-4-12b-it-GGUF",
              .file = "gemma-4-12b-it-Q8_0.gguf",
              .mmproj = "",
              .drafter_repo = "",
              .drafter = "",
              .bytes = 13'100 * kMB},
    ShortName{.name = "gemma4-12b-bf16",
              .description =
                  "Gemma 4 12B Unified, instruction-tuned, the published weights, with drafter",
              .repo = "google/gemma-4-12B-it",
              .file = "",
              .mmproj = "",
              .drafter_repo = "google/gemma-4-12B-it-assistant",
              .drafter = "",
              .bytes = 24'900 * kMB},
    ShortName{.name = "gemma4-12b-base",
              .description = "Gemma 4 12B Unified, pre-trained only, the published weights",
              .repo = "google/gemma-4-12B",
              .file = "",
              .mmproj = "",
              .drafter_repo = "",
              .drafter = "",
              .bytes = 24'000 * kMB},
    ShortName{.name = "gemma3-270m",
              .description = "Gemma 3 270M, instruction-tuned, Q8_0 (text only)",
              .repo = "ggml-org/gemma-3-270m-it-GGUF",
              .file = "gemma-3-270m-it-Q8_0.gguf",
              .mmproj = "",
              .drafter_repo = "",
              .drafter = "",
              .bytes = 292 * kMB},
};

}  // namespace

std::span<const ShortName> ShortNames() {
  return kTable;
}

const ShortName* FindShortName(std::string_view name) {
  const auto found = std::find_if(kTable.begin(), kTable.end(),
                                  [&](const ShortName& s) { return s.name == name; });
  return found == kTable.end() ? nullptr : &*found;
}

}  // namespace facet
