#include "base/base64.h"

#include <gtest/gtest.h>

#include <random>

namespace facet {
namespace {

// RFC 4648, section 10.
constexpr std::pair<std::string_view, std::string_view> kVectors[] = {{"", ""},
                                                                      {"f", "Zg=="},
                                                                      {"fo", "Zm8="},
                                                                      {"foo", "Zm9v"},
                                                                      {"foob", "Zm9vYg=="},
                                                                      {"fooba", "Zm9vYmE="},
                                                                      {"foobar", "Zm9vYmFy"}};

TEST(Base64, IsThatOfTheStandard) {
  for (const auto& [bytes, text] : kVectors) {
    EXPECT_EQ(EncodeBase64(bytes), text);
    EXPECT_EQ(DecodeBase64(text), bytes);
    EXPECT_EQ(DecodeBase64(text.substr(0, text.find('='))), bytes) << "without padding";
  }
}

TEST(Base64, GivesAnyBytesBack) {
  std::mt19937 random(1);
  for (size_t length = 0; length < 300; ++length) {
    std::string bytes(length, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    EXPECT_EQ(DecodeBase64(EncodeBase64(bytes)), bytes) << length;
  }
}

TEST(Base64, TakesBothAlphabetsAndWhiteSpace) {
  const std::string bytes = "\xfb\xff\xfe";
  EXPECT_EQ(EncodeBase64(bytes), "+//+");
  EXPECT_EQ(DecodeBase64("+//+"), bytes);
  EXPECT_EQ(DecodeBase64("-__-"), bytes);
  EXPECT_EQ(DecodeBase64(" Zm9v\r\n\tYg= =\n"), "foob");
}

TEST(Base64, RefusesWhatIsMalformed) {
  for (const std::string_view text :
       {"Z", "Zm9vY", "Zm9v*", "Zg==Zg==", "Z=g=", "Zg===", "====", "Zm\xc3\xa4"}) {
    EXPECT_FALSE(DecodeBase64(text)) << text;
  }
  EXPECT_FALSE(DecodeBase64(std::string_view("Zm9\0v", 5)));
}

}  // namespace
}  // namespace facet
