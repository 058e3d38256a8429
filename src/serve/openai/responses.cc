#include "serve/openai/responses.h"

#include <algorithm>
#include <utility>

#include "serve/handlers.h"
#include "serve/openai/runs.h"

namespace facet::serve {
namespace {

// Items of one assistant turn (text, thoughts, calls) become one message.
class InputReader {
 public:
  InputReader(MediaIntake& intake, IgnoredFields* ignored)
      : reader_(RequestRules(intake, ignored)), ignored_(ignored) {}

  Result<void> ReadAll(OrderedJson items) {
    for (size_t i = 0; i < items.size(); ++i)
      FACET_TRY(ReadItem(std::move(items[i]), Cat("input[", i, "]")));
    // Thoughts that no message follows belong to nothing.
    return Ok();
  }
  OrderedJson& messages() { return reader_.messages(); }

 private:
  Result<void> ReadItem(OrderedJson item, const std::string& path) {
    if (!item.is_object()) {
      return Error{Cat(path, ": expected an object but got ", ShowJson(item)), ErrorKind::kInvalid,
                   "invalid_type", path};
    }
    JsonFields fields(item, path, ignored_);
    const std::string type = fields.String("type", 64).value_or("message");
    FACET_TRY(fields.status());
    if (type == "message") return ReadMessage(item, path);
    fields.Ignore({"id", "status", "created_by"});
    if (type == "function_call") return ReadCall(fields);
    if (type == "function_call_output") return ReadOutput(fields, path);
    if (type == "reasoning") return ReadReasoning(fields);
    fields.Fail("type",
                Cat("expected message, function_call, function_call_output or reasoning but got ",
                    ShowJson(OrderedJson(type))));
    return fields.status();
  }

  Result<void> ReadMessage(OrderedJson& message, const std::string& path) {
    const bool assistant = message.value("role", OrderedJson()) == "assistant";
    if (assistant && !reasoning_.empty())
      message["reasoning_content"] = std::exchange(reasoning_, "");
    const bool joins = assistant && OpenTurn() != nullptr;
    FACET_TRY(reader_.Read(std::move(message), path));
    if (joins) JoinLast();
    return Ok();
  }

  Result<void> ReadCall(JsonFields& fields) {
    fields.Require("call_id");
    fields.Require("name");
    const std::string id = fields.String("call_id", 1024).value_or(""),
                      name = fields.String("name", 256).value_or("");
    const std::string arguments = fields.String("arguments", SIZE_MAX).value_or("");
    FACET_TRY(fields.Done());
    OrderedJson* turn = OpenTurn();
    if (turn == nullptr) {
      messages().push_back({{"role", "assistant"}, {"content", ""}});
      turn = &messages().back();
    }
    if (!reasoning_.empty()) (*turn)["reasoning_content"] = std::exchange(reasoning_, "");
    (*turn)["tool_calls"].push_back(
        {{"id", id},
         {"type", "function"},
         {"function", {{"name", name}, {"arguments", CallArguments(arguments)}}}});
    return Ok();
  }

  Result<void> ReadOutput(JsonFields& fields, const std::string& path) {
    fields.Require("call_id");
    fields.Require("output");
    const std::string id = fields.String("call_id", 1024).value_or("");
    OrderedJson* output = fields.Any("output");
    FACET_TRY(fields.Done());
    return reader_.Read({{"role", "tool"}, {"tool_call_id", id}, {"content", std::move(*output)}},
                        path);
  }

  Result<void> ReadReasoning(JsonFields& fields) {
    fields.Ignore({"summary", "encrypted_content"});
    const OrderedJson* content = fields.Array("content", 1024);
    FACET_TRY(fields.Done());
    if (content == nullptr) return Ok();
    for (const OrderedJson& part : *content) {
      if (part.is_object() && part.contains("text") && part["text"].is_string())
        reasoning_ += part["text"].get<std::string>();
    }
    return Ok();
  }

  // The assistant message that further items of the same turn go to.
  OrderedJson* OpenTurn() {
    if (messages().empty() || messages().back()["role"] != "assistant") return nullptr;
    return &messages().back();
  }
  void JoinLast() {
    const OrderedJson last = std::move(messages().back());
    messages().erase(messages().size() - 1);
    OrderedJson& turn = messages().back();
    turn["content"] = turn["content"].get<std::string>() + last["content"].get<std::string>();
    if (last.contains("reasoning_content")) turn["reasoning_content"] = last["reasoning_content"];
  }

  ConversationReader reader_;
  IgnoredFields* ignored_;
  std::string reasoning_;
};

// --- fields

FieldTable<ChatRequest> TextFields() {
  FieldTable<ChatRequest> t;
  t.Custom("format", "object", "",
           "A form that the answer must have: see [Structured answers](#structured-answers).",
           ReadFormat);
  t.Only("verbosity", "medium", "Answers are as long as the model makes them.");
  return t;
}

FieldTable<ChatRequest> ResponseDialogueFields() {
  FieldTable<ChatRequest> t = DialogueFields();
  t.Object("text", "The form of the answer.", TextFields());
  t.Integer(
      "max_output_tokens",
      [](ChatRequest& out, int64_t n) {
        out.common.max_tokens = static_cast<int>(std::min<int64_t>(n, INT32_MAX));
      },
      1, INT64_MAX, "Tokens of the answer at most, thoughts included.");
  t.Integer(
      "top_logprobs",
      [](ChatRequest& out, int64_t n) {
        out.common.top_logprobs = n > 0 ? static_cast<int>(n) : -1;
      },
      0, kMaxTopLogprobs, "Log-probabilities of each token and so many of the likeliest others.");
  t.Only("n", 1, "A response has one answer.");
  return t;
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
  t.Only("truncation", "disabled", "A conversation that is too long is refused, not cut.");
  t.Ignored({"include"}, "what can be given is given anyway");
  t.Ignored({"max_tool_calls"},
            "limits tools that a hosted service runs; here the client runs them");
  t.Refused({"conversation", "prompt"}, "there is nothing of that name on this server");
  return t;
}

// Fields that the response object repeats.
OrderedJson Echo(const OrderedJson& body) {
  OrderedJson echo = OrderedJson::object();
  for (const char* name : {"instructions", "max_output_tokens", "previous_response_id", "reasoning",
                           "temperature", "text", "tool_choice", "tools", "top_p", "user",
                           "metadata", "prompt_cache_key", "safety_identifier"}) {
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
                                       IgnoredFields* ignored) {
  ResponsesRequest request;
  request.echo = Echo(body);
  FACET_TRY(ResponsesFields().ReadAll(body, request, ignored));
  FACET_TRY(CheckDialogue(request.chat, ignored));
  MediaIntake intake(access);
  Conversation& conversation = request.chat.conversation;
  if (request.given_input.is_string()) {
    conversation.messages.push_back(
        {{"role", "user"}, {"content", std::move(request.given_input)}});
    return request;
  }
  InputReader reader(intake, ignored);
  FACET_TRY(reader.ReadAll(std::move(request.given_input)));
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

Result<void> AnswerResponses(Service& service, const std::shared_ptr<Exchange>& exchange,
                             const std::shared_ptr<LoadedModel>& model, ResponsesJobInput input) {
  ResponsesRequest& request = input.request;
  FACET_TRY(AddPrevious(service.responses, input.tenant, request));
  // What is kept for later requests is without the instructions.
  Conversation conversation =
      request.store ? request.chat.conversation : std::move(request.chat.conversation);
  if (!request.instructions.empty()) {
    conversation.messages.insert(
        conversation.messages.begin(),
        OrderedJson{{"role", "system"}, {"content", request.instructions}});
  }
  FACET_ASSIGN(auto prompt, BuildChatPrompt(*model, request.chat, std::move(conversation), "input",
                                            service.media.memory(), StopWhenClosed(*exchange)));
  FACET_ASSIGN(auto runs, PrepareRuns(*model, request.chat, std::move(prompt), input.tenant));
  const auto job = MakeResponsesJob(exchange, model, std::move(input));
  return StartRuns(service, exchange, model, std::move(runs), job);
}

Error NoResponse(const std::string& id) {
  return {Cat("there is no response ", id), ErrorKind::kNotFound, "response_not_found"};
}

}  // namespace

Result<void> Responses(Service& service, Call& call) {
  ResponsesJobInput input{
      .request = {}, .tenant = call.request.tenant, .store = &service.responses};
  FACET_ASSIGN(input.request,
               ReadResponses(std::move(call.body), service.limits.media, call.ignored.get()));
  const auto name = input.request.chat.common.model;
  return service.WithModel(call, name,
                           [&service, input = std::move(input),
                            exchange = call.exchange](std::shared_ptr<LoadedModel> model) mutable {
                             return AnswerResponses(service, exchange, model, std::move(input));
                           });
}

Result<void> GetResponse(Service& service, Call& call) {
  const auto stored = service.responses.Get(call.request.tenant, call.name);
  if (!stored) return NoResponse(call.name);
  SendJson(*call.exchange, stored->object);
  return Ok();
}

Result<void> DeleteResponse(Service& service, Call& call) {
  if (!service.responses.Erase(call.request.tenant, call.name)) return NoResponse(call.name);
  SendJson(*call.exchange, {{"id", call.name}, {"object", "response"}, {"deleted", true}});
  return Ok();
}

}  // namespace facet::serve
