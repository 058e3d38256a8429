#include "serve/openai/runs.h"

#include <algorithm>

#include "chat/grammar.h"

namespace facet::serve {
namespace {

Result<void> CheckLength(const LoadedModel& model, const Prompt& prompt, const std::string& param) {
  const int context = model.engine->context(), length = static_cast<int>(prompt.ids.size());
  if (length < context) return Ok();
  return Error{
      Cat("This model's maximum context length is ", context, " tokens. However, your ", param,
          " resulted in ", length, " tokens. Please reduce the length of the ", param, "."),
      ErrorKind::kOverContext,
      {},
      param};
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

bool HasStrictTool(const OrderedJson& tools) {
  return std::any_of(tools.begin(), tools.end(), [](const OrderedJson& tool) {
    return tool["function"].value("strict", false);
  });
}

// The form that the answer must have; nothing where any will do. `param` is the field that asks for
// it.
std::optional<AnswerForm> FormOf(const ChatRequest& chat, bool open_thinking, std::string& param) {
  using Kind = ToolChoice::Kind;
  AnswerForm form;
  const bool must =
      chat.tool_choice.kind == Kind::kRequired || chat.tool_choice.kind == Kind::kNamed;
  const bool tools = chat.tools.is_array() && chat.tool_choice.kind != Kind::kNone;
  if (must) {
    param = "tool_choice";
    form.calls = AnswerForm::Calls::kMust;
  } else if (chat.format.kind != ResponseFormat::Kind::kText) {
    param = "response_format";
    form.schema = chat.format.kind == ResponseFormat::Kind::kJsonObject
                      ? OrderedJson{{"type", "object"}}
                      : chat.format.schema;
  } else if (tools && HasStrictTool(chat.tools)) {
    param = "tools";
  } else {
    return std::nullopt;
  }
  if (tools) form.tools = chat.tools;
  if (chat.tool_choice.kind == Kind::kNamed) form.only = chat.tool_choice.name;
  form.parallel = chat.parallel_calls;
  using Thinking = AnswerForm::Thinking;
  // Where text is free anyway, a model that thinks unasked is let think.
  const bool free = form.schema.is_null() && form.calls == AnswerForm::Calls::kMay;
  form.thinking = open_thinking                  ? Thinking::kOpen
                  : chat.thinking.value_or(free) ? Thinking::kMay
                                                 : Thinking::kNone;
  return form;
}

Result<void> Constrain(LoadedModel& model, const AnswerForm& form, const std::string& param,
                       std::vector<AnswerJob::Run>& runs) {
  const auto refuse = [&](const Error& error) {
    return Error{Cat(param, ": ", error.message), ErrorKind::kInvalid, "unsupported_schema", param};
  };
  const auto grammar = AnswerGrammar(form, *model.tokenizer);
  if (!grammar) return refuse(grammar.error());
  const auto vocabulary = model.Constraints();
  if (!vocabulary) return refuse(vocabulary.error());
  for (AnswerJob::Run& run : runs) {
    auto constraint = (*vocabulary)->Compile(*grammar);
    if (!constraint) return refuse(constraint.error());
    run.request.constraint = std::move(*constraint);
  }
  return Ok();
}

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
  request.stop = std::move(stop);
  auto prompt =
      BuildPrompt(model.config, *model.tokenizer, *model.chat_template, std::move(request));
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
    *prompt = RawPrompt(*model.tokenizer, std::get<std::string>(text));
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

Result<std::vector<AnswerJob::Run>> ChatRuns(LoadedModel& model, const ChatRequest& chat,
                                             std::shared_ptr<const Prompt> prompt,
                                             const std::string& tenant) {
  FACET_TRY(CheckBias(model, chat.common));
  const bool open_thinking = EndsThinking(*model.tokenizer, *prompt);
  std::vector<AnswerJob::Run> runs;
  const bool calls = chat.tools.is_array() && chat.tool_choice.kind != ToolChoice::Kind::kNone;
  for (int choice = 0; choice < chat.common.choices; ++choice) {
    AnswerJob::Run run;
    run.request = MakeGeneration(model, prompt, chat.common, tenant, choice);
    if (!calls && model.call_open) run.request.sampling.suppress.push_back(*model.call_open);
    run.answer.thinking = open_thinking;
    run.answer.thinking_budget = chat.thinking_budget;
    run.answer.one_call = !chat.parallel_calls;
    run.answer.stop = chat.common.stop;
    runs.push_back(std::move(run));
  }
  std::string param;
  const auto form = FormOf(chat, open_thinking, param);
  if (!form) return runs;
  FACET_TRY(Constrain(model, *form, param, runs));
  // Thoughts without an end would leave no room for the form.
  const int room = chat.common.max_tokens.value_or(kThinkingInForm * 2) / 2;
  for (AnswerJob::Run& run : runs) {
    run.answer.thinking_budget =
        std::min({run.answer.thinking_budget.value_or(kThinkingInForm), room, kThinkingInForm});
  }
  return runs;
}

}  // namespace facet::serve
