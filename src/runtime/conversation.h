// One turn of a conversation with a model in this process, as `facet run` and `facet eval` take it.
#pragma once

#include <atomic>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/answer.h"
#include "runtime/loaded_model.h"

namespace facet {

struct ReplyOptions {
  SamplingParams sampling;
  MediaOptions media;
  std::optional<bool> thinking;
  nlohmann::json tools;  // null or a list of declarations
  int max_tokens = 0;    // 0: what the context leaves, or until it repeats itself without end
  std::vector<std::string> stop;
};

struct Reply {
  std::string content, reasoning;
  nlohmann::json tool_calls = nlohmann::json::array();
  bool repeats = false;  // it was stopped because it went round in a circle
  AnswerEnd end;
};

// What a person is told of such an answer.
inline constexpr const char* kStoppedRepetition =
    "the answer repeated itself and was stopped; with a limit of tokens it goes on";

// Receives a reply while it is generated, on the engine's thread.
class ReplyView {
 public:
  virtual ~ReplyView() = default;
  virtual void OnPrompt(int /*read*/, int /*total*/) {}
  virtual void OnReasoning(const std::string& /*text*/) {}
  virtual void OnContent(const std::string& /*text*/) {}
};

// Generates the reply to `messages` (the chat API's shape; media parts carry paths). A model
// without a template continues them as one text instead: a system prompt is a paragraph, each
// question begins a line. Setting `cancel` ends the reply early; what was generated so far is
// returned.
Result<Reply> Ask(const LoadedModel& model, const nlohmann::json& messages,
                  const ReplyOptions& options, ReplyView& view, const std::atomic<bool>* cancel);

// "stop", "length", "tool_calls", "cancelled", "repetition".
std::string FinishReason(const Reply& reply);
// "prompt 812 tokens (640 cached) in 0.9 s, 191 tok/s; answer 48 tokens in 0.7 s, 68.6 tok/s"
std::string DescribeSpeed(const AnswerEnd& end);

}  // namespace facet
