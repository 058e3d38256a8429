// /api/chat and /api/generate: handlers, and the objects that they write.
#include "base/clock.h"
#include "serve/handlers.h"
#include "serve/ollama/ollama.h"
#include "serve/openai/runs.h"
#include "serve/timestamp.h"

namespace facet::serve {
namespace {

// The head of every object, and what one says before the first token and behind the last one.
OrderedJson OllamaHead(const std::string& name) {
  return {{"model", name}, {"created_at", TimestampNow()}};
}

OrderedJson OllamaSaid(OrderedJson head, bool texts, const std::string& text) {
  if (texts) {
    head["response"] = text;
  } else {
    head["message"] = {{"role", "assistant"}, {"content", text}};
  }
  return head;
}

class OllamaJob : public AnswerJob {
 public:
  OllamaJob(const ChatStart& start, const OllamaRequest& request)
      : AnswerJob(start.exchange, start.model, request.chat.common),
        name_(request.name),
        texts_(request.texts) {}

 protected:
  StreamForm Form() const override { return StreamForm::kLines; }

  void OnToken(ChoiceState& choice, const AnswerToken& token) override {
    if (common_.top_logprobs >= 0 && token.content)
      choice.logprobs.push_back(TokenLogprob(*model_->tokenizer, token));
  }

  void OnEvent(ChoiceState& choice, const OutputEvent& event) override {
    if (!streaming()) return;
    using Kind = OutputEvent::Kind;
    if (event.kind == Kind::kContent) {
      OrderedJson line = OllamaSaid(OllamaHead(name_), texts_, event.text);
      AddLogprobs(choice, line);
      WriteLine(std::move(line), false);
    } else if (event.kind == Kind::kReasoning) {
      OrderedJson line = OllamaSaid(OllamaHead(name_), texts_, "");
      (texts_ ? line : line["message"])["thinking"] = event.text;
      WriteLine(std::move(line), false);
    } else if (event.kind == Kind::kCallEnd) {
      OrderedJson line = OllamaSaid(OllamaHead(name_), texts_, "");
      line["message"]["tool_calls"] =
          OrderedJson::array({DescribeCall(choice.calls[event.call], event.call)});
      WriteLine(std::move(line), false);
    }
  }

  void OnEnd() override {
    ChoiceState& choice = choices_[0];
    OrderedJson last = OllamaSaid(OllamaHead(name_), texts_, streaming() ? "" : choice.content);
    if (!streaming()) AddWhole(choice, last);
    if (!streaming()) AddLogprobs(choice, last);
    last["done"] = true;
    last["done_reason"] = choice.end.reason == AnswerEnd::Reason::kLength ? "length" : "stop";
    AddDurations(choice.end.stats, last);
    if (!streaming()) return SendJson(*exchange_, last);
    Write(DumpJson(last) + "\n");
    exchange_->End();
  }

  void OnError(const Error& error) override {
    if (!streaming()) return exchange_->SendError(error);
    Write(OllamaError(error).body + "\n");
    exchange_->End();
  }

 private:
  static OrderedJson DescribeCall(const ChoiceState::Call& call, int index) {
    return {
        {"id", call.id},
        {"function",
         {{"index", index}, {"name", call.name}, {"arguments", CallArguments(call.arguments)}}}};
  }

  void AddWhole(const ChoiceState& choice, OrderedJson& to) const {
    OrderedJson& holder = texts_ ? to : to["message"];
    if (!choice.reasoning.empty()) holder["thinking"] = choice.reasoning;
    for (size_t i = 0; i < choice.calls.size(); ++i) {
      if (choice.calls[i].complete)
        holder["tool_calls"].push_back(DescribeCall(choice.calls[i], static_cast<int>(i)));
    }
  }

  void AddLogprobs(ChoiceState& choice, OrderedJson& to) const {
    if (common_.top_logprobs >= 0) to["logprobs"] = choice.TakeLogprobs();
  }

  // Nanoseconds.
  void AddDurations(const GenerationStats& stats, OrderedJson& to) const {
    const auto nanoseconds = [](double ms) { return static_cast<int64_t>(ms * 1e6); };
    to["total_duration"] = nanoseconds(MillisecondsSince(began_));
    to["load_duration"] = nanoseconds(stats.queue_ms);
    to["prompt_eval_count"] = stats.prompt;
    to["prompt_eval_duration"] = nanoseconds(stats.prompt_ms);
    to["eval_count"] = stats.generated;
    to["eval_duration"] = nanoseconds(stats.decode_ms);
  }

  void WriteLine(OrderedJson line, bool done) {
    line["done"] = done;
    Write(DumpJson(line) + "\n");
  }

  const std::string name_;
  const bool texts_;
  const Clock::time_point began_ = Clock::now();
};

// Without anything to answer, a model is loaded, or given up.
Result<void> LoadOllamaModel(Service& service, Call& call, const OllamaRequest& request) {
  const auto answer = [name = request.name, texts = request.texts,
                       exchange = call.exchange](const char* reason) {
    OrderedJson body = OllamaSaid(OllamaHead(name), texts, "");
    body["done"] = true;
    body["done_reason"] = reason;
    SendJson(*exchange, body);
    return Ok();
  };
  if (request.unload) {
    TellIgnored(call);
    return answer("unload");
  }
  return service.WithModel(call, request.chat.common.model,
                           [answer](std::shared_ptr<LoadedModel>) { return answer("load"); });
}

Result<void> AnswerRawText(Service& service, Call& call, OllamaRequest request) {
  const auto name = request.chat.common.model;
  return service.WithModel(
      call, name,
      [request = std::move(request), exchange = call.exchange,
       tenant = call.request.tenant](std::shared_ptr<LoadedModel> model) -> Result<void> {
        const Common& common = request.chat.common;
        FACET_ASSIGN(const auto prompt, TextPrompt(*model, request.prompt, "prompt"));
        std::vector<AnswerJob::Run> runs(1);
        const auto tokens = static_cast<int>(prompt->ids.size());
        runs[0].request = MakeGeneration(*model, prompt, common, tenant, 0);
        runs[0].answer.chat = false;
        runs[0].answer.stop = common.stop;
        return MakeOllamaJob({exchange, model, request.chat, tokens}, request)
            ->Start(std::move(runs));
      });
}

Result<void> AnswerOllama(Service& service, Call& call, OllamaRequest request, const char* param) {
  ChatRequest chat = std::move(request.chat);
  request.chat.common = chat.common;
  return StartChat(service, call, std::move(chat), param,
                   [request = std::move(request)](const ChatStart& start) {
                     return MakeOllamaJob(start, request);
                   });
}

}  // namespace

std::shared_ptr<AnswerJob> MakeOllamaJob(const ChatStart& start, const OllamaRequest& request) {
  return std::make_shared<OllamaJob>(start, request);
}

Result<void> OllamaChat(Service& service, Call& call) {
  FACET_ASSIGN(OllamaRequest request, ReadOllamaChat(std::move(call.body), service.models,
                                                     service.limits.media, call.ignored.get()));
  if (request.chat.conversation.messages.empty()) return LoadOllamaModel(service, call, request);
  return AnswerOllama(service, call, std::move(request), "messages");
}

Result<void> OllamaGenerate(Service& service, Call& call) {
  FACET_ASSIGN(OllamaRequest request, ReadOllamaText(std::move(call.body), service.models,
                                                     service.limits.media, call.ignored.get()));
  if (request.raw && !request.prompt.empty())
    return AnswerRawText(service, call, std::move(request));
  if (request.chat.conversation.messages.empty()) return LoadOllamaModel(service, call, request);
  return AnswerOllama(service, call, std::move(request), "prompt");
}

}  // namespace facet::serve
