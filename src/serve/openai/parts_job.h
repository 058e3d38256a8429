// A request whose parts run through the engine a few at a time, so that a long one leaves the queue
// to others: texts to embed, segments of a sound.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "runtime/loaded_model.h"
#include "serve/http/http.h"

namespace facet::serve {

class PartsJob : public std::enable_shared_from_this<PartsJob> {
 public:
  virtual ~PartsJob() = default;
  // Hands the first parts to the engine; the others follow as these end.
  void Start();

 protected:
  PartsJob(std::shared_ptr<Exchange> exchange, std::shared_ptr<LoadedModel> model,
           std::string tenant, size_t parts, size_t at_once);

  // Called with the mutex held.
  virtual std::optional<ApiError> Submit(size_t index) = 0;  // by Enter
  virtual void OnStarted() {}                                // the first parts were taken
  virtual void Answer() = 0;                                 // all parts have ended
  virtual void SendError(const ApiError& error);

  // With the mutex held. Once the first part is accepted, the others are not refused for a full
  // queue.
  std::optional<ApiError> Enter(GenerationRequest request,
                                std::shared_ptr<GenerationListener> listener);
  // A part has ended well; or, with what stopped it, the whole request has.
  void Ended();
  void Fail(const ApiError& error);

  // What an Outcome or an AnswerEnd says went wrong.
  template <typename End>
  static std::optional<ApiError> FailureOf(const End& end) {
    if (end.reason == End::Reason::kError) return ToApiError(end.error);
    if (end.reason == End::Reason::kCancelled)
      return ApiError{503, "the request was cancelled", "cancelled", std::nullopt};
    return std::nullopt;
  }

  const std::shared_ptr<Exchange> exchange_;
  const std::shared_ptr<LoadedModel> model_;
  const std::string tenant_;
  std::mutex mutex_;      // Start and the connection's end against the engine's thread
  bool stopped_ = false;  // it has failed, or nobody waits for it

 private:
  void SubmitSome();
  void Stop();  // with the mutex held

  const size_t parts_, at_once_;
  std::vector<Engine::RequestId> ids_;
  size_t next_ = 0, running_ = 0, done_ = 0;
};

}  // namespace facet::serve
