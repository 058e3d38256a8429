#include "hub/near_name.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/text.h"

namespace facet {
namespace {

// Insertions, deletions and replacements of bytes (Levenshtein).
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

std::optional<std::string> NearestName(std::string_view name, std::span<const std::string> known) {
  std::optional<std::string> nearest;
  size_t distance = std::min<size_t>(name.size() / 3, 8) + 1;
  for (const std::string& candidate : known) {
    const size_t d = EditDistance(ToLower(name), ToLower(candidate));
    if (d >= distance) continue;
    nearest = candidate;
    distance = d;
  }
  return nearest;
}

}  // namespace facet
