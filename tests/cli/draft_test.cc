// `facet run --draft`, run as a person would.
#include <nlohmann/json.hpp>

#include "support/command.h"

namespace facet {
namespace {

using nlohmann::json;

class DraftCommand : public CommandTest {
 protected:
  json Ask(const std::string& model, const std::string& options) {
    const Finished finished =
        Run("run " + model +
            " 'one two three one two three one two' --threads 1 --max-tokens 60 "
            "--seed 3 --json " +
            options);
    EXPECT_EQ(finished.code, 0) << finished.err;
    return json::parse(finished.out, nullptr, false);
  }
};

TEST_F(DraftCommand, TextStaysAndDraftsAreCounted) {
  for (const char* model : {"tiny/checkpoint", "tiny/gguf/model-q8_0.gguf"}) {
    const std::string path = Reference(model).string();
    for (const char* sampling : {"--temperature 0", "--temperature 0.7"}) {
      const json plain = Ask(path, std::string(sampling) + " --draft off");
      const json drafted = Ask(path, std::string(sampling) + " --draft 4");
      EXPECT_EQ(drafted["content"], plain["content"]) << model;
      EXPECT_FALSE(plain["timings"].contains("draft_n"));
      EXPECT_GT(drafted["timings"]["draft_n"], 0) << model;  // by the drafter beside the model
      EXPECT_LE(drafted["timings"]["draft_n_accepted"], drafted["timings"]["draft_n"]);
    }
  }
}

TEST_F(DraftCommand, RefusesWhatItCannotDo) {
  const std::string model = Reference("tiny/checkpoint").string();
  for (const char* draft : {"0", "17", "-1", "fast", "4x"}) {
    const Finished refused = Run("run " + model + " Hi --draft " + draft);
    EXPECT_NE(refused.code, 0) << draft;
    EXPECT_NE(refused.err.find("off, auto or 1 to 16"), std::string::npos) << refused.err;
  }
  const Finished refused = Run("run " + model + " Hi --drafter " + model);
  EXPECT_NE(refused.code, 0);
  EXPECT_NE(refused.err.find("is not a drafter"), std::string::npos) << refused.err;
  EXPECT_NE(Run("run " + model + " Hi --draft off --drafter " + model).code, 0);
}

}  // namespace
}  // namespace facet
