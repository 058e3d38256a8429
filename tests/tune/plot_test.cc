#include "tune/run/plot.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>

#include "media/media.h"
#include "tune/run/stroke_font.h"

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

media::Picture Decoded(const std::string& png) {
  const auto picture = media::DecodePicture(std::as_bytes(std::span(png)));
  EXPECT_TRUE(picture.ok());
  return picture.ok() ? *picture : media::Picture();
}

int Count(const media::Picture& picture, int red, int green, int blue) {
  int count = 0;
  for (size_t i = 0; i < picture.rgb.size(); i += 3)
    count += picture.rgb[i] == red && picture.rgb[i + 1] == green && picture.rgb[i + 2] == blue;
  return count;
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

TEST(Plot, FontHasEveryLetterOfTheLabels) {
  for (const char c : std::string("training validation step loss 0123456789.-kM"))
    EXPECT_NE(FindGlyph(c), nullptr) << c;
}

TEST(Plot, DrawsBothCurvesAndAxes) {
  const std::string svg = PlotSvg(Falling());
  for (const char* part : {"<svg ", ">training<", ">validation<", ">step<", ">loss<", "#1f6fb4",
                           "#d1492f", ">100<", ">600<", ">3<", "</svg>"})
    EXPECT_NE(svg.find(part), std::string::npos) << part;
  const std::string png = PlotPng(Falling());
  if (const char* folder = std::getenv("FACET_KEEP_PLOTS")) {  // to look at
    std::ofstream(std::string(folder) + "/loss.png", std::ios::binary) << png;
    std::ofstream(std::string(folder) + "/loss.svg", std::ios::binary) << svg;
  }
  const media::Picture picture = Decoded(png);
  EXPECT_EQ(picture.width, 1600);
  EXPECT_EQ(picture.height, 900);
  EXPECT_GT(Count(picture, 0x1f, 0x6f, 0xb4), 1500);
  EXPECT_GT(Count(picture, 0xd1, 0x49, 0x2f), 1500);
  EXPECT_GT(Count(picture, 0x33, 0x33, 0x33), 2000);
}

TEST(Plot, SurvivesOddCurves) {
  for (const LossCurves& curves :
       {LossCurves{}, LossCurves{{{1, 2}}, {}}, LossCurves{{{1, 2}, {2, 2}}, {}},
        LossCurves{{{1, NAN}, {2, INFINITY}, {3, 1}}, {{3, NAN}}}}) {
    EXPECT_EQ(Decoded(PlotPng(curves)).width, 1600);
    EXPECT_EQ(PlotSvg(curves).find("nan"), std::string::npos);
  }
}

}  // namespace
}  // namespace facet::tune
