// Every picture, sound and film of the reference cases, to the byte of what the reference's
// processor made of them.
#include <gtest/gtest.h>

#include <cmath>

#include "support/media.h"

namespace facet::media {
namespace {

struct Case {
  std::vector<std::string> images, audio, videos;
  int image_budget = 280;
  std::map<std::string, Stored> expected;
};

Case Load(const std::string& name) {
  Case loaded;
  const auto json =
      nlohmann::json::parse(ReadAll(TestFile("reference/tiny/cases/" + name + ".json")));
  loaded.image_budget = json.value("image_budget", 280);
  for (const auto& message : json["messages"]) {
    if (!message["content"].is_array()) continue;
    for (const auto& part : message["content"]) {
      const std::string type = part["type"];
      if (type == "image") loaded.images.push_back(part["path"]);
      if (type == "audio") loaded.audio.push_back(part["path"]);
      if (type == "video") loaded.videos.push_back(part["path"]);
    }
  }
  loaded.expected = ReadStored("reference/tiny/cases/" + name + ".safetensors");
  return loaded;
}

// Row `index` of the reference's pixels and positions: our patches first, then padding (position
// -1).
void ExpectPatches(const Patches& patches, const Case& c, const std::string& kind, int index) {
  const Stored& pixels =
      c.expected.at(kind == "image" ? "pixel_values_u8" : "pixel_values_videos_u8");
  const auto positions = c.expected.at(kind + "_position_ids").As<int32_t>();
  const int64_t budget = pixels.shape[1];
  ASSERT_EQ(pixels.shape[2], kPatchValues);
  ASSERT_LE(patches.count(), budget);
  const std::string expected =
      pixels.data.substr(index * budget * kPatchValues, patches.pixels.size());
  const std::string actual(patches.pixels.begin(), patches.pixels.end());
  size_t different = 0;
  for (size_t i = 0; i < actual.size(); ++i) different += actual[i] != expected[i];
  EXPECT_EQ(different, 0u) << "of " << actual.size() << " values, " << patches.columns << "x"
                           << patches.rows;
  for (int64_t i = 0; i < budget; ++i) {
    const int32_t* position = &positions[(index * budget + i) * 2];
    const bool real = i < patches.count();
    EXPECT_EQ(position[0], real ? i % patches.columns : -1) << i;
    EXPECT_EQ(position[1], real ? i / patches.columns : -1) << i;
  }
}

class ReferenceCase : public testing::TestWithParam<const char*> {};

TEST_P(ReferenceCase, IsEqualToTheByte) {
  const Case c = Load(GetParam());
  for (size_t i = 0; i < c.images.size(); ++i) {
    SCOPED_TRACE(c.images[i]);
    const std::string file = ReferenceMedia(c.images[i]);
    const Result<Picture> picture = DecodePicture(AsBytes(file));
    ASSERT_TRUE(picture.ok()) << picture.error().message;
    const Result<Patches> patches = ToPatches(*picture, c.image_budget);
    ASSERT_TRUE(patches.ok()) << patches.error().message;
    ExpectPatches(*patches, c, "image", static_cast<int>(i));
  }
  for (const std::string& name : c.videos) {
    const std::string file = ReferenceMedia(name);
    const Result<Film> film = DecodeFilm(AsBytes(file));
    ASSERT_TRUE(film.ok()) << film.error().message;
    ASSERT_EQ(static_cast<int64_t>(film->frames.size()),
              c.expected.at("pixel_values_videos_u8").shape[0]);
    EXPECT_FALSE(film->sound.has_value());
    for (size_t i = 0; i < film->frames.size(); ++i) {
      SCOPED_TRACE(i);
      EXPECT_EQ(film->frames[i].seconds, i);
      const Result<Patches> patches = ToPatches(film->frames[i].picture, 70);
      ASSERT_TRUE(patches.ok()) << patches.error().message;
      ExpectPatches(*patches, c, "video", static_cast<int>(i));
    }
  }
  for (const std::string& name : c.audio) {
    const std::string file = ReferenceMedia(name);
    const Result<Sound> sound = DecodeSound(AsBytes(file));
    ASSERT_TRUE(sound.ok()) << sound.error().message;
    EXPECT_EQ(ToAudioFrames(*sound), c.expected.at("input_features").As<float>());
  }
}

INSTANTIATE_TEST_SUITE_P(Tiny, ReferenceCase,
                         testing::Values("image-png", "image-jpg-70", "image-560",
                                         "image-odd-shapes", "image-grey", "audio",
                                         "audio-two-frames", "video", "everything"),
                         [](const auto& info) {
                           std::string name = info.param;
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

TEST(ResampledSound, AgreesWithTheReferenceTo60Decibels) {
  const std::string file = ReferenceMedia("speech-44k-stereo.wav");
  const Result<Sound> sound = DecodeSound(AsBytes(file));
  ASSERT_TRUE(sound.ok()) << sound.error().message;
  const auto expected =
      ReadStored("reference/tiny/resampled.safetensors").at("waveform").As<float>();
  ASSERT_EQ(sound->samples.size(), expected.size());
  double signal = 0, noise = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    signal += double{expected[i]} * expected[i];
    noise += std::pow(double{expected[i]} - sound->samples[i], 2);
  }
  EXPECT_GT(10 * std::log10(signal / std::max(noise, 1e-30)), 60.0);
}

TEST(Wav, SamplesAreExactly32768ths) {
  const std::string file = ReferenceMedia("speech.wav");
  const Result<Sound> sound = DecodeSound(AsBytes(file));
  ASSERT_TRUE(sound.ok()) << sound.error().message;
  const size_t data = file.find("data") + 8;
  ASSERT_EQ(sound->samples.size(), (file.size() - data) / 2);
  for (size_t i = 0; i < sound->samples.size(); ++i) {
    int16_t value;
    std::memcpy(&value, &file[data + i * 2], 2);
    ASSERT_EQ(sound->samples[i], value / 32768.0f) << i;
  }
}

}  // namespace
}  // namespace facet::media
