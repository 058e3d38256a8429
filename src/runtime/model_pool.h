// The models that a server offers, by name, under one memory budget: loaded when they are first
// asked for, unloaded (least recently used first) when another one needs their memory. A model that
// a request uses is never unloaded.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/loaded_model.h"

namespace facet {

struct MemoryOptions {
  size_t bytes = 0;  // for all models together, weights, keys and values; 0: no limit
  // How long a request waits for models in use to become idle.
  std::chrono::milliseconds wait{30'000};
};

class ModelPool {
 public:
  ModelPool(std::vector<ModelSpec> specs, ModelOptions options, MemoryOptions memory = {});
  ~ModelPool();

  // Names in the order of the command line; adapters follow their model as MODEL:ADAPTER.
  std::vector<std::string> ids() const;
  // The first model, for requests that name none.
  const std::string& default_id() const;

  // Receives the model, which stays in memory as long as the pointer lives, or why there is none:
  // kNotFound, kInternal (does not load), kBusy (others are in use), kInsufficient (can never fit),
  // kCancelled (the pool is being cleared).
  using Then = std::function<void(Result<std::shared_ptr<LoadedModel>>)>;
  // Calls `then` at once where the model is in memory, else from the loading thread when it is.
  void WhenLoaded(const std::string& id, Then then);
  // Waits for it.
  Result<std::shared_ptr<LoadedModel>> Get(const std::string& id);
  // In memory now, and kept there; null otherwise.
  std::shared_ptr<LoadedModel> Use(const std::string& id);
  // In memory now; null otherwise. Read only: it does not count as use.
  std::shared_ptr<const LoadedModel> Loaded(const std::string& id) const;

  struct Status {
    enum class State { kUnloaded, kLoading, kLoaded } state = State::kUnloaded;
    std::optional<ModelFacts> facts;  // once the files have been read
    std::string base;                 // of an adapter
    size_t bytes = 0;                 // that it takes, or would take
  };
  std::optional<Status> StatusOf(const std::string& id) const;
  size_t memory_budget() const;
  size_t memory_used() const;

  // Reads the facts of all models, in the background.
  void MeasureAll();
  // Unloads all of them; their running requests are cancelled.
  void Clear();
  // True once the first model has been loaded.
  bool ready() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace facet
