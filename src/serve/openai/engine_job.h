// One HTTP request whose work the engine does: what it has submitted, and that this is cancelled
// when it fails or its client goes.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "engine/engine.h"
#include "runtime/loaded_model.h"
#include "serve/http/http.h"

namespace facet::serve {

class EngineJob : public std::enable_shared_from_this<EngineJob> {
 public:
  virtual ~EngineJob() = default;

 protected:
  EngineJob(std::shared_ptr<Exchange> exchange, std::shared_ptr<LoadedModel> model)
      : exchange_(std::move(exchange)), model_(std::move(model)) {}

  // Stops everything when the client goes; at once where it has gone already. Without the mutex.
  void StopWhenClosed();

  // --- with the mutex held

  // An error says that the engine does not take it.
  Result<void> Submit(GenerationRequest request, std::shared_ptr<GenerationListener> listener);
  // Nothing of the job is wanted any more.
  void Stop();
  bool stopped() const { return stopped_; }

  // What went wrong with a run, which its Outcome or AnswerEnd tells.
  template <typename End>
  static Result<void> StatusOf(const End& end) {
    if (end.reason == End::Reason::kError) return end.error;
    if (end.reason == End::Reason::kCancelled)
      return Error{"the request was cancelled", ErrorKind::kCancelled};
    return Ok();
  }

  const std::shared_ptr<Exchange> exchange_;
  const std::shared_ptr<LoadedModel> model_;
  std::mutex mutex_;  // starting and the connection's end against the engine's thread

 private:
  std::vector<Engine::RequestId> ids_;
  bool stopped_ = false;
};

}  // namespace facet::serve
