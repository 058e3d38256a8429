// /v1/chat/completions, and /apply-template, which shows the prompt of a chat.
#include "serve/handlers.h"
#include "serve/openai/jobs.h"
#include "serve/openai/runs.h"

namespace facet::serve {

Result<void> Chat(Service& service, Call& call) {
  FACET_ASSIGN(ChatRequest chat,
               ReadChat(std::move(call.body), service.limits.media, call.ignored.get()));
  const auto name = chat.common.model;
  return service.WithModel(
      call, name,
      [&service, chat = std::move(chat), exchange = call.exchange,
       tenant = call.request.tenant](std::shared_ptr<LoadedModel> model) mutable -> Result<void> {
        FACET_ASSIGN(auto prompt,
                     BuildChatPrompt(*model, chat, std::move(chat.conversation), "messages",
                                     service.media.memory(), StopWhenClosed(*exchange)));
        FACET_ASSIGN(auto runs, PrepareRuns(*model, chat, std::move(prompt), tenant));
        const auto job = MakeChatJob(exchange, model, chat);
        return StartRuns(service, exchange, model, std::move(runs), job);
      });
}

Result<void> ApplyTemplate(Service& service, Call& call) {
  FACET_ASSIGN(ChatRequest chat,
               ReadChat(std::move(call.body), service.limits.media, call.ignored.get()));
  const auto name = chat.common.model;
  return service.WithModel(
      call, name,
      [&service, chat = std::move(chat),
       exchange = call.exchange](std::shared_ptr<LoadedModel> model) mutable -> Result<void> {
        FACET_ASSIGN(const auto prompt,
                     BuildChatPrompt(*model, chat, std::move(chat.conversation), "messages",
                                     service.media.memory(), StopWhenClosed(*exchange)));
        SendJson(*exchange, {{"prompt", prompt->text}, {"tokens", prompt->ids.size()}});
        return Ok();
      });
}

}  // namespace facet::serve
