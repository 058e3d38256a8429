// Prefixes that survive a restart: one file for each model, adapter and key, in a folder that only
// its owner can read. A file holds the states of some anchors, shared pages once, under a checksum;
// its name is a digest of the weights' identity and of the scope, so that neither keys nor salts
// can be read from it. What is damaged, of another user or of another version is left as it is,
// with a warning in the log.
#pragma once

#include <chrono>
#include <filesystem>
#include <future>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "engine/executor.h"
#include "engine/prefix_cache.h"

namespace facet {

struct KeepOptions {
  std::filesystem::path folder;           // empty: nothing is kept
  size_t max_bytes = size_t{4} << 30;     // of all files; those unused longest go first
  std::chrono::seconds interval{5 * 60};  // between two writes of a scope
};

// The files. Knows nothing of time.
class PrefixStore {
 public:
  // Prefixes of a scope, as copies that stay as they are while they are written.
  struct Image {
    std::string scope;
    std::vector<PrefixCache::Kept> kept;
  };

  // `identity` names everything that the states depend on: weights, layout and type of the cache.
  PrefixStore(KeepOptions options, std::string identity);

  // Puts what was kept for a scope into the cache, as far as memory allows. The number of states.
  int Load(const std::string& scope, Executor& executor, PrefixCache& cache) const;
  // What is worth keeping of a scope now.
  Image Collect(const std::string& scope, const PrefixCache& cache) const;
  // From any thread, while the engine's thread works on other states.
  Result<void> Write(const Image& image) const;

  std::filesystem::path PathOf(const std::string& scope) const;

 private:
  Result<void> MakeFolder() const;
  void Prune(const std::filesystem::path& newest) const;

  KeepOptions options_;
  std::string identity_;
};

// Decides when a cache goes to disk and does it in the background. All calls come from the engine's
// thread.
class PrefixKeeper {
 public:
  PrefixKeeper(const KeepOptions& options, Executor& executor, PrefixCache& cache);

  // Before the first lookup of a scope.
  void Restore(const std::string& scope);
  // A prompt's anchor has been added to a scope.
  void Changed(const std::string& scope);
  // `idle`: nothing runs. Starts a write that is due.
  void Poll(bool idle);
  // Waits for a running write and releases the pages that it held; false where none ran.
  bool AwaitWrite();
  // Writes what has changed and waits.
  void Finish();

 private:
  void Write(const std::string& scope);

  Executor& executor_;
  PrefixCache& cache_;
  KeepOptions options_;
  std::optional<PrefixStore> store_;  // nothing: states cannot be kept, or need not be
  std::set<std::string> known_;
  std::map<std::string, Clock::time_point> changed_, written_;
  PrefixStore::Image image_;
  std::future<void> writing_;
};

}  // namespace facet
