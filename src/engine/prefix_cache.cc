#include "engine/prefix_cache.h"

#include <algorithm>

#include "base/random.h"

namespace facet {
namespace {

// A prompt is likelier to come back to an anchor than to any other place.
constexpr double kAnchorWeight = 4;

}  // namespace

std::vector<CacheKey> CacheKeys(std::span<const TokenId> tokens, Media media) {
  std::vector<CacheKey> keys(tokens.begin(), tokens.end());
  for (const auto& item : media) {
    for (int i = 0; i < item->count && item->begin + i < static_cast<int>(keys.size()); ++i) {
      const uint64_t* half = &item->digest[2 * (i % 2)];
      keys[item->begin + i] = {(half[0] ^ Mix64(static_cast<uint64_t>(i))) | (1ULL << 63), half[1]};
    }
  }
  return keys;
}

PrefixCache::~PrefixCache() = default;

std::string_view PrefixCache::OwnerOf(std::string_view scope) {
  return scope.substr(0, scope.find('\n'));
}

PrefixCache::Tree* PrefixCache::TreeOf(const std::string& scope) const {
  const auto owner = owners_.find(OwnerOf(scope));
  if (owner == owners_.end()) return nullptr;
  const auto tree = owner->second.trees.find(scope);
  return tree == owner->second.trees.end() ? nullptr : tree->second.get();
}

PrefixCache::Place PrefixCache::Walk(Node& root, std::span<const CacheKey> keys) {
  Place place{&root, 0};
  while (place.matched < static_cast<int>(keys.size())) {
    const auto child = place.node->children.find(keys[place.matched]);
    if (child == place.node->children.end()) break;
    Node& next = *child->second;
    const auto rest = keys.subspan(place.matched);
    const auto [a, b] =
        std::mismatch(next.label.begin(), next.label.end(), rest.begin(), rest.end());
    place.matched += static_cast<int>(a - next.label.begin());
    place.node = &next;
    if (a != next.label.end()) break;
  }
  return place;
}

PrefixCache::Hit PrefixCache::Find(const std::string& scope, std::span<const CacheKey> keys,
                                   int limit, const std::function<bool(int)>& usable) {
  Tree* tree = TreeOf(scope);
  if (tree == nullptr) return {};
  const Place place = Walk(tree->root, keys);
  limit = std::min(limit, place.matched);
  while (limit > 0 && !usable(limit)) --limit;

  // Snapshots at or below the limit, on the way up.
  Node* best_node = nullptr;
  int best = 0;
  for (Node* node = place.node; node != nullptr && best == 0; node = node->parent) {
    for (auto it = node->snapshots.upper_bound(limit); it != node->snapshots.begin();) {
      --it;
      if (!usable(it->first)) continue;
      best_node = node;
      best = it->first;
      break;
    }
  }
  // A longer one on the same path can be rewound to the limit while it still holds the
  // window there.
  for (auto it = place.node->snapshots.upper_bound(limit);
       it != place.node->snapshots.end() && limit > best; ++it) {
    if (!it->second.state->CanRewind(limit)) continue;
    Hit hit{it->second.state->Copy(), limit};
    Touch(*place.node, it->first);
    if (hit.state->Rewind(limit)) return hit;
    break;
  }
  if (best == 0) return {};
  Touch(*best_node, best);
  return {best_node->snapshots.at(best).state->Copy(), best};
}

int PrefixCache::Common(const std::string& scope, std::span<const CacheKey> keys) const {
  Tree* tree = TreeOf(scope);
  return tree == nullptr ? 0 : Walk(tree->root, keys).matched;
}

bool PrefixCache::Contains(const std::string& scope, std::span<const CacheKey> keys) const {
  Tree* tree = TreeOf(scope);
  if (tree == nullptr) return false;
  const Place place = Walk(tree->root, keys);
  const int length = static_cast<int>(keys.size());
  return place.matched == length && place.node->snapshots.contains(length);
}

// Cuts a node in two so that the upper one ends at `length`.
void PrefixCache::Split(Node& node, int length) {
  const int keep = length - node.begin;
  auto lower = std::make_unique<Node>();
  lower->label.assign(node.label.begin() + keep, node.label.end());
  lower->begin = length;
  lower->parent = &node;
  lower->children = std::move(node.children);
  for (auto& [key, child] : lower->children) child->parent = lower.get();
  for (auto it = node.snapshots.upper_bound(length); it != node.snapshots.end();) {
    lower->snapshots.insert(node.snapshots.extract(it++));
  }
  node.label.resize(keep);
  node.children.clear();
  const CacheKey first = lower->label.front();
  node.children.emplace(first, std::move(lower));
}

PrefixCache::Node* PrefixCache::MakeNode(Tree& tree, std::span<const CacheKey> keys) {
  const Place place = Walk(tree.root, keys);
  Node* node = place.node;
  if (place.matched == static_cast<int>(keys.size())) return node;
  if (place.matched < node->end()) Split(*node, place.matched);
  const auto rest = keys.subspan(place.matched);
  // A path that only grows stays one node.
  if (node != &tree.root && node->children.empty()) {
    node->label.insert(node->label.end(), rest.begin(), rest.end());
    return node;
  }
  auto child = std::make_unique<Node>();
  child->label.assign(rest.begin(), rest.end());
  child->begin = place.matched;
  child->parent = node;
  Node* made = child.get();
  node->children.emplace(rest.front(), std::move(child));
  return made;
}

void PrefixCache::Insert(const std::string& scope, std::span<const CacheKey> keys,
                         const SequenceState& state, bool anchor) {
  const int length = static_cast<int>(keys.size());
  if (length == 0) return;
  Owner& owner = owners_[std::string(OwnerOf(scope))];
  auto& tree = owner.trees[scope];
  if (tree == nullptr) tree = std::make_unique<Tree>();
  Node* node = MakeNode(*tree, keys);
  Snapshot& snapshot = node->snapshots[length];
  snapshot.anchor |= anchor;
  if (snapshot.state == nullptr) {
    snapshot.state = state.Copy();
    ++tree->snapshots;
    ++owner.snapshots;
    ++snapshots_;
  }
  Touch(*node, length);
  while (snapshots_ > max_snapshots_) EvictOne();
}

// Tokens to compute again without the snapshot at `length`: back to the one before it.
int PrefixCache::CostBefore(const Node& node, int length) {
  auto it = node.snapshots.lower_bound(length);
  if (it != node.snapshots.begin()) return length - std::prev(it)->first;
  for (const Node* up = node.parent; up != nullptr; up = up->parent) {
    if (!up->snapshots.empty()) return length - up->snapshots.rbegin()->first;
  }
  return length;
}

void PrefixCache::Touch(Node& node, int length) {
  Snapshot& snapshot = node.snapshots.at(length);
  snapshot.credit = clock_;
  snapshot.used = ++uses_;
}

std::vector<PrefixCache::Kept> PrefixCache::Anchors(
    const std::string& scope, const std::function<bool(const SequenceState&)>& accept,
    size_t limit) const {
  const Tree* tree = TreeOf(scope);
  if (tree == nullptr) return {};
  struct Anchor {
    const Node* node;
    int length;
    const Snapshot* snapshot;
    bool first;  // no anchor stands before it
  };
  std::vector<Anchor> anchors;
  std::vector<std::pair<const Node*, bool>> stack = {{&tree->root, true}};
  while (!stack.empty()) {
    auto [node, first] = stack.back();
    stack.pop_back();
    for (const auto& [length, snapshot] : node->snapshots) {
      if (!snapshot.anchor) continue;
      anchors.push_back({node, length, &snapshot, first});
      first = false;
    }
    for (const auto& [key, child] : node->children) stack.emplace_back(child.get(), first);
  }
  std::sort(anchors.begin(), anchors.end(), [](const Anchor& a, const Anchor& b) {
    return a.first != b.first ? a.first : a.snapshot->used > b.snapshot->used;
  });
  std::vector<Kept> out;
  for (const Anchor& anchor : anchors) {
    if (out.size() == limit) break;
    if (!accept(*anchor.snapshot->state)) continue;
    Kept kept{std::vector<CacheKey>(anchor.length), anchor.snapshot->state->Copy()};
    for (const Node* node = anchor.node; node != nullptr; node = node->parent) {
      const int count = std::min(node->end(), anchor.length) - node->begin;
      std::copy_n(node->label.begin(), count, kept.keys.begin() + node->begin);
    }
    out.push_back(std::move(kept));
  }
  return out;
}

// GreedyDual: worth is the clock at the last use plus the cost to rebuild; the clock follows the
// worth of what goes.
PrefixCache::Candidate PrefixCache::Cheapest(Tree& tree) {
  Candidate best;
  std::vector<Node*> stack = {&tree.root};
  while (!stack.empty()) {
    Node* node = stack.back();
    stack.pop_back();
    for (const auto& [key, child] : node->children) stack.push_back(child.get());
    for (const auto& [at, snapshot] : node->snapshots) {
      const double worth =
          snapshot.credit + CostBefore(*node, at) * (snapshot.anchor ? kAnchorWeight : 1.0);
      if (best.node == nullptr || worth < best.worth) best = {node, at, worth};
    }
  }
  return best;
}

bool PrefixCache::EvictOne() {
  const auto largest = std::max_element(
      owners_.begin(), owners_.end(),
      [](const auto& a, const auto& b) { return a.second.snapshots < b.second.snapshots; });
  if (largest == owners_.end()) return false;
  Owner& owner = largest->second;
  auto from = owner.trees.end();
  Candidate victim;
  for (auto it = owner.trees.begin(); it != owner.trees.end(); ++it) {
    const Candidate cheapest = Cheapest(*it->second);
    if (victim.node == nullptr || cheapest.worth < victim.worth) from = it, victim = cheapest;
  }
  Tree& tree = *from->second;
  clock_ = std::max(clock_, victim.worth);
  victim.node->snapshots.erase(victim.length);
  --tree.snapshots;
  --owner.snapshots;
  --snapshots_;
  Prune(tree, victim.node);
  if (tree.snapshots == 0) owner.trees.erase(from);
  if (owner.snapshots == 0) owners_.erase(largest);
  return true;
}

// Removes nodes that hold nothing any more.
void PrefixCache::Prune(Tree& tree, Node* node) {
  while (node != &tree.root && node->snapshots.empty() && node->children.empty()) {
    Node* parent = node->parent;
    parent->children.erase(node->label.front());
    node = parent;
  }
}

void PrefixCache::Clear() {
  owners_.clear();
  snapshots_ = 0;
}

}  // namespace facet
