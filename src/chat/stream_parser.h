// Takes a model's answer apart while it streams: thinking channel, content, and tool calls in Gemma
// 4's notation,
//   <|channel>thought\n...\n<channel|>
//   <|tool_call>call:NAME{key:<|"|>text<|"|>,list:[1,true]}<tool_call|>
// with the arguments turned into JSON as they arrive. The result does not depend on where the
// stream is cut, and no control token reaches content, reasoning or (outside of quotes) arguments.
// Notation: the checkpoint's chat template; function-calling page of the Gemma documentation.
#pragma once

#include <string>
#include <string_view>
#include <vector>

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

// JSON from the arguments of a call, character by character. Quoted text is escaped, bare words
// become strings.
class ArgumentsWriter {
 public:
  // Begins inside the outermost brace. Appends the JSON to `json`.
  void Text(std::string_view text, std::string& json);
  // The quote token <|"|>.
  void Quote(std::string& json);
  // Closes what is open: the model ended the call.
  void Close(std::string& json);
  // The outermost brace is closed.
  bool done() const { return levels_.empty(); }
  bool in_quotes() const { return string_ == String::kMarked; }

 private:
  enum class Expect { kKey, kValue, kNext };
  enum class String { kNone, kMarked, kJson };
  struct Level {
    char close;
    Expect expect;
    bool first = true;
  };

  void Char(char c, std::string& json);
  void StringChar(char c, std::string& json);
  void Open(char close, std::string& json);
  void BeginValue(std::string& json);
  void EndBare(std::string& json);
  void EndKey(std::string& json);
  void Pop(char close, std::string& json);

  std::vector<Level> levels_ = {{'}', Expect::kKey}};
  String string_ = String::kNone;
  bool escaped_ = false;  // after a backslash in a JSON string
  std::string unicode_;   // "u" and the digits so far of an escape
  bool key_quoted_ = false;
  std::string bare_;  // a key, or an unquoted value
};

class StreamParser {
 public:
  // `thinking`: the prompt ended inside an open thinking channel.
  explicit StreamParser(bool thinking = false);

  // Text that may hold control tokens, cut anywhere.
  void Feed(std::string_view text, std::vector<OutputEvent>& out);
  // One control token, by its text; one that means nothing here is dropped.
  void Control(std::string_view token, std::vector<OutputEvent>& out);
  // Text of ordinary tokens: what looks like a control token in it is text.
  void Plain(std::string_view text, std::vector<OutputEvent>& out);
  // The stream has ended. A call that was cut off stays cut off: its arguments are not completed by
  // guesses.
  void Finish(std::vector<OutputEvent>& out);

  bool thinking() const { return state_ == State::kChannel || state_ == State::kThinking; }
  bool in_call() const { return state_ >= State::kCallHead; }
  // Calls that have begun, and those that are complete.
  int calls() const { return calls_; }
  int complete_calls() const { return complete_; }

 private:
  enum class State { kContent, kChannel, kThinking, kCallHead, kArguments, kCallTail, kBrokenCall };

  void Emit(OutputEvent::Kind kind, std::string_view text, std::vector<OutputEvent>& out);
  void Thinking(std::string_view text, std::vector<OutputEvent>& out);
  void CallHead(std::string_view text, std::vector<OutputEvent>& out);
  void Arguments(std::string_view text, std::vector<OutputEvent>& out);
  void LeaveThinking(std::vector<OutputEvent>& out);
  void EndCall(std::vector<OutputEvent>& out);
  void BeginArguments(std::vector<OutputEvent>& out);

  State state_ = State::kContent;
  std::string pending_;   // the beginning of what may become a control token
  std::string head_;      // channel name, or call head
  bool newline_ = false;  // held back: it belongs to <channel|> when that follows
  ArgumentsWriter arguments_;
  int calls_ = 0, complete_ = 0;
};

}  // namespace facet
