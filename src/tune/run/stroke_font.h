// Letters as strokes, for pictures that are drawn without a font: those of the plot's labels.
#pragma once

#include <string_view>
#include <vector>

#include "tune/run/plot.h"

namespace facet::tune {

using Stroke = std::vector<Point>;  // a line through these points

struct Glyph {
  double width = 0;  // of the strokes; the gap to the next letter comes on top
  std::vector<Stroke> strokes;
};

constexpr double kCapHeight = 6, kLetterGap = 1.4;  // in the units of the strokes, y upwards

// Null where the font lacks the letter.
const Glyph* FindGlyph(char letter);
double TextWidth(std::string_view text);

}  // namespace facet::tune
