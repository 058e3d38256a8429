#include "cli/terminal/chat.h"

#include <cstdio>
#include <filesystem>
#include <iostream>

#include "base/mapped_file.h"
#include "base/text.h"
#include "cli/terminal/answer_view.h"
#include "cli/terminal/conversation_file.h"
#include "cli/terminal/interrupt.h"
#include "cli/terminal/line_editor.h"
#include "cli/terminal/streams.h"
#include "cli/terminal/typed_path.h"
#include "hub/near_name.h"
#include "media/media.h"

namespace facet::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kKeys =
    "A line that ends in \\ goes on in the next; \"\"\" opens and closes a text of lines;\n"
    "Alt-Enter begins a new line. What is pasted is one question. Tab completes\n"
    "commands and files. Ctrl-C stops an answer or clears the line; twice, or Ctrl-D,\n"
    "leaves. Nothing is kept but what you /save.\n";

void Say(const std::string& text) {
  PrintError("%s\n", text.c_str());
}

void SayError(const Error& error) {
  Say("facet: " + error.message);
}

bool IsBlank(std::string_view text) {
  return Trim(text).empty();
}

// A file that cannot be what its command says is refused before it is asked about.
Result<void> CheckMediaFile(const fs::path& path, std::string_view type) {
  std::error_code code;
  if (!fs::exists(path, code))
    return Error{Cat(path.string(), ": no such file"), ErrorKind::kNotFound};
  if (!fs::is_regular_file(path, code))
    return Error{Cat(path.string(), ": not a file"), ErrorKind::kInvalid};
  FACET_ASSIGN(const MappedFile file, MappedFile::Open(path));
  const auto probe = [&]() -> Result<void> {
    if (type == "image") {
      FACET_TRY(media::ProbePicture(file.bytes()));
    } else if (type == "audio") {
      FACET_TRY(media::ProbeSound(file.bytes()));
    } else {
      FACET_TRY(media::ProbeFilm(file.bytes()));
    }
    return Ok();
  };
  if (const auto probed = probe(); !probed.ok()) return probed.error().In(path.string());
  return Ok();
}

class Chat {
 public:
  Chat(ChatModel model, const ChatOptions& options)
      : options_(options),
        model_(std::move(model.model)),
        name_(options.name),
        system_(options.system),
        media_(options.media.is_null() ? json::array() : options.media),
        editor_([](std::string_view line) { return Complete(line); }, interrupt_) {
    settings_.reply = std::move(model.reply);
    settings_.stats = options.stats;
    Names() = options.names;
    Clear();
  }

  Result<void> Loop() {
    Say(Cat(model_->id, ". /help lists what you can type."));
    SayWhatTheModelLacks();
    while (!left_) {
      interrupt_.Reset();
      const std::optional<std::string> text = ReadQuestion();
      if (!text) continue;
      if (IsCommand(*text)) {
        RunCommand(*text);
      } else if (!IsBlank(*text) || !media_.empty()) {
        AskQuestion(*text);
      }
    }
    return Ok();
  }

 private:
  struct Command {
    const char *name, *argument, *help;
    void (Chat::*run)(const std::string& argument);
  };
  static const std::vector<Command>& Commands();

  // --- Reading

  // A line; nothing where it was interrupted, or the person leaves.
  std::optional<std::string> ReadLine(const char* prompt, bool alone) {
    TypedLine line = editor_.Read(prompt);
    if (line.kind == TypedLine::Kind::kEnd) {
      Say("");
      left_ = true;
      return std::nullopt;
    }
    if (line.kind == TypedLine::Kind::kInterrupted) {
      const bool nothing = alone && line.text.empty();
      left_ = nothing && warned_;
      if (nothing && !left_) Say("Ctrl-C again, or Ctrl-D, leaves.");
      warned_ = nothing;
      return std::nullopt;
    }
    warned_ = false;
    if (line.invalid_bytes > 0) {
      Say(Cat(line.invalid_bytes, line.invalid_bytes == 1 ? " byte was" : " bytes were",
              " not UTF-8: U+FFFD stands there instead."));
    }
    return std::move(line.text);
  }

  // A question: one line, lines joined by a backslash, or a block between triple quotes.
  std::optional<std::string> ReadQuestion() {
    std::optional<std::string> text = ReadLine(">>> ", true);
    if (!text) return text;
    const auto read_on = [&](std::string begun) -> bool {
      const auto line = ReadLine("... ", false);
      if (line) text = begun + "\n" + *line;
      return line.has_value();
    };
    if (text->starts_with("\"\"\"")) {
      while (text->size() < 6 || !text->ends_with("\"\"\"")) {
        if (!read_on(*text)) return std::nullopt;
      }
      text = text->substr(3, text->size() - 6);
    } else {
      while (text->ends_with('\\')) {
        if (!read_on(text->substr(0, text->size() - 1))) return std::nullopt;
      }
    }
    if (!IsBlank(*text)) editor_.Remember(*text);
    return text;
  }

  // A question may begin with a path: /home/me/notes.txt is no command.
  static bool IsCommand(const std::string& text) {
    if (!text.starts_with('/') || text.find('\n') != std::string::npos) return false;
    return text.substr(1, text.find(' ') - 1).find('/') == std::string::npos;
  }

  static std::vector<std::string>& Names() {
    static std::vector<std::string> names;
    return names;
  }

  static Completions Complete(std::string_view line) {
    Completions out;
    if (!line.starts_with('/')) return out;
    const size_t blank = line.find(' ');
    const auto add = [&](const std::vector<std::string>& words) {
      for (const std::string& word : words)
        if (word.starts_with(line.substr(out.begin))) out.words.push_back(word);
    };
    if (blank == line.npos) {
      std::vector<std::string> names;
      for (const Command& command : Commands())
        names.push_back(Cat(command.name, *command.argument == 0 ? "" : " "));
      add(names);
      return out;
    }
    const std::string_view name = line.substr(0, blank);
    out.begin = std::min(line.find_first_not_of(' ', blank), line.size());
    if (name == "/set") {
      std::vector<std::string> names = SettingNames();
      for (std::string& setting : names) setting += ' ';
      add(names);
    }
    if (name == "/model") add(Names());
    if (name == "/image" || name == "/audio" || name == "/video" || name == "/save" ||
        name == "/load") {
      out.words = CompletePath(line.substr(out.begin));
    }
    return out;
  }

  // --- Commands

  void RunCommand(const std::string& line) {
    const size_t blank = std::min(line.find(' '), line.size());
    const std::string name = line.substr(0, blank), rest(Trim(line.substr(blank)));
    std::vector<std::string> known;
    for (const Command& command : Commands()) {
      if (name == command.name) return (this->*command.run)(rest);
      known.emplace_back(command.name);
    }
    if (name == "/bye" || name == "/quit") return Leave("");
    if (name == "/?") return Help("");
    const auto near = NearestName(name, known);
    Say(Cat(name, ": no such command",
            near ? Cat("; did you mean ", *near, "?") : "; /help lists them."));
  }

  void Leave(const std::string&) { left_ = true; }

  void Help(const std::string&) {
    for (const Command& command : Commands()) {
      PrintError("%-22s %s\n", Cat(command.name, " ", command.argument).c_str(), command.help);
    }
    std::fputs(kKeys, stderr);
  }

  void Clear() {
    messages_ = json::array();
    note_.clear();
    if (!system_.empty()) messages_.push_back({{"role", "system"}, {"content", system_}});
    media_ = options_.media.is_null() || asked_ ? json::array() : options_.media;
  }

  void ClearAll(const std::string&) {
    asked_ = true;
    Clear();
    Say("The conversation is forgotten.");
  }

  void Attach(const std::string& type, const std::string& typed) {
    if (typed.empty()) return Say(Cat("/", type, " FILE: name a file."));
    const bool taken =
        type == "audio" ? model_->config.audio.has_value() : model_->config.vision.has_value();
    if (!taken)
      return Say(Cat("facet: ", model_->id, " does not take this: it reads ", Readable()));
    const fs::path path = TypedPath(typed);
    if (const auto checked = CheckMediaFile(path, type); !checked.ok())
      return SayError(checked.error());
    std::error_code code;
    media_.push_back({{"type", type}, {"path", fs::absolute(path, code).string()}});
    Say(Cat(path.string(), " stands before the next question."));
  }
  std::string Readable() const {
    std::string out;
    for (const std::string& modality : model_->Modalities())
      out += (out.empty() ? "" : ", ") + modality;
    return out;
  }
  void AttachImage(const std::string& typed) { Attach("image", typed); }
  void AttachAudio(const std::string& typed) { Attach("audio", typed); }
  void AttachVideo(const std::string& typed) { Attach("video", typed); }

  // The system prompt counts from the next question on; what was said stays.
  void System(const std::string& text) {
    if (text.empty()) {
      return Say(system_.empty() ? "There is no system prompt. /system TEXT sets one."
                                 : Cat(system_, "\n(/system \"\" takes it away)"));
    }
    system_ = text == "\"\"" ? "" : text;
    if (!messages_.empty() && messages_[0]["role"] == "system") messages_.erase(0);
    if (!system_.empty()) {
      const json message = {{"role", "system"}, {"content", system_}};
      messages_.insert(messages_.begin(), message);
    }
    Say(system_.empty() ? "There is no system prompt any more."
                        : "The system prompt holds from the next question on.");
  }

  void Set(const std::string& text) {
    if (text.empty()) {
      PrintError("%s", ShowSettings(settings_).c_str());
      return;
    }
    const size_t blank = std::min(text.find(' '), text.size());
    const std::string name = text.substr(0, blank), value(Trim(text.substr(blank)));
    const auto changed =
        ChangeSetting(name, value, static_cast<int>(model_->engine->vocab()), settings_);
    if (!changed.ok()) SayError(changed.error());
  }

  void Save(const std::string& typed) {
    if (typed.empty()) return Say("/save FILE: name a file.");
    const fs::path path = TypedPath(typed);
    std::error_code code;
    if (fs::exists(path, code) && !(fs::exists(file_, code) && fs::equivalent(path, file_, code)))
      return Say(Cat("facet: ", path.string(), ": is there already; name another file"));
    const auto saved = SaveConversation(path, messages_, model_->id);
    if (!saved.ok()) return SayError(saved.error());
    file_ = path;
    Say(Cat("Saved to ", path.string(), ". /load ", path.string(), " goes on from here."));
  }

  void Load(const std::string& typed) {
    if (typed.empty()) return Say("/load FILE: name a file.");
    const fs::path path = TypedPath(typed);
    auto loaded = LoadConversation(path);
    if (!loaded.ok()) return SayError(loaded.error());
    messages_ = std::move(*loaded);
    const bool system = !messages_.empty() && messages_[0]["role"] == "system" &&
                        messages_[0]["content"].is_string();
    system_ = system ? messages_[0]["content"].get<std::string>() : "";
    file_ = path;
    Say(Cat(messages_.size(), " messages; the conversation goes on from here."));
  }

  void Regenerate(const std::string&) {
    json before = messages_;
    if (before.empty() || before.back()["role"] != "assistant")
      return Say("There is no answer yet.");
    before.erase(before.size() - 1);
    ++settings_.reply.sampling.seed;  // else it would be the same answer
    if (settings_.reply.sampling.greedy())
      Say("(The likeliest answer is always the same: /set temperature 1 lets it vary.)");
    Answer(before);
  }

  void Model(const std::string& name) {
    if (name.empty()) {
      std::string list;
      for (const std::string& known : Names()) list += " " + known;
      return Say(Cat(model_->id, " answers. /model NAME changes it:", list));
    }
    model_.reset();  // two may not fit
    auto loaded = options_.load(name);
    const bool changed = loaded.ok();
    if (!changed) {
      SayError(loaded.error());
      loaded = options_.load(name_);
      if (!loaded.ok()) {
        SayError(loaded.error());
        left_ = true;
        return;
      }
    }
    model_ = loaded->model;
    if (!changed) return;
    name_ = name;
    settings_.reply = loaded->reply;
    Say(Cat(model_->id, " answers from here on, with its own settings."));
    SayWhatTheModelLacks();
  }

  // --- Asking

  void SayWhatTheModelLacks() const {
    if (model_->chat_template == nullptr && !model_->template_damaged)
      Say("It has no chat template: it does not answer, but continues the text so far with yours.");
  }

  void AskQuestion(const std::string& text) {
    const std::string whole = note_.empty() ? text : note_ + "\n\n" + text;
    json content = whole;
    if (!media_.empty()) {
      content = media_;
      if (!whole.empty()) content.push_back({{"type", "text"}, {"text", whole}});
    }
    json attempt = messages_;
    attempt.push_back({{"role", "user"}, {"content", content}});
    const bool files = !media_.empty();
    asked_ = true;
    // Whatever comes of it, the next question does not bring these files again.
    media_ = json::array();
    if (!Answer(attempt) && files) Say("The question and its files are left out.");
  }

  // As Answer, with the programs that the model writes.
  bool AnswerWithPython(const json& attempt) {
    Result<PythonTurn> turn = Error{};
    {
      const SilentTyping silent;
      turn = options_.python->Ask(*model_, attempt, settings_.reply, python_, interrupt_.flag());
    }
    python_.End();
    if (interrupt_.signal() == SIGTERM) left_ = true;
    if (!turn.ok()) {
      SayError(turn.error());
      return false;
    }
    if (settings_.stats) Say(DescribeSpeed(turn->reply.end));
    messages_ = std::move(turn->messages);
    note_ = std::move(turn->note);
    return true;
  }

  // Lets the model answer `attempt`; the conversation is as before where that fails.
  bool Answer(const json& attempt) {
    if (options_.python != nullptr) return AnswerWithPython(attempt);
    TerminalView view;
    Result<Reply> reply = Error{};
    {
      const SilentTyping silent;
      reply = Ask(*model_, attempt, settings_.reply, view, interrupt_.flag());
    }
    view.End();
    if (interrupt_.signal() == SIGTERM) left_ = true;
    if (!reply.ok()) {
      SayError(reply.error());
      return false;
    }
    for (const json& call : reply->tool_calls) {
      Say(Cat("[asks for ", call["name"].get<std::string>(), "(",
              call["arguments"].get<std::string>(), ")]"));
    }
    if (reply->end.reason == AnswerEnd::Reason::kLength) Say("[the answer was cut off]");
    if (reply->repeats) Say(Cat("[", kStoppedRepetition, "]"));
    if (settings_.stats) Say(DescribeSpeed(reply->end));
    const bool nothing =
        reply->end.reason == AnswerEnd::Reason::kCancelled && IsBlank(reply->content);
    if (nothing) return true;  // stopped before it said anything
    messages_ = attempt;
    messages_.push_back({{"role", "assistant"}, {"content", reply->content}});
    return true;
  }

  const ChatOptions& options_;
  InterruptFlag interrupt_{InterruptFlag::Second::kSetsTheFlag};
  std::shared_ptr<const LoadedModel> model_;
  ChatSettings settings_;
  std::string name_;  // of the model, as it was typed
  std::string system_;
  json messages_, media_;
  TerminalPython python_{options_.python_flags, false, interrupt_.flag()};
  std::string note_;     // of the last program, for the next question
  fs::path file_;        // of /save and /load
  bool asked_ = false;   // the files of the command line were used
  bool warned_ = false;  // Ctrl-C on an empty line was the last that came
  bool left_ = false;
  LineEditor editor_;
};

const std::vector<Chat::Command>& Chat::Commands() {
  static const std::vector<Command> commands = {
      {"/image", "FILE", "put a picture before the next question", &Chat::AttachImage},
      {"/audio", "FILE", "put sound before it", &Chat::AttachAudio},
      {"/video", "FILE", "put a film before it", &Chat::AttachVideo},
      {"/system", "[TEXT]", "show or set the system prompt", &Chat::System},
      {"/set", "[NAME VALUE]", "show or change how answers are made", &Chat::Set},
      {"/regenerate", "", "answer the last question again", &Chat::Regenerate},
      {"/save", "FILE", "keep the conversation in a file", &Chat::Save},
      {"/load", "FILE", "go on with one that was kept", &Chat::Load},
      {"/model", "[NAME]", "go on with another model", &Chat::Model},
      {"/clear", "", "forget the conversation", &Chat::ClearAll},
      {"/help", "", "this text", &Chat::Help},
      {"/exit", "", "leave, as Ctrl-D does", &Chat::Leave},
  };
  return commands;
}

}  // namespace

Result<void> ChatAtTerminal(ChatModel model, const ChatOptions& options) {
  return Chat(std::move(model), options).Loop();
}

}  // namespace facet::cli
