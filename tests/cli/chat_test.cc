// A chat at a terminal: `facet run` behind a pseudoterminal.
#include <poll.h>
#include <pty.h>
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "support/command.h"
#include "support/paths.h"

namespace facet {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char kCtrlC[] = "\x03", kCtrlD[] = "\x04", kAltEnter[] = "\033\r";
const std::string kPasteBegin = "\033[200~", kPasteEnd = "\033[201~";

class ChatTest : public CommandTest {
 protected:
  ~ChatTest() override { End(); }

  // Lines of a scripted model: a question that holds `match` gets `emit`.
  std::string Script(const std::vector<std::pair<std::string, std::string>>& answers) {
    const fs::path path = folder_.path() / "script.jsonl";
    std::string lines;
    for (const auto& [match, emit] : answers) {
      json line = {{"emit", emit + "<turn|>"}};
      if (!match.empty()) line["match"] = match;
      lines += line.dump() + "\n";
    }
    EXPECT_TRUE(WriteFile(path, lines).ok());
    return "script:" + path.string();
  }

  void Start(const std::vector<std::string>& arguments) {
    std::vector<std::string> words = {FacetBinary(), "run"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    winsize size{24, 80, 0, 0};
    child_ = forkpty(&terminal_, nullptr, nullptr, &size);
    ASSERT_GE(child_, 0);
    if (child_ > 0) return Await(">>> ");
    setenv("TERM", terminal_name_.c_str(), 1);
    setenv("LC_ALL", locale_.c_str(), 1);
    execv(argv[0], argv.data());
    _exit(127);
  }

  void Type(const std::string& text) {
    ASSERT_EQ(write(terminal_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }

  // Reads until `text` has come, a minute long. What came before it is gone afterwards.
  void Await(const std::string& text) {
    const std::string seen = ReadUntil(text);
    const size_t at = seen.find(text);
    ASSERT_NE(at, std::string::npos) << "expected: " << text << "\nseen: " << seen;
    unread_ = seen.substr(at + text.size());
  }

  // A command and its answer, up to the next prompt; the answer.
  std::string Say(const std::string& line) {
    Type(line + "\n");
    // A long line is drawn again and again: the prompt that counts is the one that stays.
    std::string seen = ReadUntil("\n>>> ");
    while (seen.rfind("\n>>> ") + 5 != seen.size() && More(seen)) continue;
    More(seen);
    const size_t at = seen.rfind("\n>>> ");
    EXPECT_NE(at, std::string::npos) << "no prompt after: " << line << "\nseen: " << seen;
    if (at == std::string::npos) return seen;
    unread_ = seen.substr(at + 5);
    return seen.substr(0, at);
  }

  // The answer to a question in a conversation of its own.
  std::string SayAlone(const std::string& line) {
    Say("/clear");
    return Say(line);
  }

  // The exit code, within a minute; -1 where it goes on.
  int ExitCode() {
    for (int i = 0; i < 600; ++i) {
      int status = 0;
      pollfd ready{terminal_, POLLIN, 0};
      char buffer[1024];
      if (poll(&ready, 1, 100) > 0 && read(terminal_, buffer, sizeof(buffer)) < 0) usleep(10'000);
      if (waitpid(child_, &status, WNOHANG) == child_) {
        child_ = -1;
        close(terminal_);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      }
    }
    return -1;
  }

  void End() {
    if (child_ <= 0) return;
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
    close(terminal_);
    child_ = -1;
  }

  pid_t child_ = -1;
  std::string terminal_name_ = "xterm", locale_ = "C.UTF-8";

 private:
  // Appends what comes within a fifth of a second; false for nothing.
  bool More(std::string& seen) {
    pollfd ready{terminal_, POLLIN, 0};
    char buffer[4096];
    if (poll(&ready, 1, 200) <= 0) return false;
    const ssize_t n = read(terminal_, buffer, sizeof(buffer));
    if (n > 0) seen.append(buffer, static_cast<size_t>(n));
    return n > 0;
  }

  std::string ReadUntil(const std::string& text) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    std::string seen = std::exchange(unread_, "");
    while (seen.find(text) == std::string::npos && std::chrono::steady_clock::now() < end) {
      pollfd ready{terminal_, POLLIN, 0};
      if (poll(&ready, 1, 1000) == 0) continue;
      char buffer[4096];
      const ssize_t n = read(terminal_, buffer, sizeof(buffer));
      if (n <= 0) break;
      seen.append(buffer, static_cast<size_t>(n));
    }
    return seen;
  }

  int terminal_ = -1;
  std::string unread_;
};

TEST_F(ChatTest, ReadsUtf8WhateverTheLocaleIsCalled) {
  const std::string script = Script({{"Ich bin Zoë, 你好 🙂", "arrived"}, {"", "was lost"}});
  for (const char* locale : {"C", "C.UTF-8", "de_DE.UTF-8"}) {
    for (const char* terminal : {"dumb", "xterm"}) {
      locale_ = locale;
      terminal_name_ = terminal;
      Start({script});
      EXPECT_NE(Say("Ich bin Zoë, 你好 🙂").find("arrived"), std::string::npos)
          << locale << terminal;
      // Edited in the middle: the cursor goes back over the smile, which is one key.
      EXPECT_NE(SayAlone("Ich bin Zoë, 你好 x🙂\033[D\x7f").find("arrived"), std::string::npos)
          << locale << terminal;
      EXPECT_NE(SayAlone(kPasteBegin + "Ich bin Zoë, 你好 🙂" + kPasteEnd).find("arrived"),
                std::string::npos)
          << locale << terminal;
      End();
    }
  }
}

TEST_F(ChatTest, SaysWhatIsNotUtf8) {
  Start({Script({{"a\uFFFDb\uFFFDc", "said"}, {"", "lost"}})});
  const std::string answer =
      Say("a\xFF"
          "b\xC3"
          "c");
  EXPECT_NE(answer.find("2 bytes were not UTF-8"), std::string::npos) << answer;
  EXPECT_NE(answer.find("said"), std::string::npos) << answer;
}

TEST_F(ChatTest, APasteIsOneQuestion) {
  std::string pasted;
  for (int i = 1; i <= 200; ++i) pasted += Cat("line ", i, " of the paste\r");
  Start({Script({{"line 1 of the paste\nline 2 of", "all of it"}, {"", "a part"}})});
  Type(kPasteBegin + pasted + kPasteEnd);
  // It is not sent before the person says so.
  const std::string answer = Say(" What is this?");
  EXPECT_NE(answer.find("all of it"), std::string::npos) << answer;
  EXPECT_EQ(answer.find("a part"), std::string::npos) << answer;
  // Keys inside of a paste are text.
  EXPECT_NE(
      Say(kPasteBegin + "line 1 of the paste\rline 2 of \x03 it" + kPasteEnd).find("all of it"),
      std::string::npos);
}

TEST_F(ChatTest, LinesAreJoinedByBackslashQuotesAndAltEnter) {
  Start({Script({{"one\ntwo", "joined"}, {"", "apart"}})});
  for (const std::string& text :
       {std::string("one\\\ntwo"), std::string("\"\"\"one\ntwo\"\"\""),
        std::string("\"\"\"one\ntwo\n\"\"\""), "one" + std::string(kAltEnter) + "two"})
    EXPECT_NE(SayAlone(text).find("joined"), std::string::npos) << text;
}

TEST_F(ChatTest, CtrlCClearsTheLineAndTwiceLeaves) {
  Start({Script({{"left", "was kept"}, {"", "again"}})});
  Type(std::string("left") + kCtrlC);
  Await("^C");
  Await(">>> ");
  std::string answer = Say("right");
  EXPECT_NE(answer.find("again"), std::string::npos) << answer;
  // In a block it ends the block.
  Type("\"\"\"left\n");
  Await("... ");
  Type(std::string("left") + kCtrlC);
  Await(">>> ");
  answer = Say("right");
  EXPECT_EQ(answer.find("was kept"), std::string::npos) << answer;
  Type(kCtrlC);
  Await("Ctrl-C again, or Ctrl-D, leaves.");
  Await(">>> ");
  EXPECT_NE(Say("right").find("again"), std::string::npos);  // that was another key
  Type(kCtrlC);
  Await("Ctrl-C again");
  Await(">>> ");
  Type(kCtrlC);
  EXPECT_EQ(ExitCode(), 0);
}

TEST_F(ChatTest, CtrlDDeletesInALineAndLeavesOnAnEmptyOne) {
  Start({Script({{"ac", "deleted"}, {"", "kept"}})});
  Type("abc\033[D\033[D");
  EXPECT_NE(Say(kCtrlD).find("deleted"), std::string::npos);
  Type(kCtrlD);
  EXPECT_EQ(ExitCode(), 0);
}

TEST_F(ChatTest, SignalsDoNotLoseTheTalk) {
  Start({Script({{"", "answer"}})});
  EXPECT_NE(Say("question").find("answer"), std::string::npos);
  for (int i = 0; i < 2; ++i) {
    kill(child_, SIGINT);
    Await("Ctrl-C again");
    Await(">>> ");
    EXPECT_NE(Say("question").find("answer"), std::string::npos);
  }
  kill(child_, SIGTERM);
  EXPECT_EQ(ExitCode(), 0);
}

TEST_F(ChatTest, CtrlCStopsAnAnswerAndTheTalkGoesOn) {
  const fs::path script = folder_.path() / "slow.jsonl";
  ASSERT_TRUE(WriteFile(script,
                        R"({"match": "count", "emit": "one two three four five six seven eight )"
                        R"(nine ten eleven twelve<turn|>", "delay_ms": 200})"
                        "\n"
                        R"({"emit": "still here<turn|>"})"
                        "\n")
                  .ok());
  Start({"script:" + script.string()});
  Type("count\n");
  Await("two");
  Type(kCtrlC);
  Await(">>> ");
  const std::string answer = SayAlone("and now?");
  EXPECT_NE(answer.find("still here"), std::string::npos) << answer;
  EXPECT_EQ(answer.find("twelve"), std::string::npos) << answer;
  // Pressed again and again, it does not end the program either.
  Type("count\n");
  Await("two");
  for (int i = 0; i < 5; ++i) kill(child_, SIGINT);
  Await(">>> ");
  EXPECT_NE(SayAlone("x").find("still here"), std::string::npos);
}

TEST_F(ChatTest, AWrongFileDoesNotSpoilTheNextQuestion) {
  const fs::path damaged = folder_.path() / "damaged.png";
  const std::string whole = *ReadFile(Reference("tiny/media/photo.png"));
  ASSERT_TRUE(WriteFile(damaged, whole.substr(0, whole.size() / 2)).ok());
  ASSERT_TRUE(WriteFile(folder_.path() / "text.png", "no picture").ok());
  fs::create_directory(folder_.path() / "folder.png");
  Start({Script({{"", "fine"}})});
  for (const char* name : {"text.png", "folder.png", "missing.png"}) {
    const std::string refused = Say("/image " + (folder_.path() / name).string());
    EXPECT_NE(refused.find("facet: "), std::string::npos) << refused;
    EXPECT_EQ(refused.find("stands before"), std::string::npos) << refused;
  }
  EXPECT_NE(Say("/audio " + damaged.string()).find("facet: "), std::string::npos);
  EXPECT_NE(Say("/image").find("name a file"), std::string::npos);
  // Its header is whole: the question finds out.
  EXPECT_NE(Say("/image " + damaged.string()).find("stands before"), std::string::npos);
  const std::string failed = Say("What is it?");
  EXPECT_NE(failed.find("damaged.png"), std::string::npos) << failed;
  EXPECT_NE(Say("And now?").find("fine"), std::string::npos);
  EXPECT_NE(Say("And again?").find("fine"), std::string::npos);
}

TEST_F(ChatTest, FindsFilesAsTheyAreTypedPastedAndDropped) {
  const fs::path home = folder_.path() / "home";
  fs::create_directory(home);
  for (const char* name : {"a b.png", "it's.png", "ü\"x.png"})
    fs::copy(Reference("tiny/media/photo.png"), home / name);
  setenv("HOME", home.c_str(), 1);
  Start({Script({{"", "fine"}})});
  const std::string at = home.string();
  for (const std::string& typed :
       {at + "/a b.png", at + "/a\\ b.png", "\"" + at + "/a b.png\"", "'" + at + "/a b.png'",
        std::string("~/a b.png"), std::string("~/a\\ b.png"), "file://" + at + "/a%20b.png",
        at + "/it's.png", "\"" + at + "/it's.png\"", at + "/it\\'s.png", at + "/ü\\\"x.png",
        std::string("~/ü\"x.png "), "'" + at + "/a b.png' "}) {
    const std::string answer = Say("/image " + typed);
    EXPECT_NE(answer.find("stands before"), std::string::npos) << typed << "\n" << answer;
  }
  EXPECT_NE(Say("/clear").find("forgotten"), std::string::npos);
  // Tab goes on with what can follow.
  Type("/ima\t~/a\t");
  EXPECT_NE(Say("").find("a b.png stands before"), std::string::npos);
}

TEST_F(ChatTest, CompletesCommandsSettingsAndNames) {
  Start({Script({{"", "fine"}})});
  Type("/re\t");
  EXPECT_NE(Say("").find("There is no answer yet"), std::string::npos);
  Say("/set temp\t0.5");
  Type("/s\t");
  // As /help lists them.
  Await("/system");
  Await("/set");
  Await("/save");
  Type("et\n");
  Await("temperature          0.5");
}

TEST_F(ChatTest, SystemSettingsAndRegenerate) {
  Start({Script({{"Speak like a pirate", "arr"}, {"", "hello"}})});
  EXPECT_NE(Say("Hi").find("hello"), std::string::npos);
  EXPECT_NE(Say("/system").find("no system prompt"), std::string::npos);
  Say("/system Speak like a pirate");
  EXPECT_NE(Say("/regenerate").find("arr"), std::string::npos);
  Say("/system \"\"");
  EXPECT_NE(Say("Hi").find("hello"), std::string::npos);
  for (const auto& [typed, answer] : std::vector<std::pair<std::string, std::string>>{
           {"/set temperature hot", "expected a number"},
           {"/set temperature -1", "from 0 to 100"},
           {"/set temprature 1", "did you mean temperature?"},
           {"/set think maybe", "on, off or auto"},
           {"/set image_budget 100", "70, 140"},
           {"/iamge x", "did you mean /image?"},
           {"/set", "frequency_penalty"}}) {
    const std::string said = Say(typed);
    EXPECT_NE(said.find(answer), std::string::npos) << typed << "\n" << said;
  }
  Say("/set max_tokens 1");
  EXPECT_NE(Say("Hi").find("cut off"), std::string::npos);
  // A question may begin with a path.
  EXPECT_NE(Say("/home/me/notes.txt explain").find("hello"), std::string::npos);
}

TEST_F(ChatTest, ATalkIsKeptAndGoesOn) {
  const std::string script = Script({{"Zoë", "Hello Zoë"}, {"", "?"}});
  const std::string file = (folder_.path() / "my talk.json").string();
  Start({script});
  EXPECT_NE(Say("I am Zoë").find("Hello Zoë"), std::string::npos);
  EXPECT_NE(Say("/save " + file).find("Saved"), std::string::npos);
  EXPECT_NE(Say("/save " + file).find("Saved"), std::string::npos);  // its own file
  Type("/exit\n");
  EXPECT_EQ(ExitCode(), 0);
  // A line of data for tuning, too.
  const json kept = json::parse(*ReadFile(file));
  EXPECT_EQ(kept["messages"][1], (json{{"role", "assistant"}, {"content", "Hello Zoë"}}));

  Start({script});
  EXPECT_NE(Say("/save " + file).find("there already"), std::string::npos);
  EXPECT_NE(Say("/load " + folder_.path().string() + "/none").find("facet: "), std::string::npos);
  EXPECT_NE(Say("/load " + file).find("2 messages"), std::string::npos);
  EXPECT_NE(Say("/regenerate").find("Hello Zoë"), std::string::npos);
  End();
  ASSERT_TRUE(WriteFile(file, R"({"messages": [{"role": "judge", "content": "x"}]})").ok());
  Start({script});
  EXPECT_NE(Say("/load " + file).find("messages[0]: a role of \"judge\""), std::string::npos);
}

TEST_F(ChatTest, AnotherModelGoesOnWithTheTalk) {
  const std::string first = Script({{"", "first"}});
  const fs::path other = folder_.path() / "other.jsonl";
  ASSERT_TRUE(WriteFile(other, R"({"match": "first", "emit": "second<turn|>"})"
                               "\n"
                               R"({"emit": "heard nothing<turn|>"})"
                               "\n")
                  .ok());
  Start({first});
  EXPECT_NE(Say("Hi").find("first"), std::string::npos);
  EXPECT_NE(Say("/model /nowhere").find("/nowhere"), std::string::npos);
  EXPECT_NE(Say("Hi").find("first"), std::string::npos);
  EXPECT_NE(Say("/model script:" + other.string()).find("other answers"), std::string::npos);
  EXPECT_NE(Say("Hi").find("second"), std::string::npos);
}

TEST_F(ChatTest, AnEndlessRepetitionIsStoppedWithAWord) {
  std::string says;
  for (int i = 0; i < 4000; ++i) says += "says ";
  const std::string script = Script({{"", says}});
  Start({script});
  EXPECT_NE(Say("Hi").find("[the answer repeated itself and was stopped"), std::string::npos);
  EXPECT_NE(Say("Hi").find("repeated itself"), std::string::npos);
  const Finished once = Run("run " + script + " Hi --json");
  EXPECT_EQ(once.code, 0) << once.err;
  EXPECT_EQ(json::parse(once.out)["finish_reason"], "repetition");
  EXPECT_NE(once.err.find("repeated itself"), std::string::npos) << once.err;
  // Who says how much gets it.
  const Finished asked = Run("run " + script + " Hi --json --max-tokens 3000");
  EXPECT_EQ(json::parse(asked.out)["finish_reason"], "length") << asked.err;
}

}  // namespace
}  // namespace facet
