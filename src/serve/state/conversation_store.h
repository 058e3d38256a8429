// Conversations of the responses API: items that requests add to and go on from.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "base/result.h"
#include "formats/json_fields.h"
#include "serve/state/response_store.h"

namespace facet::serve {

struct StoredConversation {
  OrderedJson items = OrderedJson::array();  // each with an id
  OrderedJson metadata = OrderedJson::object();
  int64_t created = 0, expires = 0;
  size_t bytes = 0;
};

// Conversations of each tenant by id: in memory, until an hour after they were last used, within
// budgets. A tenant that is beyond its quota loses those of its own that were used longest ago;
// beyond the budget of all, that goes for all. No tenant sees another's.
class ConversationStore {
 public:
  explicit ConversationStore(StoreLimits limits = {}) : limits_(limits) {}

  void Create(const std::string& tenant, const std::string& id, StoredConversation conversation);
  std::optional<StoredConversation> Get(const std::string& tenant, const std::string& id);
  // Lets `change` see and change it. False: there is no such conversation.
  template <class Change>
  bool Update(const std::string& tenant, const std::string& id, Change change) {
    const std::lock_guard lock(mutex_);
    StoredConversation* found = Use({tenant, id});
    if (found == nullptr) return false;
    change(*found);
    Count(tenant, *found);
    return true;
  }
  bool Erase(const std::string& tenant, const std::string& id);

 private:
  using Key = std::pair<std::string, std::string>;
  // With the mutex held.
  StoredConversation* Use(const Key& key);
  // What it takes now; may drop it, where it is too large by itself.
  void Count(const std::string& tenant, StoredConversation& conversation);
  void Expire();
  // Drops the one that was used longest ago, of the tenant or of all. False: there is none.
  bool DropOldest(const std::string* tenant);
  size_t BytesOf(const std::string& tenant) const;

  std::mutex mutex_;
  std::map<Key, StoredConversation> stored_;
  const StoreLimits limits_;
  size_t bytes_ = 0;
};

}  // namespace facet::serve
