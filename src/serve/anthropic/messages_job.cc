// Message objects, and the events of their streams.
#include <utility>

#include "serve/anthropic/messages.h"

namespace facet::serve {
namespace {

class MessagesJob : public AnswerJob {
 public:
  MessagesJob(const ChatStart& start, const MessagesRequest& request)
      : AnswerJob(start.exchange, start.model, request.chat.common),
        prompt_tokens_(start.prompt_tokens),
        thoughts_(request.thoughts),
        manages_context_(request.manages_context) {}

 protected:
  void OnBegin() override {
    OrderedJson message = Message();
    // What the cache holds of the prompt is known at the end.
    message["usage"] = UsageOf({.prompt = prompt_tokens_});
    Send("message_start", {{"message", std::move(message)}});
    Send("ping", OrderedJson::object());
  }

  void OnEvent(ChoiceState& choice, const OutputEvent& event) override {
    using Kind = OutputEvent::Kind;
    switch (event.kind) {
      case Kind::kReasoning:
        return Think(event.text);
      case Kind::kContent:
        Open("text", {{"type", "text"}, {"text", ""}});
        return Add("text", "text_delta", event.text);
      case Kind::kCallBegin:
        Close();
        return Open("tool_use", {{"type", "tool_use"},
                                 {"id", CallId(choice.calls[event.call].id)},
                                 {"name", event.text},
                                 {"input", OrderedJson::object()}});
      case Kind::kCallArguments:
        return Delta({{"type", "input_json_delta"}, {"partial_json", event.text}});
      case Kind::kCallEnd:
        content_.back()["input"] = CallArguments(choice.calls[event.call].arguments);
        return Close();
    }
  }

  void OnEnd() override {
    // A call that the limit cut off has no arguments to run it with.
    const bool in_call = open_ && content_.back()["type"] == "tool_use";
    Close();
    if (in_call) content_.erase(content_.size() - 1);
    const AnswerEnd& end = choices_[0].end;
    const OrderedJson stop = end.stop.empty() ? OrderedJson(nullptr) : OrderedJson(end.stop);
    if (!streaming()) {
      OrderedJson message = Message();
      message["content"] = std::move(content_);
      message["stop_reason"] = StopReason(end);
      message["stop_sequence"] = stop;
      message["usage"] = UsageOf(Counts());
      AddContextManagement(message);
      return SendJson(*exchange_, message);
    }
    OrderedJson last = {{"delta", {{"stop_reason", StopReason(end)}, {"stop_sequence", stop}}},
                        {"usage", UsageOf(Counts())}};
    AddContextManagement(last);
    Send("message_delta", std::move(last));
    Send("message_stop", OrderedJson::object());
    exchange_->End();
  }

  void OnError(const Error& error) override {
    if (!streaming()) return exchange_->SendError(error);
    Write(ServerSentEvent(AnthropicError(error).body, "error"));
    exchange_->End();
  }

 private:
  using Thoughts = MessagesRequest::Thoughts;

  // Ids of this API's own kind.
  static std::string CallId(const std::string& id) {
    return Cat("toolu_", id.substr(id.find('_') + 1));
  }

  void Send(const char* type, OrderedJson fields) {
    if (!streaming()) return;
    OrderedJson event = {{"type", type}};
    event.update(fields);
    Write(ServerSentEvent(DumpJson(event), type));
  }

  OrderedJson Message() const {
    return {{"id", id_},
            {"type", "message"},
            {"role", "assistant"},
            {"model", model_->id},
            {"content", OrderedJson::array()},
            {"stop_reason", nullptr},
            {"stop_sequence", nullptr},
            {"usage", nullptr}};
  }

  static OrderedJson UsageOf(const TokenCounts& counts) {
    return {{"input_tokens", counts.prompt - counts.cached},
            {"cache_creation_input_tokens", 0},
            {"cache_read_input_tokens", counts.cached},
            {"output_tokens", counts.generated}};
  }

  void AddContextManagement(OrderedJson& to) const {
    if (manages_context_) to["context_management"] = {{"applied_edits", OrderedJson::array()}};
  }

  const char* StopReason(const AnswerEnd& end) const {
    if (!end.stop.empty()) return "stop_sequence";
    switch (end.reason) {
      case AnswerEnd::Reason::kLength:
        return end.stats.generated >= common_.max_tokens.value_or(INT32_MAX)
                   ? "max_tokens"
                   : "model_context_window_exceeded";
      case AnswerEnd::Reason::kToolCalls:
        return "tool_use";
      default:
        return "end_turn";
    }
  }

  void Think(const std::string& text) {
    if (thoughts_ == Thoughts::kLeftOut) return;
    Open("thinking", {{"type", "thinking"}, {"thinking", ""}, {"signature", ""}});
    if (thoughts_ == Thoughts::kShown) return Add("thinking", "thinking_delta", text);
    signed_ += text;
  }

  // Goes on with the open block where it is of this type.
  void Open(std::string_view type, OrderedJson block) {
    if (open_ && content_.back()["type"] == type) return;
    Close();
    content_.push_back(block);
    open_ = true;
    Send("content_block_start",
         {{"index", content_.size() - 1}, {"content_block", std::move(block)}});
  }

  void Add(const char* field, const char* delta, const std::string& text) {
    content_.back()[field].get_ref<std::string&>() += text;
    Delta({{"type", delta}, {field, text}});
  }

  void Delta(OrderedJson delta) {
    Send("content_block_delta", {{"index", content_.size() - 1}, {"delta", std::move(delta)}});
  }

  void Close() {
    if (!open_) return;
    if (content_.back()["type"] == "thinking") {
      std::string signature = SignThoughts(std::exchange(signed_, {}));
      Delta({{"type", "signature_delta"}, {"signature", signature}});
      content_.back()["signature"] = std::move(signature);
    }
    open_ = false;
    Send("content_block_stop", {{"index", content_.size() - 1}});
  }

  const std::string id_ = RandomId("msg_");
  const int prompt_tokens_;
  const Thoughts thoughts_;
  const bool manages_context_;
  OrderedJson content_ = OrderedJson::array();
  bool open_ = false;   // the last block goes on
  std::string signed_;  // thoughts that the signature will carry
};

}  // namespace

std::shared_ptr<AnswerJob> MakeMessagesJob(const ChatStart& start, const MessagesRequest& request) {
  return std::make_shared<MessagesJob>(start, request);
}

}  // namespace facet::serve
