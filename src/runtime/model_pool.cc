#include "runtime/model_pool.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <thread>

#include "base/clock.h"
#include "base/log.h"
#include "base/space.h"

namespace facet {
namespace {

// Requests that may wait for models to be loaded; each holds its body.
constexpr size_t kMaxWaiting = 256;

std::string Human(size_t bytes) {
  return HumanBytes(static_cast<int64_t>(bytes));
}

Error DoesNotLoad(const std::string& id, const Error& why) {
  return {Cat(id, ": ", why.message), ErrorKind::kInternal, "model_error", "model"};
}

Error Stopping() {
  return {"the server is stopping", ErrorKind::kCancelled, "draining"};
}

}  // namespace

// Outlives the registry where a request still holds a model.
struct ModelPool::State : std::enable_shared_from_this<State> {
  struct Entry {
    ModelSpec spec;
    std::optional<ModelFacts> facts;
    std::shared_ptr<LoadedModel> loaded;
    bool loading = false;
    int users = 0;
    uint64_t last_used = 0;
    // Bytes for keys and values: what the budget leaves beside the weights, at most
    // options.cache_budget.
    size_t CacheBytes(size_t budget) const {
      if (budget == 0 || facts->fixed + facts->cache <= budget) return facts->cache;
      return budget > facts->fixed ? budget - facts->fixed : 0;
    }
    size_t Bytes(size_t budget) const { return facts ? facts->fixed + CacheBytes(budget) : 0; }
  };
  // A name: a model, or one of its adapters.
  struct Target {
    Entry* entry = nullptr;
    const AdapterSpec* adapter = nullptr;
  };
  struct Request {
    std::string id;
    Then then;
  };

  std::vector<std::unique_ptr<Entry>> entries;
  ModelOptions options;
  MemoryOptions memory;
  mutable std::mutex mutex;
  std::condition_variable changed;
  std::deque<Request> waiting;
  bool measure = false, stopping = false, ready = false;
  uint64_t clock = 0;
  std::thread loader;

  // --- with the mutex held
  Target Find(const std::string& id) const;
  std::shared_ptr<LoadedModel> Lease(const Target& target);
  size_t Used() const;
  Entry* LongestIdle() const;

  // --- the loading thread
  void Run();
  void Serve(Request request);
  Result<void> Load(Entry& entry);
  Result<void> Measure(Entry& entry);
  Result<void> MakeRoom(Entry& entry, std::unique_lock<std::mutex>& lock);
  Error TooLarge(const Entry& entry) const;
  Error Busy(const Entry& entry) const;
};

ModelPool::State::Target ModelPool::State::Find(const std::string& id) const {
  for (const auto& entry : entries) {
    if (entry->spec.id == id) return {entry.get(), nullptr};
    for (const AdapterSpec& adapter : entry->spec.adapters) {
      if (id == Cat(entry->spec.id, ":", adapter.name)) return {entry.get(), &adapter};
    }
  }
  return {};
}

// The model as a pointer whose last copy reports that it is no longer in use.
std::shared_ptr<LoadedModel> ModelPool::State::Lease(const Target& target) {
  struct Holder {
    std::shared_ptr<State> state;
    Entry* entry;
    std::shared_ptr<LoadedModel> model;
    Holder(std::shared_ptr<State> s, Entry* e, std::shared_ptr<LoadedModel> m)
        : state(std::move(s)), entry(e), model(std::move(m)) {}
    ~Holder() {
      model.reset();  // before its lease ends: an evicted model is destroyed elsewhere
      const std::lock_guard lock(state->mutex);
      --entry->users;
      state->changed.notify_all();
    }
  };
  Entry& entry = *target.entry;
  ++entry.users;
  entry.last_used = ++clock;
  auto model =
      target.adapter == nullptr ? entry.loaded : WithAdapter(*entry.loaded, *target.adapter);
  auto holder = std::make_shared<Holder>(shared_from_this(), &entry, std::move(model));
  return {holder, holder->model.get()};
}

size_t ModelPool::State::Used() const {
  size_t bytes = 0;
  for (const auto& entry : entries) bytes += entry->loaded ? entry->Bytes(memory.bytes) : 0;
  return bytes;
}

ModelPool::State::Entry* ModelPool::State::LongestIdle() const {
  Entry* best = nullptr;
  for (const auto& entry : entries) {
    if (entry->loaded == nullptr || entry->users > 0) continue;
    if (best == nullptr || entry->last_used < best->last_used) best = entry.get();
  }
  return best;
}

void ModelPool::State::Run() {
  std::unique_lock lock(mutex);
  for (;;) {
    changed.wait(lock, [&] { return stopping || !waiting.empty() || measure; });
    if (stopping) return;
    if (!waiting.empty()) {
      Request request = std::move(waiting.front());
      waiting.pop_front();
      lock.unlock();
      Serve(std::move(request));
      lock.lock();
      continue;
    }
    const auto next = std::find_if(entries.begin(), entries.end(),
                                   [](const auto& entry) { return !entry->facts; });
    measure = next != entries.end();
    if (!measure) continue;
    lock.unlock();
    const auto measured = Measure(**next);
    lock.lock();
    if (measured) continue;
    spdlog::warn("{}", measured.error().message);
    measure = false;
  }
}

void ModelPool::State::Serve(Request request) {
  Target target;
  bool load;
  {
    const std::lock_guard lock(mutex);
    target = Find(request.id);
    load = target.entry->loaded == nullptr;
    target.entry->loading = load;
  }
  const Result<void> loaded = load ? Load(*target.entry) : Ok();
  std::shared_ptr<LoadedModel> model;
  {
    const std::lock_guard lock(mutex);
    target.entry->loading = false;
    if (loaded) model = Lease(target);
  }
  if (model != nullptr) return request.then(std::move(model));
  spdlog::error("{}", loaded.error().message);
  request.then(loaded.error());
}

Result<void> ModelPool::State::Measure(Entry& entry) {
  const auto facts = MeasureModel(entry.spec, options);
  if (!facts) return DoesNotLoad(entry.spec.id, facts.error());
  const std::lock_guard lock(mutex);
  entry.facts = *facts;
  // Less than the options ask for where the budget leaves less.
  const size_t cache = entry.CacheBytes(memory.bytes);
  const bool none = cache == 0 && facts->cache > 0;
  entry.facts->context = none ? 0 : facts->layout.TokensIn(cache, entry.facts->context);
  return Ok();
}

Result<void> ModelPool::State::Load(Entry& entry) {
  if (!entry.facts) {
    FACET_TRY(Measure(entry));
  }
  ModelOptions own = options;
  {
    std::unique_lock lock(mutex);
    FACET_TRY(MakeRoom(entry, lock));
    own.cache_budget = entry.CacheBytes(memory.bytes);
  }
  spdlog::info("loading {}", entry.spec.id);
  const auto start = Clock::now();
  auto loaded = LoadModel(entry.spec, own);
  if (!loaded) {
    return DoesNotLoad(entry.spec.id, loaded.error());
  }
  spdlog::info("{} is ready after {:.1f} s", entry.spec.id, SecondsSince(start));
  const std::lock_guard lock(mutex);
  entry.loaded = std::move(*loaded);
  ready |= &entry == entries.front().get();
  return Ok();
}

// Gives up idle models until this one fits.
Result<void> ModelPool::State::MakeRoom(Entry& entry, std::unique_lock<std::mutex>& lock) {
  if (memory.bytes == 0) return Ok();
  if (entry.facts->fixed + std::min(entry.facts->least, entry.facts->cache) > memory.bytes)
    return TooLarge(entry);
  const auto until = std::chrono::steady_clock::now() + memory.wait;
  while (Used() + entry.Bytes(memory.bytes) > memory.bytes) {
    if (stopping) return Stopping();
    Entry* idle = LongestIdle();
    if (idle == nullptr) {
      if (changed.wait_until(lock, until) == std::cv_status::timeout) return Busy(entry);
      continue;
    }
    spdlog::info("unloading {}: {} needs its memory", idle->spec.id, entry.spec.id);
    std::shared_ptr<LoadedModel> gone = std::move(idle->loaded);
    lock.unlock();
    gone->engine->Stop();
    gone.reset();
    lock.lock();
  }
  return Ok();
}

Error ModelPool::State::TooLarge(const Entry& entry) const {
  return {Cat("the model '", entry.spec.id, "' needs ", Human(entry.facts->fixed), " and ",
              Human(std::min(entry.facts->least, entry.facts->cache)),
              " for keys and values; this server may use ", Human(memory.bytes),
              " (--memory changes that)"),
          ErrorKind::kInsufficient, "insufficient_memory", "model"};
}

Error ModelPool::State::Busy(const Entry& entry) const {
  std::string others;
  for (const auto& other : entries) {
    if (other->loaded == nullptr || other->users == 0) continue;
    others += Cat(others.empty() ? "" : ", ", "'", other->spec.id, "' (",
                  Human(other->Bytes(memory.bytes)), ")");
  }
  return {Cat("the model '", entry.spec.id, "' needs ", Human(entry.Bytes(memory.bytes)),
              " of the ", Human(memory.bytes), " that this server may use; in use now: ", others),
          ErrorKind::kBusy, "model_busy", "model"};
}

// --- public interface

ModelPool::ModelPool(std::vector<ModelSpec> specs, ModelOptions options, MemoryOptions memory)
    : state_(std::make_shared<State>()) {
  state_->options = std::move(options);
  state_->memory = memory;
  for (ModelSpec& spec : specs) {
    state_->entries.push_back(std::make_unique<State::Entry>());
    state_->entries.back()->spec = std::move(spec);
  }
  state_->loader = std::thread([state = state_.get()] { state->Run(); });
}

ModelPool::~ModelPool() {
  Clear();
}

std::vector<std::string> ModelPool::ids() const {
  std::vector<std::string> out;
  for (const auto& entry : state_->entries) {
    out.push_back(entry->spec.id);
    for (const AdapterSpec& adapter : entry->spec.adapters)
      out.push_back(Cat(entry->spec.id, ":", adapter.name));
  }
  return out;
}

const std::string& ModelPool::default_id() const {
  return state_->entries.front()->spec.id;
}

void ModelPool::WhenLoaded(const std::string& id, Then then) {
  Result<std::shared_ptr<LoadedModel>> model = [&]() -> Result<std::shared_ptr<LoadedModel>> {
    const std::lock_guard lock(state_->mutex);
    const State::Target target = state_->Find(id);
    if (target.entry == nullptr) {
      return Error{Cat("the model '", id, "' does not exist"), ErrorKind::kNotFound,
                   "model_not_found", "model"};
    }
    if (state_->stopping) return Stopping();
    if (target.entry->loaded != nullptr) return state_->Lease(target);
    if (state_->waiting.size() >= kMaxWaiting) {
      return Error{Cat("the model '", id, "' is being loaded"), ErrorKind::kBusy, "model_loading",
                   "model"};
    }
    state_->waiting.push_back({id, std::move(then)});
    state_->changed.notify_all();
    return std::shared_ptr<LoadedModel>();  // `then` is called by the loading thread
  }();
  if (!model || *model != nullptr) then(std::move(model));
}

Result<std::shared_ptr<LoadedModel>> ModelPool::Get(const std::string& id) {
  std::promise<Result<std::shared_ptr<LoadedModel>>> done;
  WhenLoaded(id,
             [&](Result<std::shared_ptr<LoadedModel>> model) { done.set_value(std::move(model)); });
  return done.get_future().get();
}

std::shared_ptr<LoadedModel> ModelPool::Use(const std::string& id) {
  const std::lock_guard lock(state_->mutex);
  const State::Target target = state_->Find(id);
  if (target.entry == nullptr || target.entry->loaded == nullptr) return nullptr;
  return state_->Lease(target);
}

std::shared_ptr<const LoadedModel> ModelPool::Loaded(const std::string& id) const {
  const std::lock_guard lock(state_->mutex);
  const State::Target target = state_->Find(id);
  return target.entry == nullptr ? nullptr : target.entry->loaded;
}

std::optional<ModelPool::Status> ModelPool::StatusOf(const std::string& id) const {
  const std::lock_guard lock(state_->mutex);
  const State::Target target = state_->Find(id);
  if (target.entry == nullptr) return std::nullopt;
  const State::Entry& entry = *target.entry;
  Status status;
  status.state = entry.loaded    ? Status::State::kLoaded
                 : entry.loading ? Status::State::kLoading
                                 : Status::State::kUnloaded;
  status.facts = entry.facts;
  status.bytes = entry.Bytes(state_->memory.bytes);
  if (target.adapter != nullptr) status.base = entry.spec.id;
  return status;
}

size_t ModelPool::memory_budget() const {
  return state_->memory.bytes;
}

size_t ModelPool::memory_used() const {
  const std::lock_guard lock(state_->mutex);
  return state_->Used();
}

void ModelPool::MeasureAll() {
  const std::lock_guard lock(state_->mutex);
  state_->measure = true;
  state_->changed.notify_all();
}

void ModelPool::Clear() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
    state_->changed.notify_all();
  }
  if (state_->loader.joinable()) state_->loader.join();
  std::vector<std::shared_ptr<LoadedModel>> all;
  std::deque<State::Request> waiting;
  {
    const std::lock_guard lock(state_->mutex);
    for (const auto& entry : state_->entries) all.push_back(std::move(entry->loaded));
    waiting.swap(state_->waiting);
  }
  for (const State::Request& request : waiting) request.then(Stopping());
  for (const auto& model : all) {
    if (model != nullptr) model->engine->Stop();
  }
}

bool ModelPool::ready() const {
  const std::lock_guard lock(state_->mutex);
  return state_->ready;
}

}  // namespace facet
