// The jobs of each API, by what they send.
#pragma once

#include <memory>
#include <string>

#include "serve/openai/answer_job.h"
#include "serve/service.h"

namespace facet::serve {

// chat.completion and chat.completion.chunk objects.
std::shared_ptr<AnswerJob> MakeChatJob(std::shared_ptr<Exchange> exchange,
                                       std::shared_ptr<LoadedModel> model, Common common);
// text_completion objects.
std::shared_ptr<AnswerJob> MakeCompletionJob(std::shared_ptr<Exchange> exchange,
                                             std::shared_ptr<LoadedModel> model, Common common);

}  // namespace facet::serve
