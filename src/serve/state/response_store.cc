#include "serve/state/response_store.h"

#include "base/clock.h"

namespace facet::serve {
namespace {

constexpr int64_t kKeptSeconds = 3600;

}  // namespace

void ResponseStore::Drop(const Key& key) {
  const auto it = stored_.find(key);
  if (it == stored_.end()) return;
  bytes_ -= it->second.bytes;
  stored_.erase(it);
}

void ResponseStore::Expire() {
  const int64_t now = UnixSeconds();
  while (!order_.empty()) {
    const auto oldest = stored_.find(order_.front());
    if (oldest != stored_.end() && oldest->second.expires > now && bytes_ <= max_bytes_) return;
    Drop(order_.front());
    order_.pop_front();
  }
}

void ResponseStore::Put(const std::string& tenant, const std::string& id, StoredResponse response) {
  response.expires = UnixSeconds() + kKeptSeconds;
  response.bytes =
      DumpJson(response.conversation.messages).size() + DumpJson(response.object).size();
  for (const std::string& medium : response.conversation.media) response.bytes += medium.size();
  const std::lock_guard lock(mutex_);
  bytes_ += response.bytes;
  stored_[{tenant, id}] = std::move(response);
  order_.push_back({tenant, id});
  Expire();
}

std::optional<StoredResponse> ResponseStore::Get(const std::string& tenant, const std::string& id) {
  const std::lock_guard lock(mutex_);
  Expire();
  const auto it = stored_.find({tenant, id});
  if (it == stored_.end()) return std::nullopt;
  return it->second;
}

bool ResponseStore::HoldsMedia(const std::string& tenant, const std::string& id) {
  const std::lock_guard lock(mutex_);
  Expire();
  const auto it = stored_.find({tenant, id});
  return it != stored_.end() && !it->second.conversation.media.empty();
}

bool ResponseStore::Erase(const std::string& tenant, const std::string& id) {
  const std::lock_guard lock(mutex_);
  if (!stored_.contains({tenant, id})) return false;
  Drop({tenant, id});
  return true;
}

}  // namespace facet::serve
