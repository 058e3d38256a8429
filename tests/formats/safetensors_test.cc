#include "formats/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>

#include "support/paths.h"
#include "support/temp_folder.h"

namespace facet {
namespace {

namespace fs = std::filesystem;
const fs::path kCheckpoint = TestsDir() + "/reference/tiny/checkpoint";

std::unique_ptr<Safetensors> MustOpen(const fs::path& path) {
  auto file = Safetensors::Open(path);
  EXPECT_TRUE(file.ok()) << file.error().message;
  return file.ok() ? std::move(*file) : nullptr;
}

std::vector<std::byte> Bytes(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

// The bytes of a safetensors file with this header and this much data.
std::string FileText(std::string header, size_t data) {
  const uint64_t length = header.size();
  std::string out(sizeof(length), 0);
  std::memcpy(out.data(), &length, sizeof(length));
  return out + header + std::string(data, 1);
}

TEST(Safetensors, OpensFolderAndFile) {
  for (const fs::path& path : {kCheckpoint, kCheckpoint / "model.safetensors"}) {
    const auto file = MustOpen(path);
    ASSERT_NE(file, nullptr);
    EXPECT_EQ(file->tensors().size(), 96u);
    EXPECT_EQ(file->metadata().at("format"), "pt");
    const Tensor* table = *file->Get("model.vision_embedder.pos_embedding");
    EXPECT_EQ(table->Describe(), "(64, 2, 64) F32");
    EXPECT_EQ(table->data.size(), 64u * 2 * 64 * 4);
  }
}

TEST(Safetensors, WhatIsSavedIsReadBack) {
  const TempFolder folder;
  const auto data = Bytes("0123456789abcdefghijklmn");
  const std::span<const std::byte> all(data);
  const std::vector<TensorOut> tensors = {{"b", DType::kBF16, {3}, all.first(6)},
                                          {"a", DType::kI64, {1, 2}, all.first(16)},
                                          {"scalar", DType::kF32, {}, all.first(4)},
                                          {"empty", DType::kF32, {0, 5}, all.first(0)},
                                          {"odd", DType::kU8, {3}, all.first(3)}};
  ASSERT_TRUE(
      SaveSafetensors(folder.path() / "x.safetensors", tensors, {{"made", "here \"quoted\""}})
          .ok());
  const auto file = MustOpen(folder.path());
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(file->metadata().at("made"), "here \"quoted\"");
  ASSERT_EQ(file->tensors().size(), tensors.size());
  for (const TensorOut& want : tensors) {
    const Tensor* got = *file->Get(want.name);
    EXPECT_EQ(got->type, want.type);
    EXPECT_EQ(got->shape, want.shape);
    EXPECT_TRUE(std::ranges::equal(got->data, want.data)) << want.name;
  }
  const auto refused =
      SaveSafetensors(folder.path() / "y.safetensors", {{"a", DType::kF32, {2}, all.first(4)}});
  EXPECT_FALSE(refused.ok());
  EXPECT_FALSE(fs::exists(folder.path() / "y.safetensors"));
}

TEST(Safetensors, MisalignedTensorsAreCopied) {
  const TempFolder folder;
  // A header of odd length puts the floats at an odd address.
  std::string header = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  if (header.size() % 2 == 0) header += ' ';
  ASSERT_TRUE(WriteFile(folder.path() / "a.safetensors", FileText(header, 8)).ok());
  const auto file = MustOpen(folder.path());
  ASSERT_NE(file, nullptr);
  const Tensor* tensor = *file->Get("a");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor->data.data()) % 4, 0u);
  EXPECT_EQ(std::to_integer<int>(tensor->data[7]), 1);
  file->Drop(*tensor);
}

TEST(Safetensors, ShardsMayBeLinksLeadingOutOfTheFolder) {
  const TempFolder folder;
  const fs::path snapshot = folder.path() / "snapshots/1";
  fs::create_directories(snapshot);
  fs::create_directories(folder.path() / "blobs");
  ASSERT_TRUE(WriteFile(folder.path() / "blobs/one",
                        FileText(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8))
                  .ok());
  ASSERT_TRUE(WriteFile(folder.path() / "blobs/two",
                        FileText(R"({"b":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}})", 3))
                  .ok());
  fs::create_symlink("../../blobs/one", snapshot / "model-00001-of-00002.safetensors");
  fs::create_symlink("../../blobs/two", snapshot / "model-00002-of-00002.safetensors");
  ASSERT_TRUE(
      WriteFile(
          snapshot / "model.safetensors.index.json",
          R"({"metadata":{"total_size":11},"weight_map":{"a":"model-00001-of-00002.safetensors",)"
          R"("b":"model-00002-of-00002.safetensors"}})")
          .ok());
  const auto file = MustOpen(snapshot);
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(file->tensors().size(), 2u);
  EXPECT_EQ((*file->Get("b"))->Describe(), "(3) U8");
}

}  // namespace
}  // namespace facet
