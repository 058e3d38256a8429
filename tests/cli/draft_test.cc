// `facet run --draft`, run as a person would.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "formats/temp_folder.h"
#include "formats/vocabularies.h"

namespace facet {
namespace {

using nlohmann::json;

class DraftCommand : public testing::Test {
 protected:
  DraftCommand() { UseTestCache(); }

  // Standard output; the exit code in `code_`.
  std::string Run(const std::string& arguments) {
    const std::string command = std::string(FACET_BINARY) + " " + arguments + " < /dev/null 2> " +
                                (folder_.path() / "err").string();
    std::string out;
    FILE* pipe = popen(command.c_str(), "r");
    char buffer[4096];
    for (size_t n; (n = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) out.append(buffer, n);
    code_ = WEXITSTATUS(pclose(pipe));
    return out;
  }
  std::string Stderr() const { return *ReadFile(folder_.path() / "err"); }
  json Ask(const std::string& model, const std::string& options) {
    const std::string out =
        Run("run " + model +
            " 'one two three one two three one two' --threads 1 --max-tokens 60 "
            "--seed 3 --json " +
            options);
    EXPECT_EQ(code_, 0) << Stderr();
    return json::parse(out, nullptr, false);
  }

  TempFolder folder_;
  int code_ = -1;
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
    Run("run " + model + " Hi --draft " + draft);
    EXPECT_NE(code_, 0) << draft;
    EXPECT_NE(Stderr().find("off, auto or 1 to 16"), std::string::npos) << Stderr();
  }
  Run("run " + model + " Hi --drafter " + model);
  EXPECT_NE(code_, 0);
  EXPECT_NE(Stderr().find("is not a drafter"), std::string::npos) << Stderr();
  Run("run " + model + " Hi --draft off --drafter " + model);
  EXPECT_NE(code_, 0);
}

}  // namespace
}  // namespace facet
