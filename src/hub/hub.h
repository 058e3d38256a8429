// Downloads from a hub that speaks the protocol of huggingface.co, into the cache that its official
// client uses. Sources: huggingface_hub 2.4 (file_download.py, hf_api.py, utils/_http.py),
// huggingface.co/docs/hub/api.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "hub/cache.h"
#include "hub/names.h"

namespace facet {

struct HubConfig {
  std::string endpoint = "https://huggingface.co";
  std::string token;            // empty: none
  std::filesystem::path cache;  // .../huggingface/hub
  bool offline = false;
  int connections = 4;
  int attempts = 5;  // without a new byte, before a request counts as failed
  std::chrono::milliseconds retry_delay{250};
  int64_t chunk_bytes = 32 << 20;  // of a large file, to one connection

  // HF_ENDPOINT, HF_TOKEN (else HF_TOKEN_PATH, HF_HOME/token), HF_HUB_CACHE (else HF_HOME/hub, else
  // ~/.cache/huggingface/hub), HF_HUB_OFFLINE, as the official client reads them. Errors: no home
  // folder, an endpoint that is no http(s) URL.
  static Result<HubConfig> FromEnvironment();
  // A token as it may stand in a header: without spaces and line ends around it; others inside are
  // an error.
  static Result<std::string> CleanToken(std::string_view token);
};

struct HubFile {
  PathUnder name;
  int64_t bytes = -1;            // -1 where the list did not say
  std::optional<Digest> digest;  // SHA-256 of a large file, SHA-1 of the git blob of a small one
};

struct HubListing {
  RepoId repo;
  PathUnder revision;  // as asked for
  std::string commit;
  std::vector<HubFile> files;
  bool from_cache = false;  // offline or unreachable: what the cache holds
};

// Progress, notes and cancellation of a download. Calls never overlap.
struct HubMonitor {
  struct Progress {
    // Bytes of all wanted files, those that were in the cache already included.
    int64_t done = 0, total = 0;
    int64_t fetched = 0;  // bytes received over the network
    std::string_view file;
  };
  std::function<void(const Progress&)> on_progress;
  std::function<void(const std::string&)> on_note;
  const std::atomic<bool>* cancelled = nullptr;
};

class Hub {
 public:
  explicit Hub(HubConfig config) : config_(std::move(config)) {}

  const HubConfig& config() const { return config_; }

  // The files of a revision, pinned to its commit. Offline, or where the hub cannot be reached:
  // those in the cache. Errors: kNotFound (repository, revision), kPermission (private, gated, bad
  // token), kIo; unsafe names.
  Result<HubListing> List(const RepoId& repo, std::string_view revision,
                          const HubMonitor& monitor) const;

  // Bytes of `wanted` that are not in the cache yet. Fills in sizes and digests that the list did
  // not say.
  Result<int64_t> MissingBytes(const HubListing& listing, std::vector<HubFile>& wanted) const;

  // The content of a small file of the revision, from the cache or through it; no snapshot appears.
  // Errors: as Download; kTooLarge above `max_bytes`.
  Result<std::string> Read(const HubListing& listing, HubFile file, int64_t max_bytes,
                           const HubMonitor& monitor) const;

  // Fetches what is missing, verifies every digest, and publishes the snapshot. Returns the
  // snapshot's folder. A partial file stays for the next time. Errors: as List; kResource (disk),
  // kCancelled, a wrong digest or length.
  Result<std::filesystem::path> Download(const HubListing& listing, std::vector<HubFile> wanted,
                                         const HubMonitor& monitor) const;

 private:
  HubConfig config_;
};

}  // namespace facet
