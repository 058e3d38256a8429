// From a request that has been checked to what the engine runs: prompts, sampling, and the form
// that an answer must have.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/prompt.h"
#include "runtime/loaded_model.h"
#include "serve/http/http.h"
#include "serve/openai/answer_job.h"
#include "serve/openai/forms.h"
#include "serve/openai/requests.h"
#include "serve/service.h"

namespace facet::serve {

// Decoding one medium of a request may take this long: minutes of film on a slow machine, but not
// as long as a file that is made to take long.
constexpr double kMaxDecodeSeconds = 300;

// Asks to stop when the client leaves, for work that precedes a job: the job's own OnClose takes
// its place.
std::stop_token StopWhenClosed(Exchange& exchange);

// What a media part of a message holds.
using MediaLoader = std::function<Result<MediaSource>(const OrderedJson& part)>;

// Renders, decodes media until `stop`, tokenises. Errors name the part, or else `param`: no
// template, media that cannot be decoded, a prompt that fills the context.
Result<std::shared_ptr<Prompt>> BuildChatPrompt(const LoadedModel& model, const ChatRequest& chat,
                                                OrderedJson messages, MediaLoader load,
                                                const std::string& param,
                                                std::shared_ptr<MediaMemory> memory,
                                                std::stop_token stop = {});
// Takes the conversation apart.
Result<std::shared_ptr<Prompt>> BuildChatPrompt(const LoadedModel& model, const ChatRequest& chat,
                                                Conversation conversation, const std::string& param,
                                                std::shared_ptr<MediaMemory> memory,
                                                std::stop_token stop = {});

// A text as it is, begun as the vocabulary begins texts; ids as they are.
Result<std::shared_ptr<Prompt>> TextPrompt(const LoadedModel& model, const TextOrIds& text,
                                           const std::string& param);

// The runs of all choices of a chat, and the form that their answers must have.
struct ChatRuns {
  std::vector<AnswerJob::Run> runs;
  std::optional<RequestedForm> form;
};
Result<ChatRuns> PrepareRuns(const LoadedModel& model, const ChatRequest& chat,
                             std::shared_ptr<const Prompt> prompt, const std::string& tenant);

// Starts the job with these runs: at once, or where there is a form, when one of the threads for
// constraints has compiled it and its client is still there. A form that cannot be enforced is the
// answer then (code "unsupported_schema"); an error here says that too many wait.
Result<void> StartRuns(Service& service, const std::shared_ptr<Exchange>& exchange,
                       std::shared_ptr<LoadedModel> model, ChatRuns runs,
                       std::shared_ptr<AnswerJob> job);

// Tokens, sampling and limits of one run of a prompt.
GenerationRequest MakeGeneration(const LoadedModel& model, std::shared_ptr<const Prompt> prompt,
                                 const Common& common, const std::string& tenant, int choice);

// Known only where the model is: a bias that moves nothing would be ignored.
Result<void> CheckBias(const LoadedModel& model, const Common& common);

}  // namespace facet::serve
