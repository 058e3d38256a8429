#include <gtest/gtest.h>

#include "base/picture_budget.h"
#include "support/media.h"

namespace facet::media {
namespace {

struct SizeCase {
  int width, height, budget, to_width, to_height;
};

// Expected sizes by transformers' get_aspect_ratio_preserving_size for Gemma 4 (patch 16, pooling
// 3).
TEST(TargetSize, FollowsTheReference) {
  for (const SizeCase& c : std::initializer_list<SizeCase>{
           {1, 1, 280, 768, 768},         {1, 4000, 70, 48, 3360},
           {1, 4000, 1120, 48, 53760},    {4000, 1, 280, 13440, 48},
           {1400, 1400, 280, 768, 768},   {640, 480, 280, 912, 672},
           {48, 48, 70, 384, 384},        {1900, 90, 70, 1824, 48},
           {40, 700, 70, 96, 1680},       {23, 17, 70, 432, 336},
           {65535, 1, 1120, 53760, 48},   {1, 65535, 70, 48, 3360},
           {70, 1, 70, 3360, 48},         {71, 1, 70, 3360, 48},
           {69, 1, 70, 3312, 48},         {100, 1, 140, 5664, 48},
           {3, 250, 70, 48, 3360},        {31, 51, 70, 288, 480},
           {163, 71, 140, 816, 336},      {4397, 36, 280, 8832, 48},
           {211, 35, 280, 1968, 288},     {38, 2765, 1120, 144, 13680},
           {32, 61, 1120, 1152, 2208},    {60, 74, 560, 1008, 1248},
           {4907, 56, 140, 5280, 48},     {40, 380, 280, 240, 2448},
           {4380, 44, 70, 3360, 48},      {1661, 1505, 560, 1152, 1056},
           {76, 42, 140, 720, 384},       {36, 16, 280, 1200, 528},
           {59, 677, 280, 192, 2688},     {2645, 1253, 1120, 2304, 1104},
           {10, 57, 280, 336, 1872},      {49, 43, 280, 816, 720},
           {6, 2972, 1120, 48, 35712},    {13, 55, 70, 192, 816},
           {8, 77, 1120, 480, 4944},      {63, 42, 1120, 1920, 1296},
           {38, 62, 560, 864, 1440},      {53, 3451, 140, 48, 4560},
           {1768, 25, 280, 6720, 48},     {33, 3418, 140, 48, 5760},
           {421, 958, 70, 240, 576},      {64, 56, 280, 816, 720},
           {3861, 54, 280, 6768, 48},     {3213, 10, 70, 3360, 48},
           {1046, 1371, 1120, 1392, 1824}}) {
    const Result<PictureSize> size = TargetSize(c.width, c.height, c.budget);
    ASSERT_TRUE(size.ok()) << size.error().message;
    EXPECT_EQ(size->width, c.to_width) << c.width << "x" << c.height << " " << c.budget;
    EXPECT_EQ(size->height, c.to_height) << c.width << "x" << c.height << " " << c.budget;
    EXPECT_LE(size->width / 48 * (size->height / 48), c.budget);
  }
}

TEST(TargetSize, RefusesWhatIsNoPicture) {
  EXPECT_FALSE(TargetSize(0, 10, 280).ok());
  EXPECT_FALSE(TargetSize(10, -1, 280).ok());
  const Result<PictureSize> budget = TargetSize(10, 10, 100);
  ASSERT_FALSE(budget.ok());
  EXPECT_NE(budget.error().message.find("but got 100"), std::string::npos)
      << budget.error().message;
}

TEST(Patches, AreCutRowByRow) {
  Picture picture{96, 144, std::vector<uint8_t>(96 * 144 * 3)};
  for (int y = 0; y < 144; ++y) {
    for (int x = 0; x < 96; ++x) {
      uint8_t* p = &picture.rgb[(y * 96 + x) * 3];
      p[0] = static_cast<uint8_t>(x), p[1] = static_cast<uint8_t>(y), p[2] = 7;
    }
  }
  const Result<Patches> patches = CutPatches(picture);
  ASSERT_TRUE(patches.ok());
  EXPECT_EQ(patches->columns, 2);
  EXPECT_EQ(patches->rows, 3);
  for (int patch = 0; patch < 6; ++patch) {
    for (int i = 0; i < 48 * 48; ++i) {
      const uint8_t* p = &patches->pixels[patch * kPatchValues + i * 3];
      ASSERT_EQ(p[0], patch % 2 * 48 + i % 48);
      ASSERT_EQ(p[1], patch / 2 * 48 + i / 48);
      ASSERT_EQ(p[2], 7);
    }
  }
  EXPECT_FALSE(CutPatches(Picture{50, 48, std::vector<uint8_t>(50 * 48 * 3)}).ok());
}

TEST(Patches, OfOddShapesStayWithinTheBudget) {
  for (const int budget : kPictureBudgets) {
    for (const PictureSize size :
         {PictureSize{1, 1}, PictureSize{1, 4000}, PictureSize{4000, 1}, PictureSize{1400, 1400},
          PictureSize{3, 7}, PictureSize{700, 40}}) {
      const Picture picture{size.width, size.height,
                            std::vector<uint8_t>(size_t(size.width) * size.height * 3, 9)};
      const Result<Patches> patches = ToPatches(picture, budget);
      ASSERT_TRUE(patches.ok()) << patches.error().message;
      EXPECT_GE(patches->count(), 1);
      EXPECT_LE(patches->count(), budget);
      EXPECT_EQ(patches->pixels, std::vector<uint8_t>(size_t(patches->count()) * kPatchValues, 9));
    }
  }
}

TEST(AudioFrames, PadTheLastOneWithZeros) {
  const std::vector<float> frames = ToAudioFrames(Sound{std::vector<float>(641, 0.5f)});
  ASSERT_EQ(frames.size(), 1280u);
  EXPECT_EQ(frames[640], 0.5f);
  EXPECT_EQ(frames[641], 0.0f);
  EXPECT_EQ(ToAudioFrames(Sound{std::vector<float>(1280)}).size(), 1280u);
  EXPECT_TRUE(ToAudioFrames(Sound{}).empty());
}

TEST(TimeLabel, CountsMinutesOn) {
  EXPECT_EQ(TimeLabel(0), "00:00");
  EXPECT_EQ(TimeLabel(59.99), "00:59");
  EXPECT_EQ(TimeLabel(61), "01:01");
  EXPECT_EQ(TimeLabel(3600 + 125), "62:05");
}

}  // namespace
}  // namespace facet::media
