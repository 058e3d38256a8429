#include "cli/terminal/chat.h"

#include <editline/readline.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "base/text.h"
#include "cli/terminal/interrupt.h"
#include "cli/terminal/streams.h"

namespace facet::cli {
namespace {

using nlohmann::json;

constexpr const char* kHelp =
    "/image FILE  /audio FILE  /video FILE   put a file before the next question\n"
    "/clear                                  forget the conversation\n"
    "/help                                   this text\n"
    "/exit, or Ctrl-D                        leave\n"
    "A line that ends in \\ continues on the next; \"\"\" opens and closes a text of several "
    "lines. Ctrl-C stops "
    "an answer.\n";

// One line from the person; nothing at the end of input.
std::optional<std::string> ReadLine(const char* prompt) {
  char* line = readline(prompt);
  if (line == nullptr) return std::nullopt;
  std::string text = line;
  std::free(line);
  return text;
}

// A question: one line, lines joined by a backslash, or a block between triple quotes.
std::optional<std::string> ReadQuestion() {
  std::optional<std::string> line = ReadLine(">>> ");
  if (!line) return std::nullopt;
  std::string text;
  if (line->starts_with("\"\"\"")) {
    std::string block = line->substr(3);
    while (!block.ends_with("\"\"\"")) {
      line = ReadLine("... ");
      if (!line) return std::nullopt;
      block += "\n" + *line;
    }
    text = block.substr(0, block.size() - 3);
  } else {
    while (line && line->ends_with('\\')) {
      text += line->substr(0, line->size() - 1) + "\n";
      line = ReadLine("... ");
    }
    text += line.value_or("");
  }
  if (text.find_first_not_of(" \t\n") != std::string::npos) add_history(text.c_str());
  return text;
}

class Chat {
 public:
  Chat(const LoadedModel& model, const ChatOptions& options)
      : model_(model), options_(options), media_(options.media) {
    Clear();
  }

  Result<void> Loop() {
    PrintError("%s. /help lists what you can type.\n", model_.id.c_str());
    while (const std::optional<std::string> text = ReadQuestion()) {
      if (text->starts_with("/")) {
        if (!RunCommand(*text)) return Ok();
      } else if (text->find_first_not_of(" \t\n") != std::string::npos || !media_.empty()) {
        AskQuestion(*text);
      }
    }
    std::fputs("\n", stderr);
    return Ok();
  }

 private:
  void Clear() {
    messages_ = json::array();
    if (!options_.system.empty())
      messages_.push_back({{"role", "system"}, {"content", options_.system}});
  }

  // False where the person wants to leave.
  bool RunCommand(const std::string& line) {
    const std::string name = line.substr(0, line.find(' '));
    const std::string rest(Trim(std::string_view(line).substr(name.size()), " "));
    if (name == "/exit" || name == "/bye" || name == "/quit") return false;
    if (name == "/clear") {
      Clear();
      media_ = json::array();
      std::fputs("The conversation is forgotten.\n", stderr);
    } else if (name == "/image" || name == "/audio" || name == "/video") {
      if (access(rest.c_str(), R_OK) != 0) {
        PrintError("%s: cannot be read\n", rest.empty() ? name.c_str() : rest.c_str());
      } else {
        media_.push_back(
            {{"type", name.substr(1)}, {"path", std::filesystem::absolute(rest).string()}});
        PrintError("%s is attached to the next question.\n", rest.c_str());
      }
    } else {
      if (name != "/help") PrintError("%s: no such command\n", name.c_str());
      std::fputs(kHelp, stderr);
    }
    return true;
  }

  void AskQuestion(const std::string& text) {
    json content = text;
    if (!media_.empty()) {
      content = media_;
      if (!text.empty()) content.push_back({{"type", "text"}, {"text", text}});
    }
    json attempt = messages_;
    attempt.push_back({{"role", "user"}, {"content", content}});
    const InterruptFlag interrupt;
    TerminalView view;
    const Result<Reply> reply = Ask(model_, attempt, options_.reply, view, interrupt.flag());
    view.End();
    if (!reply.ok()) {
      // The question is dropped: the conversation continues as if it had not been asked.
      PrintError("facet: %s\n", reply.error().message.c_str());
      return;
    }
    for (const json& call : reply->tool_calls) {
      PrintError("[asks for %s(%s)]\n", call["name"].get<std::string>().c_str(),
                 call["arguments"].get<std::string>().c_str());
    }
    attempt.push_back({{"role", "assistant"}, {"content", reply->content}});
    messages_ = std::move(attempt);
    media_ = json::array();
    if (reply->end.reason == AnswerEnd::Reason::kLength)
      std::fputs("[the answer was cut off]\n", stderr);
    if (options_.stats) PrintError("%s\n", DescribeSpeed(reply->end).c_str());
  }

  const LoadedModel& model_;
  const ChatOptions& options_;
  json messages_, media_;
};

}  // namespace

TerminalView::TerminalView(bool quiet)
    : quiet_(quiet), color_(isatty(STDOUT_FILENO) != 0), start_(Clock::now()) {}

void TerminalView::OnPrompt(int read, int total) {
  const double elapsed = SecondsSince(start_);
  if (read <= 0 || elapsed < 1.0) return;
  const auto left = static_cast<int64_t>(elapsed * (total - read) / read + 0.5);
  progress_.Draw(Cat("reading ", read, " of ", total, " tokens, ", HumanSeconds(left), " left"));
}

void TerminalView::OnReasoning(const std::string& text) {
  progress_.Clear();
  if (quiet_) return;
  if (color_ && !thinking_) std::fputs("\033[2m", stdout);
  thinking_ = true;
  std::cout << text << std::flush;
  if (!text.empty()) last_ = text.back();
}

void TerminalView::OnContent(const std::string& text) {
  progress_.Clear();
  if (quiet_) return;
  if (thinking_) {
    if (color_) std::fputs("\033[0m", stdout);
    if (last_ != '\n') std::fputs("\n", stdout);
    std::fputs("\n", stdout);
  }
  thinking_ = false;
  std::cout << text << std::flush;
  if (!text.empty()) last_ = text.back();
}

void TerminalView::End() {
  progress_.Clear();
  if (quiet_) return;
  if (thinking_ && color_) std::fputs("\033[0m", stdout);
  if (last_ != '\n') std::fputs("\n", stdout);
  std::fflush(stdout);
}

Result<void> ChatAtTerminal(const LoadedModel& model, const ChatOptions& options) {
  return Chat(model, options).Loop();
}

}  // namespace facet::cli
