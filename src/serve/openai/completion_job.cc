// text_completion objects.
#include <map>
#include <set>

#include "serve/openai/jobs.h"

namespace facet::serve {
namespace {

class CompletionJob : public ChunkJob {
 public:
  CompletionJob(std::shared_ptr<Exchange> exchange, std::shared_ptr<LoadedModel> model,
                Common common, std::vector<EchoedPrompt> echo)
      : ChunkJob(std::move(exchange), std::move(model), std::move(common)),
        echo_(std::move(echo)) {}

 protected:
  void OnPromptToken(ChoiceState& choice, const Sampled& token) override {
    if (prompt_tokens_[choice.index]++ < Echo(choice).hidden) return;
    const AnswerToken text{.text = std::string(model_->tokenizer->Piece(token.id)),
                           .sampled = token};
    choice.logprobs.push_back(TokenLogprob(*model_->tokenizer, text));
  }
  void OnToken(ChoiceState& choice, const AnswerToken& token) override {
    if (common_.top_logprobs < 0 || model_->tokenizer->IsSpecial(token.sampled.id)) return;
    choice.logprobs.push_back(TokenLogprob(*model_->tokenizer, token));
  }
  void OnEvent(ChoiceState& choice, const OutputEvent& event) override {
    if (streaming()) Send(choice, event.text, nullptr);
  }
  void OnChoiceEnd(ChoiceState& choice) override {
    if (streaming()) Send(choice, "", FinishReason(choice.end.reason));
  }
  OrderedJson UsageChunk() override {
    OrderedJson chunk = Head(id_, kObject);
    chunk["choices"] = OrderedJson::array();
    chunk["usage"] = Usage();
    return chunk;
  }
  void SendWhole() override {
    OrderedJson body = Head(id_, kObject);
    for (ChoiceState& choice : choices_)
      body["choices"].push_back(
          Choice(choice, TakeEcho(choice) + choice.content, FinishReason(choice.end.reason)));
    body["usage"] = Usage();
    body["timings"] = Timings(choices_[0]);
    SendJson(*exchange_, body);
  }

 private:
  static constexpr const char* kObject = "text_completion";

  // {"tokens", "token_logprobs", "top_logprobs", "text_offset"}: the older form of
  // log-probabilities.
  OrderedJson Logprobs(ChoiceState& choice) {
    if (common_.top_logprobs < 0) return nullptr;
    OrderedJson out = {{"tokens", OrderedJson::array()},
                       {"token_logprobs", OrderedJson::array()},
                       {"top_logprobs", OrderedJson::array()},
                       {"text_offset", OrderedJson::array()}};
    // The first token has none, whether or not something stands in front of it.
    if (echoes() && !offsets_.contains(choice.index)) {
      const std::string& first = Echo(choice).first_token;
      offsets_[choice.index] = first.size();
      for (const char* list : {"token_logprobs", "top_logprobs"}) {
        if (!first.empty()) out[list].push_back(nullptr);
      }
      if (!first.empty()) out["tokens"].push_back(first), out["text_offset"].push_back(0);
    }
    for (const OrderedJson& token : choice.TakeLogprobs()) {
      OrderedJson top = OrderedJson::object();
      for (const OrderedJson& other : token["top_logprobs"])
        top[other["token"].get<std::string>()] = other["logprob"];
      out["tokens"].push_back(token["token"]);
      out["token_logprobs"].push_back(token["logprob"]);
      out["top_logprobs"].push_back(std::move(top));
      out["text_offset"].push_back(offsets_[choice.index]);
      offsets_[choice.index] += token["bytes"].size();
    }
    return out;
  }
  OrderedJson Choice(ChoiceState& choice, const std::string& text, OrderedJson finish) {
    return {{"index", choice.index},
            {"text", text},
            {"logprobs", Logprobs(choice)},
            {"finish_reason", std::move(finish)}};
  }
  void Send(ChoiceState& choice, const std::string& text, OrderedJson finish) {
    OrderedJson chunk = Head(id_, kObject);
    chunk["choices"].push_back(Choice(choice, TakeEcho(choice) + text, std::move(finish)));
    if (common_.running_usage) chunk["usage"] = RunningUsage(choice);
    WriteChunk(chunk);
  }

  bool echoes() const { return !echo_.empty(); }
  // The prompt of a choice.
  const EchoedPrompt& Echo(const ChoiceState& choice) const {
    return echo_[static_cast<size_t>(choice.index / common_.choices)];
  }
  // What the first text of a choice begins with.
  std::string TakeEcho(const ChoiceState& choice) {
    return echoes() && echoed_.insert(choice.index).second ? Echo(choice).text : "";
  }

  const std::vector<EchoedPrompt> echo_;  // of the prompts; empty: they are not repeated
  std::set<int> echoed_;                  // choices
  std::map<int, int> prompt_tokens_;      // that were reported, by choice
  const std::string id_ = RandomId("cmpl-");
  std::map<int, size_t> offsets_;
};

}  // namespace

std::shared_ptr<AnswerJob> MakeCompletionJob(std::shared_ptr<Exchange> exchange,
                                             std::shared_ptr<LoadedModel> model, Common common,
                                             std::vector<EchoedPrompt> echo) {
  return std::make_shared<CompletionJob>(std::move(exchange), std::move(model), std::move(common),
                                         std::move(echo));
}

}  // namespace facet::serve
