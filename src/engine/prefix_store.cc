#include "engine/prefix_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "base/atomic_file.h"
#include "base/byte_reader.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mapped_file.h"

namespace facet {
namespace {

namespace fs = std::filesystem;

// Changes with the format, and with what kernels compute.
constexpr char kMagic[16] = "facet prefix 1\n";
constexpr const char* kExtension = ".prefix";
// Shorter prefixes are read again faster than a file is opened.
constexpr int kShortest = 64;
constexpr size_t kMostStates = 64;
// A changed scope is written when nothing runs, or after this long.
constexpr auto kLongestBusy = std::chrono::seconds(60);
constexpr size_t kMostScopes = 4096;

struct Header {
  char magic[16];
  Sha256Digest name;    // of identity and scope
  Sha256Digest digest;  // of all bytes after the header
  uint64_t bytes;
};

// The length in front, so that no two pairs of texts join alike.
void AddText(Hash& hash, std::string_view text) {
  const uint64_t bytes = text.size();
  hash.Add(&bytes, sizeof(bytes));
  hash.Add(text.data(), text.size());
}

Sha256Digest NameOf(const std::string& identity, const std::string& scope) {
  Hash hash;
  AddText(hash, identity);
  AddText(hash, scope);
  return hash.Finish();
}

// --- writing

// A file that only this user can read, checksummed on the way; the header is known at the end.
class PrefixFile {
 public:
  static Result<PrefixFile> Create(const fs::path& path) {
    FACET_ASSIGN(AtomicFile file, AtomicFile::Create(path, 0600));
    const Header unknown{};
    FACET_TRY(file.Write(std::as_bytes(std::span(&unknown, 1))));
    return PrefixFile(std::move(file));
  }

  // Write errors are kept and reported by Finish.
  template <typename T>
  void PutAll(std::span<const T> values) {
    const auto bytes = std::as_bytes(values);
    hash_.Add(bytes.data(), bytes.size());
    (void)file_.Write(bytes);
  }
  template <typename T>
  void Put(const T& value) {
    PutAll(std::span(&value, 1));
  }

  Result<void> Finish(const Sha256Digest& name) {
    Header header{};
    std::memcpy(header.magic, kMagic, sizeof(kMagic));
    header.name = name;
    header.digest = hash_.Finish();
    header.bytes = file_.size() - sizeof(header);
    FACET_TRY(file_.WriteAt(0, std::as_bytes(std::span(&header, 1))));
    return file_.Commit();
  }

 private:
  explicit PrefixFile(AtomicFile file) : file_(std::move(file)) {}

  AtomicFile file_;
  Hash hash_;
};

// The pages of all states, each once.
class PageTable {
 public:
  uint32_t Number(const StoredPage& page) {
    const auto [it, added] =
        numbers_.try_emplace(page.bytes.data(), static_cast<uint32_t>(pages_.size()));
    if (added) pages_.push_back(page);
    return it->second;
  }
  bool Has(const StoredPage& page) const { return numbers_.contains(page.bytes.data()); }
  const std::vector<StoredPage>& pages() const { return pages_; }

 private:
  std::unordered_map<const std::byte*, uint32_t> numbers_;
  std::vector<StoredPage> pages_;
};

// --- reading

// The bytes after the header of a file that is whole, ours, and of this name.
Result<std::span<const std::byte>> CheckFile(const MappedFile& file, const Sha256Digest& name) {
  struct stat info {};
  if (lstat(file.path().c_str(), &info) != 0 || !S_ISREG(info.st_mode))
    return Error{"not a regular file"};
  if (info.st_uid != geteuid() || (info.st_mode & 077) != 0)
    return Error{"others own it or can read it", ErrorKind::kPermission};
  const auto bytes = file.bytes();
  Header header;
  if (bytes.size() < sizeof(header)) return Error{"it is too short"};
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0)
    return Error{"it has another format or version"};
  if (header.name != name) return Error{"it belongs to another model or key"};
  const auto body = bytes.subspan(sizeof(header));
  if (body.size() != header.bytes) return Error{"it is cut off"};
  if (Sha256(body) != header.digest) return Error{"its checksum is wrong"};
  return body;
}

// Restores the states of a file one by one.
class Restorer {
 public:
  Restorer(std::span<const std::byte> body, Executor& executor)
      : input_(body), executor_(executor) {}

  Result<int> Run(const std::string& scope, PrefixCache& cache) {
    const auto states = input_.Get<uint32_t>(), pages = input_.Get<uint32_t>();
    for (uint32_t i = 0; i < pages && input_.ok(); ++i) {
      StoredPage page;
      page.group = input_.Get<uint8_t>();
      page.bytes = input_.GetBytes(input_.Get<uint64_t>());
      pages_.push_back(page);
    }
    for (uint32_t i = 0; i < states && input_.ok(); ++i) {
      auto restored = Next();
      if (!restored) return restored.error();
      cache.Insert(scope, keys_, *restored->get(), true);
      states_.push_back(std::move(*restored));
    }
    if (!input_.ok()) return Error{"it ends early"};
    return static_cast<int>(states_.size());
  }

 private:
  Result<std::unique_ptr<SequenceState>> Next() {
    const auto length = input_.Get<uint32_t>(), common = input_.Get<uint32_t>();
    if (!input_.ok() || common > keys_.size() || length < common || length > INT32_MAX)
      return Error{"its lengths do not fit together"};
    const auto keys = input_.GetBytes((length - common) * sizeof(CacheKey));
    if (!input_.ok()) return Error{"it ends early"};
    keys_.resize(length);
    if (!keys.empty()) std::memcpy(&keys_[common], keys.data(), keys.size());
    std::vector<StoredPage> pages;
    std::vector<uint32_t> numbers;
    const auto count = input_.Get<uint32_t>();
    for (uint32_t i = 0; i < count && input_.ok(); ++i) {
      const auto tile = input_.Get<uint32_t>(), number = input_.Get<uint32_t>();
      if (number >= pages_.size() || tile > INT32_MAX) return Error{"it refers to a missing page"};
      pages.push_back(pages_[number]);
      pages.back().tile = static_cast<int>(tile);
      numbers.push_back(number);
    }
    auto state = executor_.Create();
    FACET_TRY(state->pages.Restore(static_cast<int>(length), pages));
    for (const uint32_t number : numbers) pages_[number].same = &state->pages;
    return state;
  }

  ByteReader input_;
  Executor& executor_;
  std::vector<StoredPage> pages_;
  std::vector<CacheKey> keys_;
  std::vector<std::unique_ptr<SequenceState>> states_;
};

}  // namespace

// --- the files

PrefixStore::PrefixStore(KeepOptions options, std::string identity)
    : options_(std::move(options)), identity_(std::move(identity)) {}

fs::path PrefixStore::PathOf(const std::string& scope) const {
  return options_.folder / (Hex(NameOf(identity_, scope)) + kExtension);
}

int PrefixStore::Load(const std::string& scope, Executor& executor, PrefixCache& cache) const {
  const fs::path path = PathOf(scope);
  std::error_code code;
  if (!fs::exists(fs::symlink_status(path, code))) return 0;
  const auto refuse = [&](const Error& error) {
    spdlog::warn("{}: not used: {}", path.string(), error.message);
    return 0;
  };
  const auto file = MappedFile::Open(path);
  if (!file) return refuse(file.error());
  const auto body = CheckFile(*file, NameOf(identity_, scope));
  if (!body) return refuse(body.error());
  const auto restored = Restorer(*body, executor).Run(scope, cache);
  if (!restored) return refuse(restored.error());
  utimensat(AT_FDCWD, path.c_str(), nullptr, AT_SYMLINK_NOFOLLOW);  // used now
  spdlog::info("{} prefixes from {}", *restored, path.string());
  return *restored;
}

PrefixStore::Image PrefixStore::Collect(const std::string& scope, const PrefixCache& cache) const {
  PageTable table;
  size_t bytes = 0;
  Image image{scope, {}};
  image.kept = cache.Anchors(
      scope,
      [&](const SequenceState& state) {
        if (state.length() < kShortest) return false;
        const std::vector<StoredPage> pages = state.pages.Pages();
        size_t more = 0;
        for (const StoredPage& page : pages) more += table.Has(page) ? 0 : page.bytes.size();
        // A scope may take half of the room, so that two keys do not push each other out.
        if (bytes + more > options_.max_bytes / 2) return false;
        bytes += more;
        for (const StoredPage& page : pages) table.Number(page);
        return true;
      },
      kMostStates);
  std::sort(image.kept.begin(), image.kept.end(),
            [](const auto& a, const auto& b) { return a.keys < b.keys; });
  return image;
}

Result<void> PrefixStore::Write(const Image& image) const {
  FACET_TRY(MakeFolder());
  PageTable table;
  std::vector<std::vector<StoredPage>> pages;
  for (const auto& kept : image.kept) {
    pages.push_back(kept.state->pages.Pages());
    for (const StoredPage& page : pages.back()) table.Number(page);
  }
  const fs::path path = PathOf(image.scope);
  FACET_ASSIGN(PrefixFile out, PrefixFile::Create(path));
  out.Put(static_cast<uint32_t>(image.kept.size()));
  out.Put(static_cast<uint32_t>(table.pages().size()));
  for (const StoredPage& page : table.pages()) {
    out.Put(static_cast<uint8_t>(page.group));
    out.Put(static_cast<uint64_t>(page.bytes.size()));
    out.PutAll(page.bytes);
  }
  std::vector<CacheKey> before;
  for (size_t i = 0; i < image.kept.size(); ++i) {
    const std::vector<CacheKey>& keys = image.kept[i].keys;
    const auto differ = std::mismatch(before.begin(), before.end(), keys.begin(), keys.end());
    const size_t common = static_cast<size_t>(differ.first - before.begin());
    out.Put(static_cast<uint32_t>(keys.size()));
    out.Put(static_cast<uint32_t>(common));
    out.PutAll(std::span(keys).subspan(common));
    out.Put(static_cast<uint32_t>(pages[i].size()));
    for (const StoredPage& page : pages[i]) {
      out.Put(static_cast<uint32_t>(page.tile));
      out.Put(table.Number(page));
    }
    before = keys;
  }
  FACET_TRY(out.Finish(NameOf(identity_, image.scope)));
  Prune(path);
  return Ok();
}

// Creates the folder, or checks that only this user can read it.
Result<void> PrefixStore::MakeFolder() const {
  std::error_code code;
  fs::create_directories(options_.folder.parent_path(), code);
  struct stat info {};
  if (mkdir(options_.folder.c_str(), 0700) != 0 && errno != EEXIST)
    return SystemError(errno, options_.folder.string());
  if (lstat(options_.folder.c_str(), &info) != 0 || !S_ISDIR(info.st_mode) ||
      info.st_uid != geteuid() || (info.st_mode & 077) != 0) {
    return Error{
        Cat(options_.folder.string(), ": expected a folder that is this user's alone (mode 0700)"),
        ErrorKind::kPermission};
  }
  return Ok();
}

// Removes the files that were used longest ago, and what a killed program left unfinished.
void PrefixStore::Prune(const fs::path& newest) const {
  struct StoredFile {
    fs::path path;
    fs::file_time_type time;
    uintmax_t bytes;
  };
  std::vector<StoredFile> files;
  std::error_code code;
  uintmax_t total = 0;
  for (const auto& item : fs::directory_iterator(options_.folder, code)) {
    const auto time = item.last_write_time(code);
    if (item.path().extension() == ".part" &&
        time < fs::file_time_type::clock::now() - std::chrono::hours(24)) {
      fs::remove(item.path(), code);
    }
    if (item.path().extension() != kExtension) continue;
    files.push_back({item.path(), time, item.file_size(code)});
    total += files.back().bytes;
  }
  std::sort(files.begin(), files.end(),
            [](const StoredFile& a, const StoredFile& b) { return a.time < b.time; });
  for (const StoredFile& file : files) {
    if (total <= options_.max_bytes) return;
    if (file.path == newest) continue;
    fs::remove(file.path, code);
    total -= file.bytes;
  }
}

// --- when

PrefixKeeper::PrefixKeeper(const KeepOptions& options, Executor& executor, PrefixCache& cache)
    : executor_(executor), cache_(cache), options_(options) {
  std::string identity = options.folder.empty() ? "" : executor.identity();
  if (!identity.empty()) store_.emplace(options, std::move(identity));
}

void PrefixKeeper::Restore(const std::string& scope) {
  if (!store_) return;
  if (known_.size() >= kMostScopes) known_.clear();
  if (known_.insert(scope).second) store_->Load(scope, executor_, cache_);
}

void PrefixKeeper::Changed(const std::string& scope) {
  if (!store_) return;
  if (changed_.size() < kMostScopes) changed_.try_emplace(scope, Clock::now());
}

void PrefixKeeper::Poll(bool idle) {
  if (writing_.valid()) {
    if (writing_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return;
    AwaitWrite();
  }
  const auto now = Clock::now();
  for (const auto& [scope, since] : changed_) {
    const auto written = written_.find(scope);
    if (written != written_.end() && now - written->second < options_.interval) continue;
    if (!idle && now - since < kLongestBusy) continue;
    return Write(std::string(scope));
  }
}

void PrefixKeeper::Write(const std::string& scope) {
  changed_.erase(scope);
  image_ = store_->Collect(scope, cache_);
  if (image_.kept.empty()) return;
  if (written_.size() >= kMostScopes) written_.clear();
  written_[scope] = Clock::now();
  writing_ = std::async(std::launch::async, [this] {
    const auto written = store_->Write(image_);
    if (!written) spdlog::warn("prefixes not kept: {}", written.error().message);
  });
}

bool PrefixKeeper::AwaitWrite() {
  if (!writing_.valid()) return false;
  writing_.get();
  image_ = {};
  return true;
}

void PrefixKeeper::Finish() {
  AwaitWrite();
  while (!changed_.empty()) {
    Write(std::string(changed_.begin()->first));
    AwaitWrite();
  }
}

}  // namespace facet
