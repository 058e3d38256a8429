// From a conversation that an API has read to a job that writes its answer: the way that the routes
// of all APIs share.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "serve/openai/answer_job.h"
#include "serve/openai/requests.h"
#include "serve/service.h"

namespace facet::serve {

// What a job begins with.
struct ChatStart {
  std::shared_ptr<Exchange> exchange;
  std::shared_ptr<LoadedModel> model;
  const ChatRequest& chat;  // without its conversation, which is in the prompt
  int prompt_tokens = 0;
};
using JobMaker = std::function<std::shared_ptr<AnswerJob>(const ChatStart&)>;

// Loads the model, builds the prompt and starts the job. `param` is the field of the messages, for
// errors that name no other.
Result<void> StartChat(Service& service, const Call& call, ChatRequest chat,
                       const std::string& param, JobMaker make_job);

// Loads the model and calls `then` with the prompt.
Result<void> ShowPrompt(Service& service, const Call& call, ChatRequest chat,
                        const std::string& param, std::function<void(const Prompt&)> then);

// The model that a client of a hosted service means: the name itself where a model has it, the name
// without ":latest", and for a name that begins with `hosted` (such as "claude-") the model that is
// served where there is but one, which is noted in `ignored`.
std::optional<std::string> ServedName(const ModelPool& models, std::optional<std::string> name,
                                      std::string_view hosted, IgnoredFields* ignored = nullptr);

}  // namespace facet::serve
