// docs/serving.md says what the tables of routes and fields do.
// FACET_UPDATE_DOCS=docs/serving.md writes what they print into that file.
#include "serve/reference.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/mapped_file.h"
#include "support/paths.h"

namespace facet::serve {
namespace {

TEST(Reference, DocsServingSaysWhatTheTablesDo) {
  const char* update = std::getenv("FACET_UPDATE_DOCS");
  const std::filesystem::path path =
      update != nullptr ? update : std::filesystem::path(TestsDir()) / "../docs/serving.md";
  const auto document = ReadFile(path);
  ASSERT_TRUE(document.ok()) << document.error().message;
  for (const auto& [name, text] : ReferenceSections())
    EXPECT_NE(document->find("<!-- begin " + name + " -->\n"), std::string::npos) << name;
  if (update != nullptr) {
    std::ofstream(path) << WithReference(*document);
    return;
  }
  EXPECT_EQ(*document, WithReference(*document))
      << "run serve_test --gtest_filter=Reference.* with FACET_UPDATE_DOCS=docs/serving.md";
}

TEST(Reference, EveryFieldSaysWhatItDoes) {
  for (const auto& [name, text] : ReferenceSections()) EXPECT_EQ(text.find("|  |\n"), text.npos);
}

}  // namespace
}  // namespace facet::serve
