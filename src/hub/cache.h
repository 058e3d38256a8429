// The Hugging Face cache as the official client lays it out, shared with every program that uses
// it:
//   CACHE/models--owner--name/blobs/ETAG
//   CACHE/models--owner--name/refs/REVISION
//   CACHE/models--owner--name/snapshots/COMMIT/FILE -> ../../blobs/ETAG
//   CACHE/.locks/models--owner--name/ETAG.lock
// huggingface.co/docs/huggingface_hub/guides/manage-cache; huggingface_hub/file_download.py.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/descriptor.h"
#include "hub/names.h"

namespace facet {

// A lock on one blob, held by at most one process on this machine; released on destruction.
class BlobLock {
 public:
  explicit BlobLock(Descriptor locked) : locked_(std::move(locked)) {}

 private:
  Descriptor locked_;  // closing it releases the lock
};

class HubCache {
 public:
  HubCache(std::filesystem::path cache, RepoId repo);

  // A file of a snapshot, and the blob that it stands for.
  struct File {
    PathUnder name;
    std::filesystem::path path;  // inside the snapshot
    std::filesystem::path blob;  // what it resolves to; `path` itself where it is no link
    int64_t bytes = 0;
  };

  const RepoId& repo() const { return repo_; }
  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path Blob(const Digest& digest) const {
    return folder_ / "blobs" / digest.hex();
  }
  std::filesystem::path Incomplete(const Digest& digest) const;
  std::filesystem::path Snapshot(std::string_view commit) const;

  // True where the blob, or the file in the snapshot, is here in full length.
  bool Has(const Digest& digest, int64_t bytes) const;
  bool HasInSnapshot(std::string_view commit, const PathUnder& name, int64_t bytes) const;
  // Bytes of the partial download.
  int64_t IncompleteBytes(const Digest& digest) const;

  // The commit that `revision` (branch, tag, commit) meant when it was last asked for; kNotFound
  // where it never was.
  Result<std::string> Commit(std::string_view revision) const;
  // The files of a snapshot. A link that leaves the cache folder is an error.
  Result<std::vector<File>> Files(std::string_view commit) const;

  // Waits for the lock. `keep_waiting` is called twice a second and may give up (kCancelled).
  Result<BlobLock> Lock(const Digest& digest, const std::function<bool()>& keep_waiting) const;

  // Creates the folders of the layout.
  Result<void> Prepare() const;
  // Makes complete blobs visible: links in snapshots/COMMIT, then refs/REVISION. A new snapshot
  // appears at once or not at all, so that a kill never leaves half of one.
  Result<void> Publish(std::string_view commit, const PathUnder& revision,
                       const std::vector<std::pair<PathUnder, Digest>>& files) const;

  // Deletes `files` from the snapshot, the blobs that no snapshot uses any more, and what is empty
  // then. Bytes freed.
  Result<int64_t> Remove(std::string_view commit, const std::vector<std::string>& files) const;
  // What Remove would free.
  Result<int64_t> Removable(std::string_view commit, const std::vector<std::string>& files) const;

 private:
  Result<BlobLock> LockNamed(const std::string& name,
                             const std::function<bool()>& keep_waiting) const;
  Result<void> Link(const std::filesystem::path& snapshot, const PathUnder& name,
                    const Digest& digest) const;
  Result<std::vector<std::filesystem::path>> Unused(std::string_view commit,
                                                    const std::vector<std::string>& files) const;

  std::filesystem::path cache_, folder_;
  RepoId repo_;
};

}  // namespace facet
