#include "model/synth.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "formats/gguf.h"
#include "model/weights.h"
#include "ops/quant/quant.h"
#include "support/paths.h"
#include "support/temp_folder.h"
#include "text/tokenizer.h"

namespace facet {
namespace {

namespace fs = std::filesystem;

TEST(Synth, EveryTypeLoadsWithTheVarianceOfItsWidth) {
  const TempFolder folder;
  for (const DType type :
       {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0, DType::kQ4_K}) {
    const fs::path path = folder.path() / "tiny.gguf";
    const auto written = WriteSynthModel({"tiny", type, path});
    ASSERT_TRUE(written.ok()) << written.error().message;
    const auto loaded = LoadCheckpoint(path, std::nullopt);
    ASSERT_TRUE(loaded.ok()) << loaded.error().message;
    EXPECT_EQ(loaded->config.text.layers.size(), 6u);
    EXPECT_TRUE(loaded->config.text.layers[5].keys_are_values);
    EXPECT_EQ(loaded->config.text.rope_full.rotated_pairs, 16);
    EXPECT_EQ(loaded->text->Find("blk.2.ffn_up.weight")->type, type);
    for (const Tensor& tensor : loaded->text->tensors()) {
      if (tensor.shape.size() != 2) continue;
      std::vector<float> x(tensor.elements());
      DequantizeRow(tensor.type, tensor.data.data(), x);
      double square = 0;
      for (const float v : x) square += double(v) * v;
      // One element of each 32 is uniform instead of normal.
      EXPECT_NEAR(std::sqrt(square / x.size() * tensor.cols()), 1.05, 0.12)
          << Traits(type).name << " " << tensor.name;
    }
  }
}

TEST(Synth, NoTwoRowsAreEqual) {
  const TempFolder folder;
  ASSERT_TRUE(WriteSynthModel({"tiny", DType::kQ4_0, folder.path() / "t.gguf"}).ok());
  const auto file = Gguf::Open(folder.path() / "t.gguf");
  ASSERT_TRUE(file.ok());
  const Tensor& table = **(*file)->Get("token_embd.weight");
  const size_t bytes = RowBytes(table.type, table.cols());
  std::set<std::string_view> rows;
  for (int64_t r = 0; r < table.rows(); ++r) {
    rows.emplace(reinterpret_cast<const char*>(table.data.data()) + r * bytes, bytes);
  }
  EXPECT_EQ(static_cast<int64_t>(rows.size()), table.rows());
}

TEST(Synth, TheMadeUpVocabularyTokenises) {
  const TempFolder folder;
  const fs::path path = folder.path() / "t.gguf";
  ASSERT_TRUE(WriteSynthModel({"tiny", DType::kQ4_0, path}).ok());
  const auto tokenizer = Tokenizer::Load(path);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  EXPECT_EQ((*tokenizer)->size(), 2048);
  const std::string text = "Words, caf\u00e9s and 42 numbers.\n";
  EXPECT_EQ((*tokenizer)->Decode((*tokenizer)->EncodePlain(text)), text);
  EXPECT_TRUE((*tokenizer)->IsSpecial(*(*tokenizer)->Find("<turn|>")));
  // Words of two letters are merged.
  EXPECT_EQ((*tokenizer)->EncodePlain("ab").size(), 1u);
}

TEST(Synth, RefusesByName) {
  const TempFolder folder;
  const fs::path path = folder.path() / "t.gguf";
  const auto shape = WriteSynthModel({"13b", DType::kQ4_0, path});
  ASSERT_FALSE(shape.ok());
  EXPECT_NE(shape.error().message.find("13b"), std::string::npos);
  EXPECT_NE(shape.error().message.find("12b-drafter"), std::string::npos);
  const auto vocabulary =
      WriteSynthModel({"tiny", DType::kQ4_0, path, TestsDir() + "/reference/gemma4/vocab.gguf"});
  ASSERT_FALSE(vocabulary.ok());
  EXPECT_NE(vocabulary.error().message.find("262144"), std::string::npos);
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

}  // namespace
}  // namespace facet
