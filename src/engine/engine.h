// Serves many generations at once: one thread that batches prefill chunks and decodes of all
// sequences into one step, with a prefix cache in front. Requests come in and tokens go out through
// listeners (generation.h).
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include "base/result.h"
#include "engine/draft_options.h"
#include "engine/executor.h"
#include "engine/generation.h"
#include "engine/prefix_store.h"
#include "engine/stats.h"

namespace facet {

struct EngineOptions {
  int max_sequences = 16;  // that run at the same time
  int max_queue = 256;     // requests that wait
  int chunk = 512;         // prompt tokens in a step, of all sequences together
  // While others wait for its end, a step has as many prompt tokens as take about so long.
  double step_ms = 200;
  // How long a sequence whose reader is behind keeps its place from those that wait.
  std::chrono::milliseconds patience{5000};
  bool prefix_cache = true;
  KeepOptions keep;           // of prefixes on disk
  int snapshot_spacing = 64;  // a request that branches computes at most so many known tokens again
  DraftOptions draft;
};

struct EngineInbox;
class Scheduler;

class Engine {
 public:
  using RequestId = uint64_t;

  Engine(std::unique_ptr<Executor> executor, EngineOptions options = {});
  ~Engine();

  // Errors: kQueueFull; kCancelled while the engine stops; kInvalid for an empty prompt, and
  // kOverContext for one that leaves no room in the context. OnDone is called once for each request
  // that was accepted.
  Result<RequestId> Submit(GenerationRequest request, std::shared_ptr<GenerationListener> listener);
  // The sequence is gone after the step that is running.
  void Cancel(RequestId id);
  // Cancels everything and ends the thread.
  void Stop();

  int context() const { return executor_->context(); }
  int vocab() const { return executor_->vocab(); }
  int width() const { return executor_->width(); }
  EngineStats Stats() const;

 private:
  std::unique_ptr<Executor> executor_;
  EngineOptions options_;
  std::unique_ptr<EngineInbox> inbox_;
  std::unique_ptr<Scheduler> scheduler_;
};

}  // namespace facet
