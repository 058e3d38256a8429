// Answers of the responses API that are kept so that a later request can continue from them.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "serve/media/intake.h"

namespace facet::serve {

// A response with the conversation that led to it.
struct StoredResponse {
  Conversation conversation;  // with the answer, without instructions
  OrderedJson object;
  OrderedJson input = OrderedJson::array();  // the request's own items, each with an id
  int64_t expires = 0;
  size_t bytes = 0;
};

// How much is kept: of one tenant, and of all. A server without keys has one tenant, which may have
// everything.
struct StoreLimits {
  size_t bytes = size_t{256} << 20;
  size_t tenant_bytes = size_t{64} << 20;
};

// Responses of each tenant by id: in memory, for an hour, within budgets. A tenant that is beyond
// its quota loses its own oldest ones; where all together are beyond theirs, the one that holds
// most does. No tenant sees another's.
class ResponseStore {
 public:
  explicit ResponseStore(StoreLimits limits = {}) : limits_(limits) {}
  void Put(const std::string& tenant, const std::string& id, StoredResponse response);
  std::optional<StoredResponse> Get(const std::string& tenant, const std::string& id);
  // An item of the input or the output of one of them.
  std::optional<OrderedJson> FindItem(const std::string& tenant, const std::string& id);
  // Whether Get would give one whose conversation has pictures or sound.
  bool HoldsMedia(const std::string& tenant, const std::string& id);
  bool Erase(const std::string& tenant, const std::string& id);

 private:
  struct Shelf {
    std::map<std::string, StoredResponse> stored;
    std::map<std::string, std::string> items;  // their ids, to those of what holds them
    std::list<std::string> order;              // oldest first; may name what was erased
    size_t bytes = 0;
  };
  using Shelves = std::map<std::string, Shelf>;

  // With the mutex held.
  size_t QuotaOf(const std::string& tenant) const;
  StoredResponse* Find(const std::string& tenant, const std::string& id);
  void Drop(Shelf& shelf, const std::string& id);
  void DropOldest(Shelf& shelf);
  // Drops what is too old, and shelves that are empty.
  void Expire();
  // Drops what is too much, of this tenant and then of all.
  void Trim(const std::string& tenant);

  std::mutex mutex_;
  const StoreLimits limits_;
  Shelves shelves_;  // by tenant
  size_t bytes_ = 0;
};

}  // namespace facet::serve
