// Files that lie, end early, were damaged, or want other files opened: an error or a sane result
// each, never a crash.
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <random>
#include <stop_token>
#include <thread>

#include "support/any_media.h"
#include "support/media.h"
#include "support/wait.h"

namespace facet::media {
namespace {

// A copy without spare room behind it, so that the sanitizer sees the first byte read too far.
void TryExact(const std::string& text) {
  const std::vector<std::byte> exact(AsBytes(text).begin(), AsBytes(text).end());
  EXPECT_EQ(TryEveryDecoder(exact), "");
}

// One small file of each format.
const std::vector<std::string>& Samples() {
  static const std::vector<std::string> names = {
      "rgb.png",       "interlaced.gif", "subsampling2.jpg", "subsampling2-progressive.jpg",
      "cmyk.jpg",      "lossy.webp",     "lossless.webp",    "animated.webp",
      "palette.bmp",   "rgb565.bmp",     "tiff_lzw.tif",     "tiff_adobe_deflate.tif",
      "packbits.tif",  "palette.tif",    "png-grey16.png",   "orientation6.jpg",
      "u8.wav",        "f32.wav",        "chirp.flac",       "chirp.mp3",
      "vorbis.ogg",    "opus.ogg",       "chirp.m4a",        "animated.gif",
      "h264.mp4",      "vp9.webm",       "silent.mkv",       "turned90.mov",
      "av1.mp4",       "photo.heic",     "photo.avif",       "transparent.webp",
      "trns-rgb8.png", "voice.aac",      "chirp.aiff",       "chirp.caf",
      "sound.webm",    "sound.mp4",      "leading-zeros.mp3"};
  return names;
}

std::string Sample(const std::string& name) {
  return ReadAll(TestFile("media/fixtures/" + name));
}

void Truncate(int places) {
  for (const std::string& name : Samples()) {
    SCOPED_TRACE(name);
    const std::string file = Sample(name);
    for (int i = 0; i < places; ++i) TryExact(file.substr(0, file.size() * i / places));
  }
}

void FlipBits(int rounds, uint32_t seed) {
  for (const std::string& name : Samples()) {
    SCOPED_TRACE(name);
    const std::string file = Sample(name);
    std::mt19937 random(seed);
    for (int round = 0; round < rounds; ++round) {
      std::string damaged = file;
      const int flips = 1 + static_cast<int>(random() % 8);
      // Half of the rounds strike the headers.
      const size_t reach = round % 2 == 0 ? std::min<size_t>(file.size(), 256) : file.size();
      for (int i = 0; i < flips; ++i)
        damaged[random() % reach] ^= static_cast<char>(1 << random() % 8);
      TryExact(damaged);
    }
  }
}

TEST(Hostile, TruncatedFilesAreErrorsOrShort) {
  Truncate(6);
}
TEST(Hostile, TruncatedFilesSlow) {
  Truncate(64);
}
TEST(Hostile, FlippedBitsAreSurvived) {
  FlipBits(8, 1);
}
TEST(Hostile, FlippedBitsSlow) {
  FlipBits(500, 2);
}

TEST(Hostile, TheFirstBytesAlone) {
  for (const std::string& name : Samples()) {
    const std::string file = Sample(name);
    for (size_t length = 0; length <= 40; ++length) TryExact(file.substr(0, length));
  }
  EXPECT_EQ(Decode({}, Kind::kUnknown).error().message, "the file is empty");
  EXPECT_FALSE(DecodePicture({}).ok());
  EXPECT_FALSE(DecodeSound({}).ok());
  EXPECT_FALSE(DecodeFilm({}).ok());
}

TEST(Hostile, TruncatedPicturesAreErrors) {
  for (const char* name :
       {"rgb.png", "interlaced.gif", "subsampling2.jpg", "subsampling2-progressive.jpg",
        "lossy.webp", "lossless.webp", "rgb.bmp"}) {
    SCOPED_TRACE(name);
    const std::string file = Sample(name);
    EXPECT_TRUE(DecodePicture(AsBytes(file)).ok());
    const std::string half = file.substr(0, file.size() / 2);
    EXPECT_FALSE(DecodePicture(AsBytes(half)).ok());
  }
}

std::string PngOfSize(uint32_t width, uint32_t height) {
  return "\x89PNG\r\n\x1a\n" +
         PngChunk("IHDR", Big(width) + Big(height) + std::string("\x08\x02\0\0\0", 5)) +
         PngChunk("IDAT", std::string(1000, 'x')) + PngChunk("IEND", "");
}

std::string Message(const Result<Picture>& result) {
  return result.ok() ? "decoded" : result.error().message;
}

// The directory's ImageWidth and ImageLength, SHORT or LONG, replaced.
std::string TiffOfSize(uint32_t side) {
  std::string tiff = Sample("rgb.tif");
  for (size_t at = 8; at + 12 < tiff.size(); at += 2) {
    for (const int tag : {256, 257}) {
      for (const int type : {3, 4}) {
        if (tiff.compare(at, 4, Little(tag, 2) + Little(type, 2)) == 0) {
          tiff.replace(at + 2, 10, Little(4, 2) + Little(1, 4) + Little(side, 4));
        }
      }
    }
  }
  return tiff;
}

TEST(Hostile, ClaimedSizesAreRefusedWithBothNumbers) {
  std::string jpeg = Sample("subsampling2.jpg");
  const size_t frame = jpeg.find("\xFF\xC0");
  ASSERT_NE(frame, std::string::npos);
  jpeg.replace(frame + 5, 4, "\x75\x30\x75\x30");
  std::string gif = Sample("palette.gif");
  gif.replace(6, 4, Little(30000, 2) + Little(30000, 2));
  std::string bmp = Sample("rgb.bmp");
  bmp.replace(18, 8, Little(30000, 4) + Little(30000, 4));
  const std::string tiff = TiffOfSize(30000);
  for (const std::string& file : {PngOfSize(30000, 30000), jpeg, gif, bmp, tiff}) {
    const std::string message = Message(DecodePicture(AsBytes(file)));
    EXPECT_NE(message.find("at most 100000000 pixels"), std::string::npos) << message;
    EXPECT_NE(message.find("30000x30000 = 900000000"), std::string::npos) << message;
  }
  for (const auto& [width, height] :
       {std::pair{9000u, 9000u}, {1u, 2000000u}, {0u, 5u}, {0xFFFFFFFFu, 1u}}) {
    EXPECT_FALSE(DecodePicture(AsBytes(PngOfSize(width, height))).ok()) << width;
  }
  EXPECT_NE(Message(DecodePicture(AsBytes(TiffOfSize(0xFFFFFFFF)))).find("4294967295x4294967295"),
            std::string::npos);
}

TEST(Hostile, WavHeadersThatLie) {
  const std::string data(3200, 'a');
  const auto message = [](const std::string& file) {
    const Result<Sound> sound = DecodeSound(AsBytes(file));
    return sound.ok() ? "decoded" : sound.error().message;
  };
  EXPECT_EQ(message(Wav(1, 16000, 16, 3200, data)), "decoded");
  EXPECT_NE(message(Wav(1, 1000000000, 16, 3200, data)).find("1000000000 Hz"), std::string::npos);
  EXPECT_NE(message(Wav(0, 16000, 16, 3200, data)), "decoded");
  EXPECT_NE(message(Wav(65535, 16000, 16, 3200, data)), "decoded");
  EXPECT_NE(message(Wav(1, 0, 16, 3200, data)), "decoded");
  EXPECT_NE(message(Wav(1, 16000, 0, 3200, data)), "decoded");
  EXPECT_NE(message(Wav(1, 16000, 16, 0, "")), "decoded");
  // A length of all ones means "until the end", as players take it.
  const std::string endless = Wav(1, 16000, 16, 0xFFFFFFFF, data);
  const Result<Sound> sound = DecodeSound(AsBytes(endless));
  ASSERT_TRUE(sound.ok()) << sound.error().message;
  EXPECT_EQ(sound->samples.size(), 1600u);
  std::string nan = Sample("f32.wav");
  nan.replace(nan.size() - 4, 4, "\xFF\xFF\xFF\x7F");
  EXPECT_NE(message(nan).find("finite"), std::string::npos);
}

TEST(Hostile, NothingThatAFileNamesIsOpened) {
  // A playlist that names a good file must fail: only then would the other one have been left
  // alone.
  const std::string good = TestFile("media/fixtures/chirp.mp3").string();
  const std::vector<std::string> files = {
      "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://" + good + "\n#EXT-X-ENDLIST\n",
      "#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n",
      "ffconcat version 1.0\nfile '" + good + "'\n",
      "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
      "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\"><BaseURL>file://" +
          good + "</BaseURL></MPD>",
      "<svg xmlns=\"http://www.w3.org/2000/svg\"><script/><image "
      "href=\"file:///etc/passwd\"/></svg>",
      "<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><x>&e;</x>",
      "RIFF\x10\0\0\0AVI LIST"};
  for (const std::string& file : files) {
    for (const Kind kind : {Kind::kUnknown, Kind::kPicture, Kind::kSound, Kind::kFilm}) {
      EXPECT_FALSE(Decode(AsBytes(file), kind).ok()) << file;
    }
  }
  // Hidden behind a tag that makes it look like MP3, or inside a RIFF that claims to be WAVE.
  const std::string tag("ID3\4\0\0\0\0\0\0", 10);
  EXPECT_FALSE(DecodeSound(AsBytes(tag + files[0])).ok());
  EXPECT_FALSE(DecodeSound(AsBytes("RIFF" + Little(100, 4) + "WAVE" + files[0])).ok());
}

TEST(Hostile, TheWrongKindIsNamed) {
  const std::string png = Sample("rgb.png"), wav = Sample("u8.wav"), m4a = Sample("chirp.m4a");
  EXPECT_NE(DecodeSound(AsBytes(png)).error().message.find("but got PNG"), std::string::npos);
  EXPECT_NE(DecodeFilm(AsBytes(png)).error().message.find("but got PNG"), std::string::npos);
  EXPECT_NE(DecodePicture(AsBytes(wav)).error().message.find("but got WAV"), std::string::npos);
  EXPECT_EQ(DecodeFilm(AsBytes(m4a)).error().message, "the M4A file has no moving picture");
  EXPECT_FALSE(DecodeSound(AsBytes(Sample("silent.mkv"))).ok());
  EXPECT_EQ(DecodePicture(AsBytes(std::string("plain text"))).error().kind,
            ErrorKind::kUnsupported);
}

TEST(Hostile, LimitsAreErrorsThatGiveBothNumbers) {
  const std::string film = Sample("h264.mp4"), sound = Sample("chirp.wav"),
                    picture = Sample("rgb.png");
  Limits limits;
  limits.max_frames = 2;
  EXPECT_NE(DecodeFilm(AsBytes(film), limits).error().message.find("at most 2 sampled frames"),
            std::string::npos);
  limits = {};
  limits.max_film_pixels = 64 * 48 * 2;
  const Error pixels = DecodeFilm(AsBytes(film), limits).error();
  EXPECT_NE(pixels.message.find("6144 pixels in all sampled frames but got 9216"),
            std::string::npos);
  EXPECT_EQ(pixels.kind, ErrorKind::kTooLarge);
  limits = {};
  limits.max_decoded_frames = 10;
  EXPECT_NE(DecodeFilm(AsBytes(film), limits).error().message.find("at most 10 frames"),
            std::string::npos);
  limits = {};
  limits.max_audio_seconds = 0.1;
  const Error seconds = DecodeSound(AsBytes(sound), limits).error();
  EXPECT_NE(seconds.message.find("at most 0.1 s of sound but got"), std::string::npos);
  EXPECT_EQ(seconds.kind, ErrorKind::kTooLarge);
  EXPECT_FALSE(DecodeFilm(AsBytes(film), limits).ok());
  limits = {};
  limits.max_bytes = 100;
  for (const Kind kind : {Kind::kPicture, Kind::kSound, Kind::kFilm}) {
    EXPECT_NE(
        Decode(AsBytes(film), kind, limits).error().message.find("at most 100 bytes but got 23"),
        std::string::npos);
  }
  limits = {};
  limits.max_pixels = 800;
  EXPECT_NE(DecodePicture(AsBytes(picture), limits).error().message.find("37x23 = 851"),
            std::string::npos);
  EXPECT_FALSE(DecodeFilm(AsBytes(film), limits).ok());
  for (const double rate : {0.0, -1.0, std::nan(""), HUGE_VAL}) {
    limits = {};
    limits.frames_per_second = rate;
    EXPECT_FALSE(DecodeFilm(AsBytes(film), limits).ok()) << rate;
  }
}

TEST(Hostile, AnAnimationOfManyFramesIsBounded) {
  const std::string file = Sample("animated.gif");
  const size_t first =
      file.find("\x21\xF9");  // the first frame with its control block, and the rest
  const size_t second = file.find("\x21\xF9", first + 8);
  ASSERT_NE(second, std::string::npos);
  std::string bomb = file.substr(0, first);
  for (int i = 0; i < 20000; ++i) bomb += file.substr(first, second - first);
  bomb += ';';
  EXPECT_TRUE(DecodePicture(AsBytes(bomb)).ok());
  Limits limits;
  limits.max_frames = 100;
  const Result<Film> film = DecodeFilm(AsBytes(bomb), limits);
  ASSERT_FALSE(film.ok());
  EXPECT_NE(film.error().message.find("at most 100 sampled frames"), std::string::npos)
      << film.error().message;
}

// Every frame of one pixel makes a canvas of 4000 x 4000: 2500 of them, 57 KB, took 97 s.
std::string GifOfLargeFrames(int frames) {
  const std::string frame = std::string("!\xf9\4\0\0\0\0\0,", 9) + Little(0, 4) + Little(1, 2) +
                            Little(1, 2) + std::string("\0\2\2L\1\0", 6);
  std::string gif =
      "GIF89a" + Little(4000, 2) + Little(4000, 2) + std::string("\x80\0\0\0\0\0\xff\xff\xff", 9);
  for (int i = 0; i < frames; ++i) gif += frame;
  return gif + ";";
}

void ExpectTooManyPixels(const Result<Film>& film) {
  ASSERT_FALSE(film.ok());
  EXPECT_NE(film.error().message.find("pixels in all decoded frames"), std::string::npos)
      << film.error().message;
  EXPECT_EQ(film.error().kind, ErrorKind::kResource);
}

TEST(Hostile, FewBytesDoNotBuyManyPixels) {
  ExpectTooManyPixels(DecodeFilm(AsBytes(GifOfLargeFrames(100))));
  Limits limits;
  limits.max_decoded_pixels = 3 * 64 * 48;
  const std::string small = Sample("h264.mp4");
  EXPECT_NE(DecodeFilm(AsBytes(small), limits)
                .error()
                .message.find("at most 9216 pixels in all decoded frames"),
            std::string::npos);
}

TEST(Hostile, FewBytesDoNotBuyManyPixelsSlow) {
  ExpectTooManyPixels(DecodeFilm(AsBytes(GifOfLargeFrames(2500))));
}

TEST(Hostile, DecodingEndsWithItsTime) {
  const std::string gif = GifOfLargeFrames(2500);
  Limits limits;
  limits.max_decode_seconds = 1e-9;
  for (const Kind kind : {Kind::kFilm, Kind::kSound}) {
    const std::string file = kind == Kind::kFilm ? gif : Sample("chirp.mp3");
    const Result<facet::media::Media> media = Decode(AsBytes(file), kind, limits);
    ASSERT_FALSE(media.ok());
    EXPECT_NE(media.error().message.find("to be decoded within"), std::string::npos)
        << media.error().message;
    EXPECT_EQ(media.error().kind, ErrorKind::kResource);
  }
}

TEST(Hostile, DecodingStopsWithItsCaller) {
  for (const Kind kind : {Kind::kPicture, Kind::kSound, Kind::kFilm}) {
    std::stop_source source;
    source.request_stop();
    const std::string file = Sample(kind == Kind::kPicture ? "subsampling2-progressive.jpg"
                                    : kind == Kind::kSound ? "chirp.mp3"
                                                           : "h264.mp4");
    const Result<facet::media::Media> media = Decode(AsBytes(file), kind, {}, source.get_token());
    ASSERT_FALSE(media.ok());
    EXPECT_EQ(media.error().kind, ErrorKind::kCancelled) << media.error().message;
  }
}

TEST(Hostile, DecodingStopsInItsMiddle) {
  const std::string gif = GifOfLargeFrames(2500);
  std::stop_source source;
  std::atomic<bool> begun = false;
  const std::jthread client([&] {
    begun = true;
    source.request_stop();
  });
  ASSERT_TRUE(WaitFor([&] { return begun.load(); }));
  const Result<Film> film = DecodeFilm(AsBytes(gif), {}, source.get_token());
  ASSERT_FALSE(film.ok());
  EXPECT_EQ(film.error().kind, ErrorKind::kCancelled) << film.error().message;
}

// Channels and a rate that no player has turn silence of a few bytes into hours of work.
TEST(Hostile, SoundOfManyChannelsIsBounded) {
  Limits limits;
  limits.max_audio_seconds = 1;
  const std::string wav = Wav(64, 768000, 8, 64 * 400000, std::string(64 * 400000, '\x80'));
  const Result<Sound> sound = DecodeSound(AsBytes(wav), limits);
  ASSERT_FALSE(sound.ok());
  EXPECT_NE(sound.error().message.find("samples of all channels"), std::string::npos)
      << sound.error().message;
}

TEST(Hostile, AnIndexOfFourBillionSamplesIsRefused) {
  std::string file = Sample("h264.mp4");
  for (size_t at = file.find("stsz"); at != std::string::npos; at = file.find("stsz", at + 4)) {
    file.replace(at + 8, 8,
                 Big(0) + Big(0xFFFFFFF0));  // a size for each sample, which the file does not have
  }
  TryExact(file);
  EXPECT_FALSE(DecodeFilm(AsBytes(file)).ok());
  EXPECT_FALSE(DecodeSound(AsBytes(file)).ok());
  file = Sample("h264.mp4");
  for (size_t at = file.find("stsz"); at != std::string::npos; at = file.find("stsz", at + 4)) {
    file.replace(at + 8, 8, Big(1) + Big(0x7FFFFFF0));  // all of one size
  }
  TryExact(file);
  EXPECT_FALSE(DecodeFilm(AsBytes(file)).ok());
  EXPECT_FALSE(DecodeSound(AsBytes(file)).ok());
}

}  // namespace
}  // namespace facet::media
