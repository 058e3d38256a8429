// From a request that has been checked to what the engine runs: prompts, sampling, and the form
// that an answer must have.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/prompt.h"
#include "runtime/loaded_model.h"
#include "serve/http/http.h"
#include "serve/openai/answer_job.h"
#include "serve/openai/requests.h"

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

// Runs for all choices of a chat, constrained where a form is asked for; refuses what cannot be
// enforced.
Result<std::vector<AnswerJob::Run>> ChatRuns(LoadedModel& model, const ChatRequest& chat,
                                             std::shared_ptr<const Prompt> prompt,
                                             const std::string& tenant);

// Tokens, sampling and limits of one run of a prompt.
GenerationRequest MakeGeneration(const LoadedModel& model, std::shared_ptr<const Prompt> prompt,
                                 const Common& common, const std::string& tenant, int choice);

// Known only where the model is: a bias that moves nothing would be ignored.
Result<void> CheckBias(const LoadedModel& model, const Common& common);

}  // namespace facet::serve
