#include "engine/lookup.h"

#include <algorithm>
#include <bit>
#include <cstdlib>

#include "base/random.h"

namespace facet {
namespace {

constexpr size_t kLeastSlots = 1024, kMostSlots = size_t{1} << 18;
constexpr int kLongest = 64;             // matches are not measured beyond
constexpr int kCopy = 8;                 // a match so long is a copy, and may resume after an edit
constexpr int kPatience = 16;            // tokens after which a broken copy is no longer looked for
constexpr int kBefore = 8, kAhead = 24;  // where a broken copy is looked for

// How many tokens before `a` and before `b` are equal, at most `limit`.
int CommonEnd(std::span<const TokenId> tokens, int a, int b, int limit) {
  int n = 0;
  while (n < limit && n < a && n < b && tokens[a - 1 - n] == tokens[b - 1 - n]) ++n;
  return n;
}

}  // namespace

void NgramLookup::Extend(std::span<const TokenId> tokens) {
  Reserve(tokens);
  const int end = static_cast<int>(tokens.size());
  for (; size_ < end; ++size_) Push(tokens, size_);
}

void NgramLookup::Push(std::span<const TokenId> tokens, int i) {
  Follow(tokens, i);
  Find(tokens, i);
  if (match_.next < 0) Resume(tokens, i);
  Remember(tokens, i);
}

// Extends the match by the token, or ends it.
void NgramLookup::Follow(std::span<const TokenId> tokens, int i) {
  if (match_.next < 0) return;
  if (tokens[match_.next] == tokens[i]) {
    ++match_.next;
    match_.length = std::min(match_.length + 1, kLongest);
    return;
  }
  if (match_.length >= kCopy || (match_.near && match_.length >= 2))
    lost_ = {.next = match_.next, .at = i};
  match_ = {};
}

// A longer n-gram than what is being followed.
void NgramLookup::Find(std::span<const TokenId> tokens, int i) {
  for (size_t table = 0; table < kSizes.size(); ++table) {
    const int n = kSizes[table];
    if (match_.next >= 0 && match_.length >= n) return;
    if (i + 1 < n) continue;
    const int next = tables_[table][Slot(tokens, i, table)];
    if (next == 0) continue;
    const int length = CommonEnd(tokens, next, i + 1, kLongest);
    if (length < n || length <= match_.length) continue;
    match_ = {.next = next, .length = length, .near = false};
    return;
  }
}

// After an edit the copy resumes nearby: at the end of the longest piece that ends like the
// sequence, or, without any, as if one token had replaced another.
void NgramLookup::Resume(std::span<const TokenId> tokens, int i) {
  if (lost_.next < 0) return;
  const int since = i - lost_.at;
  if (since > kPatience) {
    lost_.next = -1;
    return;
  }
  const int expected = std::min(lost_.next + since + 1, i);
  match_ = {.next = expected, .length = 0, .near = true};
  const int begin = std::max(1, expected - kBefore), end = std::min(expected + kAhead, i);
  for (int next = begin; next <= end; ++next) {
    const int length = CommonEnd(tokens, next, i + 1, 3);
    const bool nearer = std::abs(next - expected) < std::abs(match_.next - expected);
    if (length > match_.length || (length == match_.length && length > 0 && nearer))
      match_ = {.next = next, .length = length, .near = true};
  }
}

void NgramLookup::Remember(std::span<const TokenId> tokens, int i) {
  for (size_t table = 0; table < kSizes.size(); ++table) {
    if (i + 1 >= kSizes[table]) tables_[table][Slot(tokens, i, table)] = i + 1;
  }
}

// Tables of at least twice as many slots as there are tokens, up to a bound.
void NgramLookup::Reserve(std::span<const TokenId> tokens) {
  const size_t needed = std::clamp(std::bit_ceil(2 * tokens.size()), kLeastSlots, kMostSlots);
  if (needed <= tables_[0].size()) return;
  for (auto& table : tables_) table.assign(std::min(2 * needed, kMostSlots), 0);
  for (int i = 0; i < size_; ++i) Remember(tokens, i);
}

// Slot of the n-gram that ends with token `i`.
size_t NgramLookup::Slot(std::span<const TokenId> tokens, int i, size_t table) const {
  uint64_t hash = 0;
  for (int k = i + 1 - kSizes[table]; k <= i; ++k) {
    hash = (hash + static_cast<uint32_t>(tokens[k]) + 1) * kSplitMixGamma;
    hash ^= hash >> 29;
  }
  return hash & (tables_[table].size() - 1);
}

std::vector<TokenId> NgramLookup::Predict(std::span<const TokenId> tokens, int count) const {
  std::vector<TokenId> out;
  if (match_.next < 0) return out;
  for (int i = match_.next; static_cast<int>(out.size()) < count; ++i)
    out.push_back(i < size_ ? tokens[i] : out[i - size_]);
  return out;
}

}  // namespace facet
