#include "serve/openai/parts_job.h"

#include "serve/openai/job.h"

namespace facet::serve {

PartsJob::PartsJob(std::shared_ptr<Exchange> exchange, std::shared_ptr<LoadedModel> model,
                   std::string tenant, size_t parts, size_t at_once)
    : exchange_(std::move(exchange)),
      model_(std::move(model)),
      tenant_(std::move(tenant)),
      parts_(parts),
      at_once_(at_once) {}

void PartsJob::Start() {
  exchange_->OnClose([weak = weak_from_this()] {
    const auto job = weak.lock();
    if (job == nullptr) return;
    const std::lock_guard lock(job->mutex_);
    job->Stop();
  });
  const std::lock_guard lock(mutex_);
  SubmitSome();
  if (!stopped_) OnStarted();
}

void PartsJob::SubmitSome() {
  while (!stopped_ && running_ < at_once_ && next_ < parts_) {
    if (const auto error = Submit(next_)) return Fail(*error);
    ++next_;
    ++running_;
  }
}

std::optional<ApiError> PartsJob::Enter(GenerationRequest request,
                                        std::shared_ptr<GenerationListener> listener) {
  request.tenant = tenant_;
  request.accepted_before = next_ > 0;
  const auto id = model_->engine->Submit(std::move(request), std::move(listener));
  if (!id) return SubmitError(id.error());
  ids_.push_back(*id);
  return std::nullopt;
}

void PartsJob::Ended() {
  --running_;
  if (++done_ == parts_) return Answer();
  SubmitSome();
}

void PartsJob::SendError(const ApiError& error) {
  exchange_->Send(ErrorResponse(error));
}

void PartsJob::Fail(const ApiError& error) {
  if (stopped_) return;
  SendError(error);
  Stop();
}

void PartsJob::Stop() {
  stopped_ = true;
  for (const auto id : ids_) model_->engine->Cancel(id);
}

}  // namespace facet::serve
