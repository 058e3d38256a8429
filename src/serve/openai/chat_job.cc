// chat.completion and chat.completion.chunk objects.
#include <set>

#include "serve/openai/jobs.h"

namespace facet::serve {
namespace {

class ChatJob : public ChunkJob {
 public:
  ChatJob(std::shared_ptr<Exchange> exchange, std::shared_ptr<LoadedModel> model,
          const ChatRequest& chat)
      : ChunkJob(std::move(exchange), std::move(model), chat.common), aliases_(chat.aliases) {}

 protected:
  void OnToken(ChoiceState& choice, const AnswerToken& token) override {
    if (common_.top_logprobs >= 0 && token.content) {
      choice.logprobs.push_back(TokenLogprob(*model_->tokenizer, token));
    }
  }

  void OnEvent(ChoiceState& choice, const OutputEvent& event) override {
    if (!streaming()) return;
    using Kind = OutputEvent::Kind;
    OrderedJson delta;
    switch (event.kind) {
      case Kind::kContent:
        delta["content"] = event.text;
        break;
      case Kind::kReasoning:
        delta["reasoning_content"] = event.text;
        break;
      case Kind::kCallBegin: {
        OrderedJson call = {{"index", event.call}};
        call.update(Call(choice.calls[event.call]));
        delta["tool_calls"].push_back(std::move(call));
        break;
      }
      case Kind::kCallArguments:
        if (IsCustom(choice.calls[event.call])) return;  // the text is inside of what comes now
        delta["tool_calls"].push_back(
            {{"index", event.call}, {"function", {{"arguments", event.text}}}});
        break;
      case Kind::kCallEnd: {
        const ChoiceState::Call& call = choice.calls[event.call];
        if (!IsCustom(call)) return;
        delta["tool_calls"].push_back(
            {{"index", event.call}, {"custom", {{"input", CustomInput(call.arguments)}}}});
        break;
      }
    }
    SendDelta(choice, std::move(delta), nullptr);
  }

  void OnChoiceEnd(ChoiceState& choice) override {
    if (!streaming()) return;
    SendDelta(choice, OrderedJson::object(), FinishReason(choice.end.reason));
  }

  OrderedJson UsageChunk() override {
    OrderedJson chunk = Chunk();
    chunk["choices"] = OrderedJson::array();
    chunk["usage"] = Usage();
    chunk["timings"] = Timings(choices_[0]);
    return chunk;
  }

  void SendWhole() override {
    OrderedJson body = Head(id_, "chat.completion");
    body["choices"] = OrderedJson::array();
    for (ChoiceState& choice : choices_) {
      OrderedJson message = {{"role", "assistant"}};
      OrderedJson calls = Calls(choice);
      message["content"] = choice.content.empty() && !calls.empty() ? OrderedJson(nullptr)
                                                                    : OrderedJson(choice.content);
      message["refusal"] = nullptr;
      if (!choice.reasoning.empty()) message["reasoning_content"] = choice.reasoning;
      if (!calls.empty()) message["tool_calls"] = std::move(calls);
      body["choices"].push_back({{"index", choice.index},
                                 {"message", std::move(message)},
                                 {"logprobs", Logprobs(choice)},
                                 {"finish_reason", FinishReason(choice.end.reason)}});
    }
    body["usage"] = Usage();
    body["timings"] = Timings(choices_[0]);
    SendJson(*exchange_, body);
  }

 private:
  OrderedJson Chunk() const { return Head(id_, "chat.completion.chunk"); }

  OrderedJson Logprobs(ChoiceState& choice) const {
    if (common_.top_logprobs < 0) return nullptr;
    return {{"content", choice.TakeLogprobs()}, {"refusal", nullptr}};
  }

  void SendDelta(ChoiceState& choice, OrderedJson delta, OrderedJson finish) {
    OrderedJson out = OrderedJson::object();
    if (began_.insert(choice.index).second) {
      out["role"] = "assistant";
      if (!delta.contains("content"))
        out["content"] = delta.contains("tool_calls") ? OrderedJson(nullptr) : OrderedJson("");
    }
    out.update(delta);
    OrderedJson chunk = Chunk();
    const bool last = !finish.is_null();
    chunk["choices"].push_back({{"index", choice.index},
                                {"delta", std::move(out)},
                                {"logprobs", Logprobs(choice)},
                                {"finish_reason", std::move(finish)}});
    if (common_.include_usage) chunk["usage"] = nullptr;
    if (common_.running_usage) chunk["usage"] = RunningUsage(choice);
    if (last) chunk["timings"] = Timings(choice);
    WriteChunk(chunk);
  }

  // Calls that are complete. The arguments of one that was cut off are no JSON: where the limit cut
  // it, finish_reason says so and clients expect to see how far it came.
  OrderedJson Calls(const ChoiceState& choice) const {
    OrderedJson out = OrderedJson::array();
    for (const ChoiceState::Call& call : choice.calls) {
      if (!call.complete && choice.end.reason != AnswerEnd::Reason::kLength) continue;
      out.push_back(Call(call));
    }
    return out;
  }

  bool IsCustom(const ChoiceState::Call& call) const {
    const auto alias = aliases_.find(call.name);
    return alias != aliases_.end() && alias->second.custom;
  }
  OrderedJson Call(const ChoiceState::Call& call) const {
    if (IsCustom(call)) {
      const std::string input = call.arguments.empty() ? "" : CustomInput(call.arguments);
      return {
          {"id", call.id}, {"type", "custom"}, {"custom", {{"name", call.name}, {"input", input}}}};
    }
    return {{"id", call.id},
            {"type", "function"},
            {"function", {{"name", call.name}, {"arguments", call.arguments}}}};
  }

  const std::map<std::string, ToolAlias> aliases_;
  const std::string id_ = RandomId("chatcmpl-");
  std::set<int> began_;  // choices whose stream has begun
};

}  // namespace

std::shared_ptr<AnswerJob> MakeChatJob(std::shared_ptr<Exchange> exchange,
                                       std::shared_ptr<LoadedModel> model,
                                       const ChatRequest& chat) {
  return std::make_shared<ChatJob>(std::move(exchange), std::move(model), chat);
}

}  // namespace facet::serve
