// Checkpoints as Transformers' save_pretrained writes them (tests/tools/make_saved_again.py): more
// than ten layers, sharded, bfloat16, whole or text alone, with a head of its own or without.
#include <gtest/gtest.h>

#include <fstream>

#include "model/convert.h"
#include "support/reference.h"
#include "support/temp_folder.h"

namespace facet {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class SavedAgain : public ::testing::Test {
 protected:
  SavedAgain() : expected_(Take(Safetensors::Open(source_ / "expected.st"))) {}

  // Logits of every position of the prompt, in float32.
  Buffer LogitsOf(const fs::path& path) {
    const auto model = Take(Model::Load(PlainOptions(path), pool_));
    Prompt prompt;
    const Tensor& ids = *Take(expected_->Get("input_ids"));
    prompt.ids.resize(ids.elements());
    std::memcpy(prompt.ids.data(), ids.data.data(), ids.data.size());
    KvSequence sequence(model->cache());
    return AllLogits(*model, ReadAll(*model, prompt, 7, sequence));
  }
  void ExpectReference(const fs::path& path) {
    const Tensor& want = *Take(expected_->Get("prompt_logits"));
    const ConstMat logits(reinterpret_cast<const float*>(want.data.data()), want.rows(),
                          want.cols());
    EXPECT_LT(LargestDifference(LogitsOf(path), logits), 2e-3f) << path;
  }

  // The tensors under other names in one file, with a changed configuration beside it.
  template <typename Rename, typename Change>
  fs::path Variant(Rename rename, Change change, const TensorOut* extra = nullptr) {
    const fs::path folder = folder_.path() / std::to_string(++variants_);
    fs::create_directories(folder);
    json config = json::parse(Take(ReadFile(source_ / "config.json")));
    change(config);
    std::ofstream(folder / "config.json") << config;
    const auto file = Take(Safetensors::Open(source_));
    std::vector<TensorOut> tensors;
    for (const Tensor& t : file->tensors()) {
      const std::string name = rename(t.name);
      if (!name.empty()) tensors.push_back({name, t.type, t.shape, t.data});
    }
    if (extra != nullptr) tensors.push_back(*extra);
    EXPECT_TRUE(SaveSafetensors(folder / "model.safetensors", tensors).ok());
    return folder;
  }
  static std::string Same(const std::string& name) { return name; }

  const fs::path source_ = Reference("saved-again/layers12");
  TempFolder folder_;
  ThreadPool pool_{2};
  std::unique_ptr<Safetensors> expected_;
  int variants_ = 0;
};

TEST_F(SavedAgain, TwelveLayersInShardsGiveTransformersLogits) {
  ExpectReference(source_);
}

TEST_F(SavedAgain, FortyEightLayersAreReadAsTheyWereSaved) {
  const json config = json::parse(Take(ReadFile(Reference("saved-again/layers48/config.json"))));
  ASSERT_TRUE(config["text_config"]["per_layer_config"].contains("05"));
  const ModelConfig read = Take(ConfigFromJson(config, json()));
  ASSERT_EQ(read.text.layers.size(), 48u);
  for (int i = 0; i < 48; ++i) {
    const LayerConfig& layer = read.text.layers[i];
    EXPECT_EQ(layer.sliding, i % 6 != 5);
    EXPECT_EQ(layer.head_dim, i % 6 == 5 ? 32 : 16) << i;
    EXPECT_EQ(layer.kv_heads, i % 6 == 5 ? 1 : 2) << i;
    EXPECT_EQ(layer.keys_are_values, i % 6 == 5) << i;
  }
}

// Gemma4UnifiedForCausalLM.save_pretrained, and Gemma4UnifiedTextModel's.
TEST_F(SavedAgain, TextAloneIsTheSameModel) {
  const auto top = [](json& config) {
    config = config["text_config"];
    config["architectures"] = {"Gemma4UnifiedForCausalLM"};
  };
  for (const std::string prefix : {"model.", ""}) {
    const fs::path folder = Variant(
        [&](const std::string& name) {
          const std::string whole = "model.language_model.";
          return name.starts_with(whole) ? prefix + name.substr(whole.size()) : "";
        },
        top);
    ExpectReference(folder);
    const auto converted =
        ConvertToGguf({folder, folder / "out.gguf", DType::kF32, ConvertPart::kModel, {}, {}, 1});
    // There is no tokenizer to take along; the weights are not what is wrong.
    ASSERT_FALSE(converted.ok());
    EXPECT_NE(converted.error().message.find("tokenizer.json"), std::string::npos)
        << converted.error().message;
  }
}

// save_pretrained(save_original_format=False).
TEST_F(SavedAgain, TheNamesOfTheModulesAreTakenToo) {
  ExpectReference(Variant(
      [](std::string name) {
        for (const auto& [from, to] :
             {std::pair<std::string, std::string>{"model.vision_embedder.", "model.embed_vision."},
              {"model.embed_vision.embedding_projection",
               "model.embed_vision.multimodal_embedder.embedding_projection"}}) {
          if (name.starts_with(from)) return to + name.substr(from.size());
        }
        return name;
      },
      [](json&) {}));
}

// A head that is the embedding once more is one matrix; another one would change the answer.
TEST_F(SavedAgain, AHeadBesideTheEmbeddingMustBeTheEmbedding) {
  const auto file = Take(Safetensors::Open(source_));
  const Tensor& embedding = *Take(file->Get("model.language_model.embed_tokens.weight"));
  TensorOut head{"lm_head.weight", embedding.type, embedding.shape, embedding.data};
  ExpectReference(Variant(
      Same, [](json&) {}, &head));
  std::vector<std::byte> other(embedding.data.begin(), embedding.data.end());
  other[100] ^= std::byte{1};
  head.data = other;
  const auto refused = LoadCheckpoint(Variant(
                                          Same, [](json&) {}, &head),
                                      std::nullopt);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("lm_head.weight is not the same as"), std::string::npos)
      << refused.error().message;
}

TEST_F(SavedAgain, WeightsThatOthersHaveQuantisedAreRefusedByName) {
  const auto refused =
      LoadCheckpoint(Variant(Same,
                             [](json& config) {
                               config["quantization_config"] = {{"quant_method", "bitsandbytes"}};
                             }),
                     std::nullopt);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("quantization_config"), std::string::npos)
      << refused.error().message;
}

}  // namespace
}  // namespace facet
