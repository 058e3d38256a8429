#include "serve/media/access.h"

#include <netinet/in.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/clock.h"
#include "base/descriptor.h"
#include "base/os/os.h"
#include "base/text.h"
#include "net/http_client.h"
#include "serve/http/http.h"

namespace facet::serve {
namespace {

namespace fs = std::filesystem;

struct AddressRange {
  uint32_t base;
  int bits;
};

// IANA's registry of special IPv4 addresses.
constexpr AddressRange kSpecial[] = {
    {0x00000000, 8},  {0x0A000000, 8},  {0x64400000, 10}, {0x7F000000, 8},  {0xA9FE0000, 16},
    {0xAC100000, 12}, {0xC0000000, 24}, {0xC0000200, 24}, {0xC0586300, 24}, {0xC0A80000, 16},
    {0xC6120000, 15}, {0xC6336400, 24}, {0xCB007100, 24}, {0xE0000000, 4},  {0xF0000000, 4}};

bool IsPublic4(uint32_t address) {
  return std::none_of(std::begin(kSpecial), std::end(kSpecial), [&](const AddressRange& range) {
    return (address ^ range.base) >> (32 - range.bits) == 0;
  });
}

bool IsPublic6(const in6_addr& address) {
  const uint8_t* b = address.s6_addr;
  if ((b[0] & 0xE0) != 0x20) return false;  // only 2000::/3 is routed in the open
  const bool documentation = b[0] == 0x20 && b[1] == 0x01 && b[2] == 0x0D && b[3] == 0xB8;
  const bool special = b[0] == 0x20 && b[1] == 0x01 && b[2] < 0x02;  // 2001::/23, Teredo too
  const bool six_to_four = b[0] == 0x20 && b[1] == 0x02;
  const bool documentation2 = b[0] == 0x3F && b[1] == 0xFF && b[2] < 0x10;
  return !documentation && !special && !six_to_four && !documentation2;
}

// Codes of the API: not allowed; could not be had; not a kind of address that is opened at all.
Error NotAllowed(std::string message) {
  return {std::move(message), ErrorKind::kPermission, "url_not_allowed"};
}
Error Unavailable(std::string message) {
  return {std::move(message), ErrorKind::kIo, "media_unavailable"};
}
Error NotOpened(std::string message) {
  return {std::move(message), ErrorKind::kUnsupported, "unsupported_url"};
}

Error TooLargeMedium(const MediaAccess& access) {
  return Unavailable(Cat("it is larger than ", access.max_bytes, " bytes"));
}

// Whether the host of a URL is on the allow-list.
Result<void> CheckHost(const MediaAccess& access, const std::string& url) {
  const auto place = OriginOf(url);
  if (!place || (place->scheme != "http" && place->scheme != "https"))
    return NotOpened("expected an http or https address");
  if (place->has_user) return NotOpened("an address with a user name is not opened");
  const bool usual = place->port == (place->scheme == "http" ? "80" : "443");
  const std::string with_port = Cat(place->host, ":", place->port);
  for (const std::string& host : access.hosts) {
    if (host == with_port || (usual && host == place->host)) return Ok();
  }
  return NotAllowed(Cat("this server does not open addresses of ", with_port));
}

// One exchange: the body, or where a redirect leads.
struct Fetched {
  std::string body, redirect;
};

Result<Fetched> FetchOnce(const MediaAccess& access, const std::string& url,
                          std::chrono::milliseconds time) {
  FACET_TRY(CheckHost(access, url));
  bool refused = false, large = false;
  Fetched out;
  HttpClientRequest request{.url = url, .headers = {}, .begin = {}, .end = {}};
  request.time = time;
  request.may_connect = [&](const sockaddr& address) {
    refused = !access.private_addresses && !IsPublic(address);
    return !refused;
  };
  HttpClient client;
  const auto response = client.Run(
      request, [](const HttpClientResponse& head) { return head.status == 200; },
      [&](std::span<const std::byte> bytes) {
        large = out.body.size() + bytes.size() > access.max_bytes;
        if (!large) out.body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        return !large;
      });
  if (refused) return NotAllowed("this host is not on the open internet");
  if (!response) return Unavailable("it could not be fetched: " + response.error().message);
  if (large) return TooLargeMedium(access);
  if (response->status != 200 && response->location.empty())
    return Unavailable(Cat("it could not be fetched: status ", response->status));
  if (response->status != 200) out.redirect = response->location;
  return out;
}

Result<std::string> Fetch(const MediaAccess& access, std::string url) {
  const Clock::time_point until = Clock::now() + access.time;
  for (int hops = 0; hops <= access.redirects; ++hops) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now());
    if (left.count() <= 0) break;
    FACET_ASSIGN(Fetched fetched, FetchOnce(access, url, left));
    if (fetched.redirect.empty()) return std::move(fetched.body);
    url = std::move(fetched.redirect);
  }
  return Unavailable("it could not be fetched: too many redirects, or too slow");
}

bool Below(const fs::path& path, const fs::path& folder) {
  const auto [at, rest] = std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
  return at == folder.end() && rest != path.end();
}

// The path is resolved by opening it, without reading, and looking where that led: nobody can
// exchange a part of it in between. One message for all that fails: what lies outside stays
// unknown.
Result<std::string> ReadBelow(const MediaAccess& access, const fs::path& path) {
  const Error error = NotAllowed("expected a file below the folders that this server allows");
  if (!path.is_absolute()) return error;
  const Descriptor place(OpenUnread(path));
  if (!place.valid()) return error;
  const fs::path real = PathOfDescriptor(place.get());
  if (real.empty() || std::none_of(access.folders.begin(), access.folders.end(),
                                   [&](const fs::path& folder) { return Below(real, folder); }))
    return error;
  struct stat info {};
  if (fstat(place.get(), &info) != 0 || !S_ISREG(info.st_mode)) return error;
  const Descriptor file(OpenOpened(place.get()));
  if (!file.valid()) return error;
  std::string bytes;
  char piece[65536];
  for (ssize_t n; (n = read(file.get(), piece, sizeof(piece))) > 0;) {
    bytes.append(piece, static_cast<size_t>(n));
    if (bytes.size() > access.max_bytes) return TooLargeMedium(access);
  }
  return bytes;
}

Result<std::string> ReadFileUrl(const MediaAccess& access, std::string_view url) {
  url.remove_prefix(std::string_view("file:").size());
  if (url.starts_with("//")) {
    url.remove_prefix(2);
    if (url.starts_with("localhost/")) url.remove_prefix(9);
  }
  const auto path = PercentDecode(url);
  if (!path) return NotOpened("malformed file address");
  return ReadBelow(access, *path);
}

}  // namespace

bool IsPublic(const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    sockaddr_in four;
    std::memcpy(&four, &address, sizeof(four));
    return IsPublic4(ntohl(four.sin_addr.s_addr));
  }
  if (address.sa_family == AF_INET6) {
    sockaddr_in6 six;
    std::memcpy(&six, &address, sizeof(six));
    return IsPublic6(six.sin6_addr);  // addresses of IPv4 inside IPv6 lie outside 2000::/3
  }
  return false;
}

Result<void> Prepare(MediaAccess& access) {
  for (std::string& host : access.hosts) {
    host = ToLower(host);
    if (host.empty() || host.find_first_of("/@?#* ") != std::string::npos)
      return Expected("a host name or name:port", host, "--allow-media-hosts");
  }
  for (fs::path& folder : access.folders) {
    std::error_code code;
    const fs::path real = fs::canonical(folder, code);
    if (code || !fs::is_directory(real, code))
      return Error{Cat("--allow-media-path: ", folder.string(), ": no such folder"),
                   ErrorKind::kNotFound};
    folder = real;
  }
  return Ok();
}

Result<std::string> ReadMedia(const MediaAccess& access, const std::string& url) {
  const std::string scheme = ToLower(url.substr(0, url.find(':')));
  if (scheme == "file" && !access.folders.empty()) return ReadFileUrl(access, url);
  if ((scheme == "http" || scheme == "https") && !access.hosts.empty()) return Fetch(access, url);
  return NotOpened(
      "expected a data: URL; this server does not open such addresses for its clients");
}

}  // namespace facet::serve
