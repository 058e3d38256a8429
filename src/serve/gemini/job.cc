// GenerateContentResponse objects: one, or as a stream.
#include "base/base64.h"
#include "serve/gemini/gemini.h"
#include "serve/gemini/signature.h"

namespace facet::serve {
namespace {

constexpr std::string_view kSignatureMark = "facet:";

class GeminiJob : public AnswerJob {
 public:
  GeminiJob(const ChatStart& start, const GeminiRequest& request)
      : AnswerJob(start.exchange, start.model, request.chat.common),
        prompt_tokens_(start.prompt_tokens),
        show_thoughts_(request.show_thoughts),
        events_(request.events) {}

 protected:
  // One client takes comments for data.
  StreamForm Form() const override {
    return events_ ? StreamForm::kQuietEvents : StreamForm::kJson;
  }

  void OnToken(ChoiceState& choice, const AnswerToken& token) override {
    if (common_.top_logprobs >= 0 && token.content)
      choice.logprobs.push_back(TokenLogprob(*model_->tokenizer, token));
  }

  void OnEvent(ChoiceState& choice, const OutputEvent& event) override {
    if (parts_.size() < choices_.size()) parts_.resize(choices_.size(), OrderedJson::array());
    using Kind = OutputEvent::Kind;
    switch (event.kind) {
      case Kind::kReasoning:
        if (show_thoughts_) Say(choice, {{"text", event.text}, {"thought", true}});
        return;
      case Kind::kContent:
        return Say(choice, {{"text", event.text}});
      case Kind::kCallEnd:
        return Say(choice, DescribeCall(choice, event.call));
      case Kind::kCallBegin:
      case Kind::kCallArguments:
        return;
    }
  }

  void OnChoiceEnd(ChoiceState& choice) override {
    if (!streaming()) return;
    OrderedJson candidate = Candidate(choice, OrderedJson::array({{{"text", ""}}}));
    Finish(choice, candidate);
    // The last one says what all of them took.
    const bool last = ++ended_ == choices_.size();
    SendChunk(std::move(candidate), last ? UsageOf(Counts()) : UsageSoFar());
  }

  void OnEnd() override {
    if (streaming()) {
      if (!events_) Write(wrote_ ? "]" : "[]");
      return exchange_->End();
    }
    parts_.resize(choices_.size(), OrderedJson::array());
    OrderedJson candidates = OrderedJson::array();
    for (ChoiceState& choice : choices_) {
      OrderedJson candidate = Candidate(choice, std::move(parts_[choice.index]));
      Finish(choice, candidate);
      candidates.push_back(std::move(candidate));
    }
    SendJson(*exchange_, Response(std::move(candidates), UsageOf(Counts())));
  }

  void OnError(const Error& error) override {
    if (!streaming()) return exchange_->SendError(error);
    WriteObject(GeminiError(error).body);
    if (!events_) Write("]");
    exchange_->End();
  }

 private:
  // Thoughts that are not shown travel with the first call, to come back with its result.
  OrderedJson DescribeCall(const ChoiceState& choice, int index) const {
    const ChoiceState::Call& call = choice.calls[index];
    OrderedJson part = {
        {"functionCall",
         {{"id", call.id}, {"name", call.name}, {"args", CallArguments(call.arguments)}}}};
    if (index == 0 && !choice.reasoning.empty())
      part["thoughtSignature"] = SignatureOf(choice.reasoning);
    return part;
  }

  void Say(ChoiceState& choice, OrderedJson part) {
    if (streaming()) {
      OrderedJson candidate = Candidate(choice, OrderedJson::array({std::move(part)}));
      AddLogprobs(choice, candidate);
      return SendChunk(std::move(candidate), UsageSoFar());
    }
    OrderedJson& parts = parts_[choice.index];
    const bool goes_on = !parts.empty() && part.contains("text") && parts.back().contains("text") &&
                         parts.back().contains("thought") == part.contains("thought");
    if (!goes_on) return parts.push_back(std::move(part));
    parts.back()["text"].get_ref<std::string&>() += part["text"].get_ref<const std::string&>();
  }

  static OrderedJson Candidate(const ChoiceState& choice, OrderedJson parts) {
    return {{"content", {{"parts", std::move(parts)}, {"role", "model"}}}, {"index", choice.index}};
  }

  void Finish(ChoiceState& choice, OrderedJson& candidate) const {
    candidate["finishReason"] =
        choice.end.reason == AnswerEnd::Reason::kLength ? "MAX_TOKENS" : "STOP";
    AddLogprobs(choice, candidate);
  }

  void AddLogprobs(ChoiceState& choice, OrderedJson& candidate) const {
    if (common_.top_logprobs < 0) return;
    const OrderedJson tokens = choice.TakeLogprobs();
    if (tokens.empty()) return;
    const auto entry = [](const OrderedJson& token) {
      return OrderedJson{{"token", token["token"]}, {"logProbability", token["logprob"]}};
    };
    OrderedJson chosen = OrderedJson::array(), top = OrderedJson::array();
    double sum = 0;
    for (const OrderedJson& token : tokens) {
      chosen.push_back(entry(token));
      sum += token["logprob"].get<double>();
      OrderedJson others = OrderedJson::array();
      for (const OrderedJson& other : token["top_logprobs"]) others.push_back(entry(other));
      top.push_back({{"candidates", std::move(others)}});
    }
    candidate["avgLogprobs"] = sum / static_cast<double>(tokens.size());
    candidate["logprobsResult"] = {{"chosenCandidates", std::move(chosen)},
                                   {"topCandidates", std::move(top)}};
  }

  OrderedJson UsageSoFar() const {
    return {{"promptTokenCount", prompt_tokens_}, {"totalTokenCount", prompt_tokens_}};
  }

  static OrderedJson UsageOf(const TokenCounts& counts) {
    OrderedJson usage = {{"promptTokenCount", counts.prompt},
                         {"candidatesTokenCount", counts.generated - counts.reasoning},
                         {"totalTokenCount", counts.prompt + counts.generated}};
    if (counts.reasoning > 0) usage["thoughtsTokenCount"] = counts.reasoning;
    if (counts.cached > 0) usage["cachedContentTokenCount"] = counts.cached;
    return usage;
  }

  OrderedJson Response(OrderedJson candidates, OrderedJson usage) const {
    return {{"candidates", std::move(candidates)},
            {"usageMetadata", std::move(usage)},
            {"modelVersion", model_->id},
            {"responseId", id_}};
  }

  void SendChunk(OrderedJson candidate, OrderedJson usage) {
    WriteObject(DumpJson(Response(OrderedJson::array({std::move(candidate)}), std::move(usage))));
  }

  void WriteObject(const std::string& object) {
    if (events_) return Write(ServerSentEvent(object));
    Write(Cat(wrote_ ? ",\n" : "[", object));
    wrote_ = true;
  }

  const std::string id_ = RandomId("");
  const int prompt_tokens_;
  const bool show_thoughts_, events_;
  std::vector<OrderedJson> parts_;  // of each choice, where the answer is whole
  size_t ended_ = 0;
  bool wrote_ = false;
};

}  // namespace

std::string SignatureOf(const std::string& thoughts) {
  return EncodeBase64(Cat(kSignatureMark, thoughts));
}

std::string ThoughtsOf(const std::string& signature) {
  const std::string bytes = DecodeBase64(signature).value_or("");
  return bytes.starts_with(kSignatureMark) ? bytes.substr(kSignatureMark.size()) : "";
}

std::shared_ptr<AnswerJob> MakeGeminiJob(const ChatStart& start, const GeminiRequest& request) {
  return std::make_shared<GeminiJob>(start, request);
}

}  // namespace facet::serve
