// Takes a model's answer apart while it streams: thinking channel, content, and tool calls in Gemma
// 4's notation,
//   <|channel>thought\n...\n<channel|>
//   <|tool_call>call:NAME{key:<|"|>text<|"|>,list:[1,true]}<tool_call|>
// with the arguments turned into JSON as they arrive (chat/call_reader.h, which also mends what
// is a little wrong). The result does not depend on where the stream is cut, and no control token
// reaches content, reasoning or (outside of quotes) arguments.
// Notation: the checkpoint's chat template; function-calling page of the Gemma documentation.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "chat/call_reader.h"

namespace facet {

struct OutputEvent {
  enum class Kind {
    kReasoning,
    kContent,
    kCallBegin,      // text: the function's name
    kCallArguments,  // text: more of the JSON object
    kCallEnd,        // the call is complete, its arguments are valid JSON
  };
  Kind kind = Kind::kContent;
  int call = 0;  // index of the call in this answer
  std::string text;

  bool operator==(const OutputEvent&) const = default;
};

// Tools by name, each with the names of its parameters (none where its schema does not say).
using DeclaredTools = std::map<std::string, CallReader::Names, std::less<>>;
// From a list in the chat API's shape.
DeclaredTools ToolsOf(const nlohmann::ordered_json& tools);

// What was mended in a call.
struct RepairedCall {
  std::string name;
  CallRepairs repairs;
};

class StreamParser {
 public:
  // `thinking`: the prompt ended inside an open thinking channel. With `tools`, a call of another
  // name is text.
  explicit StreamParser(bool thinking = false,
                        std::shared_ptr<const DeclaredTools> tools = nullptr);

  // Text that may hold control tokens, cut anywhere.
  void Feed(std::string_view text, std::vector<OutputEvent>& out);
  // One control token, by its text; one that means nothing here is dropped.
  void Control(std::string_view token, std::vector<OutputEvent>& out);
  // Text of ordinary tokens: what looks like a control token in it is text.
  void Plain(std::string_view text, std::vector<OutputEvent>& out);
  // The turn has ended. The arguments of an open call are closed, so that they are JSON. The call
  // is complete where the model ended the turn, and is not where a limit `cut` it off.
  void Finish(std::vector<OutputEvent>& out, bool cut = false);

  bool thinking() const { return state_ == State::kChannel || state_ == State::kThinking; }
  bool in_call() const { return state_ >= State::kCallHead; }
  // Calls that have begun, and those that are complete.
  int calls() const { return calls_; }
  int complete_calls() const { return complete_; }
  const std::vector<RepairedCall>& repaired() const { return repaired_; }

 private:
  enum class State { kContent, kChannel, kThinking, kCallHead, kArguments, kWholeCall, kNoCall };

  void Emit(OutputEvent::Kind kind, std::string_view text, std::vector<OutputEvent>& out);
  void Thinking(std::string_view text, std::vector<OutputEvent>& out);
  void LeaveThinking(std::vector<OutputEvent>& out);
  void CallHead(std::string_view text, std::vector<OutputEvent>& out);
  bool BeginCall(bool parentheses, std::vector<OutputEvent>& out);
  void EmitArguments(std::vector<OutputEvent>& out);
  void EndArguments(bool complete, std::vector<OutputEvent>& out);
  void EndCall(std::vector<OutputEvent>& out);
  void EndWholeCall(bool cut, std::vector<OutputEvent>& out);
  void InParentheses(bool cut, std::vector<OutputEvent>& out);
  bool JsonCall(const std::string& text, std::vector<OutputEvent>& out);
  bool Declared(std::string_view name) const { return !tools_ || tools_->contains(name); }
  void Report(std::string name, CallRepairs repairs);

  std::shared_ptr<const DeclaredTools> tools_;
  State state_ = State::kContent;
  std::string pending_;   // the beginning of what may become a control token
  std::string head_;      // channel name, or call head
  std::string whole_;     // a call in another notation, from its first bracket on
  std::string name_;      // of the call
  bool newline_ = false;  // held back: it belongs to <channel|> when that follows
  CallReader arguments_;
  int calls_ = 0, complete_ = 0;
  std::vector<RepairedCall> repaired_;
};

}  // namespace facet
