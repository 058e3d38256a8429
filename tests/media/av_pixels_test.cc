// FFmpeg's frames as RGB, format by format: what a value of each stands for.
#include "media/av.h"

#include <gtest/gtest.h>

#include <cstring>

namespace facet::media {
namespace {

// A frame of one row that holds `bytes` as its first plane.
FramePtr FrameOf(AVPixelFormat format, int width, const std::vector<uint8_t>& bytes) {
  FramePtr frame(av_frame_alloc());
  frame->format = format;
  frame->width = width;
  frame->height = 1;
  EXPECT_GE(av_frame_get_buffer(frame.get(), 0), 0);
  std::memcpy(frame->data[0], bytes.data(), bytes.size());
  return frame;
}

using Rgb = std::vector<uint8_t>;

Rgb StillPixels(AVPixelFormat format, int width, const std::vector<uint8_t>& bytes) {
  const Result<Picture> picture =
      StillFrameToPicture(FrameOf(format, width, bytes).get(), StillAlpha::kDropped);
  EXPECT_TRUE(picture.ok());
  return picture.ok() ? picture->rgb : Rgb();
}

TEST(StillFrames, OrderTheirChannels) {
  const std::vector<uint8_t> three = {1, 2, 3, 4, 5, 6}, four = {1, 2, 3, 4, 5, 6, 7, 8};
  EXPECT_EQ(StillPixels(AV_PIX_FMT_RGB24, 2, three), (Rgb{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(StillPixels(AV_PIX_FMT_BGR24, 2, three), (Rgb{3, 2, 1, 6, 5, 4}));
  EXPECT_EQ(StillPixels(AV_PIX_FMT_RGBA, 2, four), (Rgb{1, 2, 3, 5, 6, 7}));
  EXPECT_EQ(StillPixels(AV_PIX_FMT_BGRA, 2, four), (Rgb{3, 2, 1, 7, 6, 5}));
  EXPECT_EQ(StillPixels(AV_PIX_FMT_ARGB, 2, four), (Rgb{2, 3, 4, 6, 7, 8}));
  EXPECT_EQ(StillPixels(AV_PIX_FMT_GRAY8, 2, {9, 10}), (Rgb{9, 9, 9, 10, 10, 10}));
  EXPECT_EQ(StillPixels(AV_PIX_FMT_YA8, 2, {9, 0, 10, 255}), (Rgb{9, 9, 9, 10, 10, 10}));
}

TEST(StillFrames, KeepTheHighByteOfSixteenBits) {
  const std::vector<uint8_t> samples = {0x01, 0x02, 0x80, 0x00, 0xFF, 0xFE};
  EXPECT_EQ(StillPixels(AV_PIX_FMT_GRAY16BE, 3, samples),
            (Rgb{1, 1, 1, 0x80, 0x80, 0x80, 0xFF, 0xFF, 0xFF}));
  EXPECT_EQ(StillPixels(AV_PIX_FMT_GRAY16LE, 3, samples),
            (Rgb{2, 2, 2, 0, 0, 0, 0xFE, 0xFE, 0xFE}));
  EXPECT_EQ(StillPixels(AV_PIX_FMT_RGB48BE, 1, samples), (Rgb{0x01, 0x80, 0xFF}));
  EXPECT_EQ(StillPixels(AV_PIX_FMT_RGB48LE, 1, samples), (Rgb{0x02, 0x00, 0xFE}));
}

TEST(StillFrames, WidenBitsAndShortColours) {
  EXPECT_EQ(StillPixels(AV_PIX_FMT_MONOBLACK, 3, {0b10100000}),
            (Rgb{255, 255, 255, 0, 0, 0, 255, 255, 255}));
  EXPECT_EQ(StillPixels(AV_PIX_FMT_MONOWHITE, 3, {0b10100000}),
            (Rgb{0, 0, 0, 255, 255, 255, 0, 0, 0}));
  EXPECT_EQ(StillPixels(AV_PIX_FMT_RGB565LE, 1, {0xE0, 0x07}), (Rgb{0, 255, 0}));
  EXPECT_EQ(StillPixels(AV_PIX_FMT_RGB555LE, 1, {0x10, 0x42}), (Rgb{131, 131, 131}));
}

TEST(StillFrames, LookColoursUpInTheirPalette) {
  FramePtr frame = FrameOf(AV_PIX_FMT_PAL8, 2, {7, 0});
  const uint32_t colors[8] = {0xFF010203, 0, 0, 0, 0, 0, 0, 0x00A0B0C0};
  std::memcpy(frame->data[1], colors, sizeof colors);
  const Result<Picture> picture = StillFrameToPicture(frame.get(), StillAlpha::kDropped);
  ASSERT_TRUE(picture.ok());
  EXPECT_EQ(picture->rgb, (Rgb{0xA0, 0xB0, 0xC0, 1, 2, 3}));
}

// Limited range: 16 is black and 235 white; full range: 0 and 255.
TEST(FilmFrames, FollowTheRangeThatTheFilmSays) {
  FramePtr frame = FrameOf(AV_PIX_FMT_YUV444P, 4, {16, 235, 0, 255});
  for (const int plane : {1, 2}) std::memset(frame->data[plane], 128, 4);
  const auto greys = [&] {
    const Result<Picture> picture = FilmFrameToPicture(frame.get(), Transparency::kDropped);
    EXPECT_TRUE(picture.ok());
    return picture.ok() ? Rgb{picture->rgb[0], picture->rgb[3], picture->rgb[6], picture->rgb[9]}
                        : Rgb();
  };
  EXPECT_EQ(greys(), (Rgb{0, 255, 0, 255}));
  frame->color_range = AVCOL_RANGE_JPEG;
  EXPECT_EQ(greys(), (Rgb{16, 235, 0, 255}));
}

// The same YCbCr is another colour under another matrix.
TEST(FilmFrames, FollowTheMatrixThatTheFilmSays) {
  FramePtr frame = FrameOf(AV_PIX_FMT_YUV444P, 1, {100});
  frame->data[1][0] = 90, frame->data[2][0] = 200;
  Rgb before;
  for (const AVColorSpace space : {AVCOL_SPC_SMPTE170M, AVCOL_SPC_BT709}) {
    frame->colorspace = space;
    const Result<Picture> picture = FilmFrameToPicture(frame.get(), Transparency::kDropped);
    ASSERT_TRUE(picture.ok());
    EXPECT_NE(picture->rgb, before);
    before = picture->rgb;
  }
  // BT.709: R = 1.164 (Y - 16) + 1.793 (V - 128), and so on.
  EXPECT_NEAR(before[0], 227, 2);
  EXPECT_NEAR(before[1], 68, 2);
  EXPECT_NEAR(before[2], 17, 2);
}

TEST(FilmFrames, OfAnOddWidthKeepTheirRows) {
  FramePtr frame(av_frame_alloc());
  frame->format = AV_PIX_FMT_RGB24;
  frame->width = 5;
  frame->height = 3;
  ASSERT_GE(av_frame_get_buffer(frame.get(), 0), 0);
  Rgb expected;
  for (int y = 0; y < 3; ++y) {
    for (int i = 0; i < 15; ++i) {
      const auto value = static_cast<uint8_t>(y * 15 + i);
      frame->data[0][y * frame->linesize[0] + i] = value;
      expected.push_back(value);
    }
  }
  for (const auto& picture : {FilmFrameToPicture(frame.get(), Transparency::kDropped),
                              StillFrameToPicture(frame.get(), StillAlpha::kDropped)}) {
    ASSERT_TRUE(picture.ok());
    EXPECT_EQ(picture->width, 5);
    EXPECT_EQ(picture->height, 3);
    EXPECT_EQ(picture->rgb, expected);
  }
}

TEST(FilmFrames, OfAFormatThatNobodyReadsAreRefused) {
  FramePtr frame(av_frame_alloc());
  frame->format = AV_PIX_FMT_NONE;
  frame->width = frame->height = 2;
  const Result<Picture> picture = FilmFrameToPicture(frame.get(), Transparency::kDropped);
  ASSERT_FALSE(picture.ok());
  EXPECT_EQ(picture.error().kind, ErrorKind::kUnsupported);
}

}  // namespace
}  // namespace facet::media
