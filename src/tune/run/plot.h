// The curves of a run as a picture: axes, ticks, training and validation loss.
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

// Numbers from `low` to `high` that a person would put on an axis: at most `most` of them, 1, 2 or
// 5 times a power of ten apart.
std::vector<double> Ticks(double low, double high, int most);

// Values that are not finite are left out. Both show the same drawing.
std::string PlotSvg(const LossCurves& curves);
std::string PlotPng(const LossCurves& curves);  // the bytes of the file

}  // namespace facet::tune
