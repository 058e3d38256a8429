// Servers that run on this machine for this user: each leaves a note while it runs, for `facet ps`
// and `facet stop`.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace facet {

struct RunningServer {
  pid_t pid = 0;
  std::string url;
  std::vector<std::string> models;
  int64_t started = 0;  // seconds since 1970
};

// A note that lasts as long as this object.
class ServerNote {
 public:
  explicit ServerNote(const RunningServer& server);
  ~ServerNote();
  ServerNote(const ServerNote&) = delete;
  ServerNote& operator=(const ServerNote&) = delete;

 private:
  std::filesystem::path path_;
};

// Notes of processes that still run, oldest first; notes of others are removed.
std::vector<RunningServer> RunningServers();

}  // namespace facet
