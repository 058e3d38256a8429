// Lines typed or pasted at a terminal, edited with libedit.
#pragma once

#include <histedit.h>
#include <termios.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/terminal/interrupt.h"

namespace facet::cli {

struct TypedLine {
  enum class Kind {
    kText,
    kInterrupted,  // Ctrl-C; `text` is what stood there
    kEnd,          // Ctrl-D on an empty line, the end of input, or SIGTERM
  };
  Kind kind = Kind::kEnd;
  std::string text;       // UTF-8, without the newline that ended it; pasted newlines are kept
  int invalid_bytes = 0;  // bytes that were not UTF-8; U+FFFD stands for each
};

// What may stand instead of the text from `begin` to the cursor.
struct Completions {
  size_t begin = 0;
  std::vector<std::string> words;
};

// The keys are those of Emacs, and ~/.editrc is heeded. Where the terminal can, a paste arrives in
// one piece (bracketed paste) for as long as the editor lives. The terminal is the person's again
// between two lines.
class LineEditor {
 public:
  // `complete` gets the line up to the cursor. `interrupt` is asked for signals while a line is
  // read, and has to outlive the editor.
  using Completer = std::function<Completions(std::string_view line)>;
  LineEditor(Completer complete, InterruptFlag& interrupt);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  TypedLine Read(const std::string& prompt);
  // What the arrow keys find again. Lives in memory alone.
  void Remember(const std::string& text);

 private:
  struct Keys;  // what single keys do

  void Bind();
  // libedit's source of characters: UTF-8 whatever the locale is, signals as keys.
  static int ReadCharacter(EditLine* editor, wchar_t* out);
  bool WaitForByte();
  // The bytes of the next character, as far as they are valid.
  int NextCharacter(wchar_t* out);

  Completer complete_;
  InterruptFlag& interrupt_;
  EditLine* editor_ = nullptr;
  HistoryW* history_ = nullptr;
  FILE* screen_;
  bool brackets_ = false;  // the terminal was asked for bracketed paste
  std::string prompt_, bytes_;
  TypedLine line_;
};

// While it lives, what is typed is not shown: it would stand amid an answer. It is read as the next
// line.
class SilentTyping {
 public:
  SilentTyping();
  ~SilentTyping();
  SilentTyping(const SilentTyping&) = delete;
  SilentTyping& operator=(const SilentTyping&) = delete;

 private:
  std::optional<termios> before_;
};

}  // namespace facet::cli
