#include "engine/answer.h"

#include "base/log.h"
#include "engine/stop_strings.h"

namespace facet {
namespace {

class Answer : public GenerationListener {
 public:
  Answer(std::shared_ptr<const Tokenizer> tokenizer, AnswerOptions options,
         std::shared_ptr<AnswerSink> sink)
      : tokenizer_(std::move(tokenizer)),
        options_(std::move(options)),
        sink_(std::move(sink)),
        decoder_(tokenizer_),
        parser_(options_.thinking, options_.tools),
        stops_(options_.stop) {}

  void OnProgress(const GenerationStats& so_far, int processed) override {
    sink_->OnProgress(so_far, processed);
  }
  void OnPromptToken(const Sampled& token) override { sink_->OnPromptToken(token); }
  bool Ready() const override { return sink_->Ready(); }

  Decision OnToken(const Sampled& token) override {
    std::vector<OutputEvent> parsed;
    ++tokens_;
    const bool was_thinking = parser_.thinking();
    if (tokenizer_->IsSpecial(token.id)) {
      Plain(decoder_.Finish(), parsed);
      if (options_.chat) parser_.Control(tokenizer_->Piece(token.id), parsed);
    } else {
      Plain(decoder_.Add(token.id), parsed);
    }
    Decision decision;
    std::vector<OutputEvent> events = Stopped(std::move(parsed), decision.stop);
    if (options_.one_call && parser_.complete_calls() > 0) decision.stop = true;
    const bool thinking = was_thinking || parser_.thinking();
    if (thinking) ++reasoning_tokens_;
    // The model may end its thoughts while their forced end waits for its place.
    decision.release = closing_ && !parser_.thinking();
    decision.force = CloseThinking();
    const AnswerToken info{
        .text = std::string(tokenizer_->Piece(token.id)),
        .sampled = token,
        .content = !thinking && !parser_.in_call() && !tokenizer_->IsSpecial(token.id)};
    sink_->OnEvents(std::move(events), &info);
    return decision;
  }

  void OnDone(const Outcome& outcome) override {
    if (!stops_.stopped()) {
      std::vector<OutputEvent> parsed;
      Plain(decoder_.Finish(), parsed);
      // Only the model's own end of its turn ends a call that is open.
      if (options_.chat) parser_.Finish(parsed, outcome.reason != Outcome::Reason::kStop);
      bool ignored = false;
      std::vector<OutputEvent> events = Stopped(std::move(parsed), ignored);
      if (!stops_.stopped()) Append(stops_.Finish(), events);
      if (!events.empty()) sink_->OnEvents(std::move(events), nullptr);
    }
    AnswerEnd end{.reason = AnswerEnd::Reason::kStop,
                  .error = outcome.error,
                  .stats = outcome.stats,
                  .reasoning_tokens = reasoning_tokens_,
                  .stop = stops_.matched()};
    switch (outcome.reason) {
      case Outcome::Reason::kStop:
      case Outcome::Reason::kListener:
        if (CallsAreWhole()) end.reason = AnswerEnd::Reason::kToolCalls;
        break;
      case Outcome::Reason::kLength:
        end.reason = AnswerEnd::Reason::kLength;
        break;
      case Outcome::Reason::kCancelled:
        end.reason = AnswerEnd::Reason::kCancelled;
        break;
      case Outcome::Reason::kError:
        end.reason = AnswerEnd::Reason::kError;
        break;
    }
    ReportRepairs();
    sink_->OnEnd(end);
  }

 private:
  static void Append(std::string text, std::vector<OutputEvent>& events) {
    if (!text.empty()) events.push_back({OutputEvent::Kind::kContent, 0, std::move(text)});
  }
  void Plain(const std::string& text, std::vector<OutputEvent>& out) {
    options_.chat ? parser_.Plain(text, out) : Append(text, out);
  }
  // There are calls, and the turn did not end inside one: whoever acts on kToolCalls acts on all.
  bool CallsAreWhole() const {
    return parser_.calls() > 0 && parser_.complete_calls() == parser_.calls();
  }
  void ReportRepairs() const {
    for (const RepairedCall& call : parser_.repaired()) {
      std::string names;
      for (size_t i = 0; i < call.repairs.size(); ++i) {
        if (!call.repairs.test(i)) continue;
        if (options_.repairs) ++(*options_.repairs)[i];
        names += Cat(names.empty() ? "" : ", ", CallRepairName(static_cast<CallRepair>(i)));
      }
      spdlog::debug("a call of '{}' was mended: {}", Printable(call.name), names);
    }
  }
  // Tokens that close the channel where the budget is used up. The budget is for the thoughts of
  // the whole answer, so any further channel is closed at once.
  std::vector<TokenId> CloseThinking() {
    if (!parser_.thinking()) closing_ = false;
    if (!parser_.thinking() || closing_ || !options_.thinking_budget ||
        reasoning_tokens_ < *options_.thinking_budget)
      return {};
    closing_ = true;
    return tokenizer_->Encode("\n<channel|>");
  }
  // Applies the stop strings to the content.
  std::vector<OutputEvent> Stopped(std::vector<OutputEvent> parsed, bool& stop) {
    std::vector<OutputEvent> events;
    for (OutputEvent& event : parsed) {
      if (stops_.stopped()) break;
      if (event.kind != OutputEvent::Kind::kContent) {
        Append(stops_.Finish(), events);
        events.push_back(std::move(event));
        continue;
      }
      Append(tokens_ <= options_.min_tokens ? event.text : stops_.Add(event.text), events);
    }
    stop |= stops_.stopped();
    return events;
  }

  std::shared_ptr<const Tokenizer> tokenizer_;
  AnswerOptions options_;
  std::shared_ptr<AnswerSink> sink_;
  StreamDecoder decoder_;
  StreamParser parser_;
  StopStrings stops_;
  bool closing_ = false;  // the open channel's end has been forced
  int tokens_ = 0, reasoning_tokens_ = 0;
};

}  // namespace

std::shared_ptr<GenerationListener> MakeAnswer(std::shared_ptr<const Tokenizer> tokenizer,
                                               AnswerOptions options,
                                               std::shared_ptr<AnswerSink> sink) {
  return std::make_shared<Answer>(std::move(tokenizer), std::move(options), std::move(sink));
}

}  // namespace facet
