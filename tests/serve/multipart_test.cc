// Forms of uploads.
#include "serve/media/multipart.h"

#include <gtest/gtest.h>

namespace facet::serve {
namespace {

constexpr const char* kType = "multipart/form-data; boundary=B";

std::string Part(const std::string& headers, const std::string& content) {
  return "--B\r\n" + headers + "\r\n\r\n" + content + "\r\n";
}

FormPart Only(const std::string& disposition) {
  static std::string body;  // parts are views of it
  body = Part("Content-Disposition: form-data; " + disposition, "x") + "--B--\r\n";
  const auto parts = ParseMultipart(kType, body);
  EXPECT_TRUE(parts.ok()) << disposition;
  return parts.ok() && parts->size() == 1 ? (*parts)[0] : FormPart{};
}

TEST(Multipart, ReadsNamesAndContents) {
  const std::string body =
      Part("Content-Disposition: form-data; name=\"a\"", "one") +
      Part("Content-Type: audio/wav\r\ncontent-disposition: form-data; name=b; filename=\"f.wav\"",
           "two\r\nlines") +
      "--B--\r\n";
  const auto parts = ParseMultipart("multipart/form-data; Boundary=\"B\"", body);
  ASSERT_TRUE(parts.ok()) << parts.error().message;
  ASSERT_EQ(parts->size(), 2u);
  EXPECT_EQ((*parts)[0].name, "a");
  EXPECT_EQ((*parts)[0].content, "one");
  EXPECT_EQ((*parts)[1].name, "b");
  EXPECT_EQ((*parts)[1].filename, "f.wav");
  EXPECT_EQ((*parts)[1].content, "two\r\nlines");
}

TEST(Multipart, QuotedValuesHoldNoParameters) {
  EXPECT_EQ(Only("filename=\"x; name=wrong\"; name=\"right\"").name, "right");
  EXPECT_EQ(Only("name=\"a \\\"quoted\\\" b\"").name, "a \"quoted\" b");
  EXPECT_EQ(Only("filename=\"; name=\\\"wrong\"; NAME=right").name, "right");
}

TEST(Multipart, RefusesWhatIsNoForm) {
  const std::string good = Part("Content-Disposition: form-data; name=\"a\"", "x");
  const std::pair<std::string, std::string> cases[] = {
      {"multipart/form-data", good + "--B--"},
      {"multipart/form-data; boundary=", good + "--B--"},
      {"multipart/form-data; boundary=" + std::string(71, 'B'), good + "--B--"},
      {kType, ""},
      {kType, good},
      {kType, "preamble\r\n" + good + "--B--"},
      {kType, Part("Content-Type: text/plain", "x") + "--B--"},
      {kType, "--B\r\nno blank line\r\n--B--"},
      {kType, "--Bx" + good + "--B--"},
  };
  for (const auto& [type, body] : cases) {
    const auto parts = ParseMultipart(type, body);
    ASSERT_FALSE(parts.ok()) << body;
    EXPECT_EQ(parts.error().code, "invalid_form");
  }
  std::string many;
  for (int i = 0; i < 65; ++i) many += good;
  EXPECT_FALSE(ParseMultipart(kType, many + "--B--").ok());
}

}  // namespace
}  // namespace facet::serve
