#include "serve/openai/runs.h"

#include <algorithm>

#include "serve/openai/forms.h"

namespace facet::serve {
namespace {

// `length` says how many tokens the prompt has.
Error TooLong(int context, const std::string& length, const std::string& param) {
  return {Cat("This model's maximum context length is ", context, " tokens. However, your ", param,
              " resulted in ", length, " tokens. Please reduce the length of the ", param, "."),
          ErrorKind::kOverContext,
          {},
          param};
}

// Tokens of the longest prompt that leaves room for an answer.
size_t MostTokens(const LoadedModel& model) {
  return static_cast<size_t>(std::max(1, model.engine->context()) - 1);
}

Result<void> CheckLength(const LoadedModel& model, const Prompt& prompt, const std::string& param) {
  if (prompt.ids.size() <= MostTokens(model)) return Ok();
  return TooLong(model.engine->context(), Cat(prompt.ids.size()), param);
}

// What is wrong with a medium is the client's to mend; that the media of others are being served is
// not.
Error PromptError(Error error, const std::string& param) {
  if (error.param.empty()) error.param = param;
  if (error.kind == ErrorKind::kNotFound || error.kind == ErrorKind::kResource ||
      error.kind == ErrorKind::kTooLarge) {
    error.kind = ErrorKind::kInvalid;
    error.code = "invalid_value";
  }
  return error;
}

// Lengths behind the system turn and before the last turns, in tokens.
std::vector<int> Anchors(const LoadedModel& model, const std::vector<TokenId>& ids) {
  const auto open = model.tokenizer->Find("<|turn>");
  if (!open) return {};
  std::vector<int> turns;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] == *open) turns.push_back(static_cast<int>(i));
  }
  std::vector<int> out;
  if (turns.size() > 1) out.push_back(turns[1]);  // system and tools end here
  for (size_t i = turns.size() > 4 ? turns.size() - 4 : 0; i < turns.size(); ++i)
    out.push_back(turns[i]);
  // Behind "<|turn>model\n": the history has no empty thinking channel there.
  if (!turns.empty()) out.push_back(turns.back() + 3);
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  std::erase_if(out, [&](int n) { return n <= 0 || n >= static_cast<int>(ids.size()); });
  return out;
}

// The prompt ends inside a thinking channel that it opened itself.
bool EndsThinking(const Tokenizer& tokenizer, const Prompt& prompt) {
  const auto open = tokenizer.Find("<|channel>"), close = tokenizer.Find("<channel|>"),
             turn = tokenizer.Find("<|turn>");
  for (auto id = prompt.ids.rbegin(); id != prompt.ids.rend(); ++id) {
    if (open && *id == *open) return true;
    if ((close && *id == *close) || (turn && *id == *turn)) return false;
  }
  return false;
}

// Tokens of thoughts at most in front of an answer that must have a form.
constexpr int kThinkingInForm = 8192;

}  // namespace

std::stop_token StopWhenClosed(Exchange& exchange) {
  std::stop_source source;
  exchange.OnClose([source]() mutable { source.request_stop(); });
  return source.get_token();
}

Result<std::shared_ptr<Prompt>> BuildChatPrompt(const LoadedModel& model, const ChatRequest& chat,
                                                OrderedJson messages, MediaLoader load,
                                                const std::string& param,
                                                std::shared_ptr<MediaMemory> memory,
                                                std::stop_token stop) {
  if (model.chat_template == nullptr)
    return Error{model.template_error, ErrorKind::kInvalid, "no_chat_template", "model"};
  PromptRequest request;
  request.messages = std::move(messages);
  request.tools = chat.tools;
  request.render.enable_thinking = chat.thinking;
  request.render.extra = chat.template_extra;
  request.load = std::move(load);
  request.memory = std::move(memory);
  request.media.limits.max_decode_seconds = kMaxDecodeSeconds;
  request.media.limits.transparency = model.transparency;
  request.stop = std::move(stop);
  request.max_tokens = MostTokens(model);
  auto prompt =
      BuildPrompt(model.config, *model.tokenizer, *model.chat_template, std::move(request));
  if (!prompt && prompt.error().kind == ErrorKind::kOverContext && prompt.error().param.empty()) {
    return TooLong(model.engine->context(), Cat("more than ", MostTokens(model)), param);
  }
  if (!prompt) return PromptError(prompt.error(), param);
  FACET_TRY(CheckLength(model, *prompt, param));
  return std::make_shared<Prompt>(*std::move(prompt));
}

Result<std::shared_ptr<Prompt>> BuildChatPrompt(const LoadedModel& model, const ChatRequest& chat,
                                                Conversation conversation, const std::string& param,
                                                std::shared_ptr<MediaMemory> memory,
                                                std::stop_token stop) {
  const auto load = [&](const OrderedJson& part) -> Result<MediaSource> {
    return MediaSource(std::move(conversation.media[part["index"].get<size_t>()]));
  };
  return BuildChatPrompt(model, chat, std::move(conversation.messages), load, param,
                         std::move(memory), std::move(stop));
}

Result<std::shared_ptr<Prompt>> TextPrompt(const LoadedModel& model, const TextOrIds& text,
                                           const std::string& param) {
  auto prompt = std::make_shared<Prompt>();
  if (const auto* ids = std::get_if<std::vector<TokenId>>(&text)) {
    prompt->ids = *ids;
  } else {
    prompt->text = std::get<std::string>(text);
    auto encoded = model.tokenizer->EncodeAtMost(MostTokens(model), prompt->text);
    if (!encoded)
      return TooLong(model.engine->context(), Cat("more than ", MostTokens(model)), param);
    prompt->ids = *std::move(encoded);
    const auto bos = model.tokenizer->bos();
    if (bos && (prompt->ids.empty() || prompt->ids[0] != *bos))
      prompt->ids.insert(prompt->ids.begin(), *bos);
  }
  for (const TokenId id : prompt->ids) {
    if (id >= model.engine->vocab())
      return Error{Cat(param, ": ", id, " is not a token"), ErrorKind::kInvalid, {}, param};
  }
  FACET_TRY(CheckLength(model, *prompt, param));
  return prompt;
}

Result<void> CheckBias(const LoadedModel& model, const Common& common) {
  for (const auto& [id, value] : common.bias) {
    if (id >= model.engine->vocab())
      return Error{
          Cat("logit_bias: ", id, " is not a token"), ErrorKind::kInvalid, {}, "logit_bias"};
  }
  return Ok();
}

GenerationRequest MakeGeneration(const LoadedModel& model, std::shared_ptr<const Prompt> prompt,
                                 const Common& common, const std::string& tenant, int choice) {
  GenerationRequest request;
  request.anchors = Anchors(model, prompt->ids);
  request.sampling = Sampling(model, common);
  request.sampling.seed += static_cast<uint64_t>(choice);
  request.top_logprobs = common.top_logprobs;
  request.max_tokens = common.max_tokens.value_or(INT32_MAX);
  request.stop_tokens = model.eos;
  request.tenant = tenant;
  request.scope = Cat(tenant, '\n', model.adapter.identity, '\n', common.salt);
  request.adapter = model.adapter.weights;
  request.use_cache = common.use_cache;
  request.prompt = std::move(prompt);
  return request;
}

Result<ChatRuns> PrepareRuns(const LoadedModel& model, const ChatRequest& chat,
                             std::shared_ptr<const Prompt> prompt, const std::string& tenant) {
  FACET_TRY(CheckBias(model, chat.common));
  const bool open_thinking = EndsThinking(*model.tokenizer, *prompt);
  ChatRuns out;
  const bool calls = chat.tools.is_array() && chat.tool_choice.kind != ToolChoice::Kind::kNone;
  const auto tools = std::make_shared<const DeclaredTools>(ToolsOf(chat.tools));
  for (int choice = 0; choice < chat.common.choices; ++choice) {
    AnswerJob::Run run;
    run.request = MakeGeneration(model, prompt, chat.common, tenant, choice);
    if (!calls && model.call_open) run.request.sampling.suppress.push_back(*model.call_open);
    run.answer.thinking = open_thinking;
    run.answer.thinking_budget = chat.thinking_budget;
    run.answer.one_call = !chat.parallel_calls;
    run.answer.stop = chat.common.stop;
    run.answer.tools = tools;
    run.answer.repairs = model.repairs;
    out.runs.push_back(std::move(run));
  }
  out.form = FormOf(chat, open_thinking);
  if (!out.form) return out;
  // Thoughts without an end would leave no room for the form.
  const int room = chat.common.max_tokens.value_or(kThinkingInForm * 2) / 2;
  for (AnswerJob::Run& run : out.runs) {
    run.answer.thinking_budget =
        std::min({run.answer.thinking_budget.value_or(kThinkingInForm), room, kThinkingInForm});
  }
  return out;
}

Result<void> StartRuns(Service& service, const std::shared_ptr<Exchange>& exchange,
                       std::shared_ptr<LoadedModel> model, ChatRuns runs,
                       std::shared_ptr<AnswerJob> job) {
  if (!runs.form) return job->Start(std::move(runs.runs));
  // A task can be copied; what it holds is not to be.
  const auto held = std::make_shared<ChatRuns>(std::move(runs));
  const bool taken = service.constraints.Run([exchange, model, held, job] {
    if (exchange->Closed()) return;
    AnswerErrors(*exchange, "constraint", [&]() -> Result<void> {
      FACET_TRY(Constrain(*model, *held->form, held->runs));
      if (exchange->Closed()) return Ok();
      return job->Start(std::move(held->runs));
    });
  });
  if (taken) return Ok();
  return Error{"too many forms of answers are being compiled", ErrorKind::kBusy};
}

}  // namespace facet::serve
