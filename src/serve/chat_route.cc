#include "serve/chat_route.h"

#include <algorithm>

#include "serve/openai/runs.h"

namespace facet::serve {
namespace {

using PromptReady = std::function<Result<void>(
    const ChatRequest&, const std::shared_ptr<LoadedModel>&, std::shared_ptr<const Prompt>)>;

Result<void> WithPrompt(Service& service, const Call& call, ChatRequest chat,
                        const std::string& param, PromptReady then) {
  const auto name = chat.common.model;
  return service.WithModel(
      call, name,
      [&service, chat = std::move(chat), param, then = std::move(then),
       exchange = call.exchange](std::shared_ptr<LoadedModel> model) mutable -> Result<void> {
        FACET_ASSIGN(auto prompt,
                     BuildChatPrompt(*model, chat, std::move(chat.conversation), param,
                                     service.media.memory(), StopWhenClosed(*exchange)));
        return then(chat, model, std::move(prompt));
      });
}

}  // namespace

Result<void> StartChat(Service& service, const Call& call, ChatRequest chat,
                       const std::string& param, JobMaker make_job) {
  return WithPrompt(
      service, call, std::move(chat), param,
      [&service, make_job = std::move(make_job), exchange = call.exchange,
       tenant = call.request.tenant](const ChatRequest& request,
                                     const std::shared_ptr<LoadedModel>& model,
                                     std::shared_ptr<const Prompt> prompt) -> Result<void> {
        const auto tokens = static_cast<int>(prompt->ids.size());
        FACET_ASSIGN(auto runs, PrepareRuns(*model, request, std::move(prompt), tenant));
        return StartRuns(service, exchange, model, std::move(runs),
                         make_job({exchange, model, request, tokens}));
      });
}

Result<void> ShowPrompt(Service& service, const Call& call, ChatRequest chat,
                        const std::string& param, std::function<void(const Prompt&)> then) {
  return WithPrompt(service, call, std::move(chat), param,
                    [then = std::move(then)](const ChatRequest&, const auto&,
                                             std::shared_ptr<const Prompt> prompt) -> Result<void> {
                      then(*prompt);
                      return Ok();
                    });
}

std::optional<std::string> ServedName(const ModelPool& models, std::optional<std::string> name,
                                      std::string_view hosted, IgnoredFields* ignored) {
  constexpr std::string_view kLatest = ":latest";
  if (!name) return name;
  const std::vector<std::string> ids = models.ids();
  const auto served = [&](std::string_view id) {
    return std::find(ids.begin(), ids.end(), id) != ids.end();
  };
  if (served(*name)) return name;
  if (name->ends_with(kLatest)) {
    const std::string plain = name->substr(0, name->size() - kLatest.size());
    if (served(plain)) return plain;
  }
  if (hosted.empty() || !name->starts_with(hosted) || ids.size() != 1) return name;
  if (ignored != nullptr) ignored->Add(Cat("model=", *name));
  return ids.front();
}

}  // namespace facet::serve
