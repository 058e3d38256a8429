// A request whose parts run through the engine a few at a time, so that a long one leaves the queue
// to others: texts to embed, segments of a sound.
#pragma once

#include <string>

#include "serve/openai/engine_job.h"

namespace facet::serve {

class PartsJob : public EngineJob {
 public:
  // Hands the first parts to the engine; the others follow as these end.
  void Start();

 protected:
  PartsJob(std::shared_ptr<Exchange> exchange, std::shared_ptr<LoadedModel> model,
           std::string tenant, size_t parts, size_t at_once)
      : EngineJob(std::move(exchange), std::move(model)),
        tenant_(std::move(tenant)),
        parts_(parts),
        at_once_(at_once) {}

  // --- called with the mutex held

  virtual Result<void> SubmitPart(size_t index) = 0;  // by Enter
  virtual void OnStarted() {}                         // the first parts were taken
  virtual void OnAllEnded() = 0;
  virtual void SendError(const Error& error) { exchange_->SendError(error); }

  // --- with the mutex held

  // Once the first part is accepted, the others are not refused for a full queue.
  Result<void> Enter(GenerationRequest request, std::shared_ptr<GenerationListener> listener);
  // A part has ended well; or, with what stopped it, the whole request has.
  void Ended();
  void Fail(const Error& error);

  const std::string tenant_;

 private:
  void SubmitSome();

  const size_t parts_, at_once_;
  size_t next_ = 0, running_ = 0, done_ = 0;
};

}  // namespace facet::serve
