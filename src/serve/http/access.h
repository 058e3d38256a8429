// Who may talk to the server: Host and Origin allow-lists, API keys, content types. Checked on the
// headers alone, before a body is read.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/result.h"
#include "serve/http/http.h"

namespace facet::serve {

// API keys as SHA-256 digests; the keys themselves are not kept.
class KeyRing {
 public:
  // A key, or "sha256:" and the 64 hex digits of its digest.
  Result<void> Add(std::string_view key);
  // One key or digest a line; empty lines and lines that begin with # do not count.
  Result<void> AddFile(const std::string& path);

  bool empty() const { return digests_.empty(); }
  // The tenant of a key that is on the ring. Every digest is compared, each in constant time.
  std::optional<std::string> Tenant(std::string_view key) const;

 private:
  std::vector<Sha256Digest> digests_;
};

struct AccessRules {
  // Exact host names, without port; empty: any (a public address, which needs a key).
  std::vector<std::string> hosts;
  std::vector<std::string> origins;  // exact origins of other sites that may call
  KeyRing keys;
};

// Fills request.tenant, or returns why the request is refused. `answer_headers` are to be sent with
// any answer.
Result<void> CheckAccess(const AccessRules& rules, HttpRequest& request, Headers& answer_headers);

// True for an OPTIONS request of CORS, which is answered from its headers.
bool IsPreflight(const HttpRequest& request);

// "127.0.0.1", "localhost", "::1", "[::1]" and the rest of 127.0.0.0/8.
bool IsLoopback(std::string_view host);

}  // namespace facet::serve
