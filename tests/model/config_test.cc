// What a checkpoint says about itself: its processor about pictures, from its folder and through a
// GGUF, and its layers where they are listed one by one.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "formats/gguf.h"
#include "model/convert.h"
#include "model/weights.h"
#include "support/paths.h"
#include "support/temp_folder.h"

namespace facet {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const fs::path kTiny = TestsDir() + "/reference/tiny";

class ProcessorConfig : public testing::Test {
 protected:
  ProcessorConfig() { fs::copy(kTiny / "checkpoint", source_); }

  void Write(const json& processor) {
    std::ofstream(source_ / "processor_config.json") << processor;
  }
  static json Budgets(const json& image, const json& video) {
    return {{"image_processor", {{"max_soft_tokens", image}}},
            {"video_processor", {{"max_soft_tokens", video}}}};
  }
  using Pair = std::pair<int, int>;
  static Pair BudgetsOf(const Result<Checkpoint>& checkpoint) {
    EXPECT_TRUE(checkpoint.ok()) << checkpoint.error().message;
    if (!checkpoint.ok()) return {};
    const VisionConfig& vision = *checkpoint->config.vision;
    return {vision.image_budget, vision.video_budget};
  }
  Pair Load() { return BudgetsOf(LoadCheckpoint(source_, std::nullopt)); }
  std::string ErrorOf(const json& processor) {
    Write(processor);
    const auto checkpoint = LoadCheckpoint(source_, std::nullopt);
    EXPECT_FALSE(checkpoint.ok());
    return checkpoint.ok() ? "" : checkpoint.error().message;
  }

  TempFolder folder_;
  const fs::path source_ = folder_.path() / "checkpoint";
};

TEST_F(ProcessorConfig, GivesTheBudgetsOfPicturesAndFilms) {
  EXPECT_EQ(Load(), Pair(280, 70));
  Write(Budgets(70, 140));
  EXPECT_EQ(Load(), Pair(70, 140));
  Write(json::object());
  EXPECT_EQ(Load(), Pair(280, 70));
  fs::remove(source_ / "processor_config.json");
  EXPECT_EQ(Load(), Pair(280, 70));
}

TEST_F(ProcessorConfig, LeavesOutABudgetThatIsNone) {
  Write(Budgets(100, 560));
  EXPECT_EQ(Load(), Pair(280, 560));
}

TEST_F(ProcessorConfig, NamesWhatIsWrong) {
  const std::string error = ErrorOf(Budgets("many", 70));
  EXPECT_NE(error.find("processor_config.json: image_processor.max_soft_tokens"), std::string::npos)
      << error;
  EXPECT_NE(ErrorOf(Budgets(70, -1)).find("video_processor.max_soft_tokens"), std::string::npos);
  EXPECT_NE(ErrorOf(json::array()).find("processor_config.json"), std::string::npos);
}

TEST_F(ProcessorConfig, GoesIntoTheProjectorOfAGguf) {
  Write(Budgets(70, 140));
  const fs::path first = folder_.path() / "first.gguf", second = folder_.path() / "second.gguf";
  ASSERT_TRUE(ConvertToGguf({source_, first, DType::kF32, ConvertPart::kProjector}).ok());
  // And on to a GGUF that is made of that one.
  ASSERT_TRUE(ConvertToGguf({first, second, DType::kF16, ConvertPart::kProjector}).ok());
  for (const fs::path& mmproj : {first, second}) {
    EXPECT_EQ(BudgetsOf(LoadCheckpoint(kTiny / "gguf/model-f32.gguf", mmproj)), Pair(70, 140));
    const auto file = Gguf::Open(mmproj);
    ASSERT_TRUE(file.ok());
    EXPECT_EQ(*(*file)->Int("facet.image_budget"), 70);
  }
  EXPECT_EQ(
      BudgetsOf(LoadCheckpoint(kTiny / "gguf/model-f32.gguf", kTiny / "gguf/mmproj-f32.gguf")),
      Pair(280, 70));
}

// A configuration of twelve layers, the sixth and the last of them full ones.
class PerLayerConfig : public testing::Test {
 protected:
  static Result<ModelConfig> Read(const json& per_layer) {
    json config;
    std::ifstream(kTiny / "checkpoint/config.json") >> config;
    json& text = config["text_config"];
    text["num_hidden_layers"] = 12;
    json types = json::array();
    for (int i = 0; i < 12; ++i)
      types.push_back(i % 6 == 5 ? "full_attention" : "sliding_attention");
    text["layer_types"] = types;
    text["per_layer_config"] = per_layer;
    return ConfigFromJson(config, json());
  }
  static std::string ErrorOf(const json& per_layer) {
    const auto config = Read(per_layer);
    EXPECT_FALSE(config.ok()) << per_layer;
    return config.ok() ? "" : config.error().message;
  }
};

TEST_F(PerLayerConfig, KeysAreNumbersHoweverTheyArePadded) {
  const json shape = {{"head_dim", 32}, {"num_key_value_heads", 1}};
  const json spellings[] = {{{"5", shape}, {"11", shape}}, {{"05", shape}, {"11", shape}}};
  for (const json& per_layer : spellings) {
    const auto config = Read(per_layer);
    ASSERT_TRUE(config.ok()) << config.error().message;
    for (int i = 0; i < 12; ++i) {
      EXPECT_EQ(config->text.layers[i].head_dim, i % 6 == 5 ? 32 : 16) << per_layer << i;
      EXPECT_EQ(config->text.layers[i].kv_heads, i % 6 == 5 ? 1 : 2) << per_layer << i;
    }
  }
}

TEST_F(PerLayerConfig, RefusesWhatNamesNoLayerOrOneTwice) {
  const json shape = {{"head_dim", 32}};
  for (const char* key : {"12", "-1", "", "5 ", "0x5", "five", "99999999999999999999"}) {
    const std::string error = ErrorOf({{key, shape}});
    EXPECT_NE(error.find("per_layer_config"), std::string::npos) << error;
    EXPECT_NE(error.find(std::string("\"") + key + "\""), std::string::npos) << error;
  }
  EXPECT_NE(ErrorOf({{"5", shape}, {"05", shape}}).find("names layer 5 twice"), std::string::npos);
  EXPECT_NE(ErrorOf(json::array({shape})).find("per_layer_config"), std::string::npos);
}

}  // namespace
}  // namespace facet
