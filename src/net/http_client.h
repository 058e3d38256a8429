// One HTTP exchange over libcurl. No redirect is followed here: who follows one decides what to
// send along.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace facet {

struct HttpClientRequest {
  std::string url;
  bool head = false;
  std::vector<std::string> headers;  // `Name: value`
  std::optional<int64_t> begin;      // first byte wanted (Range)
  std::optional<int64_t> end;        // one past the last byte wanted
  // Where given, asked with every address before it is connected to; no proxy is used then.
  std::function<bool(const sockaddr&)> may_connect = {};
  std::chrono::milliseconds time{0};  // for the whole exchange; 0: no limit
};

struct HttpClientResponse {
  long status = 0;
  std::map<std::string, std::string> headers;  // names in lower case; of repeated ones the last
  std::string location;                        // absolute target of a redirect

  // Empty where there is none.
  std::string_view Header(std::string_view name) const;
};

struct UrlOrigin {
  std::string scheme, host, port;  // in lower case; the port is the scheme's where none is written
  bool has_user = false;
};
// Nothing where the URL cannot be parsed, or has no host.
std::optional<UrlOrigin> OriginOf(const std::string& url);
// Scheme, host and port of two URLs are equal.
bool SameOrigin(const std::string& a, const std::string& b);
// The scheme of a URL in lower case; empty where it cannot be parsed.
std::string SchemeOf(const std::string& url);

// Percent-encodes all but unreserved characters (RFC 3986, section 2.3).
std::string UrlEncode(std::string_view text);

// Keeps its connection open between exchanges. One thread at a time.
class HttpClient {
 public:
  // Called with the head before any of the body arrives; false ends the exchange without an error.
  using OnHead = std::function<bool(const HttpClientResponse&)>;
  // Called with each piece of the body; false ends the exchange without an error.
  using OnBody = std::function<bool(std::span<const std::byte>)>;

  HttpClient();
  ~HttpClient();

  // The body of any status goes to `on_body`. Errors (kIo): no connection, timeout, TLS, a body
  // that ends early.
  Result<HttpClientResponse> Run(const HttpClientRequest& request, const OnHead& on_head,
                                 const OnBody& on_body);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace facet
