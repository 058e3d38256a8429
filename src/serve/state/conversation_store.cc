#include "serve/state/conversation_store.h"

#include <algorithm>

#include "base/clock.h"

namespace facet::serve {
namespace {

constexpr int64_t kIdleSeconds = 3600;
// What parsed JSON takes beside its text: many small conversations must not be free.
constexpr size_t kBesideItems = 4096;

}  // namespace

bool ConversationStore::DropOldest(const std::string* tenant) {
  auto oldest = stored_.end();
  for (auto it = stored_.begin(); it != stored_.end(); ++it) {
    if (tenant != nullptr && it->first.first != *tenant) continue;
    if (oldest == stored_.end() || it->second.expires < oldest->second.expires) oldest = it;
  }
  if (oldest == stored_.end()) return false;
  bytes_ -= oldest->second.bytes;
  stored_.erase(oldest);
  return true;
}

size_t ConversationStore::BytesOf(const std::string& tenant) const {
  size_t bytes = 0;
  for (const auto& [key, conversation] : stored_) {
    if (key.first == tenant) bytes += conversation.bytes;
  }
  return bytes;
}

void ConversationStore::Expire() {
  const int64_t now = UnixSeconds();
  std::erase_if(stored_, [&](const auto& entry) {
    if (entry.second.expires > now) return false;
    bytes_ -= entry.second.bytes;
    return true;
  });
}

void ConversationStore::Count(const std::string& tenant, StoredConversation& conversation) {
  bytes_ -= conversation.bytes;
  conversation.bytes =
      kBesideItems + DumpJson(conversation.items).size() + DumpJson(conversation.metadata).size();
  bytes_ += conversation.bytes;
  conversation.expires = UnixSeconds() + kIdleSeconds;
  // A server without keys has one tenant, which may have everything.
  const size_t quota = tenant.empty() ? limits_.bytes : limits_.tenant_bytes;
  while (BytesOf(tenant) > quota && DropOldest(&tenant)) {
  }
  while (bytes_ > limits_.bytes && DropOldest(nullptr)) {
  }
}

StoredConversation* ConversationStore::Use(const Key& key) {
  Expire();
  const auto it = stored_.find(key);
  if (it == stored_.end()) return nullptr;
  it->second.expires = UnixSeconds() + kIdleSeconds;
  return &it->second;
}

void ConversationStore::Create(const std::string& tenant, const std::string& id,
                               StoredConversation conversation) {
  conversation.created = UnixSeconds();
  const std::lock_guard lock(mutex_);
  Expire();
  Count(tenant, stored_[{tenant, id}] = std::move(conversation));
}

std::optional<StoredConversation> ConversationStore::Get(const std::string& tenant,
                                                         const std::string& id) {
  const std::lock_guard lock(mutex_);
  const StoredConversation* found = Use({tenant, id});
  if (found == nullptr) return std::nullopt;
  return *found;
}

bool ConversationStore::Erase(const std::string& tenant, const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto it = stored_.find({tenant, id});
  if (it == stored_.end()) return false;
  bytes_ -= it->second.bytes;
  stored_.erase(it);
  return true;
}

}  // namespace facet::serve
