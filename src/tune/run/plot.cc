#include "tune/run/plot.h"

#include <png.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "base/result.h"
#include "tune/run/stroke_font.h"

namespace facet::tune {
namespace {

constexpr double kWidth = 800, kHeight = 450;
constexpr double kLeft = 78, kRight = 24, kTop = 44, kBottom = 58;
constexpr int kPngScale = 2;

struct Color {
  uint8_t red, green, blue;
};
constexpr Color kInk{0x33, 0x33, 0x33}, kGrid{0xe4, 0xe4, 0xe4}, kRaw{0xb5, 0xd0, 0xea},
    kTrain{0x1f, 0x6f, 0xb4}, kValidation{0xd1, 0x49, 0x2f};

enum class Anchor { kStart, kMiddle, kEnd };

// y downwards, units of kWidth by kHeight.
class Canvas {
 public:
  virtual ~Canvas() = default;
  virtual void Line(const std::vector<Point>& points, Color color, double width) = 0;
  virtual void Dot(Point at, double radius, Color color) = 0;
  // `at` lies on the base line.
  virtual void Text(Point at, const std::string& text, Anchor anchor, double size,
                    bool upright) = 0;
};

// --- SVG

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

class SvgCanvas : public Canvas {
 public:
  SvgCanvas() {
    out_ = Cat("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ", kWidth, " ", kHeight,
               "\" width=\"", kWidth, "\" height=\"", kHeight,
               "\" font-family=\"sans-serif\">\n<rect width=\"100%\" height=\"100%\" "
               "fill=\"#ffffff\"/>\n");
  }
  void Line(const std::vector<Point>& points, Color color, double width) override {
    out_ += Cat("<polyline fill=\"none\" stroke=\"", Hex(color), "\" stroke-width=\"", width,
                "\" stroke-linejoin=\"round\" points=\"");
    for (const Point& p : points) out_ += Number(p.x) + "," + Number(p.y) + " ";
    out_ += "\"/>\n";
  }
  void Dot(Point at, double radius, Color color) override {
    out_ += Cat("<circle cx=\"", Number(at.x), "\" cy=\"", Number(at.y), "\" r=\"", radius,
                "\" fill=\"", Hex(color), "\"/>\n");
  }
  void Text(Point at, const std::string& text, Anchor anchor, double size, bool upright) override {
    const char* name = anchor == Anchor::kStart    ? "start"
                       : anchor == Anchor::kMiddle ? "middle"
                                                   : "end";
    const std::string place =
        upright ? Cat("x=\"", Number(at.x), "\" y=\"", Number(at.y), "\"")
                : Cat("transform=\"translate(", Number(at.x), " ", Number(at.y), ") rotate(-90)\"");
    out_ += Cat("<text ", place, " font-size=\"", size, "\" fill=\"", Hex(kInk),
                "\" text-anchor=\"", name, "\">", text, "</text>\n");
  }
  std::string Finish() { return out_ + "</svg>\n"; }

 private:
  std::string out_;
};

// --- PNG

double DistanceToSegment(Point p, Point a, Point b) {
  const double dx = b.x - a.x, dy = b.y - a.y, length = dx * dx + dy * dy;
  const double t =
      length == 0 ? 0 : std::clamp(((p.x - a.x) * dx + (p.y - a.y) * dy) / length, 0.0, 1.0);
  return std::hypot(p.x - a.x - t * dx, p.y - a.y - t * dy);
}

// Lines have soft edges: a pixel is covered by how far it lies inside the line.
class PngCanvas : public Canvas {
 public:
  PngCanvas() : pixels_(kColumns * kRows * 3, 0xff), coverage_(kColumns * kRows, 0) {}

  void Line(const std::vector<Point>& points, Color color, double width) override {
    touched_.clear();
    for (size_t i = 0; i + 1 < points.size(); ++i) Cover(points[i], points[i + 1], width / 2);
    Blend(color);
  }
  void Dot(Point at, double radius, Color color) override {
    touched_.clear();
    Cover(at, at, radius);
    Blend(color);
  }
  void Text(Point at, const std::string& text, Anchor anchor, double size, bool upright) override {
    const double unit = size * 0.72 / kCapHeight;
    const double width = TextWidth(text) * unit;
    double pen = anchor == Anchor::kStart ? 0 : anchor == Anchor::kMiddle ? -width / 2 : -width;
    touched_.clear();
    for (const char letter : text) {
      const Glyph* glyph = FindGlyph(letter);
      if (glyph == nullptr) continue;
      const auto place = [&](Point p) {
        const double along = pen + p.x * unit, up = p.y * unit;
        return upright ? Point{at.x + along, at.y - up} : Point{at.x - up, at.y - along};
      };
      for (const Stroke& stroke : glyph->strokes) {
        for (size_t i = 0; i + 1 < stroke.size(); ++i)
          Cover(place(stroke[i]), place(stroke[i + 1]), size * 0.045);
      }
      pen += (glyph->width + kLetterGap) * unit;
    }
    Blend(kInk);
  }

  std::string Finish() {
    png_image image{};
    image.version = PNG_IMAGE_VERSION;
    image.width = kColumns;
    image.height = kRows;
    image.format = PNG_FORMAT_RGB;
    image.flags = PNG_IMAGE_FLAG_FAST;  // it is mostly white anyway
    png_alloc_size_t size = 0;
    if (png_image_write_to_memory(&image, nullptr, &size, 0, pixels_.data(), 0, nullptr) == 0)
      return "";
    std::string bytes(size, '\0');
    if (png_image_write_to_memory(&image, bytes.data(), &size, 0, pixels_.data(), 0, nullptr) == 0)
      return "";
    bytes.resize(size);
    return bytes;
  }

 private:
  static constexpr int kColumns = static_cast<int>(kWidth) * kPngScale;
  static constexpr int kRows = static_cast<int>(kHeight) * kPngScale;

  // Coverage of one drawing is its largest, so that joints are not darker.
  void Cover(Point a, Point b, double radius) {
    const double r = radius * kPngScale;
    const Point from{a.x * kPngScale, a.y * kPngScale}, to{b.x * kPngScale, b.y * kPngScale};
    const auto low = [&](double u, double v) { return static_cast<int>(std::min(u, v) - r - 1); };
    const auto high = [&](double u, double v) { return static_cast<int>(std::max(u, v) + r + 2); };
    for (int y = std::max(0, low(from.y, to.y)); y < std::min(kRows, high(from.y, to.y)); ++y) {
      for (int x = std::max(0, low(from.x, to.x)); x < std::min(kColumns, high(from.x, to.x));
           ++x) {
        const double inside = r + 0.5 - DistanceToSegment({x + 0.5, y + 0.5}, from, to);
        if (inside <= 0) continue;
        float& covered = coverage_[static_cast<size_t>(y) * kColumns + x];
        if (covered == 0) touched_.push_back(static_cast<uint32_t>(y) * kColumns + x);
        covered = std::max(covered, static_cast<float>(std::min(1.0, inside)));
      }
    }
  }
  void Blend(Color color) {
    const uint8_t channels[] = {color.red, color.green, color.blue};
    for (const uint32_t index : touched_) {
      for (int c = 0; c < 3; ++c) {
        uint8_t& value = pixels_[size_t{index} * 3 + c];
        value = static_cast<uint8_t>(value + (channels[c] - value) * coverage_[index] + 0.5f);
      }
      coverage_[index] = 0;
    }
  }

  std::vector<uint8_t> pixels_;
  std::vector<float> coverage_;
  std::vector<uint32_t> touched_;
};

// --- the drawing

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

struct Range {
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

Range RangeOf(const std::vector<std::vector<Point>>& curves, double Point::*axis) {
  Range range{INFINITY, -INFINITY};
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
  Plotter(const LossCurves& curves, Canvas& canvas)
      : train_(Finite(curves.train)), validation_(Finite(curves.validation)), canvas_(canvas) {
    x_ = RangeOf({train_, validation_}, &Point::x);
    y_ = RangeOf({train_, validation_}, &Point::y);
    x_.low = 0;
    // A loss has its natural zero; it stays in sight where it is near.
    y_.low = y_.low < 0.4 * y_.high ? std::min(0.0, y_.low) : y_.low;
    const double margin = 0.04 * (y_.high - y_.low);
    y_.high += margin;
    if (y_.low != 0) y_.low -= margin;
  }

  void Draw() {
    Grid();
    Curve(train_, kRaw, 1.2);
    // Over about a fortieth of the run.
    const double window = 1 + static_cast<double>(train_.size()) / 40;
    Curve(Smooth(train_, 1 - 1 / window), kTrain, 2.2);
    Curve(validation_, kValidation, 2);
    for (const Point& p : validation_) canvas_.Dot(Place(p), 3.2, kValidation);
    Axes();
    Legend();
  }

 private:
  Point Place(Point p) const {
    return {kLeft + x_.Share(p.x) * (kWidth - kLeft - kRight),
            kHeight - kBottom - y_.Share(p.y) * (kHeight - kTop - kBottom)};
  }

  // At most two points a column: what a long run would draw over and over.
  void Curve(const std::vector<Point>& points, Color color, double width) {
    if (points.size() < 2) {
      for (const Point& p : points) canvas_.Dot(Place(p), 2.5, color);
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
    canvas_.Line(line, color, width);
  }

  void Grid() {
    const std::vector<double> across = Ticks(x_.low, x_.high, 8), up = Ticks(y_.low, y_.high, 7);
    const auto step = [](const std::vector<double>& t) { return t.size() > 1 ? t[1] - t[0] : 1; };
    for (const double value : up) {
      const double y = Place({x_.low, value}).y;
      canvas_.Line({{kLeft, y}, {kWidth - kRight, y}}, kGrid, 1);
      canvas_.Text({kLeft - 9, y + 4.5}, TickText(value, step(up)), Anchor::kEnd, 13, true);
    }
    for (const double value : across) {
      const double x = Place({value, y_.low}).x;
      canvas_.Line({{x, kTop}, {x, kHeight - kBottom}}, kGrid, 1);
      canvas_.Line({{x, kHeight - kBottom}, {x, kHeight - kBottom + 5}}, kInk, 1.2);
      canvas_.Text({x, kHeight - kBottom + 20}, TickText(value, step(across)), Anchor::kMiddle, 13,
                   true);
    }
  }

  void Axes() {
    canvas_.Line({{kLeft, kTop}, {kLeft, kHeight - kBottom}, {kWidth - kRight, kHeight - kBottom}},
                 kInk, 1.4);
    canvas_.Text({(kLeft + kWidth - kRight) / 2, kHeight - 14}, "step", Anchor::kMiddle, 15, true);
    canvas_.Text({24, (kTop + kHeight - kBottom) / 2}, "loss", Anchor::kMiddle, 15, false);
  }

  void Legend() {
    double x = kLeft + 6;
    const auto entry = [&](Color color, const std::string& name, double room) {
      canvas_.Line({{x, kTop - 20}, {x + 26, kTop - 20}}, color, 2.4);
      canvas_.Text({x + 34, kTop - 15.5}, name, Anchor::kStart, 14, true);
      x += room;
    };
    entry(kTrain, "training", 120);
    if (!validation_.empty()) entry(kValidation, "validation", 120);
  }

  std::vector<Point> train_, validation_;
  Canvas& canvas_;
  Range x_, y_;
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
  SvgCanvas canvas;
  Plotter(curves, canvas).Draw();
  return canvas.Finish();
}

std::string PlotPng(const LossCurves& curves) {
  PngCanvas canvas;
  Plotter(curves, canvas).Draw();
  return canvas.Finish();
}

}  // namespace facet::tune
