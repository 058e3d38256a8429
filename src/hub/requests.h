// Requests to a hub: the token, redirects, errors in words. Internal to hub/.
#pragma once

#include "hub/hub.h"
#include "net/http_client.h"

namespace facet {

// What a request was about, for error texts.
struct HubSubject {
  std::string repo, revision, file;
};

// UrlEncode for each component of a path; the slashes between them stay.
std::string UrlEncodePath(std::string_view path);

// ENDPOINT/REPO/resolve/COMMIT/FILE
std::string ResolveUrl(const HubConfig& config, const HubListing& listing, const PathUnder& file);

// An exchange that follows redirects. The token goes to the hub's own scheme, host and port and
// nowhere else; a redirect from https to http is refused. `first` receives the head of the first
// answer, which names the commit and the linked file. With `stop_at_foreign`, a redirect to another
// host is not followed but returned (metadata requests).
struct HubRequest {
  HttpClientRequest http;
  bool stop_at_foreign = false;
  std::function<Result<void>(const HttpClientResponse&)> on_first;
  HttpClient::OnHead on_head;
  HttpClient::OnBody on_body;
};
Result<HttpClientResponse> RunHubRequest(HttpClient& client, const HubConfig& config,
                                         HubRequest request);

// True for answers that may be different in a moment: 408, 429, 5xx.
bool IsTransient(long status);

// An answer's status (>= 400) in words that say what to do.
Error StatusError(const HttpClientResponse& response, const HubConfig& config,
                  const HubSubject& subject);

}  // namespace facet
