#include "tune/run/stroke_font.h"

#include <cmath>
#include <map>
#include <numbers>
#include <sstream>
#include <string>

namespace facet::tune {
namespace {

struct Drawing {
  char letter;
  double width;
  const char* strokes;  // "x y x y ..." lines; "o x y rx ry from to" arcs in degrees; ";" between
};

constexpr Drawing kDrawings[] = {
    {' ', 1.6, ""},
    {'0', 4, "o 2 3 1.8 3 0 360"},
    {'1', 4, "0.8 4.7 2.3 6 2.3 0"},
    {'2', 4, "o 2 4.3 1.7 1.7 165 -35 ; 3.39 3.33 0.3 0 3.8 0"},
    {'3', 4, "o 1.9 4.5 1.6 1.5 150 -90 ; o 1.9 1.5 1.8 1.5 90 -150"},
    {'4', 4, "3 0 3 6 0.2 1.8 3.9 1.8"},
    {'5', 4, "3.5 6 0.8 6 0.43 3.15 ; o 1.9 2 1.8 2 145 -145"},
    {'6', 4, "o 2 1.9 1.8 1.9 0 360 ; o 3.6 2 3.4 4 95 180"},
    {'7', 4, "0.2 6 3.8 6 1.4 0"},
    {'8', 4, "o 2 4.5 1.5 1.5 0 360 ; o 2 1.5 1.8 1.5 0 360"},
    {'9', 4, "o 2 4.1 1.8 1.9 0 360 ; o 0.4 4 3.4 4 0 -85"},
    {'.', 1, "0.5 0 0.5 0.1"},
    {'-', 3, "0.3 2.4 2.7 2.4"},
    {'M', 5, "0.3 0 0.3 6 2.5 2 4.7 6 4.7 0"},
    {'a', 4, "3.7 4 3.7 0 ; o 1.9 2 1.7 2 0 360"},
    {'d', 4, "3.7 6 3.7 0 ; o 1.9 2 1.7 2 0 360"},
    {'e', 4, "0.2 2 3.8 2 ; o 2 2 1.8 2 0 320"},
    {'g', 4, "3.7 4 3.7 -0.6 ; o 1.9 2 1.7 2 0 360 ; o 2 -0.6 1.7 1.4 0 -150"},
    {'h', 3.8, "0.3 6 0.3 0 ; o 1.9 2.2 1.6 1.8 180 0 ; 3.5 2.2 3.5 0"},
    {'i', 1, "0.5 4 0.5 0 ; 0.5 5.6 0.5 5.7"},
    {'k', 3.2, "0.3 6 0.3 0 ; 3 4 0.3 1.6 ; 1.3 2.5 3.2 0"},
    {'l', 1, "0.5 6 0.5 0"},
    {'m', 5.4,
     "0.3 4 0.3 0 ; o 1.5 2.6 1.2 1.4 180 0 ; 2.7 2.6 2.7 0 ; o 3.9 2.6 1.2 1.4 180 0 ; "
     "5.1 2.6 5.1 0"},
    {'n', 3.8, "0.3 4 0.3 0 ; o 1.9 2.2 1.6 1.8 180 0 ; 3.5 2.2 3.5 0"},
    {'o', 4, "o 2 2 1.8 2 0 360"},
    {'p', 4, "0.3 4 0.3 -2 ; o 2.1 2 1.7 2 0 360"},
    {'r', 2.6, "0.3 4 0.3 0 ; o 2 2 1.7 2 170 70"},
    {'s', 3.2, "o 1.6 3 1.4 1 30 270 ; o 1.6 1 1.4 1 90 -150"},
    {'t', 2.4, "1 5.4 1 0.8 1.3 0.1 2.2 0.1 ; 0 4 2.2 4"},
    {'v', 3.4, "0 4 1.7 0 3.4 4"},
};

Stroke Arc(std::istringstream& in) {
  double x, y, rx, ry, from, to;
  in >> x >> y >> rx >> ry >> from >> to;
  constexpr int kPieces = 24;
  Stroke stroke;
  for (int i = 0; i <= kPieces; ++i) {
    const double angle = (from + (to - from) * i / kPieces) * std::numbers::pi / 180;
    stroke.push_back({x + rx * std::cos(angle), y + ry * std::sin(angle)});
  }
  return stroke;
}

Glyph Parse(const Drawing& drawing) {
  Glyph glyph{drawing.width, {}};
  std::istringstream in(drawing.strokes);
  Stroke line;
  for (std::string word; in >> word;) {
    if (word == "o") {
      glyph.strokes.push_back(Arc(in));
    } else if (word == ";") {
      if (!line.empty()) glyph.strokes.push_back(std::move(line));
      line.clear();
    } else {
      double y = 0;
      in >> y;
      line.push_back({std::stod(word), y});
    }
  }
  if (!line.empty()) glyph.strokes.push_back(std::move(line));
  return glyph;
}

}  // namespace

const Glyph* FindGlyph(char letter) {
  static const std::map<char, Glyph> glyphs = [] {
    std::map<char, Glyph> made;
    for (const Drawing& drawing : kDrawings) made.emplace(drawing.letter, Parse(drawing));
    return made;
  }();
  const auto found = glyphs.find(letter);
  return found == glyphs.end() ? nullptr : &found->second;
}

double TextWidth(std::string_view text) {
  double width = text.empty() ? 0 : -kLetterGap;
  for (const char letter : text) {
    const Glyph* glyph = FindGlyph(letter);
    width += (glyph == nullptr ? 0 : glyph->width) + kLetterGap;
  }
  return width;
}

}  // namespace facet::tune
