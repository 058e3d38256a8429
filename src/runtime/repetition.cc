#include "runtime/repetition.h"

#include <algorithm>
#include <vector>

namespace facet {
namespace {

struct RepetitionRule {
  size_t bytes, times;
};
constexpr RepetitionRule kRules[] = {{1536, 12}, {6144, 8}};
constexpr size_t kLongest = 6144;
constexpr size_t kLookEvery = 64;

// The smallest p with text[i] == text[i + p] everywhere: the text's length less its longest border
// (Knuth, Morris and Pratt).
size_t Period(std::string_view text) {
  std::vector<size_t> border(text.size() + 1, 0);
  for (size_t i = 1, k = 0; i < text.size(); ++i) {
    while (k > 0 && text[i] != text[k]) k = border[k];
    if (text[i] == text[k]) ++k;
    border[i + 1] = k;
  }
  return text.size() - border[text.size()];
}

}  // namespace

bool RepetitionWatch::Add(std::string_view piece) {
  tail_ += piece;
  unseen_ += piece.size();
  if (repeats_ || unseen_ < kLookEvery) return repeats_;
  unseen_ = 0;
  if (tail_.size() > 2 * kLongest) tail_.erase(0, tail_.size() - kLongest);
  for (const RepetitionRule& rule : kRules) {
    if (tail_.size() < rule.bytes) continue;
    const std::string_view end = std::string_view(tail_).substr(tail_.size() - rule.bytes);
    repeats_ = repeats_ || Period(end) * rule.times <= rule.bytes;
  }
  return repeats_;
}

}  // namespace facet
