#include "cli/terminal/line_editor.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/utf8.h"
#include "base/visible.h"

namespace facet::cli {
namespace {

constexpr wchar_t kCtrlC = 3, kReplacement = L'\uFFFD';
constexpr std::wstring_view kPasteEnd = L"\033[201~";
constexpr int kHistoryLines = 1000;
// How long a signal may wait until it is noticed.
constexpr int kPollMilliseconds = 200;

volatile std::sig_atomic_t resized = 0;

void OnResize(int) {
  resized = 1;
}

std::string Narrow(std::wstring_view text) {
  std::string out;
  for (const wchar_t c : text) AppendUtf8(out, static_cast<char32_t>(c));
  return out;
}

std::wstring Wide(std::string_view text) {
  std::wstring out;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = DecodeUtf8(text, at);
    out += c.bytes == 0 ? kReplacement : static_cast<wchar_t>(c.code);
    at += std::max(1, c.bytes);
  }
  return out;
}

bool CanBracketPastes() {
  const char* terminal = std::getenv("TERM");
  return terminal != nullptr && *terminal != 0 && std::strcmp(terminal, "dumb") != 0;
}

// How many bytes the character has that begins with this one; 1 where none does.
size_t CharacterBytes(unsigned char lead) {
  return lead >= 0xF0 && lead <= 0xF4 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 1;
}

std::string CommonPrefix(const std::vector<std::string>& words) {
  std::string prefix = words.front();
  for (const std::string& word : words) {
    const auto end = std::mismatch(prefix.begin(), prefix.end(), word.begin(), word.end()).first;
    prefix.erase(end, prefix.end());
  }
  while (!prefix.empty() && !IsUtf8(prefix)) prefix.pop_back();
  return prefix;
}

}  // namespace

struct LineEditor::Keys {
  static LineEditor& Of(EditLine* editor) {
    void* self = nullptr;
    el_wget(editor, EL_CLIENTDATA, &self);
    return *static_cast<LineEditor*>(self);
  }

  static wchar_t* Prompt(EditLine* editor) {
    static std::wstring prompt;
    prompt = Wide(Of(editor).prompt_);
    return prompt.data();
  }

  static std::string Text(EditLine* editor) {
    const LineInfoW* line = el_wline(editor);
    return Narrow({line->buffer, static_cast<size_t>(line->lastchar - line->buffer)});
  }

  static unsigned char Interrupt(EditLine* editor, wint_t) {
    LineEditor& self = Of(editor);
    self.line_.kind = TypedLine::Kind::kInterrupted;
    self.line_.text = Text(editor);
    const LineInfoW* line = el_wline(editor);
    el_cursor(editor, static_cast<int>(line->lastchar - line->cursor));
    el_winsertstr(editor, L"^C");
    // The key that ends a line goes below all of its rows.
    el_wpush(editor, L"\n");
    return CC_REFRESH;
  }

  // The end of input where nothing is typed, else the key that deletes.
  static unsigned char EndOrDelete(EditLine* editor, wint_t) {
    const LineInfoW* line = el_wline(editor);
    if (line->buffer == line->lastchar) return CC_EOF;
    if (line->cursor == line->lastchar) return CC_ERROR;
    el_cursor(editor, 1);
    el_deletestr(editor, 1);
    return CC_REFRESH;
  }

  static unsigned char Newline(EditLine* editor, wint_t) {
    return el_winsertstr(editor, L"\n") == 0 ? CC_REFRESH : CC_ERROR;
  }

  // Everything up to the closing bracket is text, whatever keys it looks like.
  static unsigned char Paste(EditLine* editor, wint_t) {
    std::wstring text;
    wchar_t c = 0;
    while (!text.ends_with(kPasteEnd)) {
      if (el_wgetc(editor, &c) != 1) break;
      text += c;
    }
    if (text.ends_with(kPasteEnd)) text.resize(text.size() - kPasteEnd.size());
    std::wstring clean;
    for (size_t i = 0; i < text.size(); ++i) {
      // Terminals send the return key for a newline.
      const bool pair = text[i] == L'\r' && i + 1 < text.size() && text[i + 1] == L'\n';
      if (pair || text[i] == 0) continue;
      clean += text[i] == L'\r' ? L'\n' : text[i];
    }
    // What is pasted is seldom meant to end the question.
    while (!clean.empty() && clean.back() == L'\n') clean.pop_back();
    if (clean.empty()) return CC_REFRESH;
    return el_winsertstr(editor, clean.c_str()) == 0 ? CC_REFRESH : CC_ERROR;
  }

  static unsigned char Suspend(EditLine* editor, wint_t) {
    LineEditor& self = Of(editor);
    if (self.brackets_) std::fputs("\033[?2004l", self.screen_);
    std::fflush(self.screen_);
    el_wset(editor, EL_PREP_TERM, 0);
    kill(0, SIGTSTP);
    el_wset(editor, EL_PREP_TERM, 1);
    if (self.brackets_) std::fputs("\033[?2004h", self.screen_);
    return CC_REDISPLAY;
  }

  static unsigned char Complete(EditLine* editor, wint_t) {
    LineEditor& self = Of(editor);
    const LineInfoW* line = el_wline(editor);
    const std::string typed =
        Narrow({line->buffer, static_cast<size_t>(line->cursor - line->buffer)});
    const Completions found = self.complete_(typed);
    if (found.words.empty()) return CC_ERROR;
    const std::string common = CommonPrefix(found.words), given = typed.substr(found.begin);
    if (common.size() > given.size() || found.words.size() == 1) {
      el_deletestr(editor, static_cast<int>(Wide(given).size()));
      el_winsertstr(editor, Wide(common).c_str());
      return CC_REFRESH;
    }
    std::fputs("\n", self.screen_);
    for (const std::string& word : found.words)
      std::fprintf(self.screen_, "%s\n", VisibleLine(word).c_str());
    return CC_REDISPLAY;
  }
};

LineEditor::LineEditor(Completer complete, InterruptFlag& interrupt)
    : complete_(std::move(complete)), interrupt_(interrupt) {
  // Answers may go to a file while the questions stand on the terminal.
  screen_ = isatty(STDERR_FILENO) == 1 ? stderr : stdout;
  editor_ = el_init("facet", stdin, screen_, stderr);
  history_ = history_winit();
  HistEventW event;
  history_w(history_, &event, H_SETSIZE, kHistoryLines);
  history_w(history_, &event, H_SETUNIQUE, 1);
  el_wset(editor_, EL_CLIENTDATA, this);
  el_wset(editor_, EL_PROMPT, &Keys::Prompt);
  el_wset(editor_, EL_EDITOR, L"emacs");
  el_wset(editor_, EL_HIST, &history_w, history_);
  el_wset(editor_, EL_GETCFN, &ReadCharacter);
  el_source(editor_, nullptr);
  Bind();
  struct sigaction action {};
  action.sa_handler = &OnResize;  // without SA_RESTART: a read notices
  sigaction(SIGWINCH, &action, nullptr);
  brackets_ = CanBracketPastes();
  if (brackets_) std::fputs("\033[?2004h", screen_);
}

LineEditor::~LineEditor() {
  if (brackets_) std::fputs("\033[?2004l", screen_);
  std::fflush(screen_);
  history_wend(history_);
  el_end(editor_);
  signal(SIGWINCH, SIG_DFL);
}

void LineEditor::Bind() {
  using Function = unsigned char (*)(EditLine*, wint_t);
  struct Key {
    const wchar_t *name, *help;
    Function function;
    std::vector<const wchar_t*> keys;
  };
  const Key keys[] = {
      {L"facet-interrupt", L"Forget the line", &Keys::Interrupt, {L"^C"}},
      {L"facet-end", L"Leave, or delete", &Keys::EndOrDelete, {L"^D"}},
      {L"facet-newline", L"Begin another line", &Keys::Newline, {L"\\e^M", L"\\e^J"}},
      {L"facet-paste", L"Take a paste in one piece", &Keys::Paste, {L"\\e[200~"}},
      {L"facet-suspend", L"Stop the program for a while", &Keys::Suspend, {L"^Z"}},
      {L"facet-complete", L"Complete a command or a file", &Keys::Complete, {L"^I"}},
  };
  for (const Key& key : keys) {
    el_wset(editor_, EL_ADDFN, key.name, key.help, key.function);
    for (const wchar_t* stroke : key.keys)
      el_wset(editor_, EL_BIND, stroke, key.name, static_cast<wchar_t*>(nullptr));
  }
  const std::pair<const wchar_t*, const wchar_t*> known[] = {
      {L"^R", L"em-inc-search-prev"},      {L"^W", L"ed-delete-prev-word"},
      {L"\\e[1~", L"ed-move-to-beg"},      {L"\\e[4~", L"ed-move-to-end"},
      {L"\\e[3~", L"ed-delete-next-char"}, {L"\\e[1;5C", L"em-next-word"},
      {L"\\e[1;5D", L"ed-prev-word"}};
  for (const auto& [stroke, name] : known)
    el_wset(editor_, EL_BIND, stroke, name, static_cast<wchar_t*>(nullptr));
  // Ctrl-C and Ctrl-Z are keys while a line is edited, and signals in between.
  for (const wchar_t* mode : {L"intr=", L"susp="})
    el_wset(editor_, EL_SETTY, L"-d", mode, static_cast<wchar_t*>(nullptr));
}

bool LineEditor::WaitForByte() {
  for (;;) {
    pollfd ready{STDIN_FILENO, POLLIN, 0};
    const int count = poll(&ready, 1, kPollMilliseconds);
    if (resized != 0) {
      resized = 0;
      if (brackets_) std::fputs("\r\033[J", screen_);
      el_resize(editor_);
      el_wset(editor_, EL_REFRESH);
    }
    if (interrupt_.flag()->load()) return false;
    if (count > 0) return true;
    if (count < 0 && errno != EINTR) return true;  // read() reports it
  }
}

int LineEditor::NextCharacter(wchar_t* out) {
  const auto missing = [&] {
    return bytes_.empty() || bytes_.size() < CharacterBytes(static_cast<unsigned char>(bytes_[0]));
  };
  while (missing()) {
    char byte;
    const ssize_t count = read(STDIN_FILENO, &byte, 1);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0 && bytes_.empty()) return static_cast<int>(count);
    if (count <= 0) break;
    bytes_ += byte;
    // A byte that cannot go on ends the attempt: it begins another character.
    if (bytes_.size() > 1 && (static_cast<unsigned char>(byte) & 0xC0) != 0x80) break;
  }
  const Utf8Char c = DecodeUtf8(bytes_, 0);
  if (c.bytes == 0) ++line_.invalid_bytes;
  *out = c.bytes == 0 ? kReplacement : static_cast<wchar_t>(c.code);
  bytes_.erase(0, std::max(1, c.bytes));
  return 1;
}

int LineEditor::ReadCharacter(EditLine* editor, wchar_t* out) {
  LineEditor& self = Keys::Of(editor);
  if (self.bytes_.empty() && !self.WaitForByte()) {
    const bool end = self.interrupt_.signal() == SIGTERM;
    self.interrupt_.Reset();
    *out = kCtrlC;
    return end ? 0 : 1;
  }
  return self.NextCharacter(out);
}

TypedLine LineEditor::Read(const std::string& prompt) {
  prompt_ = prompt;
  line_ = {};
  int count = 0;
  const wchar_t* text = el_wgets(editor_, &count);
  if (line_.kind == TypedLine::Kind::kInterrupted) return std::move(line_);
  if (text == nullptr || count <= 0) return std::move(line_);
  line_.kind = TypedLine::Kind::kText;
  line_.text = Narrow({text, static_cast<size_t>(count)});
  if (line_.text.ends_with('\n')) line_.text.pop_back();
  return std::move(line_);
}

void LineEditor::Remember(const std::string& text) {
  HistEventW event;
  history_w(history_, &event, H_ENTER, Wide(text).c_str());
}

SilentTyping::SilentTyping() {
  termios mode;
  if (tcgetattr(STDIN_FILENO, &mode) != 0) return;
  before_ = mode;
  mode.c_lflag &= ~static_cast<tcflag_t>(ECHO | ICANON);
  tcsetattr(STDIN_FILENO, TCSADRAIN, &mode);
}

SilentTyping::~SilentTyping() {
  if (before_) tcsetattr(STDIN_FILENO, TCSADRAIN, &*before_);
}

}  // namespace facet::cli
