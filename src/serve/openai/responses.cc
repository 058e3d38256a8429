#include "serve/openai/responses.h"

#include <algorithm>

namespace facet::serve {
namespace {

constexpr int64_t kKeptSeconds = 3600;

// --- input

// Items of one assistant turn (text, thoughts, calls) become one message.
class InputReader {
 public:
  InputReader(const ApiLimits& limits, Conversation& out) : limits_(limits), out_(out) {}

  std::optional<ApiError> Read(const Json& item, const std::string& path) {
    if (!item.is_object())
      return ApiError{400, Cat(path, ": expected an object but got ", Show(item)), "invalid_type",
                      path};
    Fields fields(item, path);
    const std::string type = fields.String("type", 64).value_or("message");
    if (!fields.ok()) return fields.error();
    if (type == "message") return Message(item, path);
    fields.Ignore({"id", "status", "created_by"});
    if (type == "function_call") {
      ReadCall(fields);
    } else if (type == "function_call_output") {
      return ReadOutput(fields, path);
    } else if (type == "reasoning") {
      ReadReasoning(fields);
    } else {
      fields.Fail("type",
                  Cat("expected message, function_call, function_call_output or reasoning but got ",
                      Show(type)));
    }
    fields.Done();
    return fields.error();
  }

  // Thoughts that no message follows belong to nothing.
  void Finish() { reasoning_.clear(); }

 private:
  std::optional<ApiError> Message(const Json& item, const std::string& path) {
    Json message = item;
    if (message.value("role", Json()) == "assistant" && !reasoning_.empty())
      message["reasoning_content"] = std::exchange(reasoning_, "");
    const bool joins = message.value("role", Json()) == "assistant" && OpenTurn() != nullptr;
    if (auto error = ReadMessage(message, path, limits_, out_)) return error;
    if (joins) JoinLast();
    return std::nullopt;
  }

  void ReadCall(Fields& fields) {
    fields.Require("call_id");
    fields.Require("name");
    const std::string id = fields.String("call_id", 1024).value_or(""),
                      name = fields.String("name", 256).value_or("");
    const std::string arguments = fields.String("arguments", SIZE_MAX).value_or("{}");
    if (!fields.ok()) return;
    Json value;
    if (ParseBody(arguments.empty() ? "{}" : arguments, value)) value = {{"arguments", arguments}};
    Json* turn = OpenTurn();
    if (turn == nullptr) {
      out_.messages.push_back({{"role", "assistant"}, {"content", ""}});
      turn = &out_.messages.back();
    }
    if (!reasoning_.empty()) (*turn)["reasoning_content"] = std::exchange(reasoning_, "");
    (*turn)["tool_calls"].push_back(
        {{"id", id}, {"type", "function"}, {"function", {{"name", name}, {"arguments", value}}}});
  }

  std::optional<ApiError> ReadOutput(Fields& fields, const std::string& path) {
    fields.Require("call_id");
    fields.Require("output");
    const std::string id = fields.String("call_id", 1024).value_or("");
    const Json* output = fields.Any("output");
    fields.Done();
    if (!fields.ok()) return fields.error();
    return ReadMessage({{"role", "tool"}, {"tool_call_id", id}, {"content", *output}}, path,
                       limits_, out_);
  }

  void ReadReasoning(Fields& fields) {
    fields.Ignore({"summary", "encrypted_content"});
    const Json* content = fields.Array("content", 1024);
    if (content == nullptr) return;
    for (const Json& part : *content) {
      if (part.is_object() && part.contains("text") && part["text"].is_string())
        reasoning_ += part["text"].get<std::string>();
    }
  }

  // The assistant message that further items of the same turn go to.
  Json* OpenTurn() {
    if (out_.messages.empty() || out_.messages.back()["role"] != "assistant") return nullptr;
    return &out_.messages.back();
  }
  void JoinLast() {
    Json last = std::move(out_.messages.back());
    out_.messages.erase(out_.messages.size() - 1);
    Json& turn = out_.messages.back();
    turn["content"] = turn["content"].get<std::string>() + last["content"].get<std::string>();
    if (last.contains("reasoning_content")) turn["reasoning_content"] = last["reasoning_content"];
  }

  const ApiLimits& limits_;
  Conversation& out_;
  std::string reasoning_;
};

std::optional<ApiError> ReadInput(Fields& fields, const ApiLimits& limits, Conversation& out) {
  fields.Require("input");
  const Json* input = fields.Any("input");
  if (!fields.ok()) return fields.error();
  if (input->is_string()) {
    out.messages.push_back({{"role", "user"}, {"content", *input}});
    return std::nullopt;
  }
  const Json* items = fields.Array("input", limits.max_messages);
  if (items == nullptr) return fields.error();
  InputReader reader(limits, out);
  for (size_t i = 0; i < items->size(); ++i) {
    if (auto error = reader.Read((*items)[i], Cat("input[", i, "]"))) return error;
  }
  reader.Finish();
  return std::nullopt;
}

void ReadText(Fields& fields, ChatRequest& out) {
  const Json* text = fields.Object("text");
  if (text == nullptr) return;
  Fields inner(*text, "text");
  if (const Json* format = inner.Object("format")) ReadFormat(*format, inner, "format", out);
  OnlyValue(inner, "verbosity", "medium");
  inner.Done();
  fields.Adopt(inner);
}

}  // namespace

std::optional<ApiError> ReadResponses(const Json& body, const ApiLimits& limits,
                                      ResponsesRequest& out) {
  Fields fields(body, "");
  ChatRequest& chat = out.chat;
  ReadCommon(fields, limits, chat.common);
  chat.common.choices = 1;
  OnlyValue(fields, "n", 1);
  if (const auto n = fields.Int("max_output_tokens", 1, INT64_MAX)) {
    chat.common.max_tokens = static_cast<int>(std::min<int64_t>(*n, INT32_MAX));
  }
  if (const auto top = fields.Int("top_logprobs", 0, 20))
    chat.common.top_logprobs = *top > 0 ? static_cast<int>(*top) : -1;
  out.instructions = fields.String("instructions", SIZE_MAX).value_or("");
  out.previous = fields.String("previous_response_id", 256);
  out.store = fields.Bool("store").value_or(true);
  ReadThinking(fields, chat);
  ReadText(fields, chat);
  OnlyValue(fields, "background", false);
  OnlyValue(fields, "truncation", "disabled");
  fields.Ignore({"include", "max_tool_calls"});
  if (fields.ok()) {
    if (auto error = ReadTools(fields, limits, chat)) return error;
  }
  if (auto error = ReadInput(fields, limits, chat.conversation)) return error;
  fields.Done();
  if (fields.error()) return fields.error();
  out.echo = Json::object();
  for (const char* name : {"instructions", "max_output_tokens", "previous_response_id", "reasoning",
                           "temperature", "text", "tool_choice", "tools", "top_p", "user",
                           "metadata", "prompt_cache_key", "safety_identifier"}) {
    if (body.contains(name)) out.echo[name] = body[name];
  }
  return std::nullopt;
}

// --- store

void ResponseStore::Drop(const Key& key) {
  const auto it = stored_.find(key);
  if (it == stored_.end()) return;
  bytes_ -= it->second.bytes;
  stored_.erase(it);
}

void ResponseStore::Expire() {
  const int64_t now = Now();
  while (!order_.empty()) {
    const auto oldest = stored_.find(order_.front());
    if (oldest != stored_.end() && oldest->second.expires > now && bytes_ <= max_bytes_) return;
    Drop(order_.front());
    order_.pop_front();
  }
}

void ResponseStore::Put(const std::string& tenant, const std::string& id, StoredResponse response) {
  response.expires = Now() + kKeptSeconds;
  response.bytes = Dump(response.conversation.messages).size() + Dump(response.object).size();
  for (const std::string& medium : response.conversation.media) response.bytes += medium.size();
  const std::lock_guard lock(mutex_);
  bytes_ += response.bytes;
  stored_[{tenant, id}] = std::move(response);
  order_.push_back({tenant, id});
  Expire();
}

std::optional<StoredResponse> ResponseStore::Get(const std::string& tenant, const std::string& id) {
  const std::lock_guard lock(mutex_);
  Expire();
  const auto it = stored_.find({tenant, id});
  if (it == stored_.end()) return std::nullopt;
  return it->second;
}

bool ResponseStore::HoldsMedia(const std::string& tenant, const std::string& id) {
  const std::lock_guard lock(mutex_);
  Expire();
  const auto it = stored_.find({tenant, id});
  return it != stored_.end() && !it->second.conversation.media.empty();
}

bool ResponseStore::Erase(const std::string& tenant, const std::string& id) {
  const std::lock_guard lock(mutex_);
  if (!stored_.contains({tenant, id})) return false;
  Drop({tenant, id});
  return true;
}

// --- output

namespace {

class ResponsesJob : public Job {
 public:
  ResponsesJob(std::shared_ptr<Exchange> exchange, std::shared_ptr<LoadedModel> model,
               ResponsesJobInput input)
      : Job(std::move(exchange), std::move(model), input.request.chat.common),
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
        OpenItem({{"id", RandomId("fc_")},
                  {"type", "function_call"},
                  {"status", "in_progress"},
                  {"arguments", ""},
                  {"call_id", choice.calls[event.call].id},
                  {"name", event.text}});
        return;
      case Kind::kCallArguments: {
        std::string& arguments = output_.back()["arguments"].get_ref<std::string&>();
        arguments += event.text;
        return Send("response.function_call_arguments.delta", Place({{"delta", event.text}}));
      }
      case Kind::kCallEnd:
        return CloseItem("completed");
    }
  }

  void OnEnd() override {
    const AnswerEnd& end = choices_[0].end;
    const bool cut = end.reason == AnswerEnd::Reason::kLength;
    // A call that is still open has no end of its own, however the turn ended.
    const bool in_call = open_ && output_.back()["type"] == "function_call";
    CloseItem(cut || in_call ? "incomplete" : "completed");
    // Clients run the calls of the whole response, whatever their status.
    if (in_call) output_.erase(output_.size() - 1);
    OrderedJson object = Object(cut ? "incomplete" : "completed");
    if (input_.request.store) Store(object);
    if (!streaming()) return SendJson(object);
    Send(cut ? "response.incomplete" : "response.completed", {{"response", std::move(object)}});
    exchange_->End();
  }

  void OnError(const ApiError& error) override {
    if (!streaming()) return exchange_->Send(ErrorResponse(error));
    OrderedJson object = Object("failed");
    object["error"] = {{"code", error.code}, {"message", error.message}};
    Send("response.failed", {{"response", std::move(object)}});
    exchange_->End();
  }

 private:
  void SendJson(const OrderedJson& body) {
    exchange_->Send({.status = 200, .body = Dump(body), .headers = {}});
  }

  void Send(const char* type, OrderedJson fields) {
    if (!streaming()) return;
    OrderedJson event = {{"type", type}, {"sequence_number", sequence_++}};
    event.update(fields);
    Write(ServerSentEvent(Dump(event), type));
  }

  // The open item's id and place, and what is said of it.
  OrderedJson Place(OrderedJson more) const {
    OrderedJson out = {{"item_id", output_.back()["id"]}, {"output_index", output_.size() - 1}};
    if (output_.back()["type"] != "function_call") out["content_index"] = 0;
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
    }
    OrderedJson& part = output_.back()["content"][0];
    part["text"].get_ref<std::string&>() += text;
    OrderedJson delta = {{"delta", text}};
    if (message) {
      OrderedJson logprobs = std::move(choice.logprobs);
      choice.logprobs = OrderedJson::array();
      for (const OrderedJson& one : logprobs) part["logprobs"].push_back(one);
      delta["logprobs"] = std::move(logprobs);
    }
    Send(message ? "response.output_text.delta" : "response.reasoning_text.delta",
         Place(std::move(delta)));
  }

  void CloseItem(const char* status) {
    if (!open_) return;
    open_ = false;
    OrderedJson& item = output_.back();
    item["status"] = status;
    if (item["type"] == "function_call") {
      if (std::string_view(status) == "completed")
        Send("response.function_call_arguments.done",
             Place({{"name", item["name"]}, {"arguments", item["arguments"]}}));
    } else {
      const OrderedJson& part = item["content"][0];
      const bool message = item["type"] == "message";
      OrderedJson done = {{"text", part["text"]}};
      if (message) done["logprobs"] = part["logprobs"];
      Send(message ? "response.output_text.done" : "response.reasoning_text.done",
           Place(std::move(done)));
      Send("response.content_part.done", Place({{"part", part}}));
    }
    Send("response.output_item.done", {{"output_index", output_.size() - 1}, {"item", item}});
  }

  OrderedJson Object(const char* status) const {
    const ResponsesRequest& r = input_.request;
    const auto echo = [&](const char* name, OrderedJson other) {
      return r.echo.contains(name) ? OrderedJson(r.echo[name]) : std::move(other);
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
    out["truncation"] = "disabled";
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
    Json message = {{"role", "assistant"}, {"content", said.content}};
    if (!said.reasoning.empty()) message["reasoning_content"] = said.reasoning;
    for (const ChoiceState::Call& call : said.calls) {
      if (!call.complete) continue;
      Json arguments;
      if (ParseBody(call.arguments, arguments)) arguments = {{"arguments", call.arguments}};
      message["tool_calls"].push_back(
          {{"id", call.id},
           {"type", "function"},
           {"function", {{"name", call.name}, {"arguments", arguments}}}});
    }
    Conversation conversation = std::move(input_.request.chat.conversation);
    conversation.messages.push_back(std::move(message));
    input_.store->Put(input_.tenant, id_,
                      {.conversation = std::move(conversation), .object = object});
  }

  ResponsesJobInput input_;
  std::string id_ = RandomId("resp_", 40);
  int64_t created_ = Now();
  int sequence_ = 0;
  OrderedJson output_ = OrderedJson::array();
  bool open_ = false;  // the last item is not done
};

}  // namespace

std::shared_ptr<Job> MakeResponsesJob(std::shared_ptr<Exchange> exchange,
                                      std::shared_ptr<LoadedModel> model, ResponsesJobInput input) {
  return std::make_shared<ResponsesJob>(std::move(exchange), std::move(model), std::move(input));
}

}  // namespace facet::serve
