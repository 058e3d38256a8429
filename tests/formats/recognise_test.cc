#include "formats/recognise.h"

#include <gtest/gtest.h>

#include "base/mapped_file.h"
#include "support/paths.h"
#include "support/temp_folder.h"

namespace facet {
namespace {

namespace fs = std::filesystem;

const fs::path kTiny = TestsDir() + "/reference/tiny";

bool Has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST(Recognise, ModelsOfBothFormats) {
  EXPECT_EQ(*RecogniseModel(kTiny / "gguf/model-f32.gguf"), ModelFormat::kGguf);
  EXPECT_EQ(*RecogniseModel(kTiny / "checkpoint"), ModelFormat::kSafetensors);
  EXPECT_EQ(*RecogniseModel(kTiny / "checkpoint/model.safetensors"), ModelFormat::kSafetensors);
}

TEST(Recognise, LiteRtFilesAreRefusedWithTheSameModelInAnotherFormat) {
  const TempFolder folder;
  // By content, whatever the name; by name, whatever the content.
  ASSERT_TRUE(WriteFile(folder.path() / "gemma-4-12b-it.bin", "LITERTLM\1\0\0\0").ok());
  ASSERT_TRUE(WriteFile(folder.path() / "Gemma_4_12B.litertlm", "x").ok());
  for (const char* name : {"gemma-4-12b-it.bin", "Gemma_4_12B.litertlm"}) {
    const auto got = RecogniseModel(folder.path() / name);
    ASSERT_FALSE(got.ok());
    EXPECT_EQ(got.error().kind, ErrorKind::kUnsupported);
    EXPECT_TRUE(Has(got.error().message, name)) << got.error().message;
    EXPECT_TRUE(Has(got.error().message, "google/gemma-4-12B-it (safetensors)"))
        << got.error().message;
    EXPECT_TRUE(Has(got.error().message, "google/gemma-4-12B-it-qat-q4_0-gguf"))
        << got.error().message;
  }
  const auto in_folder = RecogniseModel(folder.path());
  ASSERT_FALSE(in_folder.ok());
  EXPECT_TRUE(Has(in_folder.error().message, "LiteRT-LM"));
}

TEST(Recognise, LiteRtRepositories) {
  const auto refused =
      CheckRepository("litert-community/gemma-4-12B-it-litert-lm", {"README.md", "model.litertlm"});
  ASSERT_FALSE(refused.ok());
  EXPECT_TRUE(Has(refused.error().message, "google/gemma-4-12B-it-qat-q4_0-gguf"));
  EXPECT_TRUE(Has(refused.error().message, "litert-community/gemma-4-12B-it-litert-lm"));
  EXPECT_FALSE(CheckRepository("someone/other", {"x.litertlm"}).ok());
  EXPECT_TRUE(CheckRepository("someone/both", {"x.litertlm", "model.safetensors"}).ok());
  EXPECT_TRUE(CheckRepository("someone/plain", {"README.md"}).ok());
}

TEST(Recognise, OtherFilesAreNamedForWhatTheyAre) {
  const TempFolder folder;
  std::string padded_tar(262, 'x');
  padded_tar.replace(257, 5, "ustar");
  const std::string zeros(4096, '\0');
  const std::pair<std::string_view, const char*> cases[] = {
      {"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS pointer"},
      {"<!DOCTYPE html><html>", "web page"},
      {"PK\3\4abcdef", "zip archive"},
      {"\x80\2}q", "pickle"},
      {std::string_view("\x1c\0\0\0TFL3....", 12), "TensorFlow Lite"},
      {"", "an empty file"},
      {"hello", "neither a GGUF nor a safetensors"},
      {"{\"model_type\": \"gemma\"}", "this is JSON"},
      {"%PDF-1.7", "a PDF document"},
      {std::string_view("\x1f\x8b\x08\0", 4), "compressed by gzip; unpack it first: gunzip"},
      {std::string_view("\xff\xfeh\0e\0", 6), "UTF-16"},
      {zeros, "a download that did not finish leaves it; download it again"},
      {padded_tar, "a tar archive"},
      {"<html><head><title>Sign in</title>", "the download gave an error or a login page"},
      {"PAR1", "Parquet"},
  };
  for (const auto& [content, words] : cases) {
    const fs::path path = folder.path() / "model.dat";
    ASSERT_TRUE(WriteFile(path, content).ok());
    const auto got = RecogniseModel(path);
    ASSERT_FALSE(got.ok()) << words;
    EXPECT_TRUE(Has(got.error().message, words)) << got.error().message;
    EXPECT_TRUE(Has(got.error().message, "model.dat")) << got.error().message;
  }
  // A partial file whose first bytes are no model's.
  ASSERT_TRUE(WriteFile(folder.path() / "model.safetensors.crdownload", "\1\2\3").ok());
  EXPECT_TRUE(Has(RecogniseModel(folder.path() / "model.safetensors.crdownload").error().message,
                  "its download did not finish"));
  EXPECT_EQ(RecogniseModel(folder.path() / "none").error().kind, ErrorKind::kNotFound);
  const TempFolder empty;
  EXPECT_EQ(RecogniseModel(empty.path()).error().kind, ErrorKind::kNotFound);
}

}  // namespace
}  // namespace facet
