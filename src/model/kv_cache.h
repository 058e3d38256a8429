// The paged cache of keys and values (docs/model.md; why: docs/decisions.md, 8 to 10).
//
// A page holds kTile positions of all layers of one group (the sliding layers, or the full ones)
// and counts its references: a copy of a KvSequence is a snapshot that costs nothing until
// one of the two writes into a shared page. Rows of a step are written behind the committed length
// and become visible by Commit, so a rejected draft overwrites nothing. Not thread-safe: one engine
// thread owns a pool and its sequences.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/result.h"
#include "model/config.h"
#include "ops/attention/attention.h"

namespace facet {

// Rows of a step that a cache has room for however long its sequence is. A picture is computed
// whole: these are the usual 280 soft tokens, wherever in a page they begin.
constexpr int kStepReserve = 320;

// Where each layer's records lie inside a page.
struct CacheLayout {
  enum Group { kSliding = 0, kFull = 1 };
  struct Layer {
    Group group = kSliding;
    KvShape shape;
    size_t offset = 0;     // bytes from the start of the page
    bool compact = false;  // rotated key, then v; see CompactOrder in blocks.h
    // Elements over which keys and values are spread before they are rounded (Hadamard in
    // ops/elementwise); 1: they are stored as they are. Queries and what comes out of the attention
    // go through it too.
    int spread = 1;
    // Scales of the transform: of records; of queries and of what comes out. Powers of two whose
    // product is 1 / spread.
    float record_scale() const;
    float query_scale() const { return 1.0f / (static_cast<float>(spread) * record_scale()); }
  };
  std::vector<Layer> layers;
  std::array<size_t, 2> page_bytes{};  // by group; 0 where the model has no such layer
  int window = 0;

  // `compact`: full layers whose keys are values keep only the rotated part of the key.
  static CacheLayout Create(const TextConfig& config, CacheType type, bool compact);

  // Bytes that a sequence of `tokens` takes.
  size_t BytesFor(int64_t tokens) const;
  // The most that it takes on the way there, in steps of kStepReserve rows: pages behind the window
  // are released after a step, and the last page is copied where a snapshot shares it.
  size_t PeakBytes(int64_t tokens) const;
  // Tokens of the longest sequence that `bytes` hold (0: no limit), at most `most`.
  int TokensIn(size_t bytes, int most) const;
};

class KvPool {
 public:
  // `budget` bytes for all pages; 0 = no limit.
  explicit KvPool(CacheLayout layout, size_t budget = 0);
  KvPool(const KvPool&) = delete;
  KvPool& operator=(const KvPool&) = delete;

  const CacheLayout& layout() const { return layout_; }
  size_t bytes_in_use() const { return in_use_; }
  size_t budget() const { return budget_; }
  void set_budget(size_t bytes) { budget_ = bytes; }

 private:
  friend class KvSequence;
  struct FreeBytes {
    void operator()(std::byte* data) const { std::free(data); }
  };
  struct Page {
    KvPool* pool = nullptr;
    std::unique_ptr<std::byte[], FreeBytes> data;  // page_bytes of its group
    uint32_t references = 0;
    int group = 0;
  };
  // A reference to a page, or to none. The last one gives the page back to its pool.
  class PageRef {
   public:
    PageRef() = default;
    explicit PageRef(std::unique_ptr<Page> page) : page_(page.release()) { ++page_->references; }
    PageRef(const PageRef& other) : page_(other.page_) {
      if (page_ != nullptr) ++page_->references;
    }
    PageRef(PageRef&& other) noexcept : page_(std::exchange(other.page_, nullptr)) {}
    PageRef& operator=(PageRef other) noexcept {
      std::swap(page_, other.page_);
      return *this;
    }
    ~PageRef() {
      if (page_ != nullptr && --page_->references == 0)
        page_->pool->Release(std::unique_ptr<Page>(page_));
    }
    explicit operator bool() const { return page_ != nullptr; }
    std::byte* data() const { return page_->data.get(); }
    bool shared() const { return page_->references > 1; }

   private:
    Page* page_ = nullptr;
  };

  // None where the budget does not allow another page.
  PageRef Allocate(int group);
  void Release(std::unique_ptr<Page> page);

  CacheLayout layout_;
  size_t budget_, in_use_ = 0;
  std::array<std::vector<std::unique_ptr<Page>>, 2> free_;  // by group
};

class KvSequence;

// A page of a sequence as it is kept on disk.
struct StoredPage {
  int group = 0, tile = 0;           // which layers, which positions
  std::span<const std::byte> bytes;  // records of all layers of the group
  const KvSequence* same = nullptr;  // has this very page at this tile; null: it is new
};

class KvSequence {
 public:
  explicit KvSequence(KvPool& pool) : pool_(&pool) {}
  KvSequence(const KvSequence& other) = default;
  KvSequence(KvSequence&& other) noexcept;  // leaves an empty one
  KvSequence& operator=(KvSequence other) noexcept;

  KvPool& pool() const { return *pool_; }
  int length() const { return length_; }  // committed positions

  // Makes positions [length, length + rows) writable: pages exist and are this sequence's alone.
  // Error kResource where the pool's budget is spent.
  Result<void> Reserve(int rows);
  // The first `rows` of the reserved positions count from now on; sliding pages behind the window
  // are released.
  void Commit(int rows);
  // Back to an earlier length. Error where pages of that length's window have been released.
  Result<void> Rewind(int length);
  bool CanRewind(int length) const;

  // Page of a layer's records, for writing position `position`.
  std::byte* WritableTile(int layer, int position);
  // Pointer to each tile of this layer, indexed by position / kTile; null for released
  // tiles.
  void TilePointers(int layer, std::vector<const std::byte*>& out) const;

  // All pages of the committed positions, in place.
  std::vector<StoredPage> Pages() const;
  // An empty sequence becomes one of `length` positions with these pages: copies of their bytes, or
  // shared. Errors (nothing has changed then): pages that are missing, twice there or of another
  // size; kResource where the budget is spent.
  Result<void> Restore(int length, std::span<const StoredPage> pages);

  // Pages that this sequence refers to, shared ones counted whole.
  size_t bytes() const;

 private:
  using PageRef = KvPool::PageRef;
  Result<PageRef> NewPage(int group);

  KvPool* pool_;
  int length_ = 0;
  // By group, indexed by tile; none where released.
  std::array<std::vector<PageRef>, 2> pages_;
  std::array<int, 2> first_{};  // first tile still held, by group
};

}  // namespace facet
