#include "net/http_client.h"

#include <curl/curl.h>

#include <cstdlib>

#include "base/os/os.h"
#include "base/text.h"

namespace facet {
namespace {

// A stalled line counts as broken after this long below one byte a second.
constexpr long kConnectSeconds = 15, kStallSeconds = 30;

using CurlUrl = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

CurlUrl ParseUrl(const std::string& url) {
  CurlUrl parsed(curl_url(), &curl_url_cleanup);
  if (parsed && curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) {
    parsed.reset();
  }
  return parsed;
}

std::string Part(const CurlUrl& url, CURLUPart part) {
  char* text = nullptr;
  if (!url || curl_url_get(url.get(), part, &text, CURLU_DEFAULT_PORT) != CURLUE_OK) return {};
  std::string out = ToLower(std::string_view(text));
  curl_free(text);
  return out;
}

// What the callbacks of one exchange share.
struct CurlExchange {
  CURL* curl = nullptr;
  HttpClientResponse response;
  const HttpClient::OnHead* on_head = nullptr;
  const HttpClient::OnBody* on_body = nullptr;
  bool head_given = false;
  bool stopped = false;  // by a callback of the caller

  // Hands the head over once, before the first byte of the body.
  bool GiveHead() {
    if (head_given) return !stopped;
    head_given = true;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &response.status);
    char* target = nullptr;
    curl_easy_getinfo(curl, CURLINFO_REDIRECT_URL, &target);
    if (target != nullptr) response.location = target;
    stopped = *on_head && !(*on_head)(response);
    return !stopped;
  }
};

// Certificates of a company's proxy or mirror, by the variables that other hub clients read.
const char* CertificateBundle() {
  for (const char* name : {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}) {
    if (const char* value = std::getenv(name); value != nullptr && *value != 0) return value;
  }
  return nullptr;
}

size_t OnHeader(char* data, size_t, size_t size, void* user) {
  auto& exchange = *static_cast<CurlExchange*>(user);
  const std::string_view line(data, size);
  if (line.starts_with("HTTP/")) {
    exchange.response.headers.clear();  // of an interim response such as 100
    return size;
  }
  const size_t colon = line.find(':');
  if (colon != line.npos) {
    exchange.response.headers[ToLower(Trim(line.substr(0, colon)))] = Trim(line.substr(colon + 1));
  }
  return size;
}

size_t OnData(char* data, size_t, size_t size, void* user) {
  auto& exchange = *static_cast<CurlExchange*>(user);
  if (!exchange.GiveHead()) return CURL_WRITEFUNC_ERROR;
  if (*exchange.on_body && !(*exchange.on_body)({reinterpret_cast<const std::byte*>(data), size})) {
    exchange.stopped = true;
    return CURL_WRITEFUNC_ERROR;
  }
  return size;
}

}  // namespace

std::string_view HttpClientResponse::Header(std::string_view name) const {
  const auto found = headers.find(std::string(name));
  return found == headers.end() ? std::string_view() : std::string_view(found->second);
}

std::optional<UrlOrigin> OriginOf(const std::string& text) {
  const CurlUrl url = ParseUrl(text);
  if (!url) return std::nullopt;
  UrlOrigin place{Part(url, CURLUPART_SCHEME), Part(url, CURLUPART_HOST),
                  Part(url, CURLUPART_PORT)};
  place.has_user = !Part(url, CURLUPART_USER).empty() || !Part(url, CURLUPART_PASSWORD).empty();
  if (place.host.empty()) return std::nullopt;
  return place;
}

bool SameOrigin(const std::string& a, const std::string& b) {
  const auto first = OriginOf(a), second = OriginOf(b);
  return first && second && first->scheme == second->scheme && first->host == second->host &&
         first->port == second->port;
}

std::string SchemeOf(const std::string& url) {
  return Part(ParseUrl(url), CURLUPART_SCHEME);
}

std::string UrlEncode(std::string_view text) {
  // Length 0 would mean strlen. The result is null where memory is used up.
  if (text.empty()) return {};
  char* const encoded = curl_easy_escape(nullptr, text.data(), static_cast<int>(text.size()));
  std::string out = encoded != nullptr ? encoded : "";
  curl_free(encoded);
  return out;
}

namespace {

// Opens a socket where the caller allows the address that the name has resolved to.
curl_socket_t OpenAllowedSocket(void* user, curlsocktype, curl_sockaddr* address) {
  const auto& may_connect = *static_cast<const std::function<bool(const sockaddr&)>*>(user);
  if (!may_connect(address->addr)) return CURL_SOCKET_BAD;
  return OpenSocket(address->family, address->socktype, address->protocol);
}

}  // namespace

struct HttpClient::State {
  CURL* curl = nullptr;
};

HttpClient::HttpClient() : state_(std::make_unique<State>()) {
  static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (initialised == CURLE_OK) state_->curl = curl_easy_init();
}

HttpClient::~HttpClient() {
  curl_easy_cleanup(state_->curl);
}

Result<HttpClientResponse> HttpClient::Run(const HttpClientRequest& request, const OnHead& on_head,
                                           const OnBody& on_body) {
  CURL* curl = state_->curl;
  if (curl == nullptr) return Error{"libcurl cannot be initialised", ErrorKind::kIo};
  curl_easy_reset(curl);  // keeps connections

  CurlExchange exchange{.curl = curl, .response = {}, .on_head = &on_head, .on_body = &on_body};
  curl_slist* headers = nullptr;
  for (const std::string& header : request.headers)
    headers = curl_slist_append(headers, header.c_str());
  std::string range;
  if (request.begin || request.end) {
    range = Cat(request.begin.value_or(0), "-");
    if (request.end) range += std::to_string(*request.end - 1);
    curl_easy_setopt(curl, CURLOPT_RANGE, range.c_str());
  }
  char reason[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_NOBODY, request.head ? 1L : 0L);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, kStallSeconds);
  curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 256L * 1024);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &OnHeader);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &exchange);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &OnData);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &exchange);
  if (request.may_connect) {
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, &OpenAllowedSocket);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, &request.may_connect);
  }
  if (request.time.count() > 0)
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(request.time.count()));
  if (const char* bundle = CertificateBundle()) curl_easy_setopt(curl, CURLOPT_CAINFO, bundle);
  const CURLcode code = curl_easy_perform(curl);
  curl_slist_free_all(headers);
  if (code != CURLE_OK && !exchange.stopped) {
    return Error{Cat(reason[0] != 0 ? reason : curl_easy_strerror(code)), ErrorKind::kIo};
  }
  exchange.GiveHead();
  return std::move(exchange.response);
}

}  // namespace facet
