// What a checkpoint's processor says about pictures, from its folder and through a GGUF.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "formats/gguf.h"
#include "model/convert.h"
#include "model/weights.h"
#include "support/temp_folder.h"

namespace facet {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const fs::path kTiny = FACET_TESTS_DIR "/reference/tiny";

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

}  // namespace
}  // namespace facet
