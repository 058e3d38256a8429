#include "model/kv_cache.h"

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <random>
#include <utility>

namespace facet {
namespace {

constexpr size_t kPageAlignment = 64;

size_t AlignUp(size_t bytes) {
  return (bytes + kPageAlignment - 1) / kPageAlignment * kPageAlignment;
}

size_t PagesOf(int64_t positions) {
  return static_cast<size_t>((positions + kTile - 1) / kTile);
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
    layout.page_bytes[layer.group] += AlignUp(layer.shape.tile_bytes());
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

KvPool::~KvPool() {
  for (auto& list : free_) {
    for (Page* page : list) {
      std::free(page->data);
      delete page;
    }
  }
}

KvPool::Page* KvPool::Allocate(int group) {
  const size_t bytes = layout_.page_bytes[group];
  if (budget_ != 0 && in_use_ + bytes > budget_) return nullptr;
  if (!free_[group].empty()) {
    Page* page = free_[group].back();
    free_[group].pop_back();
    page->references = 1;
    in_use_ += bytes;
    return page;
  }
  auto* data = static_cast<std::byte*>(std::aligned_alloc(kPageAlignment, bytes));
  if (data == nullptr) return nullptr;
  in_use_ += bytes;
  return new Page{data, 1, static_cast<uint8_t>(group)};
}

void KvPool::Release(Page* page) {
  if (--page->references > 0) return;
  in_use_ -= layout_.page_bytes[page->group];
  // A handful of pages is kept for the next sequence; the rest goes back to the system.
  constexpr size_t kKept = 64;
  if (free_[page->group].size() < kKept) {
    free_[page->group].push_back(page);
  } else {
    std::free(page->data);
    delete page;
  }
}

KvSequence::KvSequence(const KvSequence& other)
    : pool_(other.pool_), length_(other.length_), pages_(other.pages_), first_(other.first_) {
  for (auto& list : pages_) {
    for (KvPool::Page* page : list) {
      if (page != nullptr) ++page->references;
    }
  }
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

KvSequence::~KvSequence() {
  for (auto& list : pages_) {
    for (KvPool::Page* page : list) {
      if (page != nullptr) pool_->Release(page);
    }
  }
}

Result<KvPool::Page*> KvSequence::NewPage(int group) {
  if (KvPool::Page* page = pool_->Allocate(group)) return page;
  return Error{Cat("the cache of keys and values is full: ", pool_->bytes_in_use() >> 20,
                   " MiB in use of ", pool_->budget() >> 20, " MiB"),
               ErrorKind::kResource};
}

Result<void> KvSequence::Reserve(int rows) {
  if (rows <= 0) return Ok();
  const size_t begin = length_ / kTile, end = (length_ + rows + kTile - 1) / kTile;
  for (int group : {CacheLayout::kSliding, CacheLayout::kFull}) {
    if (pool_->layout().page_bytes[group] == 0) continue;
    std::vector<KvPool::Page*>& pages = pages_[group];
    for (size_t tile = begin; tile < end; ++tile) {
      if (tile >= pages.size()) {
        FACET_ASSIGN(KvPool::Page * page, NewPage(group));
        pages.push_back(page);
      } else if (pages[tile]->references > 1) {
        // Somebody else reads this page: write into a copy of it.
        FACET_ASSIGN(KvPool::Page * page, NewPage(group));
        std::memcpy(page->data, pages[tile]->data, pool_->layout().page_bytes[group]);
        pool_->Release(std::exchange(pages[tile], page));
      }
    }
  }
  return Ok();
}

void KvSequence::Commit(int rows) {
  length_ += rows;
  std::vector<KvPool::Page*>& pages = pages_[CacheLayout::kSliding];
  assert(pages.empty() || static_cast<size_t>(length_) <= pages.size() * kTile);
  // The next query, at position length, sees keys from length - window + 1 on.
  const int keep = std::max(0, length_ - pool_->layout().window + 1) / kTile;
  for (int& tile = first_[CacheLayout::kSliding];
       tile < keep && tile < static_cast<int>(pages.size()); ++tile) {
    pool_->Release(std::exchange(pages[tile], nullptr));
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
                     " tokens: the window there has been given up")};
  }
  length_ = length;
  const size_t tiles = (length + kTile - 1) / kTile;
  for (auto& list : pages_) {
    while (list.size() > tiles) {
      if (list.back() != nullptr) pool_->Release(list.back());
      list.pop_back();
    }
  }
  return Ok();
}

std::byte* KvSequence::WritableTile(int layer, int position) {
  const CacheLayout::Layer& place = pool_->layout().layers[layer];
  KvPool::Page* page = pages_[place.group][position / kTile];
  assert(page != nullptr && page->references == 1);
  return page->data + place.offset;
}

void KvSequence::TilePointers(int layer, std::vector<const std::byte*>& out) const {
  const CacheLayout::Layer& place = pool_->layout().layers[layer];
  const std::vector<KvPool::Page*>& pages = pages_[place.group];
  out.resize(pages.size());
  for (size_t tile = 0; tile < pages.size(); ++tile) {
    out[tile] = pages[tile] == nullptr ? nullptr : pages[tile]->data + place.offset;
  }
}

std::vector<StoredPage> KvSequence::Pages() const {
  std::vector<StoredPage> out;
  const size_t tiles = (static_cast<size_t>(length_) + kTile - 1) / kTile;
  for (int group = 0; group < 2; ++group) {
    for (size_t tile = 0; tile < std::min(tiles, pages_[group].size()); ++tile) {
      const KvPool::Page* page = pages_[group][tile];
      if (page == nullptr) continue;
      out.push_back({group,
                     static_cast<int>(tile),
                     {page->data, pool_->layout().page_bytes[group]},
                     nullptr});
    }
  }
  return out;
}

Result<void> KvSequence::Restore(int length, std::span<const StoredPage> pages) {
  const CacheLayout& layout = pool_->layout();
  const auto tiles = static_cast<int>((int64_t{length} + kTile - 1) / kTile);
  KvSequence made(*pool_);
  made.length_ = length;
  made.first_[CacheLayout::kSliding] = std::max(0, length - layout.window + 1) / kTile;
  for (int group : {CacheLayout::kSliding, CacheLayout::kFull}) {
    if (layout.page_bytes[group] > 0) made.pages_[group].resize(tiles, nullptr);
  }
  for (const StoredPage& page : pages) {
    if (page.group < 0 || page.group > 1 || page.tile < made.first_[page.group] ||
        page.tile >= static_cast<int>(made.pages_[page.group].size()) ||
        page.bytes.size() != layout.page_bytes[page.group] ||
        made.pages_[page.group][page.tile] != nullptr) {
      return Error{Cat("page ", page.tile, " of group ", page.group, " does not fit")};
    }
    KvPool::Page*& place = made.pages_[page.group][page.tile];
    if (page.same != nullptr) {
      place = page.same->pages_[page.group][page.tile];
      ++place->references;
    } else {
      FACET_ASSIGN(place, made.NewPage(page.group));
      std::memcpy(place->data, page.bytes.data(), page.bytes.size());
    }
  }
  for (int group = 0; group < 2; ++group) {
    const auto& list = made.pages_[group];
    if (list.empty()) continue;
    if (std::find(list.begin() + std::min(made.first_[group], tiles), list.end(), nullptr) !=
        list.end())
      return Error{"a page is missing"};
  }
  *this = std::move(made);
  return Ok();
}

Result<void> KvSequence::FillSynthetic(int rows) {
  assert(length_ % kTile == 0);
  const CacheLayout& layout = pool_->layout();
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<std::vector<std::byte>> patterns;  // a page's share of each layer
  for (const CacheLayout::Layer& layer : layout.layers) {
    std::vector<std::byte>& pattern = patterns.emplace_back(layer.shape.tile_bytes());
    std::vector<float> record(int64_t{layer.shape.kv_heads} * layer.shape.record_dim());
    for (int slot = 0; slot < kTile; ++slot) {
      for (float& x : record) x = normal(random);
      WriteRecord(layer.shape, pattern.data(), slot, record.data());
    }
  }
  for (int step; rows > 0; rows -= step) {
    step = std::min(rows, kTile);
    FACET_TRY(Reserve(step));
    for (size_t layer = 0; layer < patterns.size(); ++layer) {
      std::memcpy(WritableTile(static_cast<int>(layer), length_), patterns[layer].data(),
                  patterns[layer].size());
    }
    Commit(step);
  }
  return Ok();
}

size_t KvSequence::bytes() const {
  size_t total = 0;
  for (int group = 0; group < 2; ++group) {
    for (const KvPool::Page* page : pages_[group]) {
      if (page != nullptr) total += pool_->layout().page_bytes[group];
    }
  }
  return total;
}

}  // namespace facet
