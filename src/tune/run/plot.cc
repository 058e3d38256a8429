#include "tune/run/plot.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>

#include "base/result.h"

namespace facet::tune {
namespace {

constexpr double kWidth = 800, kHeight = 450;
constexpr double kLeft = 78, kRight = 24, kTop = 44, kBottom = 58;

struct Color {
  uint8_t red, green, blue;
};
constexpr Color kInk{0x33, 0x33, 0x33}, kGrid{0xe4, 0xe4, 0xe4}, kRaw{0xb5, 0xd0, 0xea},
    kTrain{0x1f, 0x6f, 0xb4}, kValidation{0xd1, 0x49, 0x2f};

enum class Anchor { kStart, kMiddle, kEnd };

std::string Number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.2f", value);
  return text;
}

std::string Hex(Color color) {
  char text[8];
  std::snprintf(text, sizeof(text), "#%02x%02x%02x", color.red, color.green, color.blue);
  return text;
}

// The elements of an SVG of kWidth by kHeight; y goes down.
class Svg {
 public:
  Svg() {
    out_ = Cat("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ", kWidth, " ", kHeight,
               "\" width=\"", kWidth, "\" height=\"", kHeight,
               "\" font-family=\"sans-serif\">\n<rect width=\"100%\" height=\"100%\" "
               "fill=\"#ffffff\"/>\n");
  }
  void Line(const std::vector<Point>& points, Color color, double width) {
    out_ += Cat("<polyline fill=\"none\" stroke=\"", Hex(color), "\" stroke-width=\"", width,
                "\" stroke-linejoin=\"round\" points=\"");
    for (const Point& p : points) out_ += Number(p.x) + "," + Number(p.y) + " ";
    out_ += "\"/>\n";
  }
  void Dot(Point at, double radius, Color color) {
    out_ += Cat("<circle cx=\"", Number(at.x), "\" cy=\"", Number(at.y), "\" r=\"", radius,
                "\" fill=\"", Hex(color), "\"/>\n");
  }
  // `at` lies on the base line; `across`: from left to right, else upwards.
  void Text(Point at, const std::string& text, Anchor anchor, double size, bool across) {
    const char* name = anchor == Anchor::kStart    ? "start"
                       : anchor == Anchor::kMiddle ? "middle"
                                                   : "end";
    const std::string place =
        across ? Cat("x=\"", Number(at.x), "\" y=\"", Number(at.y), "\"")
               : Cat("transform=\"translate(", Number(at.x), " ", Number(at.y), ") rotate(-90)\"");
    out_ += Cat("<text ", place, " font-size=\"", size, "\" fill=\"", Hex(kInk),
                "\" text-anchor=\"", name, "\">", text, "</text>\n");
  }
  std::string Finish() { return out_ + "</svg>\n"; }

 private:
  std::string out_;
};

std::string TickText(double value, double step) {
  const auto shorter = [](double v, const char* unit) {
    char text[32];
    std::snprintf(text, sizeof(text), "%.4g%s", v, unit);
    return std::string(text);
  };
  if (step >= 1e6) return shorter(value / 1e6, value == 0 ? "" : "M");
  if (step >= 1e3) return shorter(value / 1e3, value == 0 ? "" : "k");
  const int digits = std::clamp(static_cast<int>(std::ceil(-std::log10(step) - 1e-9)), 0, 9);
  char text[32];
  std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}

struct AxisRange {
  double low = 0, high = 1;
  double Share(double value) const { return (value - low) / (high - low); }
};

std::vector<Point> Finite(const std::vector<Point>& points) {
  std::vector<Point> out;
  for (const Point& p : points) {
    if (std::isfinite(p.x) && std::isfinite(p.y)) out.push_back(p);
  }
  return out;
}

AxisRange RangeOf(const std::vector<std::vector<Point>>& curves, double Point::*axis) {
  AxisRange range{INFINITY, -INFINITY};
  for (const auto& curve : curves) {
    for (const Point& p : curve) {
      range.low = std::min(range.low, p.*axis);
      range.high = std::max(range.high, p.*axis);
    }
  }
  if (range.low > range.high) return {0, 1};
  if (range.high - range.low < 1e-9 * std::max(1.0, std::abs(range.high)))
    range.high = range.low + 1;
  return range;
}

class Plotter {
 public:
  explicit Plotter(const LossCurves& curves)
      : train_(Finite(curves.train)), validation_(Finite(curves.validation)) {
    x_ = RangeOf({train_, validation_}, &Point::x);
    y_ = RangeOf({train_, validation_}, &Point::y);
    x_.low = 0;
    // The axis begins at 0 where the loss comes near it.
    y_.low = y_.low < 0.4 * y_.high ? std::min(0.0, y_.low) : y_.low;
    const double margin = 0.04 * (y_.high - y_.low);
    y_.high += margin;
    if (y_.low != 0) y_.low -= margin;
  }

  std::string Draw() {
    Grid();
    Curve(train_, kRaw, 1.2);
    // Over about a fortieth of the run.
    const double window = 1 + static_cast<double>(train_.size()) / 40;
    Curve(Smooth(train_, 1 - 1 / window), kTrain, 2.2);
    Curve(validation_, kValidation, 2);
    for (const Point& p : validation_) svg_.Dot(Place(p), 3.2, kValidation);
    Axes();
    Legend();
    return svg_.Finish();
  }

 private:
  Point Place(Point p) const {
    return {kLeft + x_.Share(p.x) * (kWidth - kLeft - kRight),
            kHeight - kBottom - y_.Share(p.y) * (kHeight - kTop - kBottom)};
  }

  // At most two points a column: what a long run would draw over and over.
  void Curve(const std::vector<Point>& points, Color color, double width) {
    if (points.size() < 2) {
      for (const Point& p : points) svg_.Dot(Place(p), 2.5, color);
      return;
    }
    const size_t columns = static_cast<size_t>(kWidth);
    const size_t stride = std::max<size_t>(1, points.size() / columns);
    std::vector<Point> line;
    for (size_t i = 0; i < points.size(); i += stride) {
      const auto begin = points.begin() + static_cast<std::ptrdiff_t>(i);
      const auto end =
          points.begin() + static_cast<std::ptrdiff_t>(std::min(i + stride, points.size()));
      const auto [low, high] =
          std::minmax_element(begin, end, [](const Point& a, const Point& b) { return a.y < b.y; });
      line.push_back(Place(low < high ? *low : *high));
      if (low != high) line.push_back(Place(low < high ? *high : *low));
    }
    svg_.Line(line, color, width);
  }

  void Grid() {
    const std::vector<double> across = Ticks(x_.low, x_.high, 8), up = Ticks(y_.low, y_.high, 7);
    const auto step = [](const std::vector<double>& t) { return t.size() > 1 ? t[1] - t[0] : 1; };
    for (const double value : up) {
      const double y = Place({x_.low, value}).y;
      svg_.Line({{kLeft, y}, {kWidth - kRight, y}}, kGrid, 1);
      svg_.Text({kLeft - 9, y + 4.5}, TickText(value, step(up)), Anchor::kEnd, 13, true);
    }
    for (const double value : across) {
      const double x = Place({value, y_.low}).x;
      svg_.Line({{x, kTop}, {x, kHeight - kBottom}}, kGrid, 1);
      svg_.Line({{x, kHeight - kBottom}, {x, kHeight - kBottom + 5}}, kInk, 1.2);
      svg_.Text({x, kHeight - kBottom + 20}, TickText(value, step(across)), Anchor::kMiddle, 13,
                true);
    }
  }

  void Axes() {
    svg_.Line({{kLeft, kTop}, {kLeft, kHeight - kBottom}, {kWidth - kRight, kHeight - kBottom}},
              kInk, 1.4);
    svg_.Text({(kLeft + kWidth - kRight) / 2, kHeight - 14}, "step", Anchor::kMiddle, 15, true);
    svg_.Text({24, (kTop + kHeight - kBottom) / 2}, "loss", Anchor::kMiddle, 15, false);
  }

  void Legend() {
    double x = kLeft + 6;
    const auto entry = [&](Color color, const std::string& name, double room) {
      svg_.Line({{x, kTop - 20}, {x + 26, kTop - 20}}, color, 2.4);
      svg_.Text({x + 34, kTop - 15.5}, name, Anchor::kStart, 14, true);
      x += room;
    };
    entry(kTrain, "training", 120);
    if (!validation_.empty()) entry(kValidation, "validation", 120);
  }

  std::vector<Point> train_, validation_;
  Svg svg_;
  AxisRange x_, y_;
};

}  // namespace

std::vector<Point> Smooth(const std::vector<Point>& points, double past) {
  std::vector<Point> out;
  double sum = 0, weight = 0;
  for (const Point& p : points) {
    sum = past * sum + (1 - past) * p.y;
    weight = past * weight + (1 - past);
    out.push_back({p.x, sum / weight});
  }
  return out;
}

std::vector<double> Ticks(double low, double high, int most) {
  const double raw = (high - low) / most;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  double step = 10 * power;
  for (const double factor : {5.0, 2.0, 1.0}) {
    if (factor * power >= raw * (1 - 1e-9)) step = factor * power;
  }
  std::vector<double> ticks;
  const auto first = static_cast<int64_t>(std::ceil(low / step - 1e-9));
  const auto last = static_cast<int64_t>(std::floor(high / step + 1e-9));
  for (int64_t i = first; i <= last; ++i) ticks.push_back(static_cast<double>(i) * step);
  return ticks;
}

std::string PlotSvg(const LossCurves& curves) {
  return Plotter(curves).Draw();
}

}  // namespace facet::tune
