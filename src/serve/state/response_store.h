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
  int64_t expires = 0;
  size_t bytes = 0;
};

// Responses of each tenant by id: in memory, for an hour, within a budget; the oldest go first. No
// tenant sees another's.
class ResponseStore {
 public:
  explicit ResponseStore(size_t max_bytes = size_t{256} << 20) : max_bytes_(max_bytes) {}
  void Put(const std::string& tenant, const std::string& id, StoredResponse response);
  std::optional<StoredResponse> Get(const std::string& tenant, const std::string& id);
  // Whether Get would give one whose conversation has pictures or sound.
  bool HoldsMedia(const std::string& tenant, const std::string& id);
  bool Erase(const std::string& tenant, const std::string& id);

 private:
  using Key = std::pair<std::string, std::string>;
  void Drop(const Key& key);
  void Expire();

  std::mutex mutex_;
  std::map<Key, StoredResponse> stored_;
  std::list<Key> order_;  // oldest first
  size_t bytes_ = 0, max_bytes_;
};

}  // namespace facet::serve
