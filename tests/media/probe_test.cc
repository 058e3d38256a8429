// What the probes say, against what decoding gives.
#include <gtest/gtest.h>

#include <set>

#include "support/media.h"

namespace facet::media {
namespace {

std::string Fixture(const std::string& name) {
  return ReadAll(TestFile("media/fixtures/" + name));
}

std::set<std::string> FixturesOfKind(Kind kind) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(TestFile("media/fixtures"))) {
    const std::string name = entry.path().filename().string();
    const bool other = name.ends_with(".json") || name.ends_with(".f32");
    if (!other && Sniff(AsBytes(Fixture(name))) == kind) names.insert(name);
  }
  return names;
}

TEST(Probe, SaysThePictureSizeThatDecodingGives) {
  const std::set<std::string> names = FixturesOfKind(Kind::kPicture);
  EXPECT_GE(names.size(), 50u);
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    const std::string file = Fixture(name);
    const Result<Picture> picture = DecodePicture(AsBytes(file));
    ASSERT_TRUE(picture.ok()) << picture.error().message;
    const Result<PictureSize> size = ProbePicture(AsBytes(file));
    ASSERT_TRUE(size.ok()) << size.error().message;
    EXPECT_EQ(size->width, picture->width);
    EXPECT_EQ(size->height, picture->height);
  }
}

TEST(Probe, SaysTheSoundLengthThatDecodingGives) {
  std::set<std::string> names = FixturesOfKind(Kind::kSound);
  EXPECT_GE(names.size(), 10u);
  names.insert({"h264.mp4", "vp9.webm"});
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    const std::string file = Fixture(name);
    const Result<Sound> sound = DecodeSound(AsBytes(file));
    ASSERT_TRUE(sound.ok()) << sound.error().message;
    const Result<int64_t> samples = ProbeSound(AsBytes(file));
    ASSERT_TRUE(samples.ok()) << samples.error().message;
    EXPECT_EQ(static_cast<size_t>(*samples), sound->samples.size());
  }
}

TEST(Probe, RoundsTheLengthAtEveryRateAsTheResamplerDoes) {
  for (const uint32_t rate :
       {8000u, 11025u, 16000u, 22050u, 24000u, 32000u, 44100u, 48000u, 96000u}) {
    for (uint32_t samples : {1u, 2u, 3u, 5u, 7u, 127u, 640u, 1001u, 4410u, 12345u}) {
      const std::string file = Wav(1, rate, 16, samples * 2, std::string(samples * 2, 'a'));
      const Result<Sound> sound = DecodeSound(AsBytes(file));
      ASSERT_TRUE(sound.ok()) << sound.error().message;
      const Result<int64_t> probed = ProbeSound(AsBytes(file));
      ASSERT_TRUE(probed.ok()) << probed.error().message;
      EXPECT_EQ(static_cast<size_t>(*probed), sound->samples.size()) << samples << " at " << rate;
    }
  }
}

TEST(Probe, SaysTheFramesThatDecodingGives) {
  std::set<std::string> names = FixturesOfKind(Kind::kFilm);
  EXPECT_GE(names.size(), 7u);
  names.insert("animated.gif");
  for (const std::string& name : names) {
    for (const double rate : {0.4, 1.0, 2.5}) {
      for (const int budget : {0, 70}) {
        SCOPED_TRACE(name + " at " + std::to_string(rate) + " for " + std::to_string(budget));
        const std::string file = Fixture(name);
        Limits limits;
        limits.frames_per_second = rate;
        limits.frame_budget = budget;
        const Result<Film> film = DecodeFilm(AsBytes(file), limits);
        ASSERT_TRUE(film.ok()) << film.error().message;
        const Result<FilmShape> shape = ProbeFilm(AsBytes(file), limits);
        ASSERT_TRUE(shape.ok()) << shape.error().message;
        EXPECT_EQ(shape->seconds, film->seconds);
        EXPECT_EQ(shape->sound_samples.has_value(), film->sound.has_value());
        if (film->sound) {
          EXPECT_EQ(static_cast<size_t>(*shape->sound_samples), film->sound->samples.size());
        }
        ASSERT_EQ(shape->frames.size(), film->frames.size());
        for (size_t i = 0; i < film->frames.size(); ++i) {
          EXPECT_EQ(shape->frames[i].seconds, film->frames[i].seconds);
          EXPECT_EQ(shape->frames[i].size.width, film->frames[i].picture.width);
          EXPECT_EQ(shape->frames[i].size.height, film->frames[i].picture.height);
        }
      }
    }
  }
}

TEST(Probe, RefusesWhatDecodingRefusesByTheHeader) {
  Limits limits;
  limits.max_pixels = 800;
  for (const std::string& name : FixturesOfKind(Kind::kPicture)) {
    SCOPED_TRACE(name);
    const std::string file = Fixture(name);
    const Result<PictureSize> size = ProbePicture(AsBytes(file), limits);
    const Result<Picture> picture = DecodePicture(AsBytes(file), limits);
    ASSERT_EQ(size.ok(), picture.ok());
    if (!size.ok()) {
      EXPECT_EQ(size.error().message, picture.error().message);
    }
  }
  EXPECT_FALSE(ProbePicture({}).ok());
  EXPECT_FALSE(ProbeSound({}).ok());
  EXPECT_FALSE(ProbeFilm({}).ok());
}

}  // namespace
}  // namespace facet::media
