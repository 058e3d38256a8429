// `facet run --python` and `facet sandbox`, with models that play a script: what is asked, what
// runs, what goes back to the model, and what is left on disk.
#include <poll.h>
#include <pty.h>
#include <signal.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "support/command.h"
#include "support/namespaces.h"

namespace facet {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Writes a PNG of 4 x 3 pixels without any library.
constexpr const char* kDraw =
    "import struct, zlib\n"
    "def chunk(kind, data):\n"
    "    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + "
    "data))\n"
    "with open('plot-1.png', 'wb') as out:\n"
    "    out.write(b'\\x89PNG\\r\\n\\x1a\\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', 4, 3, 8, 2, "
    "0, 0, 0)))\n"
    "    out.write(chunk(b'IDAT', zlib.compress((b'\\0' + b'\\x10\\x80\\xf0' * 4) * 3)) + "
    "chunk(b'IEND', b''))\n";

class PythonCommand : public CommandTest {
 protected:
  void SetUp() override {
    FACET_NEEDS_NAMESPACES();
    fs::create_directories(here());
  }

  fs::path here() const { return folder_.path() / "here"; }

  void Script(const std::vector<json>& lines) const {
    std::string text;
    for (const json& line : lines) text += line.dump() + "\n";
    ASSERT_TRUE(WriteFile(folder_.path() / "script.jsonl", text).ok());
  }
  static std::string Fenced(const std::string& program) {
    return "Here it is.\n```python\n" + program + "\n```\n<turn|>";
  }
  static std::string Call(const std::string& program) {
    return "<|tool_call>call:python{code:<|\"|>" + program + "<|\"|>}<tool_call|><|tool_response>";
  }

  // In a folder of its own.
  Finished RunHere(const std::string& arguments, const std::string& input = "") const {
    const auto in = folder_.path() / "in", err = folder_.path() / "err";
    std::ofstream(in, std::ios::binary | std::ios::trunc) << input;
    const std::string command = "cd " + here().string() + " && " + FacetBinary() + " " + arguments +
                                " < " + in.string() + " 2> " + err.string();
    Finished finished;
    FILE* pipe = popen(command.c_str(), "r");
    char buffer[4096];
    for (size_t n; (n = fread(buffer, 1, sizeof(buffer), pipe)) > 0;)
      finished.out.append(buffer, n);
    finished.code = WEXITSTATUS(pclose(pipe));
    finished.err = *ReadFile(err);
    return finished;
  }
  Finished Ask(const std::string& options) const {
    return RunHere("run script:" + (folder_.path() / "script.jsonl").string() + " --python " +
                   options + " 'Please compute.'");
  }
};

TEST_F(PythonCommand, RunsABlockAndWritesItsPicture) {
  Script({{{"emit", Fenced(std::string(kDraw) + "print('drawn')")}}});
  Finished done = Ask("--yes");
  EXPECT_EQ(done.code, 0) << done.err;
  EXPECT_NE(done.out.find("drawn"), std::string::npos) << done.out;
  EXPECT_NE(done.err.find("[wrote plot-1.png, 4x3]"), std::string::npos) << done.err;
  EXPECT_EQ(ReadFile(here() / "plot-1.png")->substr(1, 3), "PNG");
  EXPECT_EQ(done.out.find("\033"), std::string::npos);  // no terminal, no picture in the output
  done = Ask("--yes");
  EXPECT_NE(done.err.find("[wrote plot-2.png, 4x3]"), std::string::npos) << done.err;
}

TEST_F(PythonCommand, GivesTheOutputOfACallBackToTheModel) {
  Script({{{"match", "response:python.*the sum is 42"}, {"emit", "It is 42.<turn|>"}},
          {{"match", "declaration:python"}, {"emit", Call("print(\"the sum is\", 6 * 7)")}},
          {{"emit", "There is no tool.<turn|>"}}});
  const Finished done = Ask("--yes");
  EXPECT_EQ(done.code, 0) << done.err;
  EXPECT_NE(done.out.find("It is 42."), std::string::npos) << done.out << done.err;
  EXPECT_NE(done.err.find("print(\"the sum is\", 6 * 7)"), std::string::npos) << done.err;
}

// A model that sees gets the plot behind the result.
TEST_F(PythonCommand, ShowsThePictureToTheModel) {
  Script({{{"match", "Shown to the person: plot-1.png \\(4x3\\).*<\\|image"},
           {"emit", "I see it.<turn|>"}},
          {{"match", "Shown to the person"}, {"emit", "It is not shown to me.<turn|>"}},
          {{"emit", Call(kDraw)}}});
  const Finished done = Ask("--yes");
  EXPECT_EQ(done.code, 0) << done.err;
  EXPECT_NE(done.out.find("I see it."), std::string::npos) << done.out << done.err;
  EXPECT_TRUE(fs::exists(here() / "plot-1.png"));
}

TEST_F(PythonCommand, AnErrorGoesBackForAnotherTry) {
  Script({{{"match", "KeyError.*corrected"}, {"emit", Fenced("print('mended')")}},
          {{"emit", Fenced("{}['site']")}}});
  const Finished done = Ask("--yes");
  EXPECT_EQ(done.code, 0) << done.err;
  EXPECT_NE(done.out.find("mended"), std::string::npos) << done.out;
  EXPECT_NE(done.err.find("KeyError: 'site'"), std::string::npos) << done.err;
  EXPECT_NE(done.err.find("try 2 of 3"), std::string::npos) << done.err;
}

TEST_F(PythonCommand, GivesUpAfterTheTries) {
  Script({{{"emit", Fenced("open('attempts', 'a')\nraise ValueError('again')")}}});
  const Finished three = Ask("--yes");
  EXPECT_EQ(three.code, 1);
  EXPECT_NE(three.err.find("[the program failed 3 times]"), std::string::npos) << three.err;
  EXPECT_NE(three.err.find("facet: the program failed: ValueError: again"), std::string::npos);
  const Finished one = Ask("--yes --python-tries 1 --json");
  EXPECT_EQ(one.code, 1);
  const json answer = json::parse(one.out, nullptr, false);
  ASSERT_EQ(answer["python"].size(), 1u) << one.out;
  EXPECT_EQ(answer["python"][0]["why"], "ValueError: again");
}

TEST_F(PythonCommand, NothingRunsWithoutAPersonOrYes) {
  Script({{{"emit", Fenced("print('it ran')")}}});
  const Finished done = Ask("");
  EXPECT_EQ(done.code, 1);
  EXPECT_EQ(done.out.find("\nit ran"), std::string::npos) << done.out;
  EXPECT_NE(done.err.find("--yes was not given"), std::string::npos) << done.err;
  EXPECT_EQ(RunHere("run script:x --yes hello").code, 2);  // --yes is Python's alone
}

TEST_F(PythonCommand, AnAnswerWithoutAProgramIsAnAnswer) {
  Script({{{"emit", "Just words, and ```js\ncode()\n```\n<turn|>"}}});
  const Finished done = Ask("");
  EXPECT_EQ(done.code, 0) << done.err;
  EXPECT_NE(done.out.find("Just words"), std::string::npos);
}

TEST_F(PythonCommand, FilesComeFromAndGoToTheFolder) {
  const fs::path data = folder_.path() / "data";
  fs::create_directories(data);
  ASSERT_TRUE(WriteFile(data / "reef.csv", "4\n7\n").ok());
  Script({{{"match", "reef.csv"},
           {"emit",
            Fenced("n = sum(map(int, open('reef.csv')))\nopen('sum.txt', 'w').write(str(n))\n" +
                   std::string(kDraw))}},
          {{"emit", "No file was named.<turn|>"}}});
  const Finished done = Ask("--yes --python-folder " + data.string());
  EXPECT_EQ(done.code, 0) << done.err;
  EXPECT_EQ(*ReadFile(data / "sum.txt"), "11");
  EXPECT_TRUE(fs::exists(data / "plot-1.png"));
  EXPECT_FALSE(fs::exists(here() / "plot-1.png"));
  for (const char* wide : {"/", "~"})
    EXPECT_EQ(Ask(std::string("--yes --python-folder ") + wide).code, 1) << wide;
}

TEST_F(PythonCommand, SandboxSaysWhatIsThereAndRunsFiles) {
  EXPECT_EQ(RunHere("sandbox").out.substr(0, 7), "Python ");
  const json report = json::parse(RunHere("sandbox --json").out, nullptr, false);
  EXPECT_TRUE(report.contains("packages")) << report;
  const Finished fine = RunHere("sandbox -", "print(2 + 3)");
  EXPECT_EQ(fine.code, 0) << fine.err;
  EXPECT_EQ(fine.out, "5\n");
  const Finished wrong = RunHere("sandbox - --seconds 0.5", "while True: pass");
  EXPECT_EQ(wrong.code, 1);
  EXPECT_NE(wrong.err.find("It took longer than 0.5 s."), std::string::npos) << wrong.err;
  const Finished missing = RunHere("sandbox", "");
  setenv("FACET_PYTHON", "/no/such/python", 1);
  const Finished off = RunHere("sandbox");
  unsetenv("FACET_PYTHON");
  EXPECT_EQ(off.code, 1);
  EXPECT_NE(off.err.find("Python is off: "), std::string::npos) << off.err;
}

// --- At a terminal.

class PythonTerminal : public PythonCommand {
 protected:
  ~PythonTerminal() override {
    if (child_ <= 0) return;
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
    close(terminal_);
  }

  void Start(const std::string& term) {
    const std::string model = "script:" + (folder_.path() / "script.jsonl").string();
    child_ = forkpty(&terminal_, nullptr, nullptr, nullptr);
    ASSERT_GE(child_, 0);
    if (child_ > 0) return;
    if (chdir(here().c_str()) != 0) _exit(126);
    setenv("TERM", term.c_str(), 1);
    for (const char* name : {"TERM_PROGRAM", "LC_TERMINAL", "KITTY_WINDOW_ID", "TMUX"})
      unsetenv(name);
    execl(FacetBinary().c_str(), "facet", "run", model.c_str(), "--python", "Draw", nullptr);
    _exit(127);
  }
  void Type(const std::string& text) const {
    ASSERT_EQ(write(terminal_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  // Whether the text comes within a minute; what was seen before it is kept.
  bool Await(const std::string& text) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (std::chrono::steady_clock::now() < end) {
      if (seen_.find(text) != std::string::npos) return true;
      pollfd ready{terminal_, POLLIN, 0};
      if (poll(&ready, 1, 1000) == 0) continue;
      char buffer[4096];
      const ssize_t n = read(terminal_, buffer, sizeof(buffer));
      if (n <= 0) return seen_.find(text) != std::string::npos;
      seen_.append(buffer, static_cast<size_t>(n));
    }
    return false;
  }

  std::string seen_;
  pid_t child_ = -1;
  int terminal_ = -1;
};

TEST_F(PythonTerminal, AsksAndShowsThePictureWhereTheTerminalCan) {
  Script({{{"emit", Fenced(kDraw)}}});
  Start("xterm-kitty");
  ASSERT_TRUE(Await("[y = yes")) << seen_;
  EXPECT_NE(seen_.find("import struct"), std::string::npos);
  EXPECT_FALSE(fs::exists(here() / "plot-1.png"));
  Type("y\n");
  EXPECT_TRUE(Await("[wrote plot-1.png, 4x3]")) << seen_;
  EXPECT_NE(seen_.find("\033_Ga=T,f=100,m=0;"), std::string::npos) << seen_;
}

TEST_F(PythonTerminal, AsksTheTerminalForSixel) {
  Script({{{"emit", Fenced(kDraw)}}});
  Start("xterm");
  ASSERT_TRUE(Await("[y = yes")) << seen_;
  Type("y\n");
  ASSERT_TRUE(Await("\033[c")) << seen_;
  Type("\033[?62;4;22c");
  EXPECT_TRUE(Await("[wrote plot-1.png, 4x3]")) << seen_;
  EXPECT_NE(seen_.find("\033Pq\"1;1;4;3"), std::string::npos) << seen_;
}

TEST_F(PythonTerminal, NoIsNo) {
  Script({{{"emit", Fenced(kDraw)}}});
  Start("dumb");
  ASSERT_TRUE(Await("[y = yes")) << seen_;
  Type("\n");
  int status = 0;
  while (Await("\x01never")) {
  }
  waitpid(child_, &status, 0);
  child_ = -1;
  close(terminal_);
  EXPECT_EQ(WEXITSTATUS(status), 0) << seen_;
  EXPECT_FALSE(fs::exists(here() / "plot-1.png"));
}

// What a program hides from the eye is shown before it is allowed.
TEST_F(PythonTerminal, ShowsWhatWouldNotBeSeen) {
  Script({{{"emit", Fenced("print('x')\033[2K\033[1A # \u202e")}}});
  Start("dumb");
  ASSERT_TRUE(Await("[y = yes")) << seen_;
  EXPECT_NE(seen_.find("\\x1B[2K"), std::string::npos) << seen_;
  EXPECT_NE(seen_.find("\\u202E"), std::string::npos) << seen_;
  EXPECT_EQ(seen_.find("\033[2K"), std::string::npos) << seen_;
}

}  // namespace
}  // namespace facet
