#include "runtime/running_servers.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "base/os/os.h"
#include "formats/json.h"

namespace facet {
namespace {

namespace fs = std::filesystem;

// $XDG_RUNTIME_DIR/facet, or a folder of this user's own in the temporary folder. Empty where
// neither can be trusted.
fs::path NotesFolder() {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  const fs::path folder = runtime != nullptr && *runtime != '\0'
                              ? fs::path(runtime) / "facet"
                              : fs::temp_directory_path() / Cat("facet-", getuid());
  std::error_code code;
  if (!fs::exists(folder, code) && mkdir(folder.c_str(), 0700) != 0) return {};
  struct stat info {};
  if (lstat(folder.c_str(), &info) != 0 || !S_ISDIR(info.st_mode) || info.st_uid != getuid())
    return {};
  return folder;
}

}  // namespace

ServerNote::ServerNote(const RunningServer& server) {
  const fs::path folder = NotesFolder();
  if (folder.empty()) return;
  path_ = folder / Cat("serve-", server.pid, ".json");
  const nlohmann::json note = {{"pid", server.pid},
                               {"url", server.url},
                               {"models", server.models},
                               {"started", server.started},
                               {"start_time", ProcessStartTime(server.pid)}};
  if (!WriteFile(path_, note.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)))
    path_.clear();
}

ServerNote::~ServerNote() {
  std::error_code code;
  if (!path_.empty()) fs::remove(path_, code);
}

std::vector<RunningServer> RunningServers() {
  std::vector<RunningServer> out;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(NotesFolder(), code)) {
    if (entry.path().extension() != ".json") continue;
    const auto text = ReadFile(entry.path());
    const auto parsed = ParseJsonAs<nlohmann::json>(text ? *text : "");
    const auto note = parsed.ok() ? *parsed : nlohmann::json();
    RunningServer server;
    try {
      server = {note.at("pid").get<pid_t>(), note.at("url"), note.at("models"), note.at("started")};
      if (server.pid > 1 && kill(server.pid, 0) == 0 &&
          ProcessStartTime(server.pid) == note.at("start_time")) {
        out.push_back(std::move(server));
        continue;
      }
    } catch (const nlohmann::json::exception&) {
    }
    fs::remove(entry.path(), code);
  }
  std::sort(out.begin(), out.end(),
            [](const auto& a, const auto& b) { return a.started < b.started; });
  return out;
}

}  // namespace facet
