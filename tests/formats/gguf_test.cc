#include "formats/gguf.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "ops/quant/quant.h"
#include "support/paths.h"
#include "support/temp_folder.h"

namespace facet {
namespace {

const std::string kTiny = TestsDir() + "/reference/tiny/gguf/";

std::unique_ptr<Gguf> MustOpen(const std::filesystem::path& path) {
  auto file = Gguf::Open(path);
  EXPECT_TRUE(file.ok()) << file.error().message;
  return file.ok() ? std::move(*file) : nullptr;
}

std::vector<float> Decoded(const Tensor& tensor) {
  std::vector<float> out(tensor.elements());
  DequantizeRow(tensor.type, tensor.data.data(), out);
  return out;
}

TEST(Gguf, ReadsMetadataOfEveryKind) {
  const auto file = MustOpen(kTiny + "model-f32.gguf");
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(*file->Architecture(), "gemma4");
  EXPECT_EQ(*file->Int("gemma4.block_count"), 6);
  EXPECT_EQ(*file->Int("general.sampling.top_k"), 64);
  EXPECT_EQ(*file->Float("general.sampling.top_p"), static_cast<double>(0.95f));
  EXPECT_EQ(*file->Bool("tokenizer.ggml.add_bos_token"), true);
  EXPECT_EQ(*file->Ints("gemma4.attention.head_count_kv"),
            (std::vector<int64_t>{2, 2, 2, 2, 2, 1}));
  EXPECT_EQ(*file->Ints("gemma4.attention.sliding_window_pattern"),
            (std::vector<int64_t>{1, 1, 1, 1, 1, 0}));
  EXPECT_EQ(*file->Ints("gemma4.attention.head_count"), (std::vector<int64_t>{4}));
  EXPECT_EQ(file->Floats("tokenizer.ggml.scores")->at(2047), -1000.0f);
  const auto tokens = file->Strings("tokenizer.ggml.tokens");
  ASSERT_EQ(tokens->size(), 2048u);
  EXPECT_EQ((*tokens)[12], "<turn|>");
  EXPECT_EQ(file->metadata().size(), 43u);
}

TEST(Gguf, TypedLookUpsNameKeyWantedAndGot) {
  const auto file = MustOpen(kTiny + "model-f32.gguf");
  ASSERT_NE(file, nullptr);
  const auto missing = file->Int("gemma4.nothing");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().kind, ErrorKind::kNotFound);
  EXPECT_NE(missing.error().message.find("gemma4.nothing"), std::string::npos);
  const auto wrong = file->Int("general.architecture");
  ASSERT_FALSE(wrong.ok());
  EXPECT_NE(wrong.error().message.find("model-f32.gguf"), std::string::npos);
  EXPECT_NE(wrong.error().message.find("expected an integer"), std::string::npos);
  EXPECT_NE(wrong.error().message.find("\"gemma4\""), std::string::npos);
}

TEST(Gguf, ShapesAreOutermostFirst) {
  const auto file = MustOpen(kTiny + "model-f32.gguf");
  ASSERT_NE(file, nullptr);
  ASSERT_EQ(file->tensors().size(), 86u);
  const Tensor* embedding = *file->Get("token_embd.weight");
  EXPECT_EQ(embedding->shape, (std::vector<int64_t>{2048, 64}));
  EXPECT_EQ(embedding->Describe(), "(2048, 64) F32");
  EXPECT_EQ(embedding->data.size(), 2048u * 64 * 4);
  EXPECT_EQ(Decoded(*file->Find("rope_freqs.weight"))[0], 1.0f);
  EXPECT_FALSE(file->Get("blk.6.attn_q.weight").ok());
}

TEST(Gguf, QuantisedFilesDecodeToTheFloatOnes) {
  const auto exact = MustOpen(kTiny + "model-f32.gguf");
  for (const auto& [name, allowed] :
       {std::pair("model-q8_0.gguf", 0.006), std::pair("model-q4_0.gguf", 0.1)}) {
    const auto file = MustOpen(kTiny + name);
    ASSERT_TRUE(exact != nullptr && file != nullptr);
    ASSERT_EQ(file->tensors().size(), exact->tensors().size());
    for (const Tensor& tensor : file->tensors()) {
      const Tensor* want = exact->Find(tensor.name);
      ASSERT_TRUE(want != nullptr && want->shape == tensor.shape) << tensor.name;
      const std::vector<float> a = Decoded(tensor), b = Decoded(*want);
      double error = 0, norm = 0;
      for (size_t i = 0; i < a.size(); ++i) {
        if (b[i] > 1e29f) continue;  // unrotated pairs of rope_freqs
        error += (a[i] - b[i]) * double(a[i] - b[i]);
        norm += double(b[i]) * b[i];
      }
      EXPECT_LE(std::sqrt(error), allowed * std::sqrt(norm)) << name << " " << tensor.name;
    }
  }
}

TEST(Gguf, QuantisingGivesTheBytesOfLlamaQuantize) {
  const auto exact = MustOpen(kTiny + "model-f32.gguf");
  for (const auto& [name, type] :
       {std::pair("model-q8_0.gguf", DType::kQ8_0), std::pair("model-q4_0.gguf", DType::kQ4_0)}) {
    const auto file = MustOpen(kTiny + name);
    ASSERT_TRUE(exact != nullptr && file != nullptr);
    int compared = 0;
    for (const Tensor& tensor : file->tensors()) {
      if (tensor.type != type) continue;
      std::vector<std::byte> bytes(tensor.data.size());
      QuantizeRow(type, Decoded(*exact->Find(tensor.name)), bytes.data());
      EXPECT_EQ(std::memcmp(bytes.data(), tensor.data.data(), bytes.size()), 0)
          << name << " " << tensor.name;
      ++compared;
    }
    EXPECT_GE(compared, 41) << name;
  }
}

TEST(Gguf, TheRealVocabularyStaysInTheFile) {
  const auto file = MustOpen(TestsDir() + "/reference/gemma4/vocab.gguf");
  ASSERT_NE(file, nullptr);
  const auto merges = file->Strings("tokenizer.ggml.merges");
  ASSERT_TRUE(merges.ok());
  EXPECT_EQ(merges->size(), 514906u);
  EXPECT_EQ(file->Strings("tokenizer.ggml.tokens")->size(), 262144u);
  EXPECT_TRUE(file->tensors().empty());
}

TEST(GgufWriter, WhatIsWrittenIsReadBack) {
  const TempFolder folder;
  const auto path = folder.path() / "a.gguf";
  const std::vector<float> weights = {1, 2, 3, 4, 5, 6};
  const std::vector<std::byte> rows(3 * 34, std::byte{7});
  {
    GgufWriter writer;
    writer.Set("general.architecture", "gemma4");
    writer.Set("a.u32", uint32_t{7});
    writer.Set("a.i32", int32_t{-7});
    writer.Set("a.u64", uint64_t{1} << 40);
    writer.Set("a.f32", 0.5f);
    writer.Set("a.bool", true);
    writer.Set("a.strings", std::vector<std::string>{"x", "", "yz"});
    writer.Set("a.ints", std::vector<int32_t>{1, -2});
    writer.Set("a.floats", std::vector<float>{1.5f});
    writer.Set("a.bools", std::vector<bool>{true, false});
    writer.Declare("w", DType::kF32, {2, 3});
    writer.Declare("q", DType::kQ8_0, {3, 32});
    ASSERT_TRUE(writer.Begin(path).ok());
    const auto bytes = std::as_bytes(std::span(weights));
    ASSERT_TRUE(writer.Append(bytes.first(8)).ok());
    ASSERT_TRUE(writer.Append(bytes.subspan(8)).ok());
    EXPECT_FALSE(std::filesystem::exists(path));
    ASSERT_TRUE(writer.Append(rows).ok());
    ASSERT_TRUE(writer.Finish().ok());
  }
  const auto file = MustOpen(path);
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(*file->Int("a.u32"), 7);
  EXPECT_EQ(*file->Int("a.i32"), -7);
  EXPECT_EQ(*file->Int("a.u64"), int64_t{1} << 40);
  EXPECT_EQ(*file->Float("a.f32"), 0.5);
  EXPECT_EQ(*file->Bool("a.bool"), true);
  EXPECT_EQ(*file->Strings("a.strings"), (std::vector<std::string_view>{"x", "", "yz"}));
  EXPECT_EQ(*file->Ints("a.ints"), (std::vector<int64_t>{1, -2}));
  EXPECT_EQ(*file->Floats("a.floats"), (std::vector<float>{1.5f}));
  EXPECT_EQ(*file->Ints("a.bools"), (std::vector<int64_t>{1, 0}));
  EXPECT_EQ(file->Find("w")->shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(Decoded(*file->Find("w")), weights);
  EXPECT_EQ(file->Find("q")->data.size(), rows.size());
}

TEST(GgufWriter, AnUnfinishedFileLeavesNothing) {
  const TempFolder folder;
  {
    GgufWriter writer;
    writer.Declare("w", DType::kF32, {4});
    ASSERT_TRUE(writer.Begin(folder.path() / "a.gguf").ok());
    const std::vector<std::byte> half(8), more(16);
    ASSERT_TRUE(writer.Append(half).ok());
    EXPECT_FALSE(writer.Append(more).ok());  // beyond what was declared
    EXPECT_FALSE(writer.Finish().ok());
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(GgufWriter, CopiesValuesOfAnotherFile) {
  const TempFolder folder;
  const auto source = MustOpen(kTiny + "model-f32.gguf");
  ASSERT_NE(source, nullptr);
  GgufWriter writer;
  for (const auto& [key, value] : source->metadata()) writer.Copy(key, value);
  ASSERT_TRUE(writer.Begin(folder.path() / "b.gguf").ok());
  ASSERT_TRUE(writer.Finish().ok());
  const auto copy = MustOpen(folder.path() / "b.gguf");
  ASSERT_NE(copy, nullptr);
  ASSERT_EQ(copy->metadata().size(), source->metadata().size());
  EXPECT_EQ(*copy->Strings("tokenizer.ggml.merges"), *source->Strings("tokenizer.ggml.merges"));
  EXPECT_EQ(*copy->Float("gemma4.attention.layer_norm_rms_epsilon"),
            *source->Float("gemma4.attention.layer_norm_rms_epsilon"));
}

}  // namespace
}  // namespace facet
