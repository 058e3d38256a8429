// What a sandbox may send, however hostile, and how it reaches the disk.
#include "sandbox/results.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/mapped_file.h"
#include "sandbox/cgroup.h"
#include "sandbox/process.h"
#include "sandbox/seccomp.h"
#include "support/temp_folder.h"

namespace facet::sandbox {
namespace {

namespace fs = std::filesystem;

TEST(CleanText, KeepsTextAndDropsWhatSteersTerminals) {
  EXPECT_EQ(CleanText("Grüße 你好 🙂\tx\n", 100), "Grüße 你好 🙂\tx\n");
  EXPECT_EQ(CleanText("a\033[1;31mb\033[0m\033]52;c;aGk=\ac\033P1$q\033\\d\033c", 100), "abcd");
  EXPECT_EQ(CleanText("10%\r20%\r\nend\a\b\x7f", 100), "10%\n20%\nend");
  EXPECT_EQ(CleanText("a\xFF\xC2\x9B b\u202e", 100), "a\xEF\xBF\xBD b\xEF\xBF\xBD");
  EXPECT_EQ(CleanText("\033[", 100), "");
  EXPECT_EQ(CleanText("\033", 100), "");
}

TEST(CleanText, LeavesOutTheMiddleBetweenCharacters) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "é";
  const std::string cut = CleanText(text, 101);
  EXPECT_LT(cut.size(), 140u);
  EXPECT_NE(cut.find("\n... "), std::string::npos);
  EXPECT_EQ(cut.find("\xEF\xBF\xBD"), std::string::npos);
  EXPECT_EQ(CleanText(cut, 1000), cut);
}

TEST(PlainName, RefusesWhatLeadsElsewhere) {
  for (const char* fine : {"a.csv", "sub/b.txt", "Größe 1.txt"})
    EXPECT_TRUE(IsPlainName(fine)) << fine;
  for (const char* bad : {"", "/etc/x", "../x", "a/../b", "a//b", "a/", ".bashrc", "a/.git/hooks",
                          "a\nb", "a\033b", "a\\b", "\xFF", ".", "a/."})
    EXPECT_FALSE(IsPlainName(bad)) << bad;
  EXPECT_FALSE(IsPlainName(std::string(121, 'a')));
  EXPECT_FALSE(IsPlainName("a/b/c/d/e/f/g/h/i"));
}

TEST(MakeOutcome, SortsWhatArrives) {
  RawOutcome raw;
  raw.end = "exit 0";
  raw.files = {{"../../evil", "x"}, {"a.txt", "text"}, {"no.png", "no picture"}};
  raw.left_out = {"big\033[2J.bin"};
  const Outcome outcome = MakeOutcome(raw, {});
  EXPECT_TRUE(outcome.ok());
  ASSERT_EQ(outcome.files.size(), 1u);
  EXPECT_EQ(outcome.files[0].name, "a.txt");
  EXPECT_TRUE(outcome.pictures.empty());
  ASSERT_EQ(outcome.left_out.size(), 3u);
  EXPECT_EQ(outcome.left_out[2], "big.bin: too large, or one too many");
}

TEST(MakeOutcome, KnowsEveryEnd) {
  const auto end = [](const std::string& text) {
    RawOutcome raw;
    raw.end = text;
    return MakeOutcome(raw, {}).end;
  };
  using End = Outcome::End;
  EXPECT_EQ(end("exit 0"), End::kFinished);
  EXPECT_EQ(end("exit 7"), End::kFailed);
  EXPECT_EQ(end("signal 9"), End::kDied);
  EXPECT_EQ(end("excess memory"), End::kMemory);
  EXPECT_EQ(end("excess threads"), End::kThreads);
  EXPECT_EQ(end("excess inodes"), End::kFiles);
  EXPECT_EQ(end("time"), End::kTime);
  EXPECT_EQ(end("printed"), End::kPrinted);
  EXPECT_EQ(end("cancelled"), End::kCancelled);
  for (const char* nonsense : {"", "exit", "exit x", "done", "exitexit 0 0"})
    EXPECT_NE(end(nonsense), End::kMemory) << nonsense;
}

TEST(KeepFilesTest, NeverFollowsLinks) {
  const TempFolder folder, other;
  const fs::path secret = other.path() / "secret";
  ASSERT_TRUE(WriteFile(secret, "untouched").ok());
  fs::create_symlink(secret, folder.path() / "a.txt");
  fs::create_directory_symlink(other.path(), folder.path() / "sub");
  Outcome outcome;
  outcome.files = {{"a.txt", "new"}};
  ASSERT_TRUE(KeepFiles(folder.path(), outcome).ok());
  EXPECT_EQ(*ReadFile(secret), "untouched");
  EXPECT_FALSE(fs::is_symlink(folder.path() / "a.txt"));
  EXPECT_EQ(*ReadFile(folder.path() / "a.txt"), "new");
  outcome.files = {{"sub/secret", "new"}};
  EXPECT_FALSE(KeepFiles(folder.path(), outcome).ok());
  EXPECT_EQ(*ReadFile(secret), "untouched");
  outcome.files = {{"../escaped", "new"}};
  EXPECT_FALSE(KeepFiles(folder.path(), outcome).ok());
}

// As a person's session has it: the group of the program may have siblings.
TEST(Cgroup, IsMadeWhereOneMayBeMade) {
  const TempFolder root;
  const fs::path slice = root.path() / "user.slice/app.slice";
  fs::create_directories(slice / "terminal.scope");
  const auto put = [](const fs::path& file, const char* text) {
    ASSERT_TRUE(WriteFile(file, text).ok());
  };
  put(root.path() / "membership", "1:name=systemd:/\n0::/user.slice/app.slice/terminal.scope\n");
  put(slice / "cgroup.subtree_control", "cpu memory pids\n");
  put(slice / "cgroup.procs", "");
  Descriptor members;
  const auto make = [&] {
    return MakeCgroup(1 << 20, 8, members, root.path().string(),
                      (root.path() / "membership").string());
  };
  EXPECT_EQ(make(), "");  // its files do not appear by themselves here
  put(slice / "cgroup.subtree_control", "cpu\n");
  EXPECT_EQ(make(), "");
  put(root.path() / "membership", "1:name=systemd:/\n");
  EXPECT_EQ(make(), "");
  RemoveCgroup("");
  EndCgroup("");
}

TEST(CommandTest, ReportsExitCodesAndWhatIsNotThere) {
  const auto code = [](std::vector<std::string> words) {
    return RunCommand({.words = std::move(words), .input = {}, .output = {}, .quiet = true});
  };
  EXPECT_EQ(*code({"sh", "-c", "exit 3"}), 3);
  EXPECT_EQ(*code({"sh", "-c", "kill -9 $$"}), 128 + 9);
  const auto missing = code({"no-such-program-here"});
  EXPECT_TRUE(!missing.ok() || *missing == 127);
}

TEST(Filters, AreWholeAndMarkThePlaceOfTheProcess) {
  const std::string outer = SandboxFilter(), inner = ProgramFilter();
  if (outer.empty()) GTEST_SKIP() << "not on this processor";
  EXPECT_EQ(outer.size() % 8, 0u);
  EXPECT_EQ(inner.size() % 8, 0u);
  size_t marks = 0;
  const uint32_t mark = kOwnPidMark;
  const std::string bytes(reinterpret_cast<const char*>(&mark), sizeof(mark));
  for (size_t at = inner.find(bytes); at != std::string::npos; at = inner.find(bytes, at + 1))
    ++marks;
  EXPECT_EQ(marks, 2u);
}

}  // namespace
}  // namespace facet::sandbox
