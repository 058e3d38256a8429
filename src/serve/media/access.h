// Media that a request names by address instead of carrying them: off unless the operator allows
// hosts or folders. An address is opened only where its host is on the list and what the name
// resolves to is public; every redirect is checked anew. A file is opened only where its real path,
// links resolved, lies below an allowed folder.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace facet::serve {

struct MediaAccess {
  std::vector<std::string> hosts;  // "name" (ports 80 and 443) or "name:port"
  std::vector<std::filesystem::path> folders;
  size_t max_bytes = size_t{64} << 20;  // of one medium
  std::chrono::milliseconds time{20'000};
  // Of all media of a request together.
  size_t max_request_bytes = size_t{256} << 20;
  std::chrono::milliseconds request_time{60'000};
  int redirects = 3;
  bool private_addresses = false;  // for tests: what hosts resolve to may be this machine
};

// Folders as they really are, hosts in lower case. Errors: a folder that is not there, a malformed
// host.
Result<void> Prepare(MediaAccess& access);

// What an http:, https: or file: URL leads to. Codes of errors: "url_not_allowed";
// "unsupported_url" (another scheme, or nothing is allowed); "media_unavailable" (could not be
// fetched or read, or is larger than max_bytes).
Result<std::string> ReadMedia(const MediaAccess& access, const std::string& url);

// An address of the open internet, not of this machine, a local network or a special range.
bool IsPublic(const sockaddr& address);

}  // namespace facet::serve
