#include "hub/cache.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <set>
#include <thread>

#include "base/atomic_file.h"
#include "base/mapped_file.h"
#include "base/os/os.h"

namespace facet {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kStage = ".facet-stage";
constexpr std::string_view kCacheTag =
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This folder is a cache (https://bford.info/cachedir/); models are kept here by the Hugging "
    "Face layout.\n";

int64_t FileBytes(const fs::path& path) {
  std::error_code code;
  if (!fs::is_regular_file(path, code)) return -1;
  const uintmax_t bytes = fs::file_size(path, code);
  return code ? -1 : static_cast<int64_t>(bytes);
}

// True where `path` lies inside `root`; both without links.
bool Inside(const fs::path& path, const fs::path& root) {
  const auto [end, unused] = std::mismatch(root.begin(), root.end(), path.begin(), path.end());
  return end == root.end();
}

// Creates the folders between `root` and the file, none of which may be a link to somewhere else.
Result<void> MakeParents(const fs::path& root, const PathUnder& name) {
  fs::path at = root;
  for (const fs::path& part : fs::path(name.text()).parent_path()) {
    at /= part;
    std::error_code code;
    fs::create_directory(at, code);
    if (fs::symlink_status(at, code).type() != fs::file_type::directory) {
      return Error{Cat(at.string(), ": expected a folder of the cache"), ErrorKind::kInvalid};
    }
  }
  return Ok();
}

void RemoveEmptyFolders(fs::path from, const fs::path& until) {
  std::error_code code;
  while (from != until && Inside(from, until) && fs::is_empty(from, code) && !code) {
    fs::remove(from, code);
    from = from.parent_path();
  }
}

}  // namespace

HubCache::HubCache(fs::path cache, RepoId repo)
    : cache_(std::move(cache)), folder_(cache_ / repo.folder()), repo_(std::move(repo)) {}

fs::path HubCache::Incomplete(const Digest& digest) const {
  return folder_ / "blobs" / (digest.hex() + ".incomplete");
}

fs::path HubCache::Snapshot(std::string_view commit) const {
  assert(IsCommit(commit));
  return folder_ / "snapshots" / commit;
}

bool HubCache::Has(const Digest& digest, int64_t bytes) const {
  return FileBytes(Blob(digest)) == bytes;
}

bool HubCache::HasInSnapshot(std::string_view commit, const PathUnder& name, int64_t bytes) const {
  return FileBytes(name.In(Snapshot(commit))) == bytes;
}

int64_t HubCache::IncompleteBytes(const Digest& digest) const {
  return std::max<int64_t>(FileBytes(Incomplete(digest)), 0);
}

Result<std::string> HubCache::Commit(std::string_view revision) const {
  if (IsCommit(revision)) return std::string(revision);
  FACET_ASSIGN(const PathUnder name, PathUnder::Parse(revision, "revision"));
  auto text = ReadFile(name.In(folder_ / "refs"));
  if (!text.ok()) {
    return Error{Cat("revision '", revision, "' of ", repo_.text(), " is not in the cache ",
                     cache_.string()),
                 ErrorKind::kNotFound};
  }
  FACET_ASSIGN(const Digest commit, Digest::Parse(*text, name.In(folder_ / "refs").string()));
  if (commit.is_sha256())
    return Expected("a commit", commit.hex(), name.In(folder_ / "refs").string());
  return commit.hex();
}

Result<std::vector<HubCache::File>> HubCache::Files(std::string_view commit) const {
  const fs::path root = Snapshot(commit);
  std::error_code code;
  const fs::path cache = fs::canonical(cache_, code);
  if (code || !fs::is_directory(root, code)) {
    return Error{Cat(root.string(), ": no such snapshot in the cache"), ErrorKind::kNotFound};
  }
  std::vector<File> files;
  for (fs::recursive_directory_iterator it(root, code), end; !code && it != end;
       it.increment(code)) {
    if (it->is_directory(code) && !it->is_symlink(code)) continue;
    const fs::path target = fs::canonical(it->path(), code);
    if (code) {  // a link whose blob has been deleted
      code.clear();
      continue;
    }
    if (!Inside(target, cache)) {
      return Error{Cat(it->path().string(), ": links out of the cache, to ", target.string()),
                   ErrorKind::kInvalid};
    }
    FACET_ASSIGN(PathUnder name,
                 PathUnder::Parse(it->path().lexically_relative(root).generic_string(),
                                  "file in the cache"));
    if (const int64_t bytes = FileBytes(target); bytes >= 0) {
      files.push_back({std::move(name), it->path(), target, bytes});
    }
  }
  if (code) return SystemError(code.value(), root.string());
  std::sort(files.begin(), files.end(),
            [](const File& a, const File& b) { return a.name < b.name; });
  return files;
}

Result<BlobLock> HubCache::LockNamed(const std::string& name,
                                     const std::function<bool()>& keep_waiting) const {
  const fs::path path = cache_ / ".locks" / repo_.folder() / name;
  FACET_TRY(MakeFolders(path.parent_path()));
  Descriptor file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
  if (!file.valid()) return SystemError(errno, path.string());
  // Some network file systems have no locks; the digests still protect the content.
  while (LockFile(file.get(), LockWait::kNo) == LockOutcome::kHeldElsewhere) {
    if (keep_waiting && !keep_waiting()) return Error{"cancelled", ErrorKind::kCancelled};
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
  return BlobLock(std::move(file));
}

Result<BlobLock> HubCache::Lock(const Digest& digest,
                                const std::function<bool()>& keep_waiting) const {
  return LockNamed(digest.hex() + ".lock", keep_waiting);
}

Result<void> HubCache::Prepare() const {
  for (const char* part : {"blobs", "refs", "snapshots"}) FACET_TRY(MakeFolders(folder_ / part));
  std::error_code code;
  if (const fs::path tag = cache_ / "CACHEDIR.TAG"; !fs::exists(tag, code)) {
    FACET_TRY(WriteFile(tag, kCacheTag));
  }
  return Ok();
}

Result<void> HubCache::Link(const fs::path& snapshot, const PathUnder& name,
                            const Digest& digest) const {
  FACET_TRY(MakeParents(snapshot, name));
  std::string up = "../../";
  for (int i = 0; i < name.depth(); ++i) up += "../";
  const fs::path path = name.In(snapshot);
  const fs::path temporary = path.string() + Cat(".", getpid(), ".part");
  std::error_code code;
  fs::remove(temporary, code);
  fs::create_symlink(up + "blobs/" + digest.hex(), temporary, code);
  if (!code) fs::rename(temporary, path, code);
  if (code) {
    const Error error = SystemError(code.value(), path.string());
    fs::remove(temporary, code);
    return error;
  }
  return Ok();
}

Result<void> HubCache::Publish(std::string_view commit, const PathUnder& revision,
                               const std::vector<std::pair<PathUnder, Digest>>& files) const {
  FACET_ASSIGN(const BlobLock lock, LockNamed("facet-publish.lock", nullptr));
  const fs::path snapshot = Snapshot(commit), stage = folder_ / kStage;
  std::error_code code;
  fs::remove_all(stage, code);  // of an import that was killed
  const bool fresh = !fs::exists(snapshot, code);
  if (fresh) FACET_TRY(MakeFolders(stage));
  for (const auto& [name, digest] : files) {
    if (!fresh && fs::exists(name.In(snapshot), code)) continue;
    FACET_TRY(Link(fresh ? stage : snapshot, name, digest));
  }
  FACET_TRY(FlushTree(fresh ? stage : snapshot));
  if (fresh) FACET_TRY(RenameAndFlush(stage, snapshot));
  if (revision.text() == commit) return Ok();
  FACET_TRY(MakeParents(folder_ / "refs", revision));
  return WriteFile(revision.In(folder_ / "refs"), commit);
}

Result<std::vector<fs::path>> HubCache::Unused(std::string_view commit,
                                               const std::vector<std::string>& files) const {
  std::set<fs::path> candidates, used;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(folder_ / "snapshots", code)) {
    const std::string name = entry.path().filename().string();
    if (!IsCommit(name)) continue;
    FACET_ASSIGN(const auto all, Files(name));
    for (const File& file : all) {
      const bool wanted =
          name == commit && std::find(files.begin(), files.end(), file.name.text()) != files.end();
      (wanted ? candidates : used).insert(file.blob);
    }
  }
  std::vector<fs::path> unused;
  // Blobs of other repositories, in a store shared between them, are not ours to delete.
  const fs::path own = fs::canonical(folder_, code);
  std::copy_if(candidates.begin(), candidates.end(), std::back_inserter(unused),
               [&](const fs::path& blob) { return !used.contains(blob) && Inside(blob, own); });
  return unused;
}

Result<int64_t> HubCache::Removable(std::string_view commit,
                                    const std::vector<std::string>& files) const {
  FACET_ASSIGN(const auto unused, Unused(commit, files));
  int64_t bytes = 0;
  for (const fs::path& blob : unused) bytes += std::max<int64_t>(FileBytes(blob), 0);
  return bytes;
}

Result<int64_t> HubCache::Remove(std::string_view commit,
                                 const std::vector<std::string>& files) const {
  FACET_ASSIGN(const BlobLock lock, LockNamed("facet-publish.lock", nullptr));
  FACET_ASSIGN(const auto unused, Unused(commit, files));
  const fs::path snapshot = Snapshot(commit);
  std::error_code code;
  for (const std::string& text : files) {
    FACET_ASSIGN(const PathUnder name, PathUnder::Parse(text, "file of the model"));
    fs::remove(name.In(snapshot), code);
    RemoveEmptyFolders(name.In(snapshot).parent_path(), folder_ / "snapshots");
  }
  int64_t freed = 0;
  for (const fs::path& blob : unused) {
    const int64_t bytes = FileBytes(blob);
    if (fs::remove(blob, code)) freed += std::max<int64_t>(bytes, 0);
  }
  // Names of a snapshot that is gone would mislead offline look-ups.
  if (!fs::exists(snapshot, code)) {
    for (fs::recursive_directory_iterator it(folder_ / "refs", code), end; !code && it != end;
         it.increment(code)) {
      if (!it->is_regular_file(code)) continue;
      if (const auto text = ReadFile(it->path()); text.ok() && *text == commit)
        fs::remove(it->path(), code);
    }
  }
  return freed;
}

}  // namespace facet
