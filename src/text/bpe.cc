// Byte-pair merging (Sennrich et al. 2016, section 3.2): the pair of the lowest rank first, the
// leftmost of equals.
#include <algorithm>
#include <limits>
#include <queue>

#include "base/utf8.h"
#include "text/vocabulary.h"

namespace facet {
namespace {

constexpr uint32_t kNoRank = std::numeric_limits<uint32_t>::max();

// Words up to this length are merged by scanning; the heap of longer ones would cost more than it
// saves.
constexpr size_t kShort = 24;

// A character or byte that no token spells: its bytes' tokens, or the unknown token.
void EmitUnknown(const Vocabulary& vocabulary, std::string_view bytes, std::vector<int32_t>& ids) {
  for (const char byte : bytes) {
    if (vocabulary.ByteId(static_cast<unsigned char>(byte)) >= 0) continue;
    const bool fused = vocabulary.fuse_unk() && !ids.empty() && ids.back() == vocabulary.unk();
    if (!fused) ids.push_back(vocabulary.unk());
    return;
  }
  for (const char byte : bytes) ids.push_back(vocabulary.ByteId(static_cast<unsigned char>(byte)));
}

void EmitSymbol(const Vocabulary& vocabulary, int32_t id, std::vector<int32_t>& ids) {
  if (id < vocabulary.size()) {
    ids.push_back(id);
    return;
  }
  std::string bytes;
  AppendUtf8(bytes, vocabulary.loose_char(id));
  EmitUnknown(vocabulary, bytes, ids);
}

void MergeShort(const Vocabulary& vocabulary, std::vector<int32_t>& symbols) {
  // Each symbol's merge with its right neighbour.
  const MergeEntry* merges[kShort] = {};
  size_t count = symbols.size();
  for (size_t i = 0; i + 1 < count; ++i)
    merges[i] = vocabulary.FindMerge(symbols[i], symbols[i + 1]);
  while (count > 1) {
    size_t best = 0;
    uint32_t rank = kNoRank;
    for (size_t i = 0; i + 1 < count; ++i) {
      if (merges[i] != nullptr && merges[i]->rank < rank) rank = merges[best = i]->rank;
    }
    if (rank == kNoRank) break;
    symbols[best] = static_cast<int32_t>(merges[best]->result);
    for (size_t i = best + 1; i + 1 < count; ++i) {
      symbols[i] = symbols[i + 1];
      merges[i] = merges[i + 1];  // the last one is unset and never read
    }
    --count;
    if (best > 0) merges[best - 1] = vocabulary.FindMerge(symbols[best - 1], symbols[best]);
    if (best + 1 < count) merges[best] = vocabulary.FindMerge(symbols[best], symbols[best + 1]);
  }
  symbols.resize(count);
}

// The same with a heap over a linked list: n log n however long the word is.
class LongWord {
 public:
  LongWord(const Vocabulary& vocabulary, std::vector<int32_t>& symbols)
      : vocabulary_(vocabulary), symbols_(symbols) {
    const auto count = static_cast<uint32_t>(symbols.size());
    next_.resize(count);
    previous_.resize(count);
    for (uint32_t i = 0; i < count; ++i) {
      next_[i] = i + 1;
      previous_[i] = i - 1;  // wraps to kNone at 0
    }
    next_.back() = kNone;
  }

  void Merge() {
    for (uint32_t i = 0; i + 1 < symbols_.size(); ++i) Push(i);
    while (!open_.empty()) {
      const Candidate top = open_.top();
      open_.pop();
      // A candidate whose symbols have been merged since it was pushed is stale.
      if (symbols_[top.at] != static_cast<int32_t>(top.merge->left)) continue;
      const uint32_t right = next_[top.at];
      if (right == kNone || symbols_[right] != static_cast<int32_t>(top.merge->right)) continue;
      symbols_[top.at] = static_cast<int32_t>(top.merge->result);
      symbols_[right] = kGone;
      next_[top.at] = next_[right];
      if (next_[right] != kNone) previous_[next_[right]] = top.at;
      if (previous_[top.at] != kNone) Push(previous_[top.at]);
      Push(top.at);
    }
    std::erase(symbols_, kGone);
  }

 private:
  static constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();
  static constexpr int32_t kGone = -1;
  struct Candidate {
    const MergeEntry* merge;
    uint32_t at;
    bool operator<(const Candidate& other) const {  // the heap's top is the largest
      return merge->rank != other.merge->rank ? merge->rank > other.merge->rank : at > other.at;
    }
  };
  void Push(uint32_t at) {
    if (next_[at] == kNone) return;
    const MergeEntry* merge = vocabulary_.FindMerge(symbols_[at], symbols_[next_[at]]);
    if (merge != nullptr) open_.push({merge, at});
  }

  const Vocabulary& vocabulary_;
  std::vector<int32_t>& symbols_;
  std::vector<uint32_t> next_, previous_;
  std::priority_queue<Candidate> open_;
};

void MergeWord(const Vocabulary& vocabulary, std::vector<int32_t>& word,
               std::vector<int32_t>& ids) {
  if (word.size() > kShort) {
    LongWord(vocabulary, word).Merge();
  } else {
    MergeShort(vocabulary, word);
  }
  for (const int32_t symbol : word) EmitSymbol(vocabulary, symbol, ids);
  word.clear();
}

}  // namespace

void EncodeBpe(const Vocabulary& vocabulary, std::string_view text, size_t limit,
               std::vector<int32_t>& ids) {
  std::vector<int32_t> word;
  char32_t last = 0;
  for (size_t at = 0; at < text.size();) {
    Utf8Char next = DecodeUtf8(text, at);
    const std::string_view bytes = text.substr(at, std::max(next.bytes, 1));
    if (next.code == ' ' && vocabulary.spaces_to_blocks()) next.code = kSpaceBlock;
    const int32_t id = next.bytes > 0 ? vocabulary.CharId(next.code) : -1;
    if (!word.empty() && vocabulary.MayCut(last, next.code)) {
      MergeWord(vocabulary, word, ids);
      if (ids.size() > limit) return;
    }
    if (id >= 0) {
      word.push_back(id);
    } else {
      EmitUnknown(vocabulary, bytes, word);
    }
    last = next.code;
    at += bytes.size();
  }
  MergeWord(vocabulary, word, ids);
}

}  // namespace facet
