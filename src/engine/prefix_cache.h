// Finished prefixes of prompts and answers, so that a request that extends, branches from or goes
// back into an earlier one computes only what is new. One radix tree over token and media keys for
// each scope (an API key with its salt and adapter): scopes never meet. Each node holds snapshots:
// states of the model at some lengths, which share pages (docs/decisions.md,
// 11).
//
// A scope's name is its owner's, or begins with the owner's and a line break. Room is shared
// between owners, so that using many scopes gives an owner no larger share.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/executor.h"

namespace facet {

// One key for one position: the token, or for soft tokens a part of the medium's digest and the
// place inside it. Two media share keys only where SHA-256 collides.
struct CacheKey {
  uint64_t high = 0, low = 0;  // the top bit of `high` keeps media and tokens apart
  constexpr CacheKey() = default;
  constexpr CacheKey(uint64_t token) : low(token) {}
  constexpr CacheKey(uint64_t h, uint64_t l) : high(h), low(l) {}
  auto operator<=>(const CacheKey&) const = default;
};
std::vector<CacheKey> CacheKeys(std::span<const TokenId> tokens, Media media);

class PrefixCache {
 public:
  // No more snapshots than this are kept, whatever they share.
  explicit PrefixCache(size_t max_snapshots = 8192) : max_snapshots_(max_snapshots) {}
  ~PrefixCache();

  struct Hit {
    std::unique_ptr<SequenceState> state;  // null: nothing usable
    int length = 0;
  };
  // The longest stored prefix of `keys` that is at most `limit` long, as a state of its own.
  // `usable` tells whether a sequence may continue from a length (not inside a picture).
  Hit Find(const std::string& scope, std::span<const CacheKey> keys, int limit,
           const std::function<bool(int)>& usable);

  // Length of the longest common prefix with anything in the scope, stored states or not.
  int Common(const std::string& scope, std::span<const CacheKey> keys) const;

  // Keeps a copy of `state`, which has computed exactly `keys`. `anchor`: later prompts are likely
  // to meet it.
  void Insert(const std::string& scope, std::span<const CacheKey> keys, const SequenceState& state,
              bool anchor);
  bool Contains(const std::string& scope, std::span<const CacheKey> keys) const;

  // Copies of anchors of a scope that `accept` takes: first those that begin a path (system and
  // tools), then the others; each kind in the order of their last use. At most `limit`.
  struct Kept {
    std::vector<CacheKey> keys;
    std::unique_ptr<SequenceState> state;
  };
  std::vector<Kept> Anchors(const std::string& scope,
                            const std::function<bool(const SequenceState&)>& accept,
                            size_t limit) const;

  // Drops the snapshot that is cheapest to do without, of the owner that holds most. False where
  // there is none.
  bool EvictOne();
  void Clear();

  size_t snapshots() const { return snapshots_; }

 private:
  struct Snapshot {
    std::unique_ptr<SequenceState> state;
    double credit = 0;  // worth at its last use, on the clock of evictions
    uint64_t used = 0;  // number of its last use
    bool anchor = false;
  };
  struct Node {
    std::vector<CacheKey> label;  // keys between parent and this node
    int begin = 0;                // length of the prefix above
    Node* parent = nullptr;
    std::map<CacheKey, std::unique_ptr<Node>> children;
    std::map<int, Snapshot> snapshots;  // by length, in (begin, end]
    int end() const { return begin + static_cast<int>(label.size()); }
  };
  struct Tree {
    Node root;
    size_t snapshots = 0;
  };
  struct Owner {
    std::unordered_map<std::string, std::unique_ptr<Tree>> trees;  // by scope
    size_t snapshots = 0;                                          // of all trees
  };
  struct Place {
    Node* node = nullptr;  // the deepest node whose label is met at least in part
    int matched = 0;       // length of the common prefix
  };
  // A snapshot, and what it is worth.
  struct Candidate {
    Node* node = nullptr;
    int length = 0;
    double worth = 0;
  };

  static std::string_view OwnerOf(std::string_view scope);
  Tree* TreeOf(const std::string& scope) const;  // null: nothing is stored there
  static Place Walk(Node& root, std::span<const CacheKey> keys);
  Node* MakeNode(Tree& tree, std::span<const CacheKey> keys);
  static void Split(Node& node, int length);
  static int CostBefore(const Node& node, int length);
  void Touch(Node& node, int length);
  static Candidate Cheapest(Tree& tree);
  void Prune(Tree& tree, Node* node);

  std::map<std::string, Owner, std::less<>> owners_;
  size_t max_snapshots_, snapshots_ = 0;
  double clock_ = 0;
  uint64_t uses_ = 0;
};

}  // namespace facet
