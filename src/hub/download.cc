// Hub::Download: several connections append to one file in order, so that a partial file is always
// a prefix: it can be resumed after a kill at any moment, and is hashed while it grows.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "base/atomic_file.h"
#include "base/clock.h"
#include "base/descriptor.h"
#include "base/hash.h"
#include "base/mapped_file.h"
#include "base/os/os.h"
#include "base/space.h"
#include "hub/hub.h"
#include "hub/requests.h"

namespace facet {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kSpareDisk = 64 << 20;

// SHA-256 of the bytes, or SHA-1 as git names a blob of `bytes` bytes, whichever the digest is.
Hash HashFor(const Digest& digest, int64_t bytes) {
  if (digest.is_sha256()) return Hash();
  Hash hash(Hash::Kind::kSha1);
  const std::string head = Cat("blob ", bytes);
  hash.Add(head.c_str(), head.size() + 1);
  return hash;
}

// Sums progress over files and passes it on, one call at a time, at most about thirty times a
// second.
class Meter {
 public:
  Meter(const HubMonitor& monitor, int64_t total) : monitor_(monitor) { progress_.total = total; }

  void AddPresent(int64_t bytes, std::string_view file) { Change(bytes, 0, file, true); }
  void AddFetched(int64_t bytes, std::string_view file) { Change(bytes, bytes, file, false); }
  void Note(const std::string& text) {
    const std::lock_guard guard(mutex_);
    if (monitor_.on_note) monitor_.on_note(text);
  }
  bool cancelled() const { return monitor_.cancelled != nullptr && monitor_.cancelled->load(); }

 private:
  void Change(int64_t done, int64_t fetched, std::string_view file, bool now) {
    const std::lock_guard guard(mutex_);
    progress_.done += done;
    progress_.fetched += fetched;
    progress_.file = file;
    const auto time = Clock::now();
    if (!monitor_.on_progress || (!now && progress_.done < progress_.total && time < next_)) return;
    next_ = time + std::chrono::milliseconds(33);
    monitor_.on_progress(progress_);
  }

  const HubMonitor& monitor_;
  std::mutex mutex_;
  HubMonitor::Progress progress_;
  Clock::time_point next_;
};

// One file on its way into the cache, the lock on it held by the caller.
class FileDownload {
 public:
  FileDownload(const HubConfig& config, const HubListing& listing, const HubFile& file,
               const HubCache& cache, Meter& meter)
      : config_(config),
        file_(file),
        url_(ResolveUrl(config, listing, file.name)),
        subject_{listing.repo.text(), listing.revision.text(), file.name.text()},
        commit_(listing.commit),
        part_(cache.Incomplete(*file.digest)),
        blob_(cache.Blob(*file.digest)),
        meter_(meter) {}

  Result<void> Run(int connections) {
    auto first = Attempt(connections);
    // What an interrupted download left may be damaged: one more time, from nothing.
    if (!first.ok() && wrong_digest_ && resumed_) {
      meter_.Note(Cat(file_.name.text(), ": the partial file was damaged; fetching it anew"));
      meter_.AddPresent(-file_.bytes, file_.name.text());
      return Attempt(connections);
    }
    return first;
  }

 private:
  // A stretch of the file that one connection fetches.
  struct Chunk {
    int64_t begin = 0, end = 0;
  };

  Result<void> Attempt(int connections) {
    FACET_TRY(OpenPart());
    if (written_ < file_.bytes) {
      // The first answer tells whether the server can send parts of a file; the others wait for it.
      std::vector<std::thread> others;
      for (int i = 1; i < connections; ++i) others.emplace_back([this] { Work(false); });
      Work(true);
      for (std::thread& thread : others) thread.join();
    }
    FACET_TRY(error_);
    return Finish();
  }

  // Opens the partial file and hashes what it holds.
  Result<void> OpenPart() {
    partial_ = Descriptor(open(part_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666));
    const int fd = partial_.get();
    if (fd < 0) return SystemError(errno, part_.string());
    FACET_TRY(CheckIsFile(part_));
    hash_ = HashFor(*file_.digest, file_.bytes);
    wrong_digest_ = false;
    ranges_.reset();
    pending_.clear();
    written_ = 0;
    std::vector<std::byte> buffer(1 << 20);
    for (ssize_t n; written_ < file_.bytes && (n = read(fd, buffer.data(), buffer.size())) > 0;) {
      if (meter_.cancelled()) return Error{"cancelled", ErrorKind::kCancelled};
      const int64_t take = std::min<int64_t>(n, file_.bytes - written_);
      hash_.Add({buffer.data(), static_cast<size_t>(take)});
      written_ += take;
    }
    if (ftruncate(fd, written_) != 0) return SystemError(errno, part_.string());
    next_ = written_;
    resumed_ = written_ > 0;
    meter_.AddPresent(written_, file_.name.text());
    return Ok();
  }

  // Fetches chunk after chunk until the file is complete or something failed.
  void Work(bool leads) {
    HttpClient client;
    while (auto chunk = Claim(leads)) {
      if (auto done = FetchChunk(client, *chunk, leads); !done.ok()) {
        Fail(done.error());
        return;
      }
    }
  }

  void Fail(Error error) {
    const std::lock_guard guard(mutex_);
    if (error_.ok()) error_ = std::move(error);
    failed_ = true;
    changed_.notify_all();
  }

  // The next stretch, once it is near enough to the end of the file on disk: what runs ahead waits
  // in memory.
  std::optional<Chunk> Claim(bool leads) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] {
      if (failed_ || next_ >= file_.bytes) return true;
      if (!ranges_.has_value()) return leads;
      if (!*ranges_) return true;
      return next_ < written_ + config_.connections * config_.chunk_bytes;
    });
    if (failed_ || next_ >= file_.bytes || (ranges_.has_value() && !*ranges_ && !leads))
      return std::nullopt;
    const Chunk chunk{next_, std::min(next_ + config_.chunk_bytes, file_.bytes)};
    next_ = chunk.end;
    return chunk;
  }

  Result<void> FetchChunk(HttpClient& client, Chunk chunk, bool leads) {
    Error last{"no attempt was made", ErrorKind::kIo};
    int64_t at = chunk.begin;
    for (int attempt = 0; attempt < config_.attempts; ++attempt) {
      if (attempt > 0) Pause(config_.retry_delay * (1 << std::min(attempt, 6)));
      if (Stopped()) return Error{"cancelled", ErrorKind::kCancelled};
      const int64_t before = at;
      auto outcome = FetchOnce(client, chunk, at, leads);
      if (outcome.ok() && at == chunk.end) return Ok();
      if (at > before) attempt = 0;  // it moves: keep going
      if (!outcome.ok() && outcome.error().kind != ErrorKind::kIo) return outcome.error();
      last = outcome.ok()
                 ? Error{Cat("the connection ended after ", at, " of ", file_.bytes, " bytes"),
                         ErrorKind::kIo}
                 : outcome.error();
    }
    return last.In(
        Cat(subject_.repo, "/", subject_.file, ", after ", at, " of ", file_.bytes, " bytes"));
  }

  // One request for [at, chunk.end); `at` moves with each byte that came. kIo errors may pass.
  Result<void> FetchOnce(HttpClient& client, Chunk& chunk, int64_t& at, bool leads) {
    const int64_t asked = at;
    int64_t skip = 0;  // bytes in front of `at` that a server without ranges sends again
    Result<void> verdict;
    HubRequest request;
    request.http.url = url_;
    request.http.begin = asked;
    request.http.end = chunk.end;
    request.on_first = [this](const HttpClientResponse& head) { return CheckFirst(head); };
    request.on_head = [&](const HttpClientResponse& head) {
      verdict = CheckHead(head, asked, skip);
      if (verdict.ok() && leads) LearnRanges(head.status == 206, chunk);
      return verdict.ok();
    };
    request.on_body = [&](std::span<const std::byte> data) {
      const int64_t skipped = std::min<int64_t>(skip, data.size());
      skip -= skipped;
      data = data.subspan(skipped);
      data = data.first(std::min<int64_t>(data.size(), chunk.end - at));
      verdict = Accept(chunk, at, data);
      at += data.size();
      return verdict.ok() && at < chunk.end && !Stopped();
    };
    auto response = RunHubRequest(client, config_, std::move(request));
    FACET_TRY(verdict);
    if (!response.ok() && at < chunk.end) return response.error();
    return Ok();
  }

  // The hub's own answer names what it is about to send: another commit or file means that the list
  // is out of date.
  Result<void> CheckFirst(const HttpClientResponse& head) const {
    const std::string_view commit = head.Header("x-repo-commit");
    if (!commit.empty() && commit != commit_)
      return Expected(commit_, commit, subject_.file + ", commit");
    std::string etag(head.Header("x-linked-etag"));
    std::erase(etag, '"');
    if (!etag.empty() && etag != file_.digest->hex()) {
      return Expected(file_.digest->hex(), etag.substr(0, 80),
                      subject_.file + ", digest announced by the hub");
    }
    return Ok();
  }

  Result<void> CheckHead(const HttpClientResponse& head, int64_t asked, int64_t& skip) const {
    if (head.status != 200 && head.status != 206) {
      Error error = StatusError(head, config_, subject_);
      error.kind = IsTransient(head.status) ? ErrorKind::kIo : error.kind;
      if (error.kind == ErrorKind::kIo && !IsTransient(head.status))
        error.kind = ErrorKind::kInvalid;
      return error;
    }
    if (head.status == 206) {
      const std::string expected = Cat("bytes ", asked, "-"), total = Cat("/", file_.bytes);
      const std::string_view range = head.Header("content-range");
      if (!range.starts_with(expected) || !(range.ends_with(total) || range.ends_with("/*"))) {
        return Expected(Cat(expected, "...", total), range, subject_.file + ", Content-Range");
      }
      return Ok();
    }
    skip = asked;
    const std::string_view length = head.Header("content-length");
    if (!length.empty() && length != std::to_string(file_.bytes)) {
      // A proxy's error page, or a body that the server itself knows to be cut short.
      return Error{Cat("expected ", file_.bytes, " bytes but the server announces ", length),
                   ErrorKind::kIo};
    }
    return Ok();
  }

  void LearnRanges(bool ranges, Chunk& chunk) {
    const std::lock_guard guard(mutex_);
    if (ranges_.has_value()) return;
    ranges_ = ranges;
    if (!ranges) next_ = chunk.end = file_.bytes;  // one connection reads it all
    changed_.notify_all();
  }

  // Appends bytes that belong at `at`, or keeps them until what is in front of them has come.
  Result<void> Accept(const Chunk& chunk, int64_t at, std::span<const std::byte> data) {
    {
      const std::lock_guard guard(mutex_);
      if (at != written_) {
        auto& buffer = pending_[chunk.begin];
        buffer.insert(buffer.end(), data.begin(), data.end());
      } else {
        FACET_TRY(Append(data));
        for (auto it = pending_.find(written_); it != pending_.end();
             it = pending_.find(written_)) {
          const std::vector<std::byte> buffer = std::move(it->second);
          pending_.erase(it);
          FACET_TRY(Append(buffer));
        }
        changed_.notify_all();
      }
    }
    meter_.AddFetched(data.size(), file_.name.text());
    return Ok();
  }

  Result<void> Append(std::span<const std::byte> data) {
    for (size_t done = 0; done < data.size();) {
      const ssize_t n =
          pwrite(partial_.get(), data.data() + done, data.size() - done, written_ + done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return SystemError(errno, part_.string());
      done += n;
    }
    hash_.Add(data);
    written_ += data.size();
    return Ok();
  }

  bool Stopped() {
    if (meter_.cancelled()) return true;
    const std::lock_guard guard(mutex_);
    return failed_;
  }

  void Pause(std::chrono::milliseconds time) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, time, [&] { return failed_ || meter_.cancelled(); });
  }

  Result<void> Finish() {
    const std::string hex = hash_.Hex();
    if (hex != file_.digest->hex()) {
      wrong_digest_ = true;
      unlink(part_.c_str());
      return Error{Cat(subject_.repo, "/", subject_.file, ": expected ",
                       file_.digest->is_sha256() ? "sha256 " : "git sha1 ", file_.digest->hex(),
                       " but got ", hex, "; the downloaded file was deleted"),
                   ErrorKind::kInvalid};
    }
    if (!FlushToDevice(partial_.get())) return SystemError(errno, part_.string());
    return RenameAndFlush(part_, blob_);
  }

  const HubConfig& config_;
  const HubFile& file_;
  const std::string url_;
  const HubSubject subject_;
  const std::string commit_;
  const fs::path part_, blob_;
  Meter& meter_;

  Descriptor partial_;
  Hash hash_;
  bool resumed_ = false, wrong_digest_ = false;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<bool> ranges_;  // whether the server sends parts; empty until it has answered
  int64_t next_ = 0;            // first byte that no connection has claimed
  int64_t written_ = 0;         // length of the prefix on disk
  std::map<int64_t, std::vector<std::byte>> pending_;  // by chunk: received ahead of its turn
  bool failed_ = false;
  Result<void> error_;
};

// Takes the lock and fetches one file, unless another process has done so meanwhile.
Result<void> DownloadFile(const HubConfig& config, const HubListing& listing, const HubFile& file,
                          const HubCache& cache, Meter& meter, int connections) {
  bool told = false;
  FACET_ASSIGN(const BlobLock lock, cache.Lock(*file.digest, [&] {
    if (!told) meter.Note(Cat("waiting for another program that downloads ", file.name.text()));
    told = true;
    return !meter.cancelled();
  }));
  if (cache.Has(*file.digest, file.bytes)) {
    meter.AddPresent(file.bytes, file.name.text());
    return Ok();
  }
  FileDownload download(config, listing, file, cache, meter);
  return download.Run(connections);
}

// Small files share the connections, one each.
Result<void> DownloadSmall(const HubConfig& config, const HubListing& listing,
                           const std::vector<HubFile>& files, const HubCache& cache, Meter& meter) {
  std::atomic<size_t> next = 0;
  std::mutex mutex;
  Result<void> error;
  const auto work = [&] {
    for (size_t i; (i = next.fetch_add(1)) < files.size();) {
      auto done = DownloadFile(config, listing, files[i], cache, meter, 1);
      if (done.ok()) continue;
      const std::lock_guard guard(mutex);
      if (error.ok()) error = done;
      next = files.size();
    }
  };
  std::vector<std::thread> others;
  for (int i = 1; i < std::min<int>(config.connections, files.size()); ++i)
    others.emplace_back(work);
  work();
  for (std::thread& thread : others) thread.join();
  return error;
}

}  // namespace

Result<std::string> Hub::Read(const HubListing& listing, HubFile file, int64_t max_bytes,
                              const HubMonitor& monitor) const {
  const HubCache cache(config_.cache, listing.repo);
  const fs::path published = file.name.In(cache.Snapshot(listing.commit));
  if (listing.from_cache) return ReadFile(published);
  std::vector<HubFile> one = {std::move(file)};
  FACET_TRY(MissingBytes(listing, one));
  const HubFile& wanted = one.front();
  if (wanted.bytes > max_bytes) {
    Error error = Expected(Cat("at most ", max_bytes, " bytes"), wanted.bytes,
                           Cat(listing.repo.text(), "/", wanted.name.text()));
    error.kind = ErrorKind::kTooLarge;
    return error;
  }
  if (!cache.Has(*wanted.digest, wanted.bytes) &&
      cache.HasInSnapshot(listing.commit, wanted.name, wanted.bytes)) {
    return ReadFile(published);
  }
  FACET_TRY(cache.Prepare());
  HubMonitor quiet = monitor;  // progress counts from the first byte of the model
  quiet.on_progress = nullptr;
  Meter meter(quiet, wanted.bytes);
  FACET_TRY(DownloadFile(config_, listing, wanted, cache, meter, 1));
  return ReadFile(cache.Blob(*wanted.digest));
}

Result<fs::path> Hub::Download(const HubListing& listing, std::vector<HubFile> wanted,
                               const HubMonitor& monitor) const {
  const HubCache cache(config_.cache, listing.repo);
  if (listing.from_cache) return cache.Snapshot(listing.commit);
  FACET_ASSIGN(const int64_t missing, MissingBytes(listing, wanted));
  FACET_ASSIGN(const int64_t room, FreeDiskBytes(config_.cache));
  if (missing > 0 && missing + kSpareDisk > room) {
    return Error{Cat(listing.repo.text(), " needs ", HumanBytes(missing), " on the disk of ",
                     config_.cache.string(), ", where ", HumanBytes(room), " are free"),
                 ErrorKind::kResource};
  }
  FACET_TRY(cache.Prepare());

  int64_t total = 0;
  for (const HubFile& file : wanted) total += file.bytes;
  Meter meter(monitor, total);
  std::vector<HubFile> small, large;
  std::vector<std::pair<PathUnder, Digest>> links;
  for (const HubFile& file : wanted) {
    if (!cache.Has(*file.digest, file.bytes) &&
        cache.HasInSnapshot(listing.commit, file.name, file.bytes)) {
      meter.AddPresent(file.bytes, file.name.text());  // a cache without links, as on Windows
      continue;
    }
    links.emplace_back(file.name, *file.digest);
    if (cache.Has(*file.digest, file.bytes)) {
      meter.AddPresent(file.bytes, file.name.text());
    } else {
      (file.bytes <= config_.chunk_bytes ? small : large).push_back(file);
    }
  }
  FACET_TRY(DownloadSmall(config_, listing, small, cache, meter));
  for (const HubFile& file : large) {
    FACET_TRY(DownloadFile(config_, listing, file, cache, meter, config_.connections));
  }
  FACET_TRY(cache.Publish(listing.commit, listing.revision, links));
  return cache.Snapshot(listing.commit);
}

}  // namespace facet
