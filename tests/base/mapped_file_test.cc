// Files as mapped memory, and whole files as strings.
#include "base/mapped_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "support/temp_folder.h"

namespace facet {
namespace {

namespace fs = std::filesystem;

class MappedFileTest : public testing::Test {
 protected:
  fs::path Make(const std::string& name, const std::string& content) {
    const fs::path path = folder_.path() / name;
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }
  static std::string Text(const MappedFile& file) {
    return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
  }

  TempFolder folder_;
};

TEST_F(MappedFileTest, HoldsEveryByteOfTheFile) {
  // Lengths around a page, where the mapping's last page is filled up with zeros.
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  for (const size_t size : {size_t{1}, page - 1, page, page + 1, 5 * page + 7}) {
    std::string content(size, '\0');
    for (size_t i = 0; i < size; ++i) content[i] = static_cast<char>(i * 31);
    const fs::path path = Make("file", content);
    const auto file = MappedFile::Open(path);
    ASSERT_TRUE(file.ok()) << file.error().message;
    EXPECT_EQ(Text(*file), content);
    EXPECT_EQ(file->path(), path);
  }
}

TEST_F(MappedFileTest, OfAnEmptyFileIsAnEmptySpan) {
  const auto file = MappedFile::Open(Make("empty", ""));
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_TRUE(file->bytes().empty());
  file->Drop(file->bytes());
}

TEST_F(MappedFileTest, KeepsItsBytesWhenItMoves) {
  auto opened = MappedFile::Open(Make("a", "first"));
  auto other = MappedFile::Open(Make("b", "second"));
  ASSERT_TRUE(opened.ok() && other.ok());
  const std::byte* data = opened->bytes().data();
  MappedFile moved(std::move(*opened));
  EXPECT_EQ(moved.bytes().data(), data);
  moved = std::move(*other);
  EXPECT_EQ(Text(moved), "second");
  moved = MappedFile();
  EXPECT_TRUE(moved.bytes().empty());
}

TEST_F(MappedFileTest, KeepsItsBytesWhenTheFileIsRemovedOrReplaced) {
  const fs::path path = Make("file", "old");
  const auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok());
  fs::rename(Make("other", "new"), path);
  EXPECT_EQ(Text(*file), "old");
  fs::remove(path);
  EXPECT_EQ(Text(*file), "old");
}

TEST_F(MappedFileTest, CanBeReadAgainAfterItsPagesWereDropped) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const std::string content(4 * page + 100, 'x');
  const auto file = MappedFile::Open(Make("file", content));
  ASSERT_TRUE(file.ok());
  file->Drop(file->bytes().subspan(10, 3 * page));
  EXPECT_EQ(Text(*file), content);
  file->Drop(file->bytes());
  EXPECT_EQ(Text(*file), content);
}

TEST_F(MappedFileTest, SaysWhatCannotBeOpened) {
  const auto missing = MappedFile::Open(folder_.path() / "nothing");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().kind, ErrorKind::kNotFound);
  EXPECT_NE(missing.error().message.find("nothing"), std::string::npos);
  const auto below = MappedFile::Open(Make("file", "x") / "below");
  ASSERT_FALSE(below.ok());
  EXPECT_EQ(below.error().kind, ErrorKind::kNotFound);
  const auto folder = MappedFile::Open(folder_.path());
  ASSERT_FALSE(folder.ok());
  EXPECT_NE(folder.error().message.find("not a regular file"), std::string::npos);
  if (geteuid() != 0) {
    const fs::path secret = Make("secret", "x");
    fs::permissions(secret, fs::perms::none);
    const auto closed = MappedFile::Open(secret);
    ASSERT_FALSE(closed.ok());
    EXPECT_EQ(closed.error().kind, ErrorKind::kPermission);
  }
}

// What is no file is refused at once, whoever holds the other end of it.
TEST_F(MappedFileTest, PipesFoldersAndDevicesAreNoFiles) {
  const fs::path pipe = folder_.path() / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  for (const fs::path& path :
       {pipe, fs::path("/dev/zero"), fs::path("/dev/null"), folder_.path()}) {
    EXPECT_FALSE(OpenFile(path).ok()) << path;
    EXPECT_FALSE(MappedFile::Open(path).ok()) << path;
    EXPECT_FALSE(CheckIsFile(path).ok()) << path;
    const auto read = ReadFile(path);
    ASSERT_FALSE(read.ok()) << path;
    EXPECT_EQ(read.error().kind, ErrorKind::kInvalid);
    EXPECT_NE(read.error().message.find(path.string()), std::string::npos);
  }
  EXPECT_TRUE(CheckIsFile(folder_.path() / "nothing").ok());
  EXPECT_TRUE(CheckIsFile(Make("file", "x")).ok());
}

TEST_F(MappedFileTest, ReadsFilesWhoseSizeIsNotKnown) {
  const auto status = ReadFile("/proc/self/status");  // its size is said to be 0
  if (!fs::exists("/proc/self/status")) GTEST_SKIP();
  ASSERT_TRUE(status.ok());
  EXPECT_TRUE(status->starts_with("Name:"));
  const std::string large(9 << 20, 'x');
  EXPECT_EQ(*ReadFile(Make("large", large)), large);
}

TEST_F(MappedFileTest, ReadFileGivesTheWholeFileOrNamesIt) {
  const std::string content("a\0b\r\n\xff", 6);
  const auto read = ReadFile(Make("file", content));
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(*read, content);
  const auto missing = ReadFile(folder_.path() / "nothing");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().kind, ErrorKind::kNotFound);
  EXPECT_NE(missing.error().message.find("nothing"), std::string::npos);
  EXPECT_FALSE(ReadFile(folder_.path()).ok());
}

}  // namespace
}  // namespace facet
