#include "tune/run/folder_lock.h"

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <thread>
#include <vector>

#include "support/temp_folder.h"

namespace facet::tune {
namespace {

namespace fs = std::filesystem;

TEST(FolderLock, RemovesOnlyAnEmptyFolderOfItsOwn) {
  TempFolder folder;
  const fs::path out = folder.path() / "out";
  ASSERT_TRUE(FolderLock::Take(out).ok());
  EXPECT_FALSE(fs::exists(out));
  {
    const auto lock = FolderLock::Take(out);
    ASSERT_TRUE(lock.ok());
    std::ofstream(out / "result") << "1";
  }
  EXPECT_TRUE(fs::exists(out / "result"));
  fs::remove(out / "result");
  ASSERT_TRUE(FolderLock::Take(out).ok());  // empty, and somebody else's
  EXPECT_TRUE(fs::exists(out));
}

TEST(FolderLock, ARefusedRunLeavesTheFolderOfTheRunningOne) {
  TempFolder folder;
  const fs::path out = folder.path() / "out";
  const auto running = FolderLock::Take(out);
  ASSERT_TRUE(running.ok());
  const auto refused = FolderLock::Take(out);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::kResource);
  EXPECT_TRUE(fs::exists(out));
}

// Runs that begin and fail at the same moment make, lock and remove one folder over and over. Never
// do two hold it, and whoever holds it has the folder that the path names.
TEST(FolderLock, OneHolderWhileTheFolderComesAndGoes) {
  TempFolder folder;
  const fs::path out = folder.path() / "out";
  std::atomic<int> holders = 0, taken = 0, wrong = 0;
  std::vector<std::thread> runs;
  for (int t = 0; t < 4; ++t) {
    runs.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        const auto lock = FolderLock::Take(out);
        if (!lock.ok()) {
          wrong += lock.error().kind != ErrorKind::kResource;
          continue;
        }
        ++taken;
        wrong += holders.fetch_add(1) != 0;
        const fs::path mine = out / std::to_string(t);
        wrong += !std::ofstream(mine).is_open();
        std::error_code code;
        fs::remove(mine, code);
        holders.fetch_sub(1);
      }
    });
  }
  for (std::thread& run : runs) run.join();
  EXPECT_GT(taken, 0);
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace facet::tune
