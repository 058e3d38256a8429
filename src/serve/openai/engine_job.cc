#include "serve/openai/engine_job.h"

namespace facet::serve {

void EngineJob::StopWhenClosed() {
  exchange_->OnClose([weak = weak_from_this()] {
    const auto job = weak.lock();
    if (job == nullptr) return;
    const std::lock_guard lock(job->mutex_);
    job->Stop();
  });
}

Result<void> EngineJob::Submit(GenerationRequest request,
                               std::shared_ptr<GenerationListener> listener) {
  const auto id = model_->engine->Submit(std::move(request), std::move(listener));
  if (!id) return id.error();
  ids_.push_back(*id);
  return Ok();
}

void EngineJob::Stop() {
  stopped_ = true;
  for (const auto id : ids_) model_->engine->Cancel(id);
}

}  // namespace facet::serve
