#include "serve/openai/responses.h"

#include <algorithm>
#include <utility>

#include "serve/handlers.h"
#include "serve/openai/response_items.h"
#include "serve/openai/runs.h"

namespace facet::serve {
namespace {

// --- fields

FieldTable<ChatRequest> TextFields() {
  FieldTable<ChatRequest> t;
  t.Custom("format", "object", "",
           "A form that the answer must have: see [Structured answers](#structured-answers).",
           [](JsonFields& fields, std::string_view name, ChatRequest& out) {
             ReadFormat(fields, name, out.common);
           });
  t.Ignored({"verbosity"}, "answers are as long as the model makes them");
  return t;
}

FieldTable<ChatRequest> ResponseDialogueFields() {
  FieldTable<ChatRequest> t = DialogueFields();
  t.Object("text", "The form of the answer.", TextFields());
  t.Custom("max_output_tokens", "integer", "from 1",
           "Tokens of the answer at most, thoughts included; -1: no limit.",
           [](JsonFields& fields, std::string_view name, ChatRequest& out) {
             ReadMaxTokens(fields, name, 1, out.common);
           });
  t.Integer(
      "top_logprobs",
      [](ChatRequest& out, int64_t n) {
        out.common.top_logprobs = n > 0 ? static_cast<int>(n) : -1;
      },
      0, kMaxTopLogprobs, "Log-probabilities of each token and so many of the likeliest others.");
  t.Only("n", 1, "A response has one answer.");
  return t;
}

// An id, alone or as {"id": ...}.
void ReadConversation(JsonFields& fields, std::string_view name, ResponsesRequest& out) {
  OrderedJson* given = fields.Any(name);
  if (given == nullptr) return;
  if (given->is_string()) {
    out.conversation = fields.String(name, 256);
    return;
  }
  if (fields.Object(name) == nullptr) return;
  JsonFields inner = fields.Inside(name, *given);
  inner.Require("id");
  out.conversation = inner.String("id", 256);
  fields.Adopt(inner.Done());
}

void ReadIncluded(JsonFields& fields, std::string_view name, ResponsesRequest& out) {
  const OrderedJson* include = fields.Array(name, 64);
  for (size_t i = 0; include != nullptr && i < include->size(); ++i) {
    const OrderedJson& wanted = (*include)[i];
    if (wanted == "reasoning.encrypted_content") {
      out.seal_thoughts = true;
    } else if (wanted == "message.output_text.logprobs") {
      out.with_logprobs = true;
    } else if (!wanted.is_string()) {
      return fields.Fail(name, Cat("expected strings but got ", ShowJson(wanted)), "invalid_type");
    } else if (fields.ignored() != nullptr) {
      fields.ignored()->Add(Cat(name, "=", wanted.get<std::string>()));
    }
  }
}

FieldTable<ResponsesRequest> MakeResponsesFields() {
  FieldTable<ResponsesRequest> t;
  t.Custom("input", "string or list of objects", Cat("at most ", kMaxMessages),
           "What the model answers: see [Responses](#responses).",
           [](JsonFields& fields, std::string_view name, ResponsesRequest& out) {
             OrderedJson* input = fields.Any(name);
             if (input == nullptr) return;
             if (!input->is_string() && fields.Array(name, kMaxMessages) == nullptr) return;
             out.given_input = std::move(*input);
           })
      .Required();
  t.Text("instructions", &ResponsesRequest::instructions, SIZE_MAX,
         "A system message in front, for this response only.");
  t.Text("previous_response_id", &ResponsesRequest::previous, 256,
         "Continues the conversation of a response that was kept.");
  t.Flag("store", &ResponsesRequest::store,
         "False: the response is not kept. True by default; it is kept for an hour.");
  t.Include(ResponseDialogueFields(), &ResponsesRequest::chat);
  t.Only("background", false, "Responses are made while the client waits.");
  t.Custom("conversation", "string or object", "",
           "A conversation that this goes on from, and that the answer becomes a part of: see "
           "[Responses](#responses).",
           ReadConversation);
  t.Custom("include", "list of strings", "",
           "`reasoning.encrypted_content`: thoughts in a form that a later request may bring back. "
           "`message.output_text.logprobs`: log-probabilities. Others have no effect.",
           ReadIncluded);
  t.Custom("truncation", "string", "`disabled`, `auto`",
           "A conversation that is too long is refused, not cut.",
           [](JsonFields& fields, std::string_view name, ResponsesRequest&) {
             if (fields.Choice(name, {"disabled", "auto"}) == "auto") fields.IgnoreAndNote(name);
           });
  t.Ignored({"client_metadata"}, "notes for a hosted service's records");
  t.Ignored({"context_management", "prompt_cache_options"},
            "a conversation is kept whole; prefixes are cached by content");
  t.Ignored({"max_tool_calls"},
            "limits tools that a hosted service runs; here the client runs them");
  t.Refused({"prompt"}, "there are no stored prompts on this server");
  return t;
}

// Fields that the response object repeats.
OrderedJson Echo(const OrderedJson& body) {
  OrderedJson echo = OrderedJson::object();
  for (const char* name :
       {"instructions", "max_output_tokens", "previous_response_id", "reasoning", "temperature",
        "text", "tool_choice", "tools", "top_p", "user", "metadata", "prompt_cache_key",
        "safety_identifier", "truncation", "max_tool_calls", "top_logprobs", "service_tier"}) {
    if (body.contains(name)) echo[name] = body[name];
  }
  return echo;
}

}  // namespace

const FieldTable<ResponsesRequest>& ResponsesFields() {
  static const FieldTable<ResponsesRequest> table = MakeResponsesFields();
  return table;
}

Result<ResponsesRequest> ReadResponses(OrderedJson body, const MediaAccess& access,
                                       IgnoredFields* ignored, const ItemSource& kept) {
  ResponsesRequest request;
  request.echo = Echo(body);
  FACET_TRY(ResponsesFields().ReadAll(body, request, ignored));
  FACET_TRY(CheckDialogue(request.chat, ignored));
  if (request.with_logprobs && request.chat.common.top_logprobs < 0)
    request.chat.common.top_logprobs = 0;
  const OrderedJson reasoning = request.echo.value("reasoning", OrderedJson::object());
  for (const char* name : {"summary", "generate_summary"}) {
    const auto summary = reasoning.is_object() ? reasoning.find(name) : reasoning.end();
    if (summary != reasoning.end() && summary->is_string() && *summary != "none")
      request.summarise = true;
  }
  MediaIntake intake(access);
  Conversation& conversation = request.chat.conversation;
  if (request.given_input.is_string()) {
    request.given_input = OrderedJson::array({OrderedJson{
        {"type", "message"},
        {"role", "user"},
        {"content", OrderedJson::array({OrderedJson{{"type", "input_text"},
                                                    {"text", std::move(request.given_input)}}})}}});
  }
  if (request.store || request.conversation) request.own_items = WithIds(request.given_input);
  ItemReader reader(intake, ignored, kept.item);
  if (request.conversation) {
    auto before = kept.conversation ? kept.conversation(*request.conversation) : std::nullopt;
    if (!before) {
      return Error{Cat("conversation: there is no conversation ", *request.conversation),
                   ErrorKind::kNotFound, "conversation_not_found", "conversation"};
    }
    // One list: a turn that the kept items leave open goes on with the new ones.
    for (OrderedJson& item : request.given_input) before->push_back(std::move(item));
    request.given_input = *std::move(before);
  }
  FACET_TRY(reader.ReadAll(std::move(request.given_input), "input"));
  conversation = {std::move(reader.messages()), std::move(intake.media())};
  return request;
}

namespace {

// What came before goes in front; its media keep their numbers.
void Prepend(const Conversation& before, Conversation& conversation) {
  for (OrderedJson& message : conversation.messages) {
    if (!message["content"].is_array()) continue;
    for (OrderedJson& part : message["content"]) {
      if (part.contains("index")) part["index"] = part["index"].get<size_t>() + before.media.size();
    }
  }
  Conversation all = before;
  for (OrderedJson& message : conversation.messages) all.messages.push_back(std::move(message));
  for (std::string& medium : conversation.media) all.media.push_back(std::move(medium));
  conversation = std::move(all);
}

Result<void> AddPrevious(ResponseStore& store, const std::string& tenant,
                         ResponsesRequest& request) {
  if (request.previous && request.conversation) {
    return Error{"previous_response_id: expected this or conversation, not both",
                 ErrorKind::kInvalid, "invalid_value", "previous_response_id"};
  }
  if (request.previous) {
    const auto before = store.Get(tenant, *request.previous);
    if (!before) {
      return Error{Cat("previous_response_id: there is no response ", *request.previous),
                   ErrorKind::kNotFound, "previous_response_not_found", "previous_response_id"};
    }
    Prepend(before->conversation, request.chat.conversation);
  }
  if (!request.chat.conversation.messages.empty()) return Ok();
  return Error{"input: expected at least one item", ErrorKind::kInvalid, {}, "input"};
}

// The prompt, with what came before and the instructions. What is kept for later requests is
// without the latter.
Result<std::shared_ptr<Prompt>> ResponsesPrompt(Service& service, Exchange& exchange,
                                                const LoadedModel& model,
                                                ResponsesJobInput& input) {
  ResponsesRequest& request = input.request;
  FACET_TRY(AddPrevious(service.responses, input.tenant, request));
  Conversation conversation =
      request.store ? request.chat.conversation : std::move(request.chat.conversation);
  if (!request.instructions.empty()) {
    conversation.messages.insert(
        conversation.messages.begin(),
        OrderedJson{{"role", "system"}, {"content", request.instructions}});
  }
  return BuildChatPrompt(model, request.chat, std::move(conversation), "input",
                         service.media.memory(), StopWhenClosed(exchange));
}

Result<void> AnswerResponses(Service& service, const std::shared_ptr<Exchange>& exchange,
                             const std::shared_ptr<LoadedModel>& model, ResponsesJobInput input) {
  FACET_ASSIGN(auto prompt, ResponsesPrompt(service, *exchange, *model, input));
  FACET_ASSIGN(auto runs, PrepareRuns(*model, input.request.chat, std::move(prompt), input.tenant));
  const auto job = MakeResponsesJob(exchange, model, std::move(input));
  return StartRuns(service, exchange, model, std::move(runs), job);
}

// What the items of a request may refer to.
ItemSource KeptItems(Service& service, const std::string& tenant) {
  return {.item = [&service, tenant](
                      const std::string& id) { return service.responses.FindItem(tenant, id); },
          .conversation = [&service, tenant](const std::string& id) -> std::optional<OrderedJson> {
            auto found = service.conversations.Get(tenant, id);
            if (!found) return std::nullopt;
            return std::move(found->items);
          }};
}

Result<ResponsesJobInput> ReadResponsesCall(Service& service, Call& call) {
  ResponsesJobInput input{.request = {},
                          .tenant = call.request.tenant,
                          .store = &service.responses,
                          .conversations = &service.conversations};
  FACET_ASSIGN(input.request,
               ReadResponses(std::move(call.body), service.limits.media, call.ignored.get(),
                             KeptItems(service, call.request.tenant)));
  return input;
}

Error NoResponse(const std::string& id) {
  return {Cat("there is no response ", id), ErrorKind::kNotFound, "response_not_found"};
}

}  // namespace

Result<void> Responses(Service& service, Call& call) {
  FACET_ASSIGN(ResponsesJobInput input, ReadResponsesCall(service, call));
  const auto name = input.request.chat.common.model;
  return service.WithModel(call, name,
                           [&service, input = std::move(input),
                            exchange = call.exchange](std::shared_ptr<LoadedModel> model) mutable {
                             return AnswerResponses(service, exchange, model, std::move(input));
                           });
}

Result<void> CountInputTokens(Service& service, Call& call) {
  FACET_ASSIGN(ResponsesJobInput input, ReadResponsesCall(service, call));
  const auto name = input.request.chat.common.model;
  return service.WithModel(
      call, name,
      [&service, input = std::move(input),
       exchange = call.exchange](std::shared_ptr<LoadedModel> model) mutable -> Result<void> {
        FACET_ASSIGN(const auto prompt, ResponsesPrompt(service, *exchange, *model, input));
        SendJson(*exchange,
                 {{"object", "response.input_tokens"}, {"input_tokens", prompt->ids.size()}});
        return Ok();
      });
}

Result<void> GetResponse(Service& service, Call& call) {
  constexpr std::string_view kItems = "/input_items";
  std::string id = call.name;
  const bool items = id.ends_with(kItems);
  if (items) id.erase(id.size() - kItems.size());
  const auto stored = service.responses.Get(call.request.tenant, id);
  if (!stored) return NoResponse(id);
  if (!items) {
    SendJson(*call.exchange, stored->object);
    return Ok();
  }
  FACET_ASSIGN(const OrderedJson page, ItemPage(stored->input, call.request.query));
  SendJson(*call.exchange, page);
  return Ok();
}

Result<void> DeleteResponse(Service& service, Call& call) {
  if (!service.responses.Erase(call.request.tenant, call.name)) return NoResponse(call.name);
  SendJson(*call.exchange, {{"id", call.name}, {"object", "response"}, {"deleted", true}});
  return Ok();
}

}  // namespace facet::serve
