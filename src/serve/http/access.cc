#include "serve/http/access.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <cctype>
#include <sstream>

#include "base/mapped_file.h"
#include "base/text.h"

namespace facet::serve {
namespace {

std::optional<Sha256Digest> ParseHex(std::string_view hex) {
  Sha256Digest digest{};
  if (hex.size() != 2 * digest.size()) return std::nullopt;
  for (size_t i = 0; i < digest.size(); ++i) {
    const int byte = HexByte(hex[2 * i], hex[2 * i + 1]);
    if (byte < 0) return std::nullopt;
    digest[i] = static_cast<uint8_t>(byte);
  }
  return digest;
}

// The host of a Host header, in lower case and without brackets; nothing where the header is
// malformed.
std::optional<std::string> HostName(std::string_view header) {
  std::string_view host = header, port;
  if (header.starts_with('[')) {
    const size_t close = header.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    host = header.substr(1, close - 1);
    port = header.substr(close + 1);
  } else if (const size_t colon = header.find(':'); colon != std::string_view::npos) {
    host = header.substr(0, colon);
    port = header.substr(colon);
  }
  if (!port.empty()) {
    if (port[0] != ':' || port.size() < 2 || port.size() > 6) return std::nullopt;
    if (!std::all_of(port.begin() + 1, port.end(),
                     [](unsigned char c) { return std::isdigit(c); })) {
      return std::nullopt;
    }
  }
  if (host.empty()) return std::nullopt;
  return ToLower(host);
}

Result<void> CheckHost(const AccessRules& rules, const HttpRequest& request) {
  if (request.CountHeaders("host") != 1)
    return Error{"expected exactly one Host header", ErrorKind::kInvalid, "bad_host"};
  const auto host = HostName(*request.Header("host"));
  if (!host) return Error{"malformed Host header", ErrorKind::kInvalid, "bad_host"};
  if (rules.hosts.empty() ||
      std::find(rules.hosts.begin(), rules.hosts.end(), *host) != rules.hosts.end())
    return Ok();
  return Error{
      Cat("host '", *host, "' is not allowed; start the server with --allowed-host to allow it"),
      ErrorKind::kPermission, "host_not_allowed"};
}

Result<void> CheckOrigin(const AccessRules& rules, const HttpRequest& request, Headers& answer) {
  const size_t count = request.CountHeaders("origin");
  if (count == 0) return Ok();
  if (count > 1)
    return Error{"expected at most one Origin header", ErrorKind::kInvalid, "bad_origin"};
  const std::string_view origin = *request.Header("origin");
  for (const std::string& allowed : rules.origins) {
    if (origin != allowed) continue;
    answer.emplace_back("Access-Control-Allow-Origin", allowed);
    answer.emplace_back("Access-Control-Expose-Headers", "X-Facet-Ignored");
    answer.emplace_back("Vary", "Origin");
    return Ok();
  }
  // The server's own pages. On its own this would let a rebound name through: the Host was checked
  // before.
  const std::string own = Cat("http://", *request.Header("host"));
  if (!rules.hosts.empty() && origin == own) return Ok();
  return Error{"this origin is not allowed; start the server with --cors-origin to allow it",
               ErrorKind::kPermission, "origin_not_allowed"};
}

Error KeyError(const char* message, const char* code) {
  return {message, ErrorKind::kUnauthenticated, code};
}

// ?key=KEY, which clients of Gemini's API send and no other.
std::optional<std::string> KeyInAddress(const HttpRequest& request) {
  if (!request.path.starts_with("/v1beta/")) return std::nullopt;
  return QueryValue(request.query, "key");
}

Result<void> CheckKey(const AccessRules& rules, HttpRequest& request) {
  if (rules.keys.empty()) return Ok();
  constexpr std::string_view kBearer = "bearer ";
  std::vector<std::string> tenants;
  size_t shown = 0;
  for (const auto& [name, value] : request.headers) {
    std::string_view key = value;
    if (name == "authorization") {
      if (ToLower(key.substr(0, kBearer.size())) != kBearer)
        return KeyError("expected 'Authorization: Bearer KEY'", "invalid_api_key");
      key.remove_prefix(kBearer.size());
    } else if (name != "x-api-key" && name != "x-goog-api-key") {
      continue;
    }
    ++shown;
    if (auto tenant = rules.keys.Tenant(key)) tenants.push_back(std::move(*tenant));
  }
  if (const auto key = KeyInAddress(request)) {
    ++shown;
    if (auto tenant = rules.keys.Tenant(*key)) tenants.push_back(std::move(*tenant));
  }
  if (shown == 0) {
    return KeyError("this server needs an API key: send 'Authorization: Bearer KEY'",
                    "missing_api_key");
  }
  // Two headers with different keys: which one counts would be a guess.
  if (tenants.size() != shown ||
      std::count(tenants.begin(), tenants.end(), tenants[0]) != std::ptrdiff_t(shown))
    return KeyError("incorrect API key", "invalid_api_key");
  request.tenant = tenants[0];
  return Ok();
}

// A browser says where a request comes from: a program that sends none of these is none.
bool MayBeBrowser(const HttpRequest& request) {
  for (const auto& [name, value] : request.headers) {
    if (name == "origin" || name == "referer" || name == "cookie" || name.starts_with("sec-"))
      return true;
  }
  return ToLower(request.Header("user-agent").value_or("")).find("mozilla/") != std::string::npos;
}

// A browser sends other types, or none, across sites without asking first.
Result<void> CheckContentType(const HttpRequest& request) {
  if (request.method != "POST") return Ok();
  const auto given = request.Header("content-type");
  if (!given && !MayBeBrowser(request)) return Ok();
  const std::string_view header = given.value_or("");
  const std::string type = ToLower(Trim(header.substr(0, header.find(';'))));
  const bool form =
      request.path.find("/audio/") != std::string::npos && type == "multipart/form-data";
  if (form || type == "application/json") return Ok();
  return Error{Cat("expected Content-Type application/json but got '", type, "'"),
               ErrorKind::kInvalid, "unsupported_content_type"};
}

}  // namespace

Result<void> KeyRing::Add(std::string_view key) {
  if (key.starts_with("sha256:")) {
    const auto digest = ParseHex(key.substr(7));
    if (!digest) return Error{"API key: expected 64 hex digits after 'sha256:'"};
    digests_.push_back(*digest);
    return Ok();
  }
  if (key.empty() || key.size() > 512) return Error{"API key: expected 1 to 512 characters"};
  digests_.push_back(Sha256(key));
  return Ok();
}

Result<void> KeyRing::AddFile(const std::string& path) {
  FACET_ASSIGN(const std::string text, ReadFile(path));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    while (!line.empty() && std::isspace(static_cast<unsigned char>(line.back()))) line.pop_back();
    if (line.empty() || line[0] == '#') continue;
    if (auto added = Add(line); !added) return added.error().In(path);
  }
  if (digests_.empty()) return Error{Cat(path, ": no API key in this file")};
  return Ok();
}

std::optional<std::string> KeyRing::Tenant(std::string_view key) const {
  const Sha256Digest shown = Sha256(key);
  bool found = false;
  for (const Sha256Digest& digest : digests_) {
    found |= CRYPTO_memcmp(digest.data(), shown.data(), digest.size()) == 0;
  }
  if (!found) return std::nullopt;
  return Hex(shown);
}

Result<void> CheckAccess(const AccessRules& rules, HttpRequest& request, Headers& answer_headers) {
  FACET_TRY(CheckHost(rules, request));
  FACET_TRY(CheckOrigin(rules, request, answer_headers));
  if (IsPreflight(request)) return Ok();
  // Probes and scrapers carry no key, and learn nothing that belongs to one.
  if (request.path == "/health" || request.path == "/metrics") return Ok();
  FACET_TRY(CheckKey(rules, request));
  return CheckContentType(request);
}

bool IsPreflight(const HttpRequest& request) {
  return request.method == "OPTIONS";
}

bool IsLoopback(std::string_view host) {
  if (host == "localhost" || host == "::1" || host == "[::1]") return true;
  if (!host.starts_with("127.")) return false;
  return std::count(host.begin(), host.end(), '.') == 3 &&
         std::all_of(host.begin(), host.end(),
                     [](unsigned char c) { return std::isdigit(c) || c == '.'; });
}

}  // namespace facet::serve
