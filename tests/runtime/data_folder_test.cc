#include "runtime/data_folder.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "base/scratch_folder.h"

namespace facet {
namespace {

namespace fs = std::filesystem;

class DataFolder : public testing::Test {
 protected:
  void TearDown() override { unsetenv("FACET_DATA_DIR"); }
};

TEST_F(DataFolder, HoldsTheVocabularyOfScripts) {
  const auto found = FindData("vocab/gemma4.gguf");
  ASSERT_TRUE(found.ok()) << found.error().message;
  EXPECT_TRUE(fs::is_regular_file(*found));
}

TEST_F(DataFolder, IsTheOneThatTheEnvironmentNamesFirst) {
  const ScratchFolder scratch;
  fs::create_directories(scratch.path() / "vocab");
  std::ofstream(scratch.path() / "vocab" / "gemma4.gguf") << "mine";
  setenv("FACET_DATA_DIR", scratch.path().c_str(), 1);
  EXPECT_EQ(*FindData("vocab/gemma4.gguf"), scratch.path() / "vocab" / "gemma4.gguf");
  // What it lacks is looked for beside the program.
  const auto model = FindData("models/pebble");
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_NE(model->parent_path().parent_path(), scratch.path());
}

TEST_F(DataFolder, SaysWhereItLooked) {
  setenv("FACET_DATA_DIR", "/nowhere/facet-data", 1);
  const auto found = FindData("vocab/none.gguf");
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().kind, ErrorKind::kNotFound);
  for (const fs::path& folder : DataFolders())
    EXPECT_NE(found.error().message.find(folder.string()), std::string::npos) << folder;
}

}  // namespace
}  // namespace facet
