// What a terminal gets: text, and of control sequences those of the program alone. And what is
// given in place of a file.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "support/command.h"

namespace facet {
namespace {

class Terminal : public CommandTest {
 protected:
  // All that a terminal shows of the program, whose stdout and stderr it is.
  static std::string Show(const std::string& arguments) {
    const int main = posix_openpt(O_RDWR | O_NOCTTY);
    EXPECT_TRUE(main >= 0 && grantpt(main) == 0 && unlockpt(main) == 0);
    const std::string name = ptsname(main);
    const pid_t child = fork();
    if (child == 0) {
      setsid();
      const int terminal = open(name.c_str(), O_RDWR);
      dup2(terminal, STDOUT_FILENO);
      dup2(terminal, STDERR_FILENO);
      const std::string line = FacetBinary() + " " + arguments + " < /dev/null";
      execl("/bin/sh", "sh", "-c", line.c_str(), nullptr);
      _exit(127);
    }
    std::string shown;
    char buffer[4096];
    for (ssize_t n; (n = read(main, buffer, sizeof(buffer))) > 0;) shown.append(buffer, n);
    waitpid(child, nullptr, 0);
    close(main);
    return shown;
  }
  // Without the sequences of the program: dim, normal, clear to the end of the line.
  static std::string WithoutOurs(std::string text) {
    for (const std::string ours : {"\x1b[2m", "\x1b[0m", "\x1b[K"}) {
      for (size_t at; (at = text.find(ours)) != text.npos;) text.erase(at, ours.size());
    }
    return text;
  }
  std::string Script(const std::string& emit) {
    const auto path = folder_.path() / "script.jsonl";
    std::ofstream(path) << R"({"emit": ")" << emit << "\"}\n";
    return "script:" + path.string();
  }
};

constexpr const char* kHostile =
    R"(\u001b]0;owned\u0007\u001b[31mred\u001b[0m\u001b]52;c;eA==\u001b\\ \u009b31m \u202etxt.exe)";

TEST_F(Terminal, ShowsWhatAModelSaysAndDoesNotObeyIt) {
  const std::string shown = Show("run " + Script(kHostile) + " Hi");
  EXPECT_EQ(WithoutOurs(shown).find('\x1b'), std::string::npos) << shown;
  EXPECT_EQ(shown.find('\x07'), std::string::npos);
  EXPECT_EQ(shown.find("\xc2\x9b"), std::string::npos);
  EXPECT_NE(shown.find("\\x1B]0;owned\\x07"), std::string::npos) << shown;
  EXPECT_NE(shown.find("\\x1B[31mred\\x1B[0m"), std::string::npos) << shown;
  EXPECT_NE(shown.find("\\u202Etxt.exe"), std::string::npos) << shown;
}

TEST_F(Terminal, HandsOnWhatAModelSaysAsItIsWhereThereIsNone) {
  const Finished piped = Run("run " + Script(kHostile) + " Hi");
  EXPECT_NE(piped.out.find("\x1b]0;owned\x07\x1b[31mred\x1b[0m"), std::string::npos) << piped.out;
  EXPECT_NE(piped.out.find("\u202Etxt.exe"), std::string::npos);
}

TEST_F(Terminal, ErrorsQuoteFilesWithoutTheirSequences) {
  const auto folder = folder_.path() / "a\x1b[31mb";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "config.json") << "{\"model_type\": \"\\u001b]0;owned\\u0007\"}";
  std::ofstream(folder / "model.safetensors") << "x";
  const std::string quoted = "'" + folder.string() + "'";
  for (const std::string& line :
       {"run " + quoted + " Hi", "estimate " + quoted, "tokenize " + quoted}) {
    const Finished failed = Run(line);
    EXPECT_NE(failed.code, 0);
    EXPECT_EQ(failed.err.find('\x1b'), std::string::npos) << failed.err;
    EXPECT_NE(failed.err.find("a\\x1B[31mb"), std::string::npos) << failed.err;
    EXPECT_EQ(WithoutOurs(Show(line)).find('\x1b'), std::string::npos);
  }
}

// Reading a pipe that nobody writes to would never end.
TEST_F(Terminal, APipeInPlaceOfAFileIsAnError) {
  const auto pipe = folder_.path() / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  const auto adapter = folder_.path() / "adapter";
  std::filesystem::create_directories(adapter);
  ASSERT_EQ(mkfifo((adapter / "adapter_config.json").c_str(), 0600), 0);
  ASSERT_EQ(mkfifo((adapter / "adapter_model.safetensors").c_str(), 0600), 0);
  const auto model = folder_.path() / "model";
  std::filesystem::create_directories(model);
  ASSERT_EQ(mkfifo((model / "config.json").c_str(), 0600), 0);
  ASSERT_EQ(mkfifo((model / "model.safetensors").c_str(), 0600), 0);
  const std::string tiny = Reference("tiny/checkpoint").string(), p = pipe.string();
  const std::vector<std::string> lines = {
      "run " + p + " Hi",
      "run " + model.string() + " Hi",
      "run " + tiny + " Hi --image " + p,
      "run " + tiny + " Hi --audio " + p,
      "run " + tiny + " Hi --video " + p,
      "run " + tiny + " Hi --adapter " + adapter.string(),
      "run script:" + p + " Hi",
      "serve " + p + " --port 0",
      "serve " + tiny + " --port 0 --api-key-file " + p,
      "estimate " + p,
      "import " + p,
      "tokenize " + p,
      "tune " + tiny + " --data " + p + " --out " + (folder_.path() / "out").string(),
      "tune " + tiny + " --show-mask " + p,
      "export " + tiny + " " + (folder_.path() / "x").string() + " --adapter " + adapter.string(),
  };
  for (const std::string& line : lines) {
    const std::string command = "timeout 30 " + FacetBinary() + " " + line + " < /dev/null > " +
                                (folder_.path() / "o").string() + " 2>&1";
    const int code = WEXITSTATUS(std::system(command.c_str()));
    EXPECT_TRUE(code == 1 || code == 2) << line << ": " << code << "\n"
                                        << *ReadFile(folder_.path() / "o");
  }
}

}  // namespace
}  // namespace facet
