#include "base/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <vector>

#include "base/mapped_file.h"
#include "base/scratch_folder.h"

namespace {

// What was flushed, in order, by this program's own fsync, which the library's calls reach too.
std::vector<std::filesystem::path> g_flushed;
int g_failure = 0;  // errno of every fsync; 0: they succeed

}  // namespace

extern "C" int fsync(int fd) {
  g_flushed.push_back(std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd)));
  if (g_failure == 0) return static_cast<int>(syscall(SYS_fsync, fd));
  errno = g_failure;
  return -1;
}

namespace facet {
namespace {

namespace fs = std::filesystem;

class AtomicFileTest : public testing::Test {
 protected:
  AtomicFileTest() { g_flushed.clear(); }
  ~AtomicFileTest() override { g_failure = 0; }

  std::string Content() const { return *ReadFile(path_); }
  size_t FilesInFolder() const {
    return std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator());
  }

  ScratchFolder folder_;
  const fs::path path_ = folder_.path() / "file";
};

// Writing beyond this size fails, as on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit before_{};
};

TEST_F(AtomicFileTest, ReplacesTheContentAndLeavesNothingElse) {
  ASSERT_TRUE(WriteFile(path_, "old").ok());
  ASSERT_TRUE(WriteFile(path_, "new and longer").ok());
  EXPECT_EQ(Content(), "new and longer");
  EXPECT_EQ(FilesInFolder(), 1u);
}

TEST_F(AtomicFileTest, FlushesTheFileThenTheFolder) {
  auto file = AtomicFile::Create(path_);
  ASSERT_TRUE(file.ok());
  const fs::path part = file->part();
  ASSERT_TRUE(file->Write("content").ok());
  EXPECT_TRUE(g_flushed.empty());
  ASSERT_TRUE(file->Commit().ok());
  // The file still had its other name when it was flushed.
  EXPECT_EQ(g_flushed, (std::vector<fs::path>{part, folder_.path()}));
}

TEST_F(AtomicFileTest, FlushesTheFoldersOfNewNames) {
  ASSERT_TRUE(MakeFolders(folder_.path() / "a" / "b").ok());
  EXPECT_EQ(g_flushed, (std::vector<fs::path>{folder_.path(), folder_.path() / "a"}));
  g_flushed.clear();
  ASSERT_TRUE(MakeFolders(folder_.path() / "a" / "b").ok());
  EXPECT_TRUE(g_flushed.empty());

  ASSERT_TRUE(WriteFile(folder_.path() / "a" / "b" / "c", "c").ok());
  g_flushed.clear();
  ASSERT_TRUE(FlushTree(folder_.path() / "a").ok());
  ASSERT_TRUE(RenameAndFlush(folder_.path() / "a", folder_.path() / "z").ok());
  EXPECT_EQ(g_flushed,
            (std::vector<fs::path>{folder_.path() / "a" / "b", folder_.path() / "a" / "b" / "c",
                                   folder_.path() / "a", folder_.path()}));
}

TEST_F(AtomicFileTest, KeepsTheOldContentWhereWritingFails) {
  ASSERT_TRUE(WriteFile(path_, "old").ok());
  {
    const FileSizeLimit limit(1000);
    const auto written = WriteFile(path_, std::string(5000, 'x'));
    ASSERT_FALSE(written.ok());
    EXPECT_TRUE(written.error().message.starts_with(path_.string())) << written.error().message;
    // A failure holds: what follows would leave a hole.
    auto file = AtomicFile::Create(path_);
    ASSERT_TRUE(file.ok());
    EXPECT_FALSE(file->Write(std::string(1 << 20, 'x')).ok());
    EXPECT_FALSE(file->Write("y").ok() && file->Commit().ok());
  }
  EXPECT_EQ(Content(), "old");
  EXPECT_EQ(FilesInFolder(), 1u);
}

TEST_F(AtomicFileTest, KeepsTheOldContentWhereTheDeviceFails) {
  ASSERT_TRUE(WriteFile(path_, "old").ok());
  g_failure = EIO;
  const auto written = WriteFile(path_, "new");
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.error().kind, ErrorKind::kIo);
  g_failure = ENOSPC;
  EXPECT_EQ(WriteFile(path_, "new").error().kind, ErrorKind::kResource);
  EXPECT_EQ(Content(), "old");
  EXPECT_EQ(FilesInFolder(), 1u);
}

TEST_F(AtomicFileTest, KeepsTheOldContentWithoutACommit) {
  ASSERT_TRUE(WriteFile(path_, "old").ok());
  {
    auto file = AtomicFile::Create(path_);
    ASSERT_TRUE(file.ok() && file->Write("new").ok());
    const AtomicFile moved = std::move(*file);
    EXPECT_EQ(FilesInFolder(), 2u);
  }
  EXPECT_EQ(Content(), "old");
  EXPECT_EQ(FilesInFolder(), 1u);
}

TEST_F(AtomicFileTest, LeavesNothingWhereTheNameIsTaken) {
  fs::create_directories(path_ / "inside");
  EXPECT_FALSE(WriteFile(path_, "content").ok());
  EXPECT_EQ(FilesInFolder(), 1u);
  EXPECT_EQ(WriteFile(folder_.path() / "missing" / "file", "").error().kind, ErrorKind::kNotFound);
}

// Pieces below, at and above the size of the buffer, and what is corrected afterwards.
TEST_F(AtomicFileTest, HoldsEveryPieceInItsPlace) {
  auto file = AtomicFile::Create(path_, 0600);
  ASSERT_TRUE(file.ok());
  std::string expected;
  for (const size_t size : {1, 7, 100'000, 262'144, 3, 500'000, 262'143, 1, 262'145, 12}) {
    const std::string piece(size, static_cast<char>('a' + expected.size() % 26));
    expected += piece;
    ASSERT_TRUE(file->Write(piece).ok());
    ASSERT_TRUE(size != 500'000 || file->FlushPages().ok());
  }
  EXPECT_EQ(file->size(), expected.size());
  const std::string_view header = "HEADER";
  ASSERT_TRUE(file->WriteAt(2, std::as_bytes(std::span(header))).ok());
  expected.replace(2, header.size(), header);
  ASSERT_TRUE(file->Commit().ok());
  EXPECT_EQ(Content(), expected);
  struct stat info {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

}  // namespace
}  // namespace facet
