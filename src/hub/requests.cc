#include "hub/requests.h"

namespace facet {
namespace {

constexpr int kMaxRedirects = 10;
constexpr std::string_view kUserAgent = "facet/0.1 (+https://huggingface.co/docs/hub)";

Error SubjectError(const HubSubject& subject, std::string_view text, ErrorKind kind) {
  return {Cat(subject.repo, subject.file.empty() ? "" : "/", subject.file, ": ", text), kind};
}

}  // namespace

std::string UrlEncodePath(std::string_view path) {
  std::string out;
  for (size_t slash; (slash = path.find('/')) != path.npos; path.remove_prefix(slash + 1)) {
    out += UrlEncode(path.substr(0, slash)) + "/";
  }
  return out + UrlEncode(path);
}

std::string ResolveUrl(const HubConfig& config, const HubListing& listing, const PathUnder& file) {
  return Cat(config.endpoint, "/", UrlEncodePath(listing.repo.text()), "/resolve/", listing.commit,
             "/", UrlEncodePath(file.text()));
}

Result<HttpClientResponse> RunHubRequest(HttpClient& client, const HubConfig& config,
                                         HubRequest request) {
  bool first = true, trusted = true;
  for (int hop = 0; hop <= kMaxRedirects; ++hop) {
    HttpClientRequest http = request.http;
    http.headers.push_back(Cat("User-Agent: ", kUserAgent));
    http.headers.push_back(
        "Accept-Encoding: identity");  // sizes and digests are of the plain bytes
    trusted = trusted && SameOrigin(http.url, config.endpoint);
    if (trusted && !config.token.empty()) {
      http.headers.push_back("Authorization: Bearer " + config.token);
    }
    Result<void> verdict;
    bool redirected = false;
    const auto on_head = [&](const HttpClientResponse& head) {
      if (first && request.on_first) verdict = request.on_first(head);
      if (!verdict.ok()) return false;
      redirected = head.status >= 300 && head.status < 400 && !head.location.empty();
      return redirected || !request.on_head || request.on_head(head);
    };
    const auto on_body = [&](std::span<const std::byte> data) {
      return redirected || !request.on_body || request.on_body(data);
    };
    FACET_ASSIGN(HttpClientResponse response, client.Run(http, on_head, on_body));
    FACET_TRY(verdict);
    first = false;
    if (!redirected) return response;
    const std::string from = SchemeOf(request.http.url), to = SchemeOf(response.location);
    if (to != "https" && (to != "http" || from != "http")) {
      return Error{Cat(request.http.url, " redirects from ", from, " to ",
                       to.empty() ? "nowhere" : to, ", which is refused: ", response.location),
                   ErrorKind::kInvalid};
    }
    if (request.stop_at_foreign && !SameOrigin(request.http.url, response.location))
      return response;
    request.http.url = response.location;
  }
  return Error{Cat("more than ", kMaxRedirects, " redirects, the last to ", request.http.url),
               ErrorKind::kIo};
}

bool IsTransient(long status) {
  return status == 408 || status == 429 || status >= 500;
}

Error StatusError(const HttpClientResponse& response, const HubConfig& config,
                  const HubSubject& subject) {
  const std::string_view code = response.Header("x-error-code");
  const std::string page = Cat(config.endpoint, "/", subject.repo);
  if (code == "GatedRepo" || (response.status == 403 && code.empty())) {
    return SubjectError(
        subject,
        config.token.empty()
            ? Cat("access is gated: accept the terms at ", page,
                  " and give that account's token by HF_TOKEN or --token")
            : Cat("access is gated, and the token given has no access: accept the terms at ", page,
                  " with the account that it belongs to"),
        ErrorKind::kPermission);
  }
  if (code == "RevisionNotFound") {
    return SubjectError(subject, Cat("revision '", subject.revision, "' not found at ", page),
                        ErrorKind::kNotFound);
  }
  if (code == "EntryNotFound") {
    return SubjectError(subject, Cat("no such file in revision ", subject.revision),
                        ErrorKind::kNotFound);
  }
  if (response.status == 401 && config.token.empty()) {
    return SubjectError(
        subject,
        Cat("not found at ", config.endpoint,
            ", or private: check the spelling, or give a token by HF_TOKEN or --token"),
        ErrorKind::kPermission);
  }
  if (response.status == 401) {
    return SubjectError(
        subject,
        Cat(config.endpoint, " does not accept the token (HF_TOKEN, --token or the token file)"),
        ErrorKind::kPermission);
  }
  if (code == "RepoNotFound" || (response.status == 404 && subject.file.empty())) {
    return SubjectError(subject,
                        Cat("repository not found at ", config.endpoint,
                            config.token.empty() ? " (a private one needs HF_TOKEN or --token)"
                                                 : " (or the token has no right to see it)"),
                        ErrorKind::kNotFound);
  }
  if (response.status == 404) {
    return SubjectError(subject, Cat("no such file in revision ", subject.revision),
                        ErrorKind::kNotFound);
  }
  const std::string_view message = response.Header("x-error-message");
  return SubjectError(subject,
                      Cat("the server answered ", response.status, message.empty() ? "" : ": ",
                          message.substr(0, 200)),
                      ErrorKind::kIo);
}

}  // namespace facet
