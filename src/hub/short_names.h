// Short names: what `facet run gemma4-12b` means before anything is imported.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace facet {

struct ShortName {
  std::string_view name, description;
  std::string_view repo;
  std::string_view file;          // empty: the whole checkpoint
  std::string_view mmproj;        // empty: the one beside the model, if any
  std::string_view drafter_repo;  // empty: the model's repository
  std::string_view drafter;  // file; empty: the one beside the model, or the whole of drafter_repo
  int64_t bytes;             // about, for the question whether to download
};

std::span<const ShortName> ShortNames();

// Null where there is none.
const ShortName* FindShortName(std::string_view name);

}  // namespace facet
