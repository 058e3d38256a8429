#include "tune/data/show_mask.h"

#include <span>

#include "base/visible.h"

namespace facet::tune {
namespace {

constexpr const char *kOpen = "\u27e6", *kClose = "\u27e7";
constexpr const char *kGreen = "\033[32m", *kDim = "\033[2m", *kNormal = "\033[0m";

}  // namespace

std::string ShowMask(const Example& example, const Tokenizer& tokenizer, bool color) {
  std::string out;
  size_t item = 0;
  for (size_t at = 0; at < example.tokens.size();) {
    const bool labelled = example.labelled[at] != 0;
    const bool soft = item < example.items.size() &&
                      at == static_cast<size_t>(example.items[item]->begin) &&
                      example.items[item]->count > 0;
    if (soft) {
      const int count = example.items[item++]->count;
      out += Cat(tokenizer.Piece(example.tokens[at]), "x", count);
      at += static_cast<size_t>(count);
      continue;
    }
    const size_t next_item =
        item < example.items.size() ? static_cast<size_t>(example.items[item]->begin) : SIZE_MAX;
    size_t end = at;
    while (end < example.tokens.size() && end != next_item &&
           (example.labelled[end] != 0) == labelled) {
      ++end;
    }
    std::string text = tokenizer.Decode(std::span(example.tokens).subspan(at, end - at));
    if (color) text = Visible(text);
    if (color) out += labelled ? kGreen : kDim;
    out += labelled ? kOpen + text + kClose : text;
    if (color) out += kNormal;
    at = end;
  }
  return out;
}

}  // namespace facet::tune
