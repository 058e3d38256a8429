#include "tune/data/prefetcher.h"

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

namespace facet::tune {
namespace {

size_t BytesOf(const Example& example) {
  size_t bytes = example.tokens.size() * (sizeof(TokenId) + 1) + sizeof(Example);
  for (const auto& item : example.items)
    bytes += item->patches.pixels.size() + item->frames.size() * sizeof(float);
  return bytes;
}

}  // namespace

struct Prefetcher::State {
  State(const DataSet& d, Limits l) : data(d), limits(l), thread([this] { Work(); }) {}
  ~State() {
    {
      const std::lock_guard lock(mutex);
      ending = true;
    }
    changed.notify_all();
    thread.join();
  }

  bool HasRoom() const {
    return ready.empty() || (ready.size() < limits.ahead && ready_bytes < limits.ahead_bytes);
  }

  void Work() {
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [&] { return ending || (next < order.size() && HasRoom()); });
      if (ending) return;
      const uint64_t mine = round;
      const uint32_t index = order[next++];
      const auto known = cache.find(index);
      if (known != cache.end()) {
        AddReady(known->second, 0);
        continue;
      }
      lock.unlock();
      auto built = data.Build(index);
      lock.lock();
      if (mine != round) continue;  // another order has begun
      if (!built.ok()) {
        AddReady(built.error(), 0);
        continue;
      }
      const size_t bytes = BytesOf(*built);
      auto example = std::make_shared<const Example>(*std::move(built));
      if (cached_bytes + bytes <= limits.cache_bytes) {
        cached_bytes += bytes;
        cache.emplace(index, example);
      }
      AddReady(std::move(example), bytes);
    }
  }
  void AddReady(Result<std::shared_ptr<const Example>> example, size_t bytes) {
    ready.emplace_back(std::move(example), bytes);
    ready_bytes += bytes;
    changed.notify_all();
  }

  const DataSet& data;
  const Limits limits;
  std::mutex mutex;
  std::condition_variable changed;
  bool ending = false;
  uint64_t round = 0;
  std::vector<uint32_t> order;
  size_t next = 0;  // of the order, to be built
  std::deque<std::pair<Result<std::shared_ptr<const Example>>, size_t>> ready;
  size_t ready_bytes = 0, cached_bytes = 0;
  std::map<uint32_t, std::shared_ptr<const Example>> cache;
  std::thread thread;  // last: it uses all of the above
};

Prefetcher::Prefetcher(const DataSet& data, Limits limits)
    : state_(std::make_unique<State>(data, limits)) {}

Prefetcher::~Prefetcher() = default;

void Prefetcher::Start(std::vector<uint32_t> order) {
  {
    const std::lock_guard lock(state_->mutex);
    ++state_->round;
    state_->order = std::move(order);
    state_->next = 0;
    state_->ready.clear();
    state_->ready_bytes = 0;
  }
  state_->changed.notify_all();
}

Result<std::shared_ptr<const Example>> Prefetcher::Next() {
  std::unique_lock lock(state_->mutex);
  state_->changed.wait(lock, [&] { return !state_->ready.empty(); });
  auto [example, bytes] = std::move(state_->ready.front());
  state_->ready.pop_front();
  state_->ready_bytes -= bytes;
  lock.unlock();
  state_->changed.notify_all();
  return example;
}

}  // namespace facet::tune
