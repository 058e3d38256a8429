// text_completion objects.
#include "serve/openai/api.h"

namespace facet::serve {
namespace {

class CompletionJob : public Job {
 public:
  using Job::Job;

 protected:
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
  void OnEnd() override {
    if (!streaming()) {
      OrderedJson body = Head();
      for (ChoiceState& choice : choices_)
        body["choices"].push_back(Choice(choice, choice.content, FinishReason(choice.end.reason)));
      body["usage"] = Usage();
      body["timings"] = Timings(choices_[0]);
      return SendJson(*exchange_, body);
    }
    if (common_.include_usage) {
      OrderedJson chunk = Head();
      chunk["choices"] = OrderedJson::array();
      chunk["usage"] = Usage();
      Write(ServerSentEvent(Dump(chunk)));
    }
    Write("data: [DONE]\n\n");
    exchange_->End();
  }
  void OnError(const ApiError& error) override {
    if (!streaming()) return exchange_->Send(ErrorResponse(error));
    Write(ServerSentEvent(ErrorBody(error)));
    Write("data: [DONE]\n\n");
    exchange_->End();
  }

 private:
  OrderedJson Head() const {
    return {{"id", id_},
            {"object", "text_completion"},
            {"created", created_},
            {"model", model_->id},
            {"system_fingerprint", nullptr}};
  }
  // {"tokens", "token_logprobs", "top_logprobs", "text_offset"}: the older form of
  // log-probabilities.
  OrderedJson Logprobs(ChoiceState& choice) {
    if (common_.top_logprobs < 0) return nullptr;
    OrderedJson out = {{"tokens", OrderedJson::array()},
                       {"token_logprobs", OrderedJson::array()},
                       {"top_logprobs", OrderedJson::array()},
                       {"text_offset", OrderedJson::array()}};
    for (const OrderedJson& token : choice.logprobs) {
      OrderedJson top = OrderedJson::object();
      for (const OrderedJson& other : token["top_logprobs"])
        top[other["token"].get<std::string>()] = other["logprob"];
      out["tokens"].push_back(token["token"]);
      out["token_logprobs"].push_back(token["logprob"]);
      out["top_logprobs"].push_back(std::move(top));
      out["text_offset"].push_back(offsets_[choice.index]);
      offsets_[choice.index] += token["bytes"].size();
    }
    choice.logprobs = OrderedJson::array();
    return out;
  }
  OrderedJson Choice(ChoiceState& choice, const std::string& text, OrderedJson finish) {
    return {{"index", choice.index},
            {"text", text},
            {"logprobs", Logprobs(choice)},
            {"finish_reason", std::move(finish)}};
  }
  void Send(ChoiceState& choice, const std::string& text, OrderedJson finish) {
    OrderedJson chunk = Head();
    chunk["choices"].push_back(Choice(choice, text, std::move(finish)));
    Write(ServerSentEvent(Dump(chunk)));
  }

  std::string id_ = RandomId("cmpl-");
  int64_t created_ = Now();
  std::map<int, size_t> offsets_;
};

}  // namespace

std::shared_ptr<Job> MakeCompletionJob(std::shared_ptr<Exchange> exchange,
                                       std::shared_ptr<LoadedModel> model, Common common) {
  return std::make_shared<CompletionJob>(std::move(exchange), std::move(model), std::move(common));
}

}  // namespace facet::serve
