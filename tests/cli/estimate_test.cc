// `facet estimate`, run as a person would.
#include <nlohmann/json.hpp>

#include "support/command.h"

namespace facet {
namespace {

using nlohmann::json;

class EstimateCommand : public CommandTest {
 protected:
  json Estimate(const std::string& arguments) {
    const Finished finished = Run("estimate --json " + arguments);
    EXPECT_EQ(finished.code, 0) << finished.err;
    return json::parse(finished.out, nullptr, false);
  }
  // A checkpoint with nothing beside it.
  std::string Alone() {
    const auto folder = folder_.path() / "alone";
    std::filesystem::copy(Reference("tiny/checkpoint"), folder);
    return folder.string();
  }
};

TEST_F(EstimateCommand, CountsTheDrafterBesideTheModelOrTheOneThatIsNamed) {
  const std::string alone = Alone();
  const json plain = Estimate(alone);
  EXPECT_EQ(plain["drafter"], 0);
  const json beside = Estimate(Reference("tiny/checkpoint").string());
  EXPECT_GT(beside["drafter"], 0);
  EXPECT_EQ(beside["total"], plain["total"].get<size_t>() + beside["drafter"].get<size_t>());
  const std::string drafter = Reference("tiny/checkpoint-assistant").string();
  EXPECT_EQ(Estimate(alone + " --drafter " + drafter), beside);
  EXPECT_NE(Run("estimate " + alone + " --drafter " + drafter).out.find("drafter  "),
            std::string::npos);
}

TEST_F(EstimateCommand, KnowsAShortNameBeforeTheDownload) {
  setenv("XDG_DATA_HOME", (folder_.path() / "data").c_str(), 1);
  const json small = Estimate("gemma4-12b"), large = Estimate("gemma4-12b --ctx 131072");
  EXPECT_EQ(small["imported"], false);
  EXPECT_GT(small["weights"], 7'000'000'000);
  EXPECT_GT(small["cache"], 100'000'000);
  EXPECT_GT(large["cache"], small["cache"]);
  EXPECT_NE(Run("estimate gemma4-12b").out.find("facet import gemma4-12b"), std::string::npos);
  EXPECT_EQ(Run("estimate gemma4-13b").code, 1);
  unsetenv("XDG_DATA_HOME");
}

TEST_F(EstimateCommand, RefusesADrafterThatIsNone) {
  const std::string alone = Alone();
  const Finished refused = Run("estimate " + alone + " --drafter " + alone);
  EXPECT_NE(refused.code, 0);
  EXPECT_NE(refused.err.find("is not a drafter"), std::string::npos) << refused.err;
  EXPECT_NE(Run("estimate " + alone + " --tune --drafter " + alone).code, 0);
}

}  // namespace
}  // namespace facet
