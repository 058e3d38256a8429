#include "model/kv_cache.h"

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <utility>

#include "base/math.h"

namespace facet {
namespace {

constexpr size_t kPageAlignment = 64;

size_t PagesOf(int64_t positions) {
  return static_cast<size_t>(DivideUp<int64_t>(positions, kTile));
}

// The longest stretch that divides every section of a record.
int SpreadOf(int sections) {
  constexpr int kLongest = 128;
  int spread = 1;
  while (spread < kLongest && sections % (2 * spread) == 0) spread *= 2;
  return spread;
}

}  // namespace

float CacheLayout::Layer::record_scale() const {
  float scale = 1;
  for (int n = spread; n > 1; n /= 4) scale /= 2;
  return scale;
}

CacheLayout CacheLayout::Create(const TextConfig& config, CacheType type, bool compact) {
  CacheLayout layout;
  layout.window = config.window;
  for (const LayerConfig& c : config.layers) {
    Layer layer;
    layer.group = c.sliding ? kSliding : kFull;
    layer.compact = compact && c.keys_are_values && config.value_norm;
    const int rotated = 2 * config.rope(c.sliding).rotated_pairs;
    layer.shape = {c.kv_heads, c.head_dim, c.head_dim, layer.compact ? rotated : c.head_dim, type};
    if (type == CacheType::kQ8_0) {
      layer.spread = SpreadOf(layer.compact ? std::gcd(rotated, c.head_dim) : c.head_dim);
    }
    layer.offset = layout.page_bytes[layer.group];
    layout.page_bytes[layer.group] += AlignUp(layer.shape.tile_bytes(), kPageAlignment);
    layout.layers.push_back(layer);
  }
  return layout;
}

size_t CacheLayout::BytesFor(int64_t tokens) const {
  const int64_t near = std::min<int64_t>(tokens, int64_t{window} + kTile);
  return PagesOf(tokens) * page_bytes[kFull] + PagesOf(near) * page_bytes[kSliding];
}

size_t CacheLayout::PeakBytes(int64_t tokens) const {
  const int64_t near = std::min<int64_t>(tokens, int64_t{window} + kTile + kStepReserve);
  return (PagesOf(tokens) + 1) * page_bytes[kFull] + (PagesOf(near) + 1) * page_bytes[kSliding];
}

int CacheLayout::TokensIn(size_t bytes, int most) const {
  if (bytes == 0 || PeakBytes(most) <= bytes) return most;
  int fits = 0, too_many = most;
  while (too_many - fits > 1) {
    const int middle = fits + (too_many - fits) / 2;
    (PeakBytes(middle) <= bytes ? fits : too_many) = middle;
  }
  return fits;
}

KvPool::KvPool(CacheLayout layout, size_t budget) : layout_(std::move(layout)), budget_(budget) {}

KvPool::PageRef KvPool::Allocate(int group) {
  const size_t bytes = layout_.page_bytes[group];
  if (budget_ != 0 && in_use_ + bytes > budget_) return {};
  std::unique_ptr<Page> page;
  if (!free_[group].empty()) {
    page = std::move(free_[group].back());
    free_[group].pop_back();
  } else {
    auto* data = static_cast<std::byte*>(std::aligned_alloc(kPageAlignment, bytes));
    if (data == nullptr) return {};
    page = std::make_unique<Page>();
    page->pool = this;
    page->data.reset(data);
    page->group = group;
  }
  in_use_ += bytes;
  return PageRef(std::move(page));
}

void KvPool::Release(std::unique_ptr<Page> page) {
  in_use_ -= layout_.page_bytes[page->group];
  // A handful of pages is kept for the next sequence; the rest goes back to the system.
  constexpr size_t kKept = 64;
  std::vector<std::unique_ptr<Page>>& free = free_[page->group];
  if (free.size() < kKept) free.push_back(std::move(page));
}

KvSequence::KvSequence(KvSequence&& other) noexcept
    : pool_(other.pool_),
      length_(std::exchange(other.length_, 0)),
      pages_(std::exchange(other.pages_, {})),
      first_(std::exchange(other.first_, {})) {}

KvSequence& KvSequence::operator=(KvSequence other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(length_, other.length_);
  std::swap(pages_, other.pages_);
  std::swap(first_, other.first_);
  return *this;
}

Result<KvSequence::PageRef> KvSequence::NewPage(int group) {
  if (PageRef page = pool_->Allocate(group)) return page;
  return Error{Cat("the cache of keys and values is full: ", pool_->bytes_in_use() >> 20,
                   " MiB in use of ", pool_->budget() >> 20, " MiB"),
               ErrorKind::kResource};
}

Result<void> KvSequence::Reserve(int rows) {
  if (rows <= 0) return Ok();
  const size_t begin = length_ / kTile, end = PagesOf(int64_t{length_} + rows);
  for (int group : {CacheLayout::kSliding, CacheLayout::kFull}) {
    if (pool_->layout().page_bytes[group] == 0) continue;
    std::vector<PageRef>& pages = pages_[group];
    for (size_t tile = begin; tile < end; ++tile) {
      if (tile >= pages.size()) {
        FACET_ASSIGN(PageRef page, NewPage(group));
        pages.push_back(std::move(page));
      } else if (pages[tile].shared()) {
        // Another sequence reads this page: write into a copy of it.
        FACET_ASSIGN(PageRef page, NewPage(group));
        std::memcpy(page.data(), pages[tile].data(), pool_->layout().page_bytes[group]);
        pages[tile] = std::move(page);
      }
    }
  }
  return Ok();
}

void KvSequence::Commit(int rows) {
  length_ += rows;
  std::vector<PageRef>& pages = pages_[CacheLayout::kSliding];
  assert(pages.empty() || static_cast<size_t>(length_) <= pages.size() * kTile);
  // The next query, at position length, sees keys from length - window + 1 on.
  const int keep = std::max(0, length_ - pool_->layout().window + 1) / kTile;
  for (int& tile = first_[CacheLayout::kSliding];
       tile < keep && tile < static_cast<int>(pages.size()); ++tile) {
    pages[tile] = {};
  }
}

bool KvSequence::CanRewind(int length) const {
  if (length < 0 || length > length_) return false;
  const int needed = std::max(0, length - pool_->layout().window + 1) / kTile;
  return pages_[CacheLayout::kSliding].empty() || needed >= first_[CacheLayout::kSliding];
}

Result<void> KvSequence::Rewind(int length) {
  if (!CanRewind(length)) {
    return Error{Cat("cannot go back from ", length_, " to ", length,
                     " tokens: the window there has been released")};
  }
  length_ = length;
  const size_t tiles = PagesOf(length);
  for (auto& list : pages_) {
    if (list.size() > tiles) list.resize(tiles);
  }
  return Ok();
}

std::byte* KvSequence::WritableTile(int layer, int position) {
  const CacheLayout::Layer& place = pool_->layout().layers[layer];
  const PageRef& page = pages_[place.group][position / kTile];
  assert(page && !page.shared());
  return page.data() + place.offset;
}

void KvSequence::TilePointers(int layer, std::vector<const std::byte*>& out) const {
  const CacheLayout::Layer& place = pool_->layout().layers[layer];
  const std::vector<PageRef>& pages = pages_[place.group];
  out.resize(pages.size());
  for (size_t tile = 0; tile < pages.size(); ++tile) {
    out[tile] = pages[tile] ? pages[tile].data() + place.offset : nullptr;
  }
}

std::vector<StoredPage> KvSequence::Pages() const {
  std::vector<StoredPage> out;
  const size_t tiles = PagesOf(length_);
  for (int group = 0; group < 2; ++group) {
    for (size_t tile = 0; tile < std::min(tiles, pages_[group].size()); ++tile) {
      const PageRef& page = pages_[group][tile];
      if (!page) continue;
      out.push_back({group,
                     static_cast<int>(tile),
                     {page.data(), pool_->layout().page_bytes[group]},
                     nullptr});
    }
  }
  return out;
}

Result<void> KvSequence::Restore(int length, std::span<const StoredPage> pages) {
  const CacheLayout& layout = pool_->layout();
  const auto tiles = static_cast<int>(PagesOf(length));
  KvSequence made(*pool_);
  made.length_ = length;
  made.first_[CacheLayout::kSliding] = std::max(0, length - layout.window + 1) / kTile;
  for (int group : {CacheLayout::kSliding, CacheLayout::kFull}) {
    if (layout.page_bytes[group] > 0) made.pages_[group].resize(tiles);
  }
  for (const StoredPage& page : pages) {
    if (page.group < 0 || page.group > 1 || page.tile < made.first_[page.group] ||
        page.tile >= static_cast<int>(made.pages_[page.group].size()) ||
        page.bytes.size() != layout.page_bytes[page.group] || made.pages_[page.group][page.tile]) {
      return Error{Cat("page ", page.tile, " of group ", page.group, " does not fit")};
    }
    PageRef& place = made.pages_[page.group][page.tile];
    if (page.same != nullptr) {
      place = page.same->pages_[page.group][page.tile];
    } else {
      FACET_ASSIGN(place, made.NewPage(page.group));
      std::memcpy(place.data(), page.bytes.data(), page.bytes.size());
    }
  }
  for (int group = 0; group < 2; ++group) {
    const auto& list = made.pages_[group];
    if (list.empty()) continue;
    const auto first = list.begin() + std::min(made.first_[group], tiles);
    if (!std::all_of(first, list.end(), [](const PageRef& page) { return bool{page}; }))
      return Error{"a page is missing"};
  }
  *this = std::move(made);
  return Ok();
}

size_t KvSequence::bytes() const {
  size_t total = 0;
  for (int group = 0; group < 2; ++group) {
    for (const PageRef& page : pages_[group]) {
      if (page) total += pool_->layout().page_bytes[group];
    }
  }
  return total;
}

}  // namespace facet
