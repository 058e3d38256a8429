#include "tune/run/plot.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <regex>

namespace facet::tune {
namespace {

LossCurves Falling() {
  LossCurves curves;
  for (int step = 1; step <= 600; ++step) {
    curves.train.push_back({double(step), 0.6 + 3 * std::exp(-step / 90.0) + 0.2 * std::sin(step)});
    if (step % 100 == 0)
      curves.validation.push_back({double(step), 0.8 + 3 * std::exp(-step / 100.0)});
  }
  return curves;
}

// The points of all lines of one colour.
std::vector<Point> PointsOf(const std::string& svg, const std::string& color) {
  std::vector<Point> points;
  const std::regex line("<polyline [^>]*stroke=\"" + color + "\"[^>]*points=\"([^\"]*)\"");
  const std::regex pair("([-0-9.]+),([-0-9.]+) ");
  for (std::sregex_iterator l(svg.begin(), svg.end(), line), end; l != end; ++l) {
    const std::string text = (*l)[1];
    for (std::sregex_iterator p(text.begin(), text.end(), pair); p != end; ++p)
      points.push_back({std::stod((*p)[1]), std::stod((*p)[2])});
  }
  return points;
}

// Every line lies within the picture, and nothing in it is not a number.
void ExpectDrawable(const std::string& svg) {
  EXPECT_TRUE(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>\n"));
  for (const char* bad : {"nan", "inf"}) EXPECT_EQ(svg.find(bad), std::string::npos) << svg;
  for (const Point& p : PointsOf(svg, "#[0-9a-f]*")) {
    EXPECT_TRUE(p.x >= 0 && p.x <= 800) << p.x;
    EXPECT_TRUE(p.y >= 0 && p.y <= 450) << p.y;
  }
}

TEST(Plot, TicksAreRoundNumbers) {
  EXPECT_EQ(Ticks(0, 100, 5), (std::vector<double>{0, 20, 40, 60, 80, 100}));
  EXPECT_EQ(Ticks(0, 7, 8), (std::vector<double>{0, 1, 2, 3, 4, 5, 6, 7}));
  const auto small = Ticks(0.11, 0.19, 4);
  ASSERT_EQ(small.size(), 4u);
  EXPECT_NEAR(small[0], 0.12, 1e-12);
  EXPECT_NEAR(small[3], 0.18, 1e-12);
}

TEST(Plot, SmoothingHasNoStartUpBias) {
  const std::vector<Point> flat = {{1, 2}, {2, 2}, {3, 2}};
  for (const Point& p : Smooth(flat, 0.9)) EXPECT_DOUBLE_EQ(p.y, 2);
  const auto two = Smooth({{1, 0}, {2, 1}}, 0.5);
  EXPECT_DOUBLE_EQ(two[1].y, 0.5 / 0.75);
}

TEST(Plot, DrawsBothCurvesAndAxes) {
  const std::string svg = PlotSvg(Falling());
  for (const char* part : {"<svg ", ">training<", ">validation<", ">step<", ">loss<", "#1f6fb4",
                           "#d1492f", ">100<", ">600<", ">3<", "</svg>"})
    EXPECT_NE(svg.find(part), std::string::npos) << part;
  if (const char* folder = std::getenv("FACET_KEEP_PLOTS"))  // to look at
    std::ofstream(std::string(folder) + "/loss.svg", std::ios::binary) << svg;
  ExpectDrawable(svg);
  // The curves fall from left to right over the width of the picture: y goes down.
  for (const auto& [color, least] : {std::pair("#1f6fb4", 300u), std::pair("#d1492f", 6u)}) {
    const std::vector<Point> curve = PointsOf(svg, color);
    ASSERT_GE(curve.size(), least + 2) << color;
    // The last two points are the legend's sample.
    EXPECT_LT(curve.front().x, 200);
    EXPECT_GT(curve[curve.size() - 3].x, 750);
    EXPECT_LT(curve.front().y + 50, curve[curve.size() - 3].y) << color;
  }
  EXPECT_GT(PointsOf(svg, "#333333").size(), 3u);
}

TEST(Plot, SurvivesOddCurves) {
  for (const LossCurves& curves :
       {LossCurves{}, LossCurves{{{1, 2}}, {}}, LossCurves{{{1, 2}, {2, 2}}, {}},
        LossCurves{{{1, NAN}, {2, INFINITY}, {3, 1}}, {{3, NAN}}}}) {
    ExpectDrawable(PlotSvg(curves));
  }
}

}  // namespace
}  // namespace facet::tune
