// Random sizes against torchvision, every format against Pillow, PyAV and soundfile
// (tests/tools/make_*_fixtures.py).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "media/still.h"
#include "support/media.h"

namespace facet::media {
namespace {

std::string Fixture(const std::string& name) {
  return ReadAll(TestFile("media/fixtures/" + name));
}
nlohmann::json FixtureJson(const std::string& name) {
  return nlohmann::json::parse(Fixture(name));
}

std::string Fnv1a(const std::vector<uint8_t>& data) {
  uint64_t hash = 0xCBF29CE484222325;
  for (uint8_t byte : data) hash = (hash ^ byte) * 0x100000001B3;
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

uint8_t Noise(uint64_t seed, uint64_t i) {
  uint64_t z = ((seed << 32) + i) * 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return static_cast<uint8_t>((z ^ (z >> 31)) >> 56);
}

Picture MakePicture(const std::string& kind, int seed, int width, int height) {
  Picture picture{width, height, std::vector<uint8_t>(size_t(width) * height * 3)};
  const size_t last = std::max(size_t(width) * height - 1, size_t{1});
  for (size_t i = 0; i < picture.rgb.size(); ++i) {
    const uint8_t noise = Noise(seed, i);
    picture.rgb[i] = kind == "noise"      ? noise
                     : kind == "extremes" ? (noise > 127 ? 255 : 0)
                                          : static_cast<uint8_t>(i / 3 * 255 / last);
  }
  return picture;
}

TEST(Resize, EqualsTorchvisionToTheByte) {
  int cases = 0;
  for (const auto& c : FixtureJson("resize.json")) {
    const Picture picture = MakePicture(c["kind"], c["seed"], c["width"], c["height"]);
    const Picture out = Resize(picture, {c["to_width"], c["to_height"]});
    EXPECT_EQ(Fnv1a(out.rgb), c["hash"].get<std::string>()) << c;
    ++cases;
  }
  EXPECT_EQ(cases, 120);
}

void ExpectPictures(const nlohmann::json& expected, const Limits& limits) {
  for (const auto& [name, c] : expected.items()) {
    SCOPED_TRACE(name);
    const std::string file = Fixture(name);
    EXPECT_EQ(Sniff(AsBytes(file)), Kind::kPicture);
    const Result<Picture> picture = DecodePicture(AsBytes(file), limits);
    ASSERT_TRUE(picture.ok()) << picture.error().message;
    EXPECT_EQ(picture->width, c["width"]);
    EXPECT_EQ(picture->height, c["height"]);
    EXPECT_EQ(Fnv1a(picture->rgb), c["hash"].get<std::string>());
  }
}

Limits DroppedAlpha() {
  Limits limits;
  limits.transparency = Transparency::kDropped;
  return limits;
}

TEST(Pictures, EqualPillowToTheByte) {
  const auto expected = FixtureJson("pictures.json");
  EXPECT_GE(expected.size(), 60u);
  ExpectPictures(expected, DroppedAlpha());
}

TEST(Pictures, LieOnWhiteAsPillowPastesThem) {
  auto expected = FixtureJson("pictures-on-white.json");
  EXPECT_GE(expected.size(), 15u);
  ExpectPictures(expected, {});
  // What is opaque stays as it is.
  auto opaque = FixtureJson("pictures.json");
  for (const auto& [name, c] : expected.items()) opaque.erase(name);
  opaque.erase("large-canvas.gif");  // what no frame covers is white, too
  EXPECT_GE(opaque.size(), 40u);
  ExpectPictures(opaque, {});
}

// A screenshot's black letters on nothing are letters on a page, not a black rectangle.
TEST(Pictures, TextOnNothingCanBeRead) {
  const std::string file = Fixture("text-on-transparent.png");
  const Picture page = *DecodePicture(AsBytes(file));
  const Picture dropped = *DecodePicture(AsBytes(file), DroppedAlpha());
  const auto [dark, bright] = std::minmax_element(page.rgb.begin(), page.rgb.end());
  EXPECT_LT(*dark, 30);
  EXPECT_EQ(*bright, 255);
  EXPECT_EQ(*std::max_element(dropped.rgb.begin(), dropped.rgb.end()), 0);
}

TEST(Pictures, SixteenBitGreyIsARamp) {
  const Picture ramp = *DecodePicture(AsBytes(Fixture("grey16-ramp.png")));
  std::set<uint8_t> levels(ramp.rgb.begin(), ramp.rgb.end());
  EXPECT_GT(levels.size(), 60u);
  EXPECT_LT(*levels.begin(), 8);
  EXPECT_GT(*levels.rbegin(), 247);
}

// Phones' formats: as near to the picture that they were made of as their loss allows. The AVIF
// asks to be turned as the format says (irot); what EXIF says beside that is not for showing a
// HEIC.
TEST(Pictures, OfPhonesAreDecoded) {
  const Picture png = *DecodePicture(AsBytes(Fixture("photo.png")));
  for (const auto& [name, orientation] : {std::pair("photo.heic", 1), std::pair("photo.avif", 6)}) {
    const Picture original = Orient(png, orientation);
    SCOPED_TRACE(name);
    const std::string file = Fixture(name);
    EXPECT_EQ(Sniff(AsBytes(file)), Kind::kPicture);
    const Result<Picture> picture = DecodePicture(AsBytes(file));
    ASSERT_TRUE(picture.ok()) << picture.error().message;
    ASSERT_EQ(picture->rgb.size(), original.rgb.size());
    EXPECT_EQ(picture->width, original.width);
    double difference = 0;
    for (size_t i = 0; i < original.rgb.size(); ++i)
      difference += std::abs(original.rgb[i] - picture->rgb[i]);
    EXPECT_LT(difference / original.rgb.size(), 16);
    const Result<PictureSize> size = ProbePicture(AsBytes(file));
    ASSERT_TRUE(size.ok());
    EXPECT_EQ(size->height, original.height);
    Limits small;
    small.max_pixels = 96 * 64 - 1;
    for (const auto& error : {DecodePicture(AsBytes(file), small).error(),
                              ProbePicture(AsBytes(file), small).error()}) {
      EXPECT_EQ(error.kind, ErrorKind::kResource) << error.message;
    }
    EXPECT_FALSE(DecodePicture(AsBytes(file.substr(0, file.size() / 2))).ok());
  }
}

std::array<double, 3> MeanColor(const Picture& picture) {
  std::array<double, 3> mean{};
  for (size_t i = 0; i < picture.rgb.size(); ++i) mean[i % 3] += picture.rgb[i];
  for (double& m : mean) m /= picture.rgb.size() / 3.0;
  return mean;
}

TEST(Films, AreSampledAndTurnedAsTheReferenceDoes) {
  for (const auto& c : FixtureJson("films.json")) {
    SCOPED_TRACE(c["name"].get<std::string>() + " at " + c["rate"].dump());
    Limits limits;
    limits.frames_per_second = c["rate"];
    limits.transparency = Transparency::kDropped;
    const std::string file = Fixture(c["name"]);
    const Result<Film> film = DecodeFilm(AsBytes(file), limits);
    ASSERT_TRUE(film.ok()) << film.error().message;
    EXPECT_EQ(film->sound.has_value(), c["sound"].get<bool>());
    if (film->sound) {
      EXPECT_NEAR(film->sound->seconds(), 3.5, 0.1);
    }
    ASSERT_EQ(film->frames.size(), c["frames"].size());
    for (size_t i = 0; i < film->frames.size(); ++i) {
      const auto& expected = c["frames"][i];
      const Frame& frame = film->frames[i];
      EXPECT_EQ(frame.seconds, expected["label"]);
      EXPECT_EQ(frame.picture.width, expected["width"]);
      EXPECT_EQ(frame.picture.height, expected["height"]);
      const std::array<double, 3> mean = MeanColor(frame.picture);
      for (int k = 0; k < 3; ++k) EXPECT_NEAR(mean[k], expected["mean"][k].get<double>(), 1.0);
      if (!expected["hash"].get<std::string>().empty()) {
        EXPECT_EQ(Fnv1a(frame.picture.rgb), expected["hash"].get<std::string>());
      }
    }
  }
}

TEST(Films, CanBeResizedAsTheyAreDecoded) {
  const std::string file = Fixture("silent.mkv");
  Limits limits;
  const Result<Film> whole = DecodeFilm(AsBytes(file), limits);
  limits.frame_budget = 140;
  const Result<Film> resized = DecodeFilm(AsBytes(file), limits);
  ASSERT_TRUE(whole.ok() && resized.ok());
  ASSERT_EQ(whole->frames.size(), resized->frames.size());
  for (size_t i = 0; i < whole->frames.size(); ++i) {
    EXPECT_EQ(ToPatches(whole->frames[i].picture, 140)->pixels,
              CutPatches(resized->frames[i].picture)->pixels);
  }
}

TEST(Films, BeginAtTheirFirstFrameWhateverTheirClockSays) {
  const std::string punctual = Fixture("silent.mkv");
  for (const char* name : {"late.mkv", "late-edit-list.mp4"}) {
    for (const double rate : {1.0, 2.5, 0.4}) {
      SCOPED_TRACE(std::string(name) + " at " + std::to_string(rate));
      Limits limits;
      limits.frames_per_second = rate;
      const std::string late = Fixture(name);
      const Result<Film> expected = DecodeFilm(AsBytes(punctual), limits);
      const Result<Film> film = DecodeFilm(AsBytes(late), limits);
      ASSERT_TRUE(expected.ok() && film.ok());
      EXPECT_NEAR(film->seconds, expected->seconds, 0.01);
      ASSERT_EQ(film->frames.size(), expected->frames.size());
      for (size_t i = 0; i < film->frames.size(); ++i) {
        EXPECT_EQ(film->frames[i].seconds, expected->frames[i].seconds);
        EXPECT_EQ(film->frames[i].picture.rgb, expected->frames[i].picture.rgb);
      }
    }
  }
}

// Twelve hours on the clock, or fragments whose pictures are out of order: the first frame is zero.
TEST(Films, OfRecordersBeginAtZeroToo) {
  for (const char* name : {"late-12h.mkv", "fragmented.mp4"}) {
    SCOPED_TRACE(name);
    const std::string file = Fixture(name);
    const Result<Film> film = DecodeFilm(AsBytes(file));
    ASSERT_TRUE(film.ok()) << film.error().message;
    ASSERT_EQ(film->frames.size(), 4u);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(film->frames[i].seconds, i);
    EXPECT_NEAR(film->seconds, 4, 0.3);
    EXPECT_EQ(ProbeFilm(AsBytes(file))->frames.size(), 4u);
  }
}

TEST(Films, LeaveTheirSoundOutWhenAsked) {
  const std::string file = Fixture("h264.mp4");
  Limits limits;
  limits.film_sound = false;
  const Result<Film> film = DecodeFilm(AsBytes(file), limits);
  ASSERT_TRUE(film.ok()) << film.error().message;
  EXPECT_FALSE(film->sound.has_value());
}

double Decibels(const std::vector<float>& actual, const std::vector<float>& expected) {
  double signal = 0, noise = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    signal += double{expected[i]} * expected[i];
    noise += std::pow(double{expected[i]} - actual[i], 2);
  }
  return 10 * std::log10(signal / std::max(noise, 1e-30));
}

TEST(Sounds, AgreeWithSoundfileAndSoxr) {
  struct Case {
    const char* name;
    double decibels;
  };
  for (const Case& c :
       {Case{"chirp.wav", 110}, Case{"s24.wav", 110}, Case{"u8.wav", 110}, Case{"f32.wav", 110},
        Case{"mulaw.wav", 110}, Case{"chirp.flac", 110}, Case{"chirp24.flac", 110},
        Case{"chirp.mp3", 80}, Case{"vorbis.ogg", 80}, Case{"opus.ogg", 50}}) {
    SCOPED_TRACE(c.name);
    const std::string file = Fixture(c.name), stored = Fixture(std::string(c.name) + ".f32");
    EXPECT_EQ(Sniff(AsBytes(file)), Kind::kSound);
    const Result<Sound> sound = DecodeSound(AsBytes(file));
    ASSERT_TRUE(sound.ok()) << sound.error().message;
    const std::vector<float> expected = Stored{{}, stored}.As<float>();
    ASSERT_EQ(sound->samples.size(), expected.size());
    EXPECT_GT(Decibels(sound->samples, expected), c.decibels);
  }
}

TEST(Sounds, ComeOutOfM4aAndFilmsToo) {
  const Result<Sound> source = DecodeSound(AsBytes(Fixture("chirp.wav")));
  for (const char* name : {"chirp.m4a", "h264.mp4", "vp9.webm"}) {
    SCOPED_TRACE(name);
    const std::string file = Fixture(name);
    const Result<Sound> sound = DecodeSound(AsBytes(file));
    ASSERT_TRUE(sound.ok()) << sound.error().message;
    EXPECT_NEAR(sound->seconds(), name == std::string("chirp.m4a") ? source->seconds() : 3.5, 0.1);
    double power = 0;
    for (float s : sound->samples) power += s * s;
    EXPECT_GT(power / sound->samples.size(), 1e-3);
  }
  EXPECT_EQ(Sniff(AsBytes(Fixture("chirp.m4a"))), Kind::kSound);
}

// Whatever a phone, a browser or an editor puts around it.
TEST(Sounds, AreFoundInWhatOthersWrite) {
  const double seconds = DecodeSound(AsBytes(Fixture("chirp.wav")))->seconds();
  const std::string wav = Fixture("u8.wav"), aac = Fixture("voice.aac"), mp3 = Fixture("chirp.mp3");
  const std::string tag("ID3\3\0\0\0\0\0\12\0\0\0\0\0\0\0\0\0\0", 20);
  const std::string zeros(1000, '\0'), junk = "<some player's own block> \xFF\xFB\x90 " + zeros;
  struct Case {
    const char* what;
    std::string file;
    double seconds;
  };
  const Case cases[] = {{"AIFF", Fixture("chirp.aiff"), seconds},
                        {"CAF", Fixture("chirp.caf"), seconds},
                        {"sound alone in WebM", Fixture("sound.webm"), seconds},
                        {"sound alone in MP4", Fixture("sound.mp4"), seconds},
                        {"raw AAC", aac, 1.8},
                        {"AAC behind a tag", tag + aac, 1.8},
                        {"AAC behind junk", junk + aac, 1.8},
                        {"MP3 behind zeros", Fixture("leading-zeros.mp3"), 1.85},
                        {"MP3 behind junk", junk + mp3, seconds},
                        {"MP3 behind a tag", tag + mp3, seconds},
                        {"WAV behind a tag", tag + wav, seconds},
                        {"WAV behind zeros", zeros + wav, seconds},
                        {"FLAC behind a tag", tag + Fixture("chirp.flac"), seconds},
                        {"Ogg behind a tag", tag + Fixture("opus.ogg"), seconds}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    EXPECT_EQ(Sniff(AsBytes(c.file)), Kind::kSound);
    const Result<Sound> sound = DecodeSound(AsBytes(c.file));
    ASSERT_TRUE(sound.ok()) << sound.error().message;
    EXPECT_NEAR(sound->seconds(), c.seconds, 0.1);
    double power = 0;
    for (const float s : sound->samples) power += s * s;
    EXPECT_GT(power / sound->samples.size(), 1e-4);
    EXPECT_EQ(*ProbeSound(AsBytes(c.file)), static_cast<int64_t>(sound->samples.size()));
  }
}

TEST(Sounds, ThatDidNotComeToTheirEndSaySo) {
  const std::string webm = ReadAll(TestFile("media/damaged/header-only.webm"));
  const std::string mp4 = Fixture("h264.mp4");
  const std::string moov = mp4.substr(0, mp4.find("moov") - 4);  // the index is last
  for (const std::string& file : {webm, moov}) {
    for (const Error& error :
         {DecodeSound(AsBytes(file)).error(), DecodeFilm(AsBytes(file)).error()})
      EXPECT_NE(error.message.find("did not come to its end"), std::string::npos) << error.message;
  }
}

// What no decoder reads is named, with what to do.
TEST(Decode, NamesWhatElseAFileIs) {
  const std::pair<std::string, std::string> cases[] = {
      {"%PDF-1.7\n", "a PDF document"},
      {"<?xml version=\"1.0\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\"/>", "an SVG drawing"},
      {"<!doctype html><html>Not found</html>", "a web page"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS pointer"},
      {std::string("PK\3\4....", 8), "a zip archive"},
      {std::string("\x1F\x8B\x08\0\0", 5), "gzip"},
      {std::string("\xFF\xFEh\0i\0", 6), "UTF-16"},
      {"{\"url\": \"x\"}", "JSON"},
      {"just some words", "text"},
      {std::string(100, '\0'), "filled with zeros"},
      {"RIFF\x10\x20\x30\x40"
       "AVI LIST",
       "an AVI film"},
      {"8BPS\1", "Photoshop"},
      {std::string("\0\0\0\x0CJXL \r\n", 10), "JPEG XL"},
      {"MThd", "MIDI"},
      {"#EXTM3U\n", "a playlist"},
      {"", "an empty file"}};
  for (const auto& [file, name] : cases) {
    for (const Error& error :
         {DecodePicture(AsBytes(file)).error(), DecodeSound(AsBytes(file)).error(),
          DecodeFilm(AsBytes(file)).error()}) {
      EXPECT_EQ(error.kind, ErrorKind::kUnsupported);
      EXPECT_NE(error.message.find(name), std::string::npos) << error.message;
    }
  }
}

TEST(Decode, FollowsTheContentAndFillsOneMember) {
  const Result<facet::media::Media> picture = Decode(AsBytes(Fixture("rgb.png")), Kind::kUnknown);
  ASSERT_TRUE(picture.ok());
  EXPECT_EQ(picture->kind, Kind::kPicture);
  EXPECT_EQ(picture->picture.width, 37);
  const Result<facet::media::Media> sound = Decode(AsBytes(Fixture("chirp.mp3")), Kind::kUnknown);
  ASSERT_TRUE(sound.ok());
  EXPECT_EQ(sound->kind, Kind::kSound);
  const Result<facet::media::Media> film = Decode(AsBytes(Fixture("vp9.webm")), Kind::kUnknown);
  ASSERT_TRUE(film.ok());
  EXPECT_EQ(film->kind, Kind::kFilm);
  EXPECT_EQ(film->film.frames.size(), 4u);
  const Result<facet::media::Media> animation =
      Decode(AsBytes(Fixture("animated.gif")), Kind::kFilm);
  ASSERT_TRUE(animation.ok());
  EXPECT_EQ(animation->film.frames.size(), 1u);
}

}  // namespace
}  // namespace facet::media
