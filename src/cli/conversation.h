// A conversation with a model in this process: what `facet run` does for each turn.
#pragma once

#include <atomic>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/answer.h"
#include "runtime/model_pool.h"

namespace facet::cli {

struct TurnOptions {
  SamplingParams sampling;
  MediaOptions media;
  std::optional<bool> thinking;
  nlohmann::json tools;  // null or a list of declarations
  int max_tokens = 0;    // 0: what the context leaves
  std::vector<std::string> stop;
};

struct Turn {
  std::string content, reasoning;
  nlohmann::json tool_calls = nlohmann::json::array();
  AnswerEnd end;
};

// Receives a turn while it is made, on the engine's thread.
class TurnView {
 public:
  virtual ~TurnView() = default;
  virtual void OnPrompt(int /*read*/, int /*total*/) {}
  virtual void OnReasoning(const std::string& /*text*/) {}
  virtual void OnContent(const std::string& /*text*/) {}
};

// Answers `messages` (chat API shape; media parts carry paths). A model without a template
// continues the text of the last message instead. Setting `cancel` ends the answer early; what came
// so far is returned.
Result<Turn> Answer(const LoadedModel& model, const nlohmann::json& messages,
                    const TurnOptions& options, TurnView& view, const std::atomic<bool>* cancel);

// "stop", "length", "tool_calls", "cancelled".
std::string FinishReason(const AnswerEnd& end);
// "prompt 812 tokens (640 cached) in 0.9 s, 191 tok/s; answer 48 tokens in 0.7 s, 68.6 tok/s"
std::string Describe(const AnswerEnd& end);

}  // namespace facet::cli
