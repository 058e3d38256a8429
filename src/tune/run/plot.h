// The curves of a run as an SVG: axes, ticks, training and validation loss.
#pragma once

#include <string>
#include <vector>

namespace facet::tune {

struct Point {
  double x = 0, y = 0;
};

struct LossCurves {
  std::vector<Point> train, validation;  // (step, loss), by step
};

// Exponential average with the given weight of the past, free of the bias of its start.
std::vector<Point> Smooth(const std::vector<Point>& points, double past);

// Round numbers from `low` to `high` for an axis: at most `most` of them, 1, 2 or
// 5 times a power of ten apart.
std::vector<double> Ticks(double low, double high, int most);

// The text of an SVG file. Values that are not finite are left out.
std::string PlotSvg(const LossCurves& curves);

}  // namespace facet::tune
