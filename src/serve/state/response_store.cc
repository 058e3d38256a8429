#include "serve/state/response_store.h"

#include <algorithm>

#include "base/clock.h"

namespace facet::serve {
namespace {

constexpr int64_t kKeptSeconds = 3600;

// What parsed JSON takes beside its text: many small responses must not be free.
constexpr size_t kBesideText = 4096;

size_t BytesOf(const StoredResponse& response) {
  size_t bytes = kBesideText + DumpJson(response.conversation.messages).size() +
                 DumpJson(response.object).size() + DumpJson(response.input).size();
  for (const std::string& medium : response.conversation.media) bytes += medium.size();
  return bytes;
}

// Those that have an id of their own.
template <class Then>
void ForEachItem(const StoredResponse& response, Then then) {
  const auto outputs = response.object.find("output");
  for (const OrderedJson* items :
       {&response.input, outputs == response.object.end() ? nullptr : &*outputs}) {
    for (size_t i = 0; items != nullptr && i < items->size(); ++i) {
      const OrderedJson& item = (*items)[i];
      if (!item.is_object() || item.value("type", OrderedJson()) == "item_reference") continue;
      if (item.contains("id") && item["id"].is_string()) then(item);
    }
  }
}

}  // namespace

size_t ResponseStore::QuotaOf(const std::string& tenant) const {
  return tenant.empty() ? limits_.bytes : std::min(limits_.tenant_bytes, limits_.bytes);
}

StoredResponse* ResponseStore::Find(const std::string& tenant, const std::string& id) {
  const auto shelf = shelves_.find(tenant);
  if (shelf == shelves_.end()) return nullptr;
  const auto it = shelf->second.stored.find(id);
  return it == shelf->second.stored.end() ? nullptr : &it->second;
}

void ResponseStore::Drop(Shelf& shelf, const std::string& id) {
  const auto it = shelf.stored.find(id);
  if (it == shelf.stored.end()) return;
  ForEachItem(it->second, [&](const OrderedJson& item) {
    const auto place = shelf.items.find(item["id"].get<std::string>());
    if (place != shelf.items.end() && place->second == id) shelf.items.erase(place);
  });
  shelf.bytes -= it->second.bytes;
  bytes_ -= it->second.bytes;
  shelf.stored.erase(it);
}

void ResponseStore::DropOldest(Shelf& shelf) {
  Drop(shelf, shelf.order.front());
  shelf.order.pop_front();
}

void ResponseStore::Expire() {
  const int64_t now = UnixSeconds();
  for (auto& [tenant, shelf] : shelves_) {
    while (!shelf.order.empty()) {
      const auto oldest = shelf.stored.find(shelf.order.front());
      if (oldest != shelf.stored.end() && oldest->second.expires > now) break;
      DropOldest(shelf);
    }
  }
  std::erase_if(shelves_, [](const auto& entry) { return entry.second.order.empty(); });
}

void ResponseStore::Trim(const std::string& tenant) {
  Shelf& own = shelves_[tenant];
  while (own.bytes > QuotaOf(tenant)) DropOldest(own);
  while (bytes_ > limits_.bytes) {
    const auto most = std::max_element(
        shelves_.begin(), shelves_.end(),
        [](const auto& a, const auto& b) { return a.second.bytes < b.second.bytes; });
    DropOldest(most->second);
  }
}

void ResponseStore::Put(const std::string& tenant, const std::string& id, StoredResponse response) {
  response.expires = UnixSeconds() + kKeptSeconds;
  response.bytes = BytesOf(response);
  const std::lock_guard lock(mutex_);
  Expire();
  Shelf& shelf = shelves_[tenant];
  Drop(shelf, id);
  shelf.bytes += response.bytes;
  bytes_ += response.bytes;
  ForEachItem(response, [&](const OrderedJson& item) { shelf.items[item["id"]] = id; });
  shelf.stored[id] = std::move(response);
  shelf.order.push_back(id);
  Trim(tenant);
}

std::optional<StoredResponse> ResponseStore::Get(const std::string& tenant, const std::string& id) {
  const std::lock_guard lock(mutex_);
  Expire();
  const StoredResponse* found = Find(tenant, id);
  if (found == nullptr) return std::nullopt;
  return *found;
}

std::optional<OrderedJson> ResponseStore::FindItem(const std::string& tenant,
                                                   const std::string& id) {
  const std::lock_guard lock(mutex_);
  Expire();
  const auto shelf = shelves_.find(tenant);
  if (shelf == shelves_.end()) return std::nullopt;
  const auto place = shelf->second.items.find(id);
  if (place == shelf->second.items.end()) return std::nullopt;
  const StoredResponse* response = Find(tenant, place->second);
  if (response == nullptr) return std::nullopt;
  std::optional<OrderedJson> found;
  ForEachItem(*response, [&](const OrderedJson& item) {
    if (item["id"] == id) found = item;
  });
  return found;
}

bool ResponseStore::HoldsMedia(const std::string& tenant, const std::string& id) {
  const std::lock_guard lock(mutex_);
  Expire();
  const StoredResponse* found = Find(tenant, id);
  return found != nullptr && !found->conversation.media.empty();
}

bool ResponseStore::Erase(const std::string& tenant, const std::string& id) {
  const std::lock_guard lock(mutex_);
  if (Find(tenant, id) == nullptr) return false;
  Drop(shelves_[tenant], id);
  return true;
}

}  // namespace facet::serve
