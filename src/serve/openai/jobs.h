// The jobs of each API, by what they send.
#pragma once

#include <memory>
#include <string>

#include "serve/openai/answer_job.h"
#include "serve/service.h"

namespace facet::serve {

// chat.completion and chat.completion.chunk objects.
std::shared_ptr<AnswerJob> MakeChatJob(std::shared_ptr<Exchange> exchange,
                                       std::shared_ptr<LoadedModel> model, const ChatRequest& chat);

// A prompt that is repeated in front of its answers. Tokens that the client has not written (the
// one that texts begin with) are no part of it.
struct EchoedPrompt {
  std::string text, first_token;
  int hidden = 0;  // tokens in front of the first
};
// text_completion objects. `echo`: one for each prompt, or none.
std::shared_ptr<AnswerJob> MakeCompletionJob(std::shared_ptr<Exchange> exchange,
                                             std::shared_ptr<LoadedModel> model, Common common,
                                             std::vector<EchoedPrompt> echo);

}  // namespace facet::serve
