// From tokens to what a client reads: text that never splits a character, thinking and tool calls
// taken apart, stop strings, a budget for thinking. Sits between the engine and an API or a
// terminal.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "chat/stream_parser.h"
#include "engine/generation.h"

namespace facet {

// How often calls were read otherwise than the notation has it, by CallRepair.
using CallRepairCounts = std::array<std::atomic<uint64_t>, static_cast<size_t>(CallRepair::kCount)>;

struct AnswerOptions {
  bool chat = true;       // false: plain text, control tokens dropped, nothing taken apart
  bool thinking = false;  // the prompt ends inside an open thinking channel
  std::optional<int> thinking_budget;  // tokens of all thoughts; then the channel is closed
  bool one_call = false;               // the answer ends with its first tool call
  std::vector<std::string> stop;       // end the answer, and are not part of it
  // Those that may be called: a call of another name is text. Null: any name is a tool's.
  std::shared_ptr<const DeclaredTools> tools = nullptr;
  std::shared_ptr<CallRepairCounts> repairs = nullptr;  // counts here; null: nowhere
  int min_tokens = 0;                                   // before which they do not count
};

// One token of the answer with its log-probability.
struct AnswerToken {
  std::string text;
  Sampled sampled;
  bool content = false;  // part of the content, not of thoughts or calls
};

struct AnswerEnd {
  // kToolCalls: the answer ended with at least one call, and with all of them complete.
  enum class Reason { kStop, kLength, kToolCalls, kCancelled, kError };
  Reason reason = Reason::kStop;
  Error error;
  GenerationStats stats;
  int reasoning_tokens = 0;
  std::string stop = {};  // the stop string that ended it; empty where none did
};

// Receives the answer on the engine's thread; must not block.
class AnswerSink {
 public:
  virtual ~AnswerSink() = default;
  virtual void OnProgress(const GenerationStats& /*so_far*/, int /*processed*/) {}
  virtual void OnPromptToken(const Sampled& /*token*/) {}
  virtual void OnEvents(std::vector<OutputEvent> events, const AnswerToken* token) = 0;
  virtual void OnEnd(const AnswerEnd& end) = 0;
  virtual bool Ready() const { return true; }
};

std::shared_ptr<GenerationListener> MakeAnswer(std::shared_ptr<const Tokenizer> tokenizer,
                                               AnswerOptions options,
                                               std::shared_ptr<AnswerSink> sink);

}  // namespace facet
