// /v1/messages and /v1/messages/count_tokens.
#include "serve/anthropic/messages.h"

#include "serve/handlers.h"

namespace facet::serve {
namespace {

constexpr std::string_view kClaudeModels = "claude-";

// --- fields of the chat under this API's names

void ReadStopSequences(JsonFields& fields, std::string_view name, MessagesRequest& out) {
  ReadStopList(fields, name, out.chat.common);
}

void ReadToolField(JsonFields& fields, std::string_view name, MessagesRequest& out) {
  OrderedJson* tools = fields.Array(name, kMaxTools);
  if (tools == nullptr) return;
  auto read = ReadMessageTools(*tools, fields.ignored());
  if (!read) return fields.Adopt(read.error());
  out.chat.tools = *std::move(read);
}

void ReadChoiceField(JsonFields& fields, std::string_view name, MessagesRequest& out) {
  OrderedJson* object = fields.Object(name);
  if (object == nullptr) return;
  JsonFields choice = fields.Inside(name, *object);
  choice.Require("type");
  const std::string type = choice.Choice("type", {"auto", "any", "tool", "none"}).value_or("");
  if (type == "tool") choice.Require("name");
  const std::string tool = choice.String("name", 256).value_or("");
  out.chat.parallel_calls = !choice.Bool("disable_parallel_tool_use").value_or(false);
  fields.Adopt(choice.Done());
  if (type == "tool") {
    out.chat.given_choice = {{"type", "function"}, {"function", {{"name", tool}}}};
  } else {
    out.chat.given_choice = type;
  }
}

void ReadThinkingField(JsonFields& fields, std::string_view name, MessagesRequest& out) {
  OrderedJson* object = fields.Object(name);
  if (object == nullptr) return;
  JsonFields thinking = fields.Inside(name, *object);
  thinking.Require("type");
  const std::string type =
      thinking.Choice("type", {"enabled", "adaptive", "between_tools", "disabled"}).value_or("");
  const auto budget = thinking.Int("budget_tokens", 1, INT32_MAX);
  const auto display = thinking.Choice("display", {"summarized", "omitted"});
  fields.Adopt(thinking.Done());
  out.chat.thinking = type != "disabled";
  if (!*out.chat.thinking) return;
  if (budget) out.chat.thinking_budget = static_cast<int>(*budget);
  using Thoughts = MessagesRequest::Thoughts;
  out.thoughts = display == "omitted" ? Thoughts::kSigned : Thoughts::kShown;
}

// {"type": "json_schema", "schema"}.
void ReadOutputForm(JsonFields& fields, std::string_view name, MessagesRequest& out) {
  ReadFormat(fields, name, out.chat.common);
}

FieldTable<MessagesRequest> OutputConfigFields() {
  FieldTable<MessagesRequest> t;
  t.Choice("effort", &MessagesRequest::effort, Efforts(),
           "How much to think where `thinking` sets no budget: `low` allows 1,024 tokens of "
           "thoughts, `medium` 8,192, the others any number.");
  t.Custom("format", "object", "",
           "`{\"type\": \"json_schema\", \"schema\": ...}`: a form that the answer must have.",
           ReadOutputForm);
  t.Ignored({"task_budget"}, "a hint of how much a whole task may use");
  return t;
}

FieldTable<MessagesRequest> MakeMessagesFields() {
  FieldTable<MessagesRequest> t;
  const auto common = [](auto member) {
    return [member](MessagesRequest& out, auto value) {
      out.chat.common.*member =
          static_cast<typename std::decay_t<decltype(out.chat.common.*member)>::value_type>(value);
    };
  };
  t.Text(
      "model", [](MessagesRequest& out, std::string name) { out.chat.common.model = name; },
      kMaxModelName,
      "One of the names of `/v1/models`; without it, the first. A name that begins with `claude-` "
      "means the model that is served, where there is but one.");
  t.Custom("messages", "list of objects", Cat("1 to ", kMaxMessages),
           "The conversation: roles are `user`, `assistant` and `system`.",
           [](JsonFields& fields, std::string_view name, MessagesRequest& out) {
             OrderedJson* messages = fields.Array(name, kMaxMessages);
             if (messages == nullptr) return;
             if (messages->empty()) fields.Fail(name, "expected at least one message");
             out.given_messages = std::move(*messages);
           })
      .Required();
  t.Custom("system", "string or list of texts", "", "A system message in front.",
           [](JsonFields& fields, std::string_view name, MessagesRequest& out) {
             if (OrderedJson* system = fields.Any(name)) out.given_system = std::move(*system);
           });
  t.Integer("max_tokens", common(&Common::max_tokens), 1, INT32_MAX,
            "Tokens of the answer at most, thoughts included. Required but for `count_tokens`.");
  t.Custom("stop_sequences", "list of strings", "",
           "The answer ends before the first of them, which is not part of it.", ReadStopSequences);
  t.Flag(
      "stream", [](MessagesRequest& out, bool stream) { out.chat.common.stream = stream; },
      "Server-sent events instead of one JSON object.");
  t.Number("temperature", common(&Common::temperature), 0, 100,
           "Divides the logits; 0 always takes the likeliest token.");
  t.Number("top_p", common(&Common::top_p), 0, 1,
           "Samples among the likeliest tokens that have this share of the probability together.");
  t.Integer("top_k", common(&Common::top_k), 0, INT32_MAX,
            "Samples among so many of the likeliest tokens; 0: among all.");
  t.Integer("seed", common(&Common::seed), INT64_MIN, INT64_MAX,
            "The same request with the same seed gives the same answer.");
  t.Custom("tools", "list of objects", Cat("at most ", kMaxTools),
           "What the model may call: the client's own tools, `bash_*`, `text_editor_*` and "
           "`memory_*`. Tools that a hosted service runs (`web_search_*`, `web_fetch_*`, "
           "`code_execution_*`, `tool_search_tool_*`) are left out.",
           ReadToolField);
  t.Custom("tool_choice", "object", "`auto`, `any`, `tool`, `none`",
           "Whether the answer may or must call tools, or one of them; "
           "`disable_parallel_tool_use`: one call at most.",
           ReadChoiceField);
  t.Custom("thinking", "object", "`enabled`, `adaptive`, `disabled`",
           "Switches thinking on or off; `budget_tokens` of thoughts at most. Without it, no "
           "thoughts are shown. With `display` `omitted`, thoughts come inside of the signature "
           "alone, which brings them back with the next request.",
           ReadThinkingField);
  t.Object("output_config", "How the answer shall be.", OutputConfigFields());
  t.Custom("output_format", "object", "", "As `output_config.format`.", ReadOutputForm);
  t.Custom("context_management", "object", "",
           "Nothing is edited: a conversation that is too long is refused, not cut.",
           [](JsonFields& fields, std::string_view name, MessagesRequest& out) {
             out.manages_context = fields.Object(name) != nullptr;
             fields.IgnoreAndNote(name);
           });
  t.Ignored({"metadata", "user_profile_id", "workspace_id", "diagnostics"},
            "notes for a hosted service's records");
  t.Ignored({"service_tier", "inference_geo", "speed", "billing_policy", "fallbacks",
             "fallback_credit_token", "betas", "container"},
            "where and how a hosted service runs a request");
  t.Ignored({"cache_control"}, "prefixes are cached by content here");
  t.Refused({"mcp_servers"}, "this server calls no others");
  t.Refused({"thread", "compaction"}, "there are no conversations of that kind on this server");
  return t;
}

Error MissingField(const char* field) {
  return {Cat(field, ": this field is required"), ErrorKind::kInvalid, "missing_required_parameter",
          field};
}

}  // namespace

const FieldTable<MessagesRequest>& MessagesFields() {
  static const FieldTable<MessagesRequest> table = MakeMessagesFields();
  return table;
}

Result<MessagesRequest> ReadMessages(OrderedJson body, const ModelPool& models,
                                     const MediaAccess& access, bool counting,
                                     IgnoredFields* ignored) {
  MessagesRequest request;
  FACET_TRY(MessagesFields().ReadAll(body, request, ignored));
  ChatRequest& chat = request.chat;
  if (!counting && !chat.common.max_tokens) return MissingField("max_tokens");
  if (request.effort && chat.thinking.value_or(false) && !chat.thinking_budget) {
    ApplyEffort(chat, *request.effort);
    chat.thinking = true;
  }
  FACET_TRY(CheckDialogue(chat, ignored));
  FACET_ASSIGN(chat.conversation,
               ReadMessageTurns(std::move(request.given_system), std::move(request.given_messages),
                                access, ignored));
  if (chat.conversation.messages.empty()) {
    return Error{"messages: expected a message that says something", ErrorKind::kInvalid,
                 "invalid_value", "messages"};
  }
  // An answer that the client has begun is gone on with.
  const OrderedJson& last = chat.conversation.messages.back();
  chat.continue_final = last["role"] == "assistant" && !last.contains("tool_calls");
  chat.common.model = ServedName(models, chat.common.model, kClaudeModels, ignored);
  return request;
}

Result<void> Messages(Service& service, Call& call) {
  FACET_ASSIGN(MessagesRequest request,
               ReadMessages(std::move(call.body), service.models, service.limits.media, false,
                            call.ignored.get()));
  ChatRequest chat = std::move(request.chat);
  request.chat.common = chat.common;
  return StartChat(service, call, std::move(chat), "messages",
                   [request = std::move(request)](const ChatStart& start) {
                     return MakeMessagesJob(start, request);
                   });
}

Result<void> CountMessageTokens(Service& service, Call& call) {
  FACET_ASSIGN(MessagesRequest request,
               ReadMessages(std::move(call.body), service.models, service.limits.media, true,
                            call.ignored.get()));
  return ShowPrompt(
      service, call, std::move(request.chat), "messages",
      [exchange = call.exchange, managed = request.manages_context](const Prompt& prompt) {
        const size_t tokens = prompt.ids.size();
        OrderedJson body = {{"input_tokens", tokens}};
        if (managed) body["context_management"] = {{"original_input_tokens", tokens}};
        SendJson(*exchange, body);
      });
}

}  // namespace facet::serve
