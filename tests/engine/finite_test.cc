// Weights that are NaN or infinite are an error that names the file, the tensor and the row, before
// anything is computed with them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "formats/gguf.h"
#include "model/adapter.h"
#include "model/convert.h"
#include "model/drafter.h"
#include "model/merge.h"
#include "ops/quant/quant.h"
#include "support/reference.h"
#include "support/temp_folder.h"

namespace facet {
namespace {

namespace fs = std::filesystem;

class FiniteTest : public ::testing::Test {
 protected:
  fs::path Copy(const std::string& name) {
    const fs::path to = folder_.path() / fs::path(name).filename();
    fs::remove_all(to);
    fs::copy(Reference(name), to, fs::copy_options::recursive);
    fs::permissions(to, fs::perms::owner_all);
    if (fs::is_directory(to)) {
      for (const auto& entry : fs::directory_iterator(to))
        fs::permissions(entry.path(), fs::perms::owner_all);
    }
    return to;
  }

  // Overwrites bytes of a tensor in `file`, `at` bytes behind its beginning.
  static void Poison(const fs::path& file, const TensorFile& opened, const std::string& name,
                     size_t at, const std::string& bytes) {
    std::string content = Take(ReadFile(file));
    // The largest tensor occurs once, and all lie in the same mapping.
    const Tensor& largest = *std::ranges::max_element(
        opened.tensors(), {}, [](const Tensor& t) { return t.data.size(); });
    const size_t place = content.find(
        std::string_view(reinterpret_cast<const char*>(largest.data.data()), largest.data.size()));
    ASSERT_NE(place, content.npos) << name;
    const Tensor& tensor = *Take(opened.Get(name));
    content.replace(place + (tensor.data.data() - largest.data.data()) + at, bytes.size(), bytes);
    ASSERT_TRUE(WriteFile(file, content).ok());
  }
  static void Poison(const fs::path& file, const std::string& name, size_t at,
                     const std::string& bytes) {
    Poison(file, *Take(Safetensors::Open(file)), name, at, bytes);
  }

  std::string LoadError(const LoadOptions& options) {
    const auto model = Model::Load(options, pool_);
    return model.ok() ? "" : model.error().message;
  }
  // With and without packing, which look for themselves.
  void ExpectRefused(const fs::path& model, const fs::path& mmproj, const std::string& text) {
    for (const Precision precision : {Precision::kPlain, Precision::kFast}) {
      LoadOptions options = PlainOptions(model, mmproj);
      options.precision = precision;
      const std::string error = LoadError(options);
      EXPECT_NE(error.find(text), std::string::npos) << error;
      EXPECT_NE(error.find("NaN or infinity"), std::string::npos) << error;
      EXPECT_NE(error.find(folder_.path().string()), std::string::npos) << error;
    }
  }

  static std::string Bytes(float value) {
    return {reinterpret_cast<const char*>(&value), sizeof(value)};
  }

  const std::string nan_ = Bytes(std::numeric_limits<float>::quiet_NaN());
  const std::string infinity_ = Bytes(-std::numeric_limits<float>::infinity());
  TempFolder folder_;
  ThreadPool pool_{2};
};

TEST_F(FiniteTest, ACheckpointWithOneSuchWeightDoesNotLoad) {
  const std::string prefix = "model.language_model.";
  const std::pair<std::string, std::string> tensors[] = {
      {prefix + "embed_tokens.weight", nan_},
      {prefix + "layers.3.mlp.down_proj.weight", infinity_},
      {prefix + "layers.0.self_attn.q_norm.weight", nan_},
      {prefix + "layers.2.layer_scalar", infinity_},
      {prefix + "norm.weight", nan_},
      {"model.vision_embedder.patch_dense.weight", nan_},
      {"model.vision_embedder.pos_embedding", infinity_},
      {"model.embed_audio.embedding_projection.weight", nan_}};
  for (const auto& [name, value] : tensors) {
    const fs::path folder = Copy("tiny/checkpoint");
    const auto file = Take(Safetensors::Open(folder));
    const Tensor& tensor = *Take(file->Get(name));
    Poison(folder / "model.safetensors", *file, name, tensor.data.size() - 4, value);
    ExpectRefused(folder, {}, Cat("tensor ", name, ", row ", tensor.rows() - 1));
  }
}

TEST_F(FiniteTest, ABlockWithSuchAScaleDoesNotLoad) {
  const std::string nan("\x00\x7e", 2), infinity("\x00\xfc", 2);
  for (const char* type : {"q4_0", "q8_0", "f32"}) {
    for (const std::string& value : {nan, infinity}) {
      const fs::path file = Copy(Cat("tiny/gguf/model-", type, ".gguf"));
      const auto opened = Take(Gguf::Open(file));
      const Tensor& tensor = *Take(opened->Get("blk.1.ffn_up.weight"));
      const DTypeTraits traits = Traits(tensor.type);
      // Of row 5, the second block.
      const size_t at = 5 * RowBytes(tensor.type, tensor.cols()) + traits.bytes;
      const bool blocks = IsQuantized(tensor.type);
      Poison(file, *opened, tensor.name, blocks ? at : at + 2, blocks ? value : "\x80\xff");
      ExpectRefused(file, {}, "tensor blk.1.ffn_up.weight, row 5");
    }
  }
}

TEST_F(FiniteTest, AProjectorWithOneSuchWeightDoesNotLoad) {
  const fs::path projector = Copy("tiny/gguf/mmproj-f32.gguf");
  const auto opened = Take(Gguf::Open(projector));
  Poison(projector, *opened, "mm.a.input_projection.weight", 0, nan_);
  ExpectRefused(Reference("tiny/gguf/model-f32.gguf"), projector,
                "tensor mm.a.input_projection.weight, row 0");
}

TEST_F(FiniteTest, ADrafterWithOneSuchWeightDoesNotLoad) {
  const LoadedReference target = Load(TinyFolder(), pool_);
  const fs::path folder = Copy("tiny/checkpoint-assistant");
  Poison(folder / "model.safetensors", "post_projection.weight", 8, nan_);
  const auto drafter = Drafter::Load(folder, *target.model);
  ASSERT_FALSE(drafter.ok());
  EXPECT_NE(drafter.error().message.find("tensor post_projection.weight, row 0: holds NaN"),
            std::string::npos)
      << drafter.error().message;
}

TEST_F(FiniteTest, AnAdapterWithOneSuchWeightDoesNotLoad) {
  const LoadedReference loaded = Load(TinyFolder(), pool_);
  for (const std::string& value : {nan_, infinity_}) {
    const fs::path folder = Copy("tiny/adapter-after-3-steps");
    const fs::path file = folder / "adapter_model.safetensors";
    const auto opened = Take(Safetensors::Open(file));
    const Tensor& tensor = opened->tensors().back();
    Poison(file, *opened, tensor.name, 0, value);
    const auto adapter = loaded.model->LoadAdapter(folder);
    ASSERT_FALSE(adapter.ok());
    EXPECT_NE(adapter.error().message.find(
                  Cat(file.string(), ": tensor ", tensor.name, ", row 0: holds NaN or infinity")),
              std::string::npos)
        << adapter.error().message;
  }
}

// What quantising import and export read.
TEST_F(FiniteTest, SuchAWeightIsNotConvertedMergedOrCopied) {
  const fs::path folder = Copy("tiny/checkpoint");
  const std::string name = "model.language_model.layers.1.self_attn.o_proj.weight";
  Poison(folder / "model.safetensors", name, 4, nan_);
  ConvertOptions convert;
  convert.source = folder;
  convert.output = folder_.path() / "out.gguf";
  for (const DType type : {DType::kQ8_0, DType::kF32}) {  // F32 is copied as it is
    convert.type = type;
    const auto done = ConvertToGguf(convert);
    ASSERT_FALSE(done.ok());
    EXPECT_NE(done.error().message.find(name), std::string::npos) << done.error().message;
    EXPECT_FALSE(fs::exists(convert.output));
  }
  const auto merged = MergeToFolder(folder, Reference("tiny/adapter-after-3-steps"),
                                    folder_.path() / "merged", pool_);
  ASSERT_FALSE(merged.ok());
  EXPECT_NE(merged.error().message.find(Cat("tensor ", name, ", row 0")), std::string::npos)
      << merged.error().message;

  const fs::path file = Copy("tiny/gguf/model-q4_0.gguf");
  const auto opened = Take(Gguf::Open(file));
  Poison(file, *opened, "blk.1.ffn_up.weight", 18, std::string("\x00\x7e", 2));
  convert.source = file;
  convert.type = DType::kQ4_0;
  const auto copied = ConvertToGguf(convert);
  ASSERT_FALSE(copied.ok());
  EXPECT_NE(copied.error().message.find("tensor blk.1.ffn_up.weight, row 0"), std::string::npos)
      << copied.error().message;
}

// Against the row that decoding gives, for every type and place.
TEST(FindNonFinite, AgreesWithTheDecodedRow) {
  for (int t = 0; t <= static_cast<int>(DType::kQ6_K); ++t) {
    const auto type = static_cast<DType>(t);
    const DTypeTraits traits = Traits(type);
    const int64_t n = 3 * std::max(traits.block, 32);
    std::vector<std::byte> row(RowBytes(type, n), std::byte{0x11});
    EXPECT_EQ(FindNonFinite(type, row.data(), n), -1) << traits.name;
    for (size_t at = 0; at + 2 <= row.size(); at += 2) {
      std::vector<std::byte> bad = row;
      bad[at] = std::byte{0x80};
      bad[at + 1] = std::byte{0x7f};  // an exponent of ones in each of the three formats
      std::vector<float> values(n);
      DequantizeRow(type, bad.data(), values);
      const auto first =
          std::find_if(values.begin(), values.end(), [](float x) { return !std::isfinite(x); });
      const int64_t want = first == values.end() ? -1 : first - values.begin();
      const int64_t got = FindNonFinite(type, bad.data(), n);
      // A code of zero hides an infinite scale, never the other way round.
      EXPECT_EQ(got >= 0, want >= 0) << traits.name << " at byte " << at;
      if (got >= 0 && want >= 0) {
        EXPECT_EQ(got / traits.block, want / traits.block) << traits.name;
      }
    }
  }
}

}  // namespace
}  // namespace facet
