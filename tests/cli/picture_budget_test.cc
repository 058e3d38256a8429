// A checkpoint's own picture budget, as commands follow it.
#include <fstream>
#include <nlohmann/json.hpp>

#include "support/command.h"

namespace facet {
namespace {

using nlohmann::json;

class PictureBudgetCommand : public CommandTest {
 protected:
  PictureBudgetCommand() {
    std::filesystem::copy(Reference("tiny/checkpoint"), model_);
    json processor = json::parse(*ReadFile(model_ / "processor_config.json"));
    processor["image_processor"]["max_soft_tokens"] = 70;
    std::ofstream(model_ / "processor_config.json") << processor;
  }
  // Tokens of a prompt that is a picture.
  int Tokens(const std::filesystem::path& model, const std::string& options = "") const {
    const Finished finished =
        Run("run " + model.string() + " --image " + Reference("tiny/media/photo.png").string() +
            " --max-tokens 1 --threads 1 --json x " + options);
    EXPECT_EQ(finished.code, 0) << finished.err;
    return finished.code == 0 ? json::parse(finished.out)["usage"]["prompt_tokens"].get<int>() : 0;
  }

  const std::filesystem::path model_ = folder_.path() / "model";
};

TEST_F(PictureBudgetCommand, HoldsUnlessTheCommandLineSaysOtherwise) {
  const int usual = Tokens(Reference("tiny/checkpoint")), own = Tokens(model_);
  EXPECT_LT(own + 70, usual);
  EXPECT_EQ(Tokens(model_, "--image-budget 280"), usual);
  EXPECT_EQ(Tokens(Reference("tiny/checkpoint"), "--image-budget 70"), own);
  const Finished refused = Run("run " + model_.string() + " x --image-budget 100");
  EXPECT_NE(refused.code, 0);
  EXPECT_NE(refused.err.find("--image-budget"), std::string::npos) << refused.err;
}

}  // namespace
}  // namespace facet
