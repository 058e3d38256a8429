// /v1/chat/completions, and /apply-template, which shows the prompt of a chat.
#include "serve/chat_route.h"
#include "serve/handlers.h"
#include "serve/openai/jobs.h"

namespace facet::serve {

Result<void> Chat(Service& service, Call& call) {
  FACET_ASSIGN(ChatRequest chat,
               ReadChat(std::move(call.body), service.limits.media, call.ignored.get()));
  return StartChat(service, call, std::move(chat), "messages", [](const ChatStart& start) {
    return MakeChatJob(start.exchange, start.model, start.chat);
  });
}

Result<void> ApplyTemplate(Service& service, Call& call) {
  FACET_ASSIGN(ChatRequest chat,
               ReadChat(std::move(call.body), service.limits.media, call.ignored.get()));
  return ShowPrompt(service, call, std::move(chat), "messages",
                    [exchange = call.exchange](const Prompt& prompt) {
                      SendJson(*exchange, {{"prompt", prompt.text}, {"tokens", prompt.ids.size()}});
                    });
}

}  // namespace facet::serve
