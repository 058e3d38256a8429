#include "engine/engine.h"

#include <algorithm>

#include "engine/scheduler.h"

namespace facet {

Engine::Engine(std::unique_ptr<Executor> executor, EngineOptions options)
    : executor_(std::move(executor)),
      options_(std::move(options)),
      inbox_(std::make_unique<EngineInbox>()),
      scheduler_(std::make_unique<Scheduler>(*executor_, options_, *inbox_)) {}

Engine::~Engine() {
  Stop();
}

Result<Engine::RequestId> Engine::Submit(GenerationRequest request,
                                         std::shared_ptr<GenerationListener> listener) {
  const int prompt = static_cast<int>(request.prompt->ids.size());
  if (prompt == 0) return Error{"the prompt is empty"};
  // A cached prefix has no states to add up, and no logits.
  if (request.embed || request.prompt_logprobs >= 0) request.use_cache = false;
  if (prompt >= context()) {
    return Error{Cat("the prompt has ", prompt, " tokens; the context holds ", context()),
                 ErrorKind::kOverContext};
  }
  const int limit =
      request.read_only ? prompt : prompt + std::clamp(request.max_tokens, 1, context() - prompt);
  auto sequence = std::make_unique<Sequence>(std::move(request), std::move(listener));
  sequence->limit = limit;
  sequence->arrived = Clock::now();
  const std::lock_guard lock(inbox_->mutex);
  if (inbox_->stop) return Error{"the server is stopping", ErrorKind::kCancelled, "draining"};
  if (!sequence->request.accepted_before &&
      inbox_->accepted >= options_.max_sequences + options_.max_queue) {
    return Error{Cat("the queue is full: ", inbox_->accepted, " requests run or wait"),
                 ErrorKind::kQueueFull, "queue_full"};
  }
  ++inbox_->accepted;
  const RequestId id = inbox_->next_id++;
  sequence->id = id;
  inbox_->submitted.push_back(std::move(sequence));
  inbox_->changed.notify_one();
  return id;
}

void Engine::Cancel(RequestId id) {
  const std::lock_guard lock(inbox_->mutex);
  inbox_->cancelled.push_back(id);
  inbox_->changed.notify_one();
}

void Engine::Stop() {
  {
    const std::lock_guard lock(inbox_->mutex);
    inbox_->stop = true;
    inbox_->changed.notify_one();
  }
  scheduler_->Join();
}

EngineStats Engine::Stats() const {
  const std::lock_guard lock(inbox_->mutex);
  EngineStats stats = inbox_->stats;
  stats.waiting = std::max(stats.waiting, static_cast<int>(inbox_->submitted.size()));
  return stats;
}

}  // namespace facet
