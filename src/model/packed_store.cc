#include "model/packed_store.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/atomic_file.h"
#include "base/folders.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/math.h"
#include "base/os/os.h"
#include "base/space.h"
#include "ops/matmul/packed_layout.h"
#include "ops/quant/quant.h"

namespace facet {
namespace {

namespace fs = std::filesystem;

// Below this, packing takes less time than a person notices, and a file would only be clutter.
constexpr size_t kSmallestFile = size_t{64} << 20;
constexpr size_t kPage = 4096;
// A change of the file's header changes kPackedLayoutVersion too, which is part of its name.
constexpr char kMagic[16] = "facet packed 1\n";

// Where each matrix lies: after the header page, each at the start of a page.
struct PackedPlan {
  std::vector<size_t> offsets;
  size_t total = kPage;
};

PackedPlan MakePackedPlan(const std::vector<Linear*>& linears) {
  PackedPlan plan;
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
    const auto info = file != nullptr ? IdentifyFile(file->path()) : std::nullopt;
    if (!info) continue;
    hash.Add(&info->bytes, sizeof(info->bytes));
    hash.Add(&info->modified, sizeof(info->modified));
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

// Packs one matrix group by group, and looks for values that are not finite while they are in the
// processor's cache; pages of the source are dropped in pieces, so that source and
// copy together never exceed one copy by more than a piece.
Result<void> PackAndDrop(const Checkpoint& checkpoint, const Linear& linear, std::byte* out,
                         ThreadPool& pool) {
  const WeightView& w = linear.weight;
  const int64_t groups = (w.rows + kPackedGroup - 1) / kPackedGroup;
  const size_t group_bytes = PackedGroupBytes(w.type, w.cols);
  const int64_t piece =
      std::max<int64_t>(1, static_cast<int64_t>((size_t{32} << 20) / group_bytes));
  const TensorFile* file = checkpoint.FileOf(linear.name);
  std::atomic<int64_t> bad = -1;
  for (int64_t begin = 0; begin < groups; begin += piece) {
    const int64_t end = std::min(groups, begin + piece);
    constexpr int64_t kStep = 8;
    pool.ParallelFor((end - begin + kStep - 1) / kStep, [&](int64_t s) {
      for (int64_t g = begin + s * kStep; g < std::min(end, begin + (s + 1) * kStep); ++g) {
        const int64_t row = g * kPackedGroup;
        const WeightView rows = w.rows_at(row, std::min<int64_t>(kPackedGroup, w.rows - row));
        for (int64_t r = 0; r < rows.rows; ++r) {
          if (FindNonFinite(w.type, rows.row(r), w.cols) >= 0) bad = row + r;
        }
        PackGroup(rows, out + g * group_bytes);
      }
    });
    if (file == nullptr) continue;
    if (bad >= 0) return NotFinite(*file, linear.name, bad);
    Tensor part;
    const int64_t first = begin * kPackedGroup, last = std::min(w.rows, end * kPackedGroup);
    part.data = {w.row(first), static_cast<size_t>(w.row(last) - w.row(first))};
    file->Drop(part);
  }
  return Ok();
}

}  // namespace

std::string PackedFileName(std::string_view identity) {
  return Cat(identity, "-p", kPackedLayoutVersion, ".packed");
}

std::string CheckpointIdentity(const Checkpoint& checkpoint) {
  Weights weights = checkpoint.weights;  // copies views, not matrices
  return Identity(checkpoint, AllLinears(weights));
}

Result<std::unique_ptr<PackedStore>> PackedStore::Create(Checkpoint& checkpoint, bool keep,
                                                         ThreadPool& pool) {
  const std::vector<Linear*> linears = AllLinears(checkpoint.weights);
  const PackedPlan plan = MakePackedPlan(linears);
  std::unique_ptr<PackedStore> store(new PackedStore);
  const fs::path folder = CacheFolder();
  if (keep && !folder.empty() && plan.total >= kSmallestFile) {
    store->path_ = folder / PackedFileName(Identity(checkpoint, linears));
  }
  const bool found = !store->path_.empty() && store->MapPackedFile(store->path_, plan.total);
  if (!found) FACET_TRY(store->Allocate(plan.total));
  const std::byte* const weights = found ? store->file_.bytes().data() : store->memory_;
  for (size_t i = 0; i < linears.size(); ++i) {
    Linear& linear = *linears[i];
    if (!found) FACET_TRY(PackAndDrop(checkpoint, linear, store->memory_ + plan.offsets[i], pool));
    linear.packed = {linear.weight.type, linear.rows(), linear.cols(), weights + plan.offsets[i]};
  }
  if (!found) {
    std::memcpy(store->memory_, kMagic, sizeof(kMagic));
    if (!store->path_.empty()) store->WriteInBackground(store->path_);
  }
  return store;
}

PackedStore::~PackedStore() {
  writer_ = {};  // asks the writer to stop and waits for it
  if (memory_ != nullptr) ReleaseMemory(memory_, bytes_);
}

Result<void> PackedStore::Allocate(size_t bytes) {
  memory_ = ReserveMemory(bytes);
  if (memory_ == nullptr) {
    return Error{Cat("no memory for ", bytes >> 20, " MiB of weights"), ErrorKind::kResource};
  }
  UseHugePages(memory_, bytes);
  bytes_ = bytes;
  return Ok();
}

bool PackedStore::MapPackedFile(const fs::path& path, size_t bytes) {
  auto file = MappedFile::Open(path);
  if (!file.ok() || file->bytes().size() != bytes ||
      std::memcmp(file->bytes().data(), kMagic, sizeof(kMagic)) != 0) {
    return false;
  }
  file_ = std::move(*file);
  file_.WillNeed(file_.bytes());
  bytes_ = bytes;
  return true;
}

// Written in pieces that are dropped from the page cache at once, so that it does not hold a second
// copy.
void PackedStore::WriteInBackground(const fs::path& path) {
  writer_ = std::jthread([this, path](const std::stop_token& stop) {
    const auto write = [&]() -> Result<void> {
      FACET_TRY(MakeFolders(path.parent_path()));
      FACET_ASSIGN(const int64_t room, FreeDiskBytes(path.parent_path()));
      constexpr size_t kSpareDisk = size_t{1} << 30, kPiece = size_t{16} << 20;
      if (static_cast<size_t>(room) < bytes_ + kSpareDisk)
        return Error{Cat("too little space in ", path.parent_path().string())};
      FACET_ASSIGN(AtomicFile file, AtomicFile::Create(path, 0600));
      const std::span<const std::byte> weights(memory_, bytes_);
      for (size_t at = 0; at < bytes_; at += kPiece) {
        if (stop.stop_requested()) return Error{"the program ends", ErrorKind::kCancelled};
        FACET_TRY(file.Write(weights.subspan(at, std::min(kPiece, bytes_ - at))));
        FACET_TRY(file.FlushPages());
      }
      return file.Commit();
    };
    if (const auto written = write(); !written.ok())
      spdlog::debug("packed weights not kept: {}", written.error().message);
  });
}

bool PackedStore::WaitForFile() {
  if (mapped()) return true;
  if (writer_.joinable()) writer_.join();
  std::error_code code;
  return !path_.empty() && fs::exists(path_, code);
}

}  // namespace facet
