#include "serve/openai/parts_job.h"

namespace facet::serve {

void PartsJob::Start() {
  StopWhenClosed();
  const std::lock_guard lock(mutex_);
  SubmitSome();
  if (!stopped()) OnStarted();
}

void PartsJob::SubmitSome() {
  while (!stopped() && running_ < at_once_ && next_ < parts_) {
    if (const auto submitted = SubmitPart(next_); !submitted) return Fail(submitted.error());
    ++next_;
    ++running_;
  }
}

Result<void> PartsJob::Enter(GenerationRequest request,
                             std::shared_ptr<GenerationListener> listener) {
  request.tenant = tenant_;
  request.accepted_before = next_ > 0;
  return Submit(std::move(request), std::move(listener));
}

void PartsJob::Ended() {
  --running_;
  if (++done_ == parts_) return OnAllEnded();
  SubmitSome();
}

void PartsJob::Fail(const Error& error) {
  if (stopped()) return;
  SendError(error);
  Stop();
}

}  // namespace facet::serve
