// Response objects, and the events of their streams.
#include "chat/conversation_reader.h"
#include "serve/openai/response_items.h"
#include "serve/openai/responses.h"
#include "serve/service.h"

namespace facet::serve {
namespace {

class ResponsesJob : public AnswerJob {
 public:
  ResponsesJob(std::shared_ptr<Exchange> exchange, std::shared_ptr<LoadedModel> model,
               ResponsesJobInput input)
      : AnswerJob(std::move(exchange), std::move(model), input.request.chat.common),
        input_(std::move(input)) {}

 protected:
  void OnBegin() override {
    Send("response.created", {{"response", Object("in_progress")}});
    Send("response.in_progress", {{"response", Object("in_progress")}});
  }

  void OnToken(ChoiceState& choice, const AnswerToken& token) override {
    if (common_.top_logprobs >= 0 && token.content)
      choice.logprobs.push_back(TokenLogprob(*model_->tokenizer, token));
  }

  void OnEvent(ChoiceState& choice, const OutputEvent& event) override {
    using Kind = OutputEvent::Kind;
    switch (event.kind) {
      case Kind::kReasoning:
        return Text("reasoning", event.text, choice);
      case Kind::kContent:
        return Text("message", event.text, choice);
      case Kind::kCallBegin:
        CloseItem("completed");
        return OpenItem(CallItem(choice.calls[event.call]));
      case Kind::kCallArguments: {
        if (IsCustom(output_.back())) return;  // the text is inside of what comes now
        std::string& arguments = output_.back()["arguments"].get_ref<std::string&>();
        arguments += event.text;
        return Send("response.function_call_arguments.delta", Place({{"delta", event.text}}));
      }
      case Kind::kCallEnd:
        if (IsCustom(output_.back())) {
          const std::string input = CustomInput(choice.calls[event.call].arguments);
          output_.back()["input"] = input;
          Send("response.custom_tool_call_input.delta", Place({{"delta", input}}));
        }
        return CloseItem("completed");
    }
  }

  void OnEnd() override {
    const AnswerEnd& end = choices_[0].end;
    const bool cut = end.reason == AnswerEnd::Reason::kLength;
    // A call that is still open has no end of its own, however the turn ended.
    const bool in_call = open_ && IsCall(output_.back());
    CloseItem(cut || in_call ? "incomplete" : "completed");
    // Clients run the calls of the whole response, whatever their status.
    if (in_call) output_.erase(output_.size() - 1);
    OrderedJson object = Object(cut ? "incomplete" : "completed");
    if (input_.request.conversation) AddToConversation(object);
    if (input_.request.store) Store(object);
    if (!streaming()) return SendJson(*exchange_, object);
    Send(cut ? "response.incomplete" : "response.completed", {{"response", std::move(object)}});
    exchange_->End();
  }

  void OnError(const Error& error) override {
    if (!streaming()) return exchange_->SendError(error);
    OrderedJson object = Object("failed");
    object["error"] = {{"code", CodeOf(error)}, {"message", error.message}};
    Send("response.failed", {{"response", std::move(object)}});
    exchange_->End();
  }

 private:
  static bool IsCustom(const OrderedJson& item) { return item["type"] == "custom_tool_call"; }
  static bool IsCall(const OrderedJson& item) {
    return IsCustom(item) || item["type"] == "function_call";
  }

  // A call that begins, under the name by which the client knows the tool.
  OrderedJson CallItem(const ChoiceState::Call& call) const {
    const auto found = input_.request.chat.aliases.find(call.name);
    const ToolAlias alias = found != input_.request.chat.aliases.end()
                                ? found->second
                                : ToolAlias{.custom = false, .name = call.name, .space = {}};
    OrderedJson item = {{"id", RandomId(alias.custom ? "ctc_" : "fc_")},
                        {"type", alias.custom ? "custom_tool_call" : "function_call"},
                        {"status", "in_progress"},
                        {alias.custom ? "input" : "arguments", ""},
                        {"call_id", call.id},
                        {"name", alias.name}};
    if (!alias.space.empty()) item["namespace"] = alias.space;
    return item;
  }

  void Send(const char* type, OrderedJson fields) {
    if (!streaming()) return;
    OrderedJson event = {{"type", type}, {"sequence_number", sequence_++}};
    event.update(fields);
    Write(ServerSentEvent(DumpJson(event), type));
  }

  // The open item's id and place, and what is said of it.
  OrderedJson Place(OrderedJson more) const {
    OrderedJson out = {{"item_id", output_.back()["id"]}, {"output_index", output_.size() - 1}};
    if (!IsCall(output_.back())) out["content_index"] = 0;
    out.update(more);
    return out;
  }

  void OpenItem(OrderedJson item) {
    output_.push_back(std::move(item));
    open_ = true;
    OrderedJson shown = output_.back();
    if (shown.contains("content")) shown["content"] = OrderedJson::array();
    Send("response.output_item.added",
         {{"output_index", output_.size() - 1}, {"item", std::move(shown)}});
  }

  void Text(const char* type, const std::string& text, ChoiceState& choice) {
    const bool message = std::string_view(type) == "message";
    if (!open_ || output_.back()["type"] != type) {
      CloseItem("completed");
      OrderedJson item = {
          {"id", RandomId(message ? "msg_" : "rs_")}, {"type", type}, {"status", "in_progress"}};
      if (message) item["role"] = "assistant";
      if (!message) item["summary"] = OrderedJson::array();
      OrderedJson part = {{"type", message ? "output_text" : "reasoning_text"}, {"text", ""}};
      if (message)
        part["annotations"] = OrderedJson::array(), part["logprobs"] = OrderedJson::array();
      item["content"] = OrderedJson::array({part});
      OpenItem(std::move(item));
      Send("response.content_part.added", Place({{"part", part}}));
      if (!message && input_.request.summarise) OpenSummary();
    }
    OrderedJson& part = output_.back()["content"][0];
    part["text"].get_ref<std::string&>() += text;
    OrderedJson delta = {{"delta", text}};
    if (message) {
      OrderedJson logprobs = choice.TakeLogprobs();
      for (const OrderedJson& one : logprobs) part["logprobs"].push_back(one);
      delta["logprobs"] = std::move(logprobs);
    }
    Send(message ? "response.output_text.delta" : "response.reasoning_text.delta",
         Place(std::move(delta)));
    if (!message && input_.request.summarise)
      Send("response.reasoning_summary_text.delta", SummaryPlace({{"delta", text}}));
  }

  // --- the summary of thoughts, which is the thoughts: nothing here could shorten them better

  OrderedJson SummaryPlace(OrderedJson more) const {
    OrderedJson out = {{"item_id", output_.back()["id"]},
                       {"output_index", output_.size() - 1},
                       {"summary_index", 0}};
    out.update(more);
    return out;
  }
  static OrderedJson SummaryPart(const OrderedJson& text) {
    return {{"type", "summary_text"}, {"text", text}};
  }
  void OpenSummary() {
    Send("response.reasoning_summary_part.added", SummaryPlace({{"part", SummaryPart("")}}));
  }
  // What a reasoning item has beside its text.
  void CompleteReasoning(OrderedJson& item) {
    const OrderedJson& text = item["content"][0]["text"];
    if (input_.request.summarise) {
      Send("response.reasoning_summary_text.done", SummaryPlace({{"text", text}}));
      Send("response.reasoning_summary_part.done", SummaryPlace({{"part", SummaryPart(text)}}));
      item["summary"].push_back(SummaryPart(text));
    }
    if (input_.request.seal_thoughts)
      item["encrypted_content"] = SealThoughts(text.get<std::string>());
  }

  void CloseItem(const char* status) {
    if (!open_) return;
    open_ = false;
    OrderedJson& item = output_.back();
    item["status"] = status;
    if (IsCall(item)) {
      if (std::string_view(status) != "completed") {
        // A call that was cut off has no end of its own.
      } else if (IsCustom(item)) {
        Send("response.custom_tool_call_input.done", Place({{"input", item["input"]}}));
      } else {
        Send("response.function_call_arguments.done",
             Place({{"name", item["name"]}, {"arguments", item["arguments"]}}));
      }
    } else {
      const OrderedJson& part = item["content"][0];
      const bool message = item["type"] == "message";
      OrderedJson done = {{"text", part["text"]}};
      if (message) done["logprobs"] = part["logprobs"];
      Send(message ? "response.output_text.done" : "response.reasoning_text.done",
           Place(std::move(done)));
      Send("response.content_part.done", Place({{"part", part}}));
      if (!message) CompleteReasoning(item);
    }
    Send("response.output_item.done", {{"output_index", output_.size() - 1}, {"item", item}});
  }

  OrderedJson Object(const char* status) const {
    const ResponsesRequest& r = input_.request;
    const auto echo = [&](const char* name, OrderedJson other) {
      return r.echo.contains(name) ? OrderedJson(r.echo.at(name)) : std::move(other);
    };
    OrderedJson out = {
        {"id", id_}, {"object", "response"}, {"created_at", created_}, {"status", status}};
    out["background"] = false;
    out["error"] = nullptr;
    out["incomplete_details"] = nullptr;
    if (std::string_view(status) == "incomplete")
      out["incomplete_details"] = {{"reason", "max_output_tokens"}};
    for (const char* name : {"instructions", "max_output_tokens"}) out[name] = echo(name, nullptr);
    out["model"] = model_->id;
    out["output"] = output_;
    out["parallel_tool_calls"] = r.chat.parallel_calls;
    out["previous_response_id"] = echo("previous_response_id", nullptr);
    out["reasoning"] = echo("reasoning", {{"effort", nullptr}, {"summary", nullptr}});
    out["store"] = r.store;
    out["temperature"] = echo("temperature", model_->sampling.temperature);
    out["text"] = echo("text", {{"format", {{"type", "text"}}}});
    out["tool_choice"] = echo("tool_choice", "auto");
    out["tools"] = echo("tools", OrderedJson::array());
    out["top_p"] = echo("top_p", model_->sampling.top_p);
    out["truncation"] = echo("truncation", "disabled");
    if (r.conversation) out["conversation"] = {{"id", *r.conversation}};
    out["usage"] = nullptr;
    out["user"] = echo("user", nullptr);
    out["metadata"] = echo("metadata", OrderedJson::object());
    if (std::string_view(status) == "in_progress") return out;
    const OrderedJson usage = Usage();
    out["usage"] = {
        {"input_tokens", usage["prompt_tokens"]},
        {"input_tokens_details",
         {{"cached_tokens", usage["prompt_tokens_details"]["cached_tokens"]}}},
        {"output_tokens", usage["completion_tokens"]},
        {"output_tokens_details",
         {{"reasoning_tokens", usage["completion_tokens_details"]["reasoning_tokens"]}}},
        {"total_tokens", usage["total_tokens"]}};
    return out;
  }

  // What a request with previous_response_id goes on from.
  void Store(const OrderedJson& object) {
    const ChoiceState& said = choices_[0];
    OrderedJson message = {{"role", "assistant"}, {"content", said.content}};
    if (!said.reasoning.empty()) message["reasoning_content"] = said.reasoning;
    for (const ChoiceState::Call& call : said.calls) {
      if (!call.complete) continue;
      message["tool_calls"].push_back(
          {{"id", call.id},
           {"type", "function"},
           {"function", {{"name", call.name}, {"arguments", CallArguments(call.arguments)}}}});
    }
    Conversation conversation = std::move(input_.request.chat.conversation);
    conversation.messages.push_back(std::move(message));
    input_.store->Put(input_.tenant, id_,
                      {.conversation = std::move(conversation),
                       .object = object,
                       .input = std::move(input_.request.own_items)});
  }

  void AddToConversation(const OrderedJson& object) {
    input_.conversations->Update(input_.tenant, *input_.request.conversation,
                                 [&](StoredConversation& stored) {
                                   for (const OrderedJson& item : input_.request.own_items)
                                     stored.items.push_back(item);
                                   for (const OrderedJson& item : object["output"])
                                     stored.items.push_back(item);
                                 });
  }

  ResponsesJobInput input_;
  std::string id_ = RandomId("resp_", 40);
  int64_t created_ = UnixSeconds();
  int sequence_ = 0;
  OrderedJson output_ = OrderedJson::array();
  bool open_ = false;  // the last item is not done
};

}  // namespace

std::shared_ptr<AnswerJob> MakeResponsesJob(std::shared_ptr<Exchange> exchange,
                                            std::shared_ptr<LoadedModel> model,
                                            ResponsesJobInput input) {
  return std::make_shared<ResponsesJob>(std::move(exchange), std::move(model), std::move(input));
}

}  // namespace facet::serve
