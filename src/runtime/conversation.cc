#include "runtime/conversation.h"

#include <condition_variable>
#include <cstdio>
#include <mutex>

#include "base/mapped_file.h"
#include "runtime/repetition.h"

namespace facet {
namespace {

using nlohmann::json;

// Collects the answer and shows it to the view.
class Collector : public AnswerSink {
 public:
  // `watch`: endless repetition ends the answer.
  Collector(ReplyView& view, bool watch) : view_(view), watch_(watch) {}

  void OnProgress(const GenerationStats& so_far, int processed) override {
    view_.OnPrompt(processed, so_far.prompt);
  }

  void OnEvents(std::vector<OutputEvent> events, const AnswerToken*) override {
    for (const OutputEvent& event : events) {
      switch (event.kind) {
        case OutputEvent::Kind::kReasoning:
          reply_.reasoning += event.text;
          view_.OnReasoning(event.text);
          Watch(event.text);
          break;
        case OutputEvent::Kind::kContent:
          reply_.content += event.text;
          view_.OnContent(event.text);
          Watch(event.text);
          break;
        case OutputEvent::Kind::kCallBegin:
          reply_.tool_calls.push_back({{"name", event.text}, {"arguments", ""}});
          break;
        case OutputEvent::Kind::kCallArguments:
          reply_.tool_calls.back()["arguments"] =
              reply_.tool_calls.back()["arguments"].get<std::string>() + event.text;
          break;
        case OutputEvent::Kind::kCallEnd:
          break;
      }
    }
  }

  void OnEnd(const AnswerEnd& end) override {
    const std::lock_guard lock(mutex_);
    reply_.end = end;
    done_ = true;
    changed_.notify_all();
  }

  // Waits for the end; calls `cancel` once when the flag is set.
  template <typename F>
  Reply Wait(const std::atomic<bool>* flag, F cancel) {
    std::unique_lock lock(mutex_);
    bool cancelled = false;
    while (!done_) {
      changed_.wait_for(lock, std::chrono::milliseconds(50));
      const bool asked = flag != nullptr && flag->load();
      if (!done_ && !cancelled && (asked || repeats_)) {
        cancelled = true;
        lock.unlock();
        cancel();
        lock.lock();
      }
    }
    reply_.repeats = repeats_ && reply_.end.reason == AnswerEnd::Reason::kCancelled;
    return std::move(reply_);
  }

 private:
  void Watch(const std::string& text) {
    if (watch_ && repetition_.Add(text)) repeats_ = true;
  }

  ReplyView& view_;
  const bool watch_;
  RepetitionWatch repetition_;
  std::atomic<bool> repeats_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;
  Reply reply_;
};

std::string TextOf(const json& message) {
  const json& content = message.at("content");
  if (content.is_string()) return content.get<std::string>();
  std::string text;
  for (const json& part : content) text += part.value("text", "");
  return text;
}

// A base model reads nothing but text, after <bos>: what was said so far, and what is said now.
Prompt PlainPrompt(const LoadedModel& model, const json& messages) {
  Prompt prompt;
  for (const json& message : messages) {
    const bool question = message.at("role") == "user";
    if (question && !prompt.text.empty() && !prompt.text.ends_with('\n')) prompt.text += "\n";
    prompt.text += TextOf(message);
    if (message.at("role") == "system") prompt.text += "\n\n";
  }
  prompt.ids = model.tokenizer->EncodePlain(prompt.text);
  if (const auto bos = model.tokenizer->bos(); bos && model.tokenizer->add_bos())
    prompt.ids.insert(prompt.ids.begin(), *bos);
  return prompt;
}

bool HasMedia(const json& messages) {
  for (const json& message : messages) {
    for (const json& part : message["content"].is_array() ? message["content"] : json::array()) {
      if (part.value("type", "") != "text") return true;
    }
  }
  return false;
}

// An error of a media part, with its file in the place of "messages[2].content[0]".
Error NamingFile(Error error, const json& messages) {
  for (size_t i = 0; i < messages.size(); ++i) {
    const json& content = messages[i].at("content");
    for (size_t k = 0; content.is_array() && k < content.size(); ++k) {
      const std::string place = Cat("messages[", i, "].content[", k, "]");
      if (error.param != place || !content[k].contains("path")) continue;
      if (error.message.starts_with(place + ": ")) error.message.erase(0, place.size() + 2);
      return error.In(content[k]["path"].get<std::string>());
    }
  }
  return error;
}

Result<Prompt> MakePrompt(const LoadedModel& model, const json& messages,
                          const ReplyOptions& options) {
  if (model.chat_template == nullptr) {
    if (model.template_damaged) return Error{model.template_error};
    if (HasMedia(messages))
      return Error{"a model without a chat template takes only text", ErrorKind::kUnsupported};
    return PlainPrompt(model, messages);
  }
  PromptRequest request;
  request.messages = messages;
  request.tools = options.tools;
  request.render.enable_thinking = options.thinking;
  request.media = options.media;
  request.load = [](const nlohmann::ordered_json& part) {
    return ReadMediaFile(part.at("path").get<std::string>());
  };
  auto prompt =
      BuildPrompt(model.config, *model.tokenizer, *model.chat_template, std::move(request));
  if (!prompt.ok()) return NamingFile(prompt.error(), messages);
  return prompt;
}

}  // namespace

Result<Reply> Ask(const LoadedModel& model, const json& messages, const ReplyOptions& options,
                  ReplyView& view, const std::atomic<bool>* cancel) {
  FACET_TRY(CheckSampling(options.sampling, model.engine->vocab()));
  FACET_ASSIGN(Prompt prompt, MakePrompt(model, messages, options));
  AnswerOptions answer;
  answer.chat = model.chat_template != nullptr;
  answer.stop = options.stop;
  if (options.tools.is_array())
    answer.tools = std::make_shared<const DeclaredTools>(ToolsOf(options.tools));
  answer.repairs = model.repairs;
  GenerationRequest request;
  request.prompt = std::make_shared<const Prompt>(std::move(prompt));
  request.sampling = options.sampling;
  request.max_tokens = options.max_tokens > 0 ? options.max_tokens : model.engine->context();
  request.stop_tokens = model.eos;
  request.adapter = model.adapter.weights;
  auto collector = std::make_shared<Collector>(view, options.max_tokens == 0);
  FACET_ASSIGN(
      const Engine::RequestId id,
      model.engine->Submit(std::move(request), MakeAnswer(model.tokenizer, answer, collector)));
  Reply reply = collector->Wait(cancel, [&] { model.engine->Cancel(id); });
  if (reply.end.reason == AnswerEnd::Reason::kError) return reply.end.error;
  return reply;
}

std::string FinishReason(const Reply& reply) {
  if (reply.repeats) return "repetition";
  switch (reply.end.reason) {
    case AnswerEnd::Reason::kStop:
      return "stop";
    case AnswerEnd::Reason::kLength:
      return "length";
    case AnswerEnd::Reason::kToolCalls:
      return "tool_calls";
    case AnswerEnd::Reason::kCancelled:
      return "cancelled";
    case AnswerEnd::Reason::kError:
      return "error";
  }
  return "stop";
}

std::string DescribeSpeed(const AnswerEnd& end) {
  const GenerationStats& s = end.stats;
  const auto speed = [](int tokens, double ms) { return ms > 0 ? tokens * 1000.0 / ms : 0.0; };
  char line[256];
  std::snprintf(
      line, sizeof(line),
      "prompt %d tokens (%d cached) in %.2f s, %.1f tok/s; answer %d tokens in %.2f s, %.1f tok/s",
      s.prompt, s.cached, s.prompt_ms / 1000, speed(s.prompt - s.cached, s.prompt_ms), s.generated,
      s.decode_ms / 1000, speed(std::max(0, s.generated - 1), s.decode_ms));
  std::string out = line;
  if (s.drafted > 0) out += Cat("; drafts ", s.accepted, " of ", s.drafted, " accepted");
  return out;
}

}  // namespace facet
