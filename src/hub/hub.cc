#include "hub/hub.h"

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/mapped_file.h"
#include "base/text.h"
#include "formats/json.h"
#include "hub/requests.h"

namespace facet {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

constexpr size_t kMaxListing = 64 << 20;
constexpr int64_t kMaxFile = int64_t{1} << 50;  // so that sums of sizes cannot overflow

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// As huggingface_hub/constants.py: 1, ON, YES, TRUE in any case.
bool IsTrue(std::string_view text) {
  const std::string value = ToLower(text);
  return value == "1" || value == "on" || value == "yes" || value == "true";
}

fs::path ExpandHome(const std::string& path) {
  if (path == "~" || path.starts_with("~/")) return Variable("HOME") + path.substr(1);
  return path;
}

// {"rfilename", "size", "blobId", "lfs": {"sha256", "size"}}
Result<HubFile> ParseSibling(const json& item) {
  if (!item.is_object() || !item.contains("rfilename") || !item["rfilename"].is_string()) {
    return Error{"the hub's answer: a file without 'rfilename'", ErrorKind::kInvalid};
  }
  FACET_ASSIGN(PathUnder name, PathUnder::Parse(item["rfilename"].get_ref<const std::string&>(),
                                                "file name from the hub"));
  HubFile file{std::move(name), -1, std::nullopt};
  const json lfs = item.value("lfs", json());
  const json& holder = lfs.is_object() && lfs.contains("size") ? lfs : item;
  if (holder.contains("size") && holder["size"].is_number_integer()) {
    file.bytes = holder["size"].get<int64_t>();
    if (file.bytes < 0 || file.bytes > kMaxFile)
      return Expected("a size", file.bytes, file.name.text());
  }
  const json digest = lfs.is_object() ? lfs.value("sha256", lfs.value("oid", json()))
                                      : item.value("blobId", json());
  if (digest.is_string()) {
    FACET_ASSIGN(file.digest, Digest::Parse(digest.get_ref<const std::string&>(),
                                            Cat("digest of ", file.name.text(), " from the hub")));
    if (lfs.is_object() && !file.digest->is_sha256()) {
      return Expected("a SHA-256", file.digest->hex(), file.name.text());
    }
  }
  return file;
}

Result<HubListing> ParseListing(const RepoId& repo, const PathUnder& revision,
                                const std::string& body) {
  // A hub may repeat a key; what it says is checked below.
  const auto parsed = ParseJsonAs<json>(body, {.duplicates = DuplicateKeys::kLastWins});
  const json info = parsed.ok() ? *parsed : json();
  if (!info.is_object() || !info.contains("sha") || !info["sha"].is_string() ||
      !info.contains("siblings") || !info["siblings"].is_array()) {
    return Error{Cat(repo.text(), ": the server's answer is not a hub's (no 'sha' and 'siblings')"),
                 ErrorKind::kInvalid};
  }
  FACET_ASSIGN(const Digest commit,
               Digest::Parse(info["sha"].get_ref<const std::string&>(), "commit from the hub"));
  if (commit.is_sha256()) return Expected("a commit of 40 digits", commit.hex(), repo.text());
  HubListing listing{repo, revision, commit.hex(), {}, false};
  for (const json& item : info["siblings"]) {
    FACET_ASSIGN(HubFile file, ParseSibling(item));
    listing.files.push_back(std::move(file));
  }
  std::sort(listing.files.begin(), listing.files.end(),
            [](const HubFile& a, const HubFile& b) { return a.name < b.name; });
  const auto duplicate =
      std::adjacent_find(listing.files.begin(), listing.files.end(),
                         [](const HubFile& a, const HubFile& b) { return a.name == b.name; });
  if (duplicate != listing.files.end()) {
    return Error{
        Cat(repo.text(), ": the hub's list has a duplicate file, ", duplicate->name.text()),
        ErrorKind::kInvalid};
  }
  return listing;
}

Result<HubListing> ListCache(const HubConfig& config, const RepoId& repo,
                             const PathUnder& revision) {
  const HubCache cache(config.cache, repo);
  FACET_ASSIGN(const std::string commit, cache.Commit(revision.text()));
  FACET_ASSIGN(auto files, cache.Files(commit));
  HubListing listing{repo, revision, commit, {}, true};
  for (auto& file : files) listing.files.push_back({file.name, file.bytes, std::nullopt});
  return listing;
}

Result<std::string> FetchListing(const HubConfig& config, const std::string& url,
                                 const HubSubject& subject) {
  HttpClient client;
  Error last{"no attempt was made", ErrorKind::kIo};
  for (int attempt = 0; attempt < std::min(config.attempts, 3); ++attempt) {
    if (attempt > 0) std::this_thread::sleep_for(config.retry_delay * (1 << attempt));
    std::string body;
    bool too_long = false;
    HubRequest request;
    request.http.url = url;
    request.on_body = [&](std::span<const std::byte> data) {
      too_long = body.size() + data.size() > kMaxListing;
      if (!too_long) body.append(reinterpret_cast<const char*>(data.data()), data.size());
      return !too_long;
    };
    auto response = RunHubRequest(client, config, std::move(request));
    if (!response.ok()) {
      last = response.error();
      if (last.kind != ErrorKind::kIo) return last;
      continue;
    }
    if (too_long)
      return Error{Cat(subject.repo, ": the hub's list of files is too long"), ErrorKind::kInvalid};
    if (response->status == 200) return body;
    last = StatusError(*response, config, subject);
    if (!IsTransient(response->status)) return last;
  }
  return last;
}

// Size and digest by a HEAD request, for hubs whose list lacks them.
Result<void> FillMetadata(HttpClient& client, const HubConfig& config, const HubListing& listing,
                          HubFile& file) {
  HubRequest request;
  request.http.url = ResolveUrl(config, listing, file.name);
  request.http.head = true;
  request.stop_at_foreign = true;
  std::map<std::string, std::string> first;
  request.on_first = [&](const HttpClientResponse& head) -> Result<void> {
    first = head.headers;
    return Ok();
  };
  FACET_ASSIGN(const HttpClientResponse response,
               RunHubRequest(client, config, std::move(request)));
  if (response.status >= 400) {
    return StatusError(response, config,
                       {listing.repo.text(), listing.revision.text(), file.name.text()});
  }
  const auto pick = [&](const std::string& name) {
    const auto found = first.find(name);
    return std::string(found != first.end() ? found->second : response.Header(name));
  };
  std::string etag = pick("x-linked-etag");
  if (etag.empty()) etag = response.Header("etag");
  if (etag.starts_with("W/")) etag.erase(0, 2);
  std::erase(etag, '"');
  FACET_ASSIGN(file.digest,
               Digest::Parse(etag, Cat("etag of ", file.name.text(), " from the hub")));
  std::string size = pick("x-linked-size");
  if (size.empty() && response.status < 300) size = response.Header("content-length");
  if (size.empty() || size.size() > 14 ||
      !std::all_of(size.begin(), size.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    return Expected("a size", size.empty() ? "nothing" : size, file.name.text());
  }
  file.bytes = std::stoll(size);
  return Ok();
}

}  // namespace

Result<std::string> HubConfig::CleanToken(std::string_view token) {
  token = Trim(token, " \t\r\n");
  for (const char c : token) {
    if (static_cast<unsigned char>(c) <= 32 || static_cast<unsigned char>(c) >= 127) {
      return Error{"the hub token contains a character that no token has", ErrorKind::kInvalid};
    }
  }
  return std::string(token);
}

Result<HubConfig> HubConfig::FromEnvironment() {
  HubConfig config;
  if (const std::string endpoint = Variable("HF_ENDPOINT"); !endpoint.empty())
    config.endpoint = endpoint;
  while (config.endpoint.ends_with('/')) config.endpoint.pop_back();
  if (const std::string scheme = SchemeOf(config.endpoint); scheme != "http" && scheme != "https") {
    return Expected("an http or https URL", config.endpoint, "HF_ENDPOINT");
  }
  const std::string home = Variable("HOME"), xdg = Variable("XDG_CACHE_HOME"),
                    hf = Variable("HF_HOME");
  if (hf.empty() && xdg.empty() && home.empty() && Variable("HF_HUB_CACHE").empty()) {
    return Error{
        "no folder for downloads: HOME, XDG_CACHE_HOME, HF_HOME and HF_HUB_CACHE are unset",
        ErrorKind::kInvalid};
  }
  const fs::path hf_home = !hf.empty()    ? ExpandHome(hf)
                           : !xdg.empty() ? fs::path(xdg) / "huggingface"
                                          : fs::path(home) / ".cache/huggingface";
  std::string cache = Variable("HF_HUB_CACHE");
  if (cache.empty()) cache = Variable("HUGGINGFACE_HUB_CACHE");
  config.cache = cache.empty() ? hf_home / "hub" : ExpandHome(cache);
  config.offline = IsTrue(Variable("HF_HUB_OFFLINE")) || IsTrue(Variable("TRANSFORMERS_OFFLINE"));

  std::string token = Variable("HF_TOKEN");
  if (token.empty()) token = Variable("HUGGING_FACE_HUB_TOKEN");
  if (token.empty() && !IsTrue(Variable("HF_HUB_DISABLE_IMPLICIT_TOKEN"))) {
    const std::string path = Variable("HF_TOKEN_PATH");
    if (auto text = ReadFile(path.empty() ? hf_home / "token" : ExpandHome(path)); text.ok())
      token = *text;
  }
  FACET_ASSIGN(config.token, CleanToken(token));
  return config;
}

Result<HubListing> Hub::List(const RepoId& repo, std::string_view revision_text,
                             const HubMonitor& monitor) const {
  FACET_ASSIGN(const PathUnder revision, PathUnder::Parse(revision_text, "revision"));
  if (config_.offline) {
    auto cached = ListCache(config_, repo, revision);
    if (cached.ok()) return cached;
    return Error{Cat("HF_HUB_OFFLINE is set, and ", cached.error().message), cached.error().kind};
  }
  const std::string url = Cat(config_.endpoint, "/api/models/", UrlEncodePath(repo.text()),
                              "/revision/", UrlEncode(revision.text()), "?blobs=true");
  auto body = FetchListing(config_, url, {repo.text(), revision.text(), ""});
  if (body.ok()) return ParseListing(repo, revision, *body);
  if (body.error().kind == ErrorKind::kIo) {
    auto cached = ListCache(config_, repo, revision);
    if (cached.ok()) {
      if (monitor.on_note) {
        monitor.on_note(Cat(config_.endpoint, " cannot be reached (", body.error().message,
                            "); using what the cache holds"));
      }
      return cached;
    }
  }
  return body.error().In(Cat("listing ", repo.text()));
}

Result<int64_t> Hub::MissingBytes(const HubListing& listing, std::vector<HubFile>& wanted) const {
  const HubCache cache(config_.cache, listing.repo);
  HttpClient client;
  int64_t missing = 0;
  for (HubFile& file : wanted) {
    if (listing.from_cache) continue;
    if (file.bytes < 0 || !file.digest) FACET_TRY(FillMetadata(client, config_, listing, file));
    if (cache.Has(*file.digest, file.bytes) ||
        cache.HasInSnapshot(listing.commit, file.name, file.bytes))
      continue;
    missing += std::max<int64_t>(file.bytes - cache.IncompleteBytes(*file.digest), 0);
  }
  return missing;
}

}  // namespace facet
