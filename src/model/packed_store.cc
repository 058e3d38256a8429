#include "model/packed_store.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "base/folders.h"
#include "base/hash.h"
#include "base/log.h"

namespace facet {
namespace {

namespace fs = std::filesystem;

// Part of the file's name; changes with the packed layout or with what the file's header holds.
constexpr const char* kLayoutVersion = "p1";
// Below this, packing takes less time than a person notices, and a file would only be clutter.
constexpr size_t kSmallestFile = size_t{64} << 20;
constexpr size_t kPage = 4096;
constexpr char kMagic[16] = "facet packed 1\n";

size_t AlignUp(size_t n, size_t step) {
  return (n + step - 1) / step * step;
}

// Where each matrix lies: behind the header page, each on a page of its own.
struct Plan {
  std::vector<size_t> offsets;
  size_t total = kPage;
};

Plan MakePlan(const std::vector<Linear*>& linears) {
  Plan plan;
  for (const Linear* linear : linears) {
    plan.offsets.push_back(plan.total);
    plan.total = AlignUp(
        plan.total + PackedBytes(linear->weight.type, linear->rows(), linear->cols()), kPage);
  }
  return plan;
}

// Reading seven gigabytes to name a file would cost more than packing them: the identity is every
// tensor's name, type, shape and first and last bytes, and the time at which the file was changed.
std::string Identity(const Checkpoint& checkpoint, const std::vector<Linear*>& linears) {
  Hash hash;
  for (const TensorFile* file : {checkpoint.text.get(), checkpoint.projector.get()}) {
    struct stat info {};
    if (file == nullptr || stat(file->path().c_str(), &info) != 0) continue;
    hash.Add(&info.st_size, sizeof(info.st_size));
    hash.Add(&info.st_mtim, sizeof(info.st_mtim));
  }
  for (const Linear* linear : linears) {
    const WeightView& w = linear->weight;
    const size_t bytes = w.rows * RowBytes(w.type, w.cols), ends = std::min<size_t>(bytes, 1024);
    hash.Add(linear->name.data(), linear->name.size() + 1);
    hash.Add(&w.type, sizeof(w.type));
    hash.Add(&w.rows, sizeof(w.rows));
    hash.Add(&w.cols, sizeof(w.cols));
    hash.Add(w.data, ends);
    hash.Add(w.data + bytes - ends, ends);
  }
  return hash.Hex();
}

// Packs one matrix group by group; pages of the source are dropped in pieces, so that source and
// copy together never exceed one copy by more than a piece.
void PackAndDrop(const Checkpoint& checkpoint, const Linear& linear, std::byte* out,
                 ThreadPool& pool) {
  const WeightView& w = linear.weight;
  const int64_t groups = (w.rows + kPackedGroup - 1) / kPackedGroup;
  const size_t group_bytes = PackedGroupBytes(w.type, w.cols);
  const int64_t piece =
      std::max<int64_t>(1, static_cast<int64_t>((size_t{32} << 20) / group_bytes));
  const TensorFile* file = checkpoint.FileOf(linear.name);
  for (int64_t begin = 0; begin < groups; begin += piece) {
    const int64_t end = std::min(groups, begin + piece);
    constexpr int64_t kStep = 8;
    pool.ParallelFor((end - begin + kStep - 1) / kStep, [&](int64_t s) {
      for (int64_t g = begin + s * kStep; g < std::min(end, begin + (s + 1) * kStep); ++g) {
        const int64_t row = g * kPackedGroup;
        PackGroup(w.rows_at(row, std::min<int64_t>(kPackedGroup, w.rows - row)),
                  out + g * group_bytes);
      }
    });
    if (file == nullptr) continue;
    Tensor part;
    const int64_t first = begin * kPackedGroup, last = std::min(w.rows, end * kPackedGroup);
    part.data = {w.row(first), static_cast<size_t>(w.row(last) - w.row(first))};
    file->Drop(part);
  }
}

}  // namespace

std::string CheckpointIdentity(const Checkpoint& checkpoint) {
  Weights weights = checkpoint.weights;  // copies views, not matrices
  return Identity(checkpoint, AllLinears(weights));
}

Result<std::unique_ptr<PackedStore>> PackedStore::Create(Checkpoint& checkpoint, bool keep,
                                                         ThreadPool& pool) {
  const std::vector<Linear*> linears = AllLinears(checkpoint.weights);
  const Plan plan = MakePlan(linears);
  std::unique_ptr<PackedStore> store(new PackedStore);
  const fs::path folder = CacheFolder();
  if (keep && !folder.empty() && plan.total >= kSmallestFile) {
    store->path_ = folder / (Identity(checkpoint, linears) + "-" + kLayoutVersion + ".packed");
  }
  const bool found = !store->path_.empty() && store->MapFile(store->path_, plan.total);
  if (!found) FACET_TRY(store->Allocate(plan.total));
  for (size_t i = 0; i < linears.size(); ++i) {
    Linear& linear = *linears[i];
    std::byte* data = store->data_ + plan.offsets[i];
    if (!found) PackAndDrop(checkpoint, linear, data, pool);
    linear.packed = {linear.weight.type, linear.rows(), linear.cols(), data};
  }
  if (!found) {
    std::memcpy(store->data_, kMagic, sizeof(kMagic));
    if (!store->path_.empty()) store->WriteInBackground(store->path_);
  }
  return store;
}

PackedStore::~PackedStore() {
  writer_ = {};  // asks the writer to stop and waits for it
  if (data_ != nullptr) munmap(data_, bytes_);
}

Result<void> PackedStore::Allocate(size_t bytes) {
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) {
    return Error{Cat("no memory for ", bytes >> 20, " MiB of weights"), ErrorKind::kResource};
  }
  madvise(data, bytes, MADV_HUGEPAGE);
  data_ = static_cast<std::byte*>(data);
  bytes_ = bytes;
  return Ok();
}

bool PackedStore::MapFile(const fs::path& path, size_t bytes) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  struct stat info {};
  void* data = MAP_FAILED;
  if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) &&
      static_cast<size_t>(info.st_size) == bytes) {
    data = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
  }
  close(fd);
  if (data == MAP_FAILED) return false;
  if (std::memcmp(data, kMagic, sizeof(kMagic)) != 0) {
    munmap(data, bytes);
    return false;
  }
  data_ = static_cast<std::byte*>(data);
  bytes_ = bytes;
  mapped_ = true;
  madvise(data, bytes, MADV_WILLNEED);
  return true;
}

// Written in pieces that are flushed and forgotten at once, so that the page cache does not hold a
// second copy.
void PackedStore::WriteInBackground(const fs::path& path) {
  writer_ = std::jthread([this, path](const std::stop_token& stop) {
    std::error_code code;
    fs::create_directories(path.parent_path(), code);
    const fs::space_info space = fs::space(path.parent_path(), code);
    if (code || space.available < bytes_ + (size_t{1} << 30)) {
      spdlog::debug("packed weights not kept: too little space in {}", path.parent_path().string());
      return;
    }
    const fs::path part = path.string() + Cat(".", getpid(), ".part");
    const int fd = open(part.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0) return;
    constexpr size_t kPiece = size_t{16} << 20;
    bool complete = true;
    for (size_t at = 0; at < bytes_ && complete; at += kPiece) {
      const size_t count = std::min(kPiece, bytes_ - at);
      size_t done = 0;
      while (done < count && !stop.stop_requested()) {
        const ssize_t n = write(fd, data_ + at + done, count - done);
        if (n <= 0) break;
        done += static_cast<size_t>(n);
      }
      complete = done == count;
      sync_file_range(
          fd, static_cast<off64_t>(at), static_cast<off64_t>(count),
          SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
      posix_fadvise(fd, static_cast<off_t>(at), static_cast<off_t>(count), POSIX_FADV_DONTNEED);
    }
    close(fd);
    if (complete) fs::rename(part, path, code);
    if (!complete || code) fs::remove(part, code);
  });
}

bool PackedStore::WaitForFile() {
  if (mapped_) return true;
  if (writer_.joinable()) writer_.join();
  std::error_code code;
  return !path_.empty() && fs::exists(path_, code);
}

}  // namespace facet
