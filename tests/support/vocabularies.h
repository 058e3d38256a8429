// The vocabularies that tokenizer and template tests run on.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "support/paths.h"
#include "text/tokenizer.h"

namespace facet {

inline std::filesystem::path Reference(const std::string& path) {
  return std::filesystem::path(TestsDir()) / "reference" / path;
}

// A cache of compiled vocabularies that all tests share, apart from the user's own.
inline void UseTestCache() {
  const std::string folder = testing::TempDir() + "facet-tests-" + std::to_string(getuid());
  setenv("XDG_CACHE_HOME", folder.c_str(), 1);
}

inline std::shared_ptr<const Tokenizer> LoadTokenizer(const std::filesystem::path& path) {
  UseTestCache();
  auto tokenizer = Tokenizer::Load(path);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  return tokenizer.ok() ? *tokenizer : nullptr;
}

// Gemma 3 270M, 253 MB, comes from a Python package; empty where nobody has assembled it.
inline std::filesystem::path Gemma3() {
  std::filesystem::path path;
  if (const char* set = std::getenv("FACET_GEMMA3")) return set;
  for (const char* place : {".cache/gemma3-270m.gguf", "../gemma3-270m.gguf"}) {
    path = std::filesystem::path(TestsDir()).parent_path() / place;
    if (std::filesystem::exists(path)) return path;
  }
  return {};
}

}  // namespace facet
