// A picture is shown upright wherever its file keeps the orientation.
#include <gtest/gtest.h>
#include <zlib.h>

#include "support/media.h"

namespace facet::media {
namespace {

std::string Fixture(const std::string& name) {
  return ReadAll(TestFile("media/fixtures/" + name));
}

std::string Xmp(const std::string& orientation) {
  return "<?xpacket?><x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF><rdf:Description " + orientation +
         "</rdf:Description></rdf:RDF></x:xmpmeta>";
}
const std::string kAttribute = "tiff:Orientation=\"6\">";
const std::string kElement = "><tiff:Orientation>6</tiff:Orientation>";

// EXIF of one entry, with the mark in front of it.
std::string Exif(int orientation) {
  return std::string("Exif\0\0", 6) + "MM" + std::string("\0\x2a", 2) + Big(8) +
         std::string("\0\1\1\x12\0\3", 6) + Big(1) + std::string(1, '\0') +
         static_cast<char>(orientation) + std::string(6, '\0');
}

std::string Deflate(const std::string& text) {
  uLongf length = compressBound(text.size());
  std::string out(length, '\0');
  compress(reinterpret_cast<Bytef*>(out.data()), &length,
           reinterpret_cast<const Bytef*>(text.data()), text.size());
  out.resize(length);
  return out;
}

// As ImageMagick writes a profile into a text.
std::string RawProfile(const std::string& name, const std::string& profile) {
  std::string out = "\n" + name + "\n    " + std::to_string(profile.size());
  constexpr char kDigits[] = "0123456789abcdef";
  for (size_t i = 0; i < profile.size(); ++i) {
    if (i % 36 == 0) out += '\n';
    const auto byte = static_cast<unsigned char>(profile[i]);
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out + "\n";
}

void ExpectTurned(const std::string& file, const std::string& upright) {
  const Result<Picture> turned = DecodePicture(AsBytes(file));
  ASSERT_TRUE(turned.ok()) << turned.error().message;
  const Result<Picture> expected = DecodePicture(AsBytes(Fixture(upright)));
  ASSERT_TRUE(expected.ok()) << expected.error().message;
  EXPECT_EQ(turned->width, 23);
  EXPECT_EQ(turned->height, 37);
  EXPECT_EQ(turned->rgb, expected->rgb);
  const Result<PictureSize> size = ProbePicture(AsBytes(file));
  ASSERT_TRUE(size.ok());
  EXPECT_EQ(size->width, turned->width);
}

// rgb.png with a chunk in front of its pixels, or behind them.
std::string PngWith(const std::string& chunk, bool behind = false) {
  std::string png = Fixture("rgb.png");
  const size_t at = png.find(behind ? "IEND" : "IDAT");
  return png.insert(at - 4, chunk);
}

TEST(Orientation, IsFoundInEveryChunkOfPng) {
  const std::string xmp_key("XML:com.adobe.xmp\0", 18), none("\0\0\0\0", 4);
  const std::string plain = xmp_key + none, deflated = xmp_key + std::string("\1\0\0\0", 4);
  const auto text = [](const std::string& key, const std::string& value) {
    return PngChunk("tEXt", key + std::string(1, '\0') + value);
  };
  const auto compressed = [](const std::string& key, const std::string& value) {
    return PngChunk("zTXt", key + std::string(2, '\0') + Deflate(value));
  };
  const std::string exif = RawProfile("exif", Exif(6));
  const std::string xap = std::string("http://ns.adobe.com/xap/1.0/\0", 29) + Xmp(kAttribute);
  for (const bool behind : {false, true}) {
    for (const std::string& chunk :
         {PngChunk("eXIf", Exif(6)), PngChunk("eXIf", Exif(6).substr(6)),
          PngChunk("iTXt", plain + Xmp(kAttribute)), PngChunk("iTXt", plain + Xmp(kElement)),
          PngChunk("iTXt", deflated + Deflate(Xmp(kElement))), text("Raw profile type exif", exif),
          compressed("Raw profile type exif", exif),
          compressed("Raw profile type APP1", RawProfile("APP1", Exif(6))),
          compressed("Raw profile type APP1", RawProfile("APP1", xap)),
          compressed("Raw profile type xmp", RawProfile("xmp", Xmp(kAttribute)))}) {
      SCOPED_TRACE(chunk.substr(4, 30));
      ExpectTurned(PngWith(chunk, behind), "orientation6.png");
    }
  }
}

TEST(Orientation, OfExifGoesBeforeThatOfXmp) {
  const std::string xmp = PngChunk(
      "iTXt", std::string("XML:com.adobe.xmp\0\0\0\0\0", 22) + Xmp("tiff:Orientation='3'>"));
  ExpectTurned(PngWith(xmp + PngChunk("eXIf", Exif(6))), "orientation6.png");
  const std::string raw =
      PngChunk("tEXt", std::string("Raw profile type exif\0", 22) + RawProfile("exif", Exif(3)));
  ExpectTurned(PngWith(raw + PngChunk("eXIf", Exif(6))), "orientation6.png");
}

TEST(Orientation, IsFoundInXmpOfJpeg) {
  std::string jpeg = Fixture("orientation6.jpg");
  const size_t app1 = jpeg.find("\xFF\xE1");
  ASSERT_NE(app1, std::string::npos);
  const size_t length =
      (static_cast<uint8_t>(jpeg[app1 + 2]) << 8) + static_cast<uint8_t>(jpeg[app1 + 3]);
  const std::string xap = std::string("http://ns.adobe.com/xap/1.0/\0", 29) + Xmp(kAttribute);
  const std::string segment =
      "\xFF\xE1" + Big(static_cast<uint32_t>(xap.size() + 2)).substr(2) + xap;
  jpeg.replace(app1, 2 + length, segment);
  ExpectTurned(jpeg, "orientation6.jpg");
}

TEST(Orientation, IsFoundInXmpOfWebp) {
  std::string webp = Fixture("orientation6.webp");
  const size_t exif = webp.find("EXIF");
  ASSERT_NE(exif, std::string::npos);
  std::string xmp = Xmp(kElement);
  if (xmp.size() % 2 != 0) xmp += ' ';
  webp = webp.substr(0, exif) + "XMP " + Little(static_cast<uint32_t>(xmp.size()), 4) + xmp;
  webp.replace(4, 4, Little(static_cast<uint32_t>(webp.size() - 8), 4));
  ExpectTurned(webp, "orientation6.webp");
}

TEST(Orientation, IsFoundInXmpOfTiff) {
  std::string tiff = Fixture("rgb.tif");
  ASSERT_EQ(tiff.substr(0, 2), "II");
  const auto number = [&](size_t at, int bytes) {
    uint32_t value = 0;
    for (int i = bytes; i-- > 0;) value = value << 8 | static_cast<uint8_t>(tiff[at + i]);
    return value;
  };
  const uint32_t directory = number(4, 4), entries = number(directory, 2);
  const std::string xmp = Xmp(kAttribute);
  const auto xmp_at = static_cast<uint32_t>(tiff.size());
  tiff += xmp + std::string(xmp.size() % 2, '\0');
  const auto moved = static_cast<uint32_t>(tiff.size());
  tiff += Little(entries + 1, 2) + tiff.substr(directory + 2, entries * 12) + Little(700, 2) +
          Little(1, 2) + Little(static_cast<uint32_t>(xmp.size()), 4) + Little(xmp_at, 4) +
          Little(0, 4);
  tiff.replace(4, 4, Little(moved, 4));
  ExpectTurned(tiff, "orientation6.tif");
}

TEST(Orientation, DamagedProfilesLeaveThePictureAsItIs) {
  const std::string bomb = Deflate(std::string(64 << 20, '6'));
  const std::string key("Raw profile type exif\0\0", 23);
  std::string many;
  for (int i = 0; i < 1000; ++i) many += PngChunk("zTXt", key + bomb);
  for (const std::string& chunks :
       {PngChunk("eXIf", Exif(9)), PngChunk("eXIf", Exif(6).substr(0, 20)),
        PngChunk("iTXt", "XML:com.adobe.xmp"),
        PngChunk("iTXt", std::string("XML:com.adobe.xmp\0\1", 19)), PngChunk("zTXt", key),
        PngChunk("zTXt", key + "no deflate"), PngChunk("tEXt", key + "\n\n\nzz"), many}) {
    const Result<Picture> picture = DecodePicture(AsBytes(PngWith(chunks)));
    ASSERT_TRUE(picture.ok()) << picture.error().message;
    EXPECT_EQ(picture->width, 37);
  }
}

}  // namespace
}  // namespace facet::media
