// What holds for the program as a whole: help, messages, output that cannot be written, errors.
#include <nlohmann/json.hpp>

#include "support/command.h"

namespace facet {
namespace {

using nlohmann::json;

class Program : public CommandTest {
 protected:
  const std::string tiny_ = Reference("tiny/checkpoint").string();
};

// Names of the commands in a help text, by group.
std::map<std::string, std::vector<std::string>> CommandsByGroup(const std::string& help) {
  std::map<std::string, std::vector<std::string>> groups;
  std::istringstream lines(help);
  std::string group;
  for (std::string line; std::getline(lines, line);) {
    if (line.ends_with(':') && !line.starts_with(' ')) {
      group = line.substr(0, line.size() - 1);
    } else if (line.empty()) {
      group.clear();
    } else if (line.starts_with("  ") && !line.starts_with("   ") && !group.empty()) {
      groups[group].push_back(line.substr(2, line.find_first_of(" ,", 2) - 2));
    }
  }
  return groups;
}

TEST_F(Program, ShowsTheCommandsByGroupWhereNothingIsSaid) {
  const Finished alone = Run(""), help = Run("--help");
  EXPECT_EQ(alone.code, 0) << alone.err;
  EXPECT_EQ(alone.out, help.out);
  auto groups = CommandsByGroup(alone.out);
  EXPECT_EQ(groups["Ask and serve"], (std::vector<std::string>{"run", "serve", "ps", "stop"}));
  EXPECT_EQ(groups["Models on this machine"],
            (std::vector<std::string>{"import", "list", "show", "rename", "rm", "estimate"}));
  EXPECT_EQ(groups["Train"], (std::vector<std::string>{"tune", "export", "eval"}));
  EXPECT_EQ(groups["Examples"], (std::vector<std::string>{"facet", "facet", "facet"}));
  EXPECT_FALSE(groups.contains("Subcommands"));
  EXPECT_EQ(alone.out.find("\n  man"), std::string::npos);
  // Commands do not repeat the program's examples.
  for (const char* command : {"ps --help", "eval --help"})
    EXPECT_EQ(Run(command).out.find("facet run gemma4-12b"), std::string::npos) << command;
}

TEST_F(Program, WritesAManPageOfEveryCommand) {
  const auto folder = folder_.path() / "man";
  const Finished done = Run("man " + folder.string());
  ASSERT_EQ(done.code, 0) << done.err;
  std::set<std::string> expected = {"facet.1"};
  for (const auto& [group, names] : CommandsByGroup(Run("").out)) {
    if (group == "Examples" || group == "Options") continue;
    for (const std::string& name : names) expected.insert("facet-" + name + ".1");
  }
  std::set<std::string> written;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    written.insert(entry.path().filename().string());
  EXPECT_EQ(written, expected);
  for (const std::string& name : written) {
    const std::string page = *ReadFile(folder / name);
    EXPECT_TRUE(page.starts_with(".TH FACET")) << name;
    EXPECT_NE(page.find("\n.SH SYNOPSIS\n"), std::string::npos) << name;
  }
  const std::string run = *ReadFile(folder / "facet-run.1");
  for (const char* part : {"\\fB\\-\\-max\\-tokens\\fR", "[\\fImodel\\fR] [\\fIprompt\\fR]",
                           ".SS Media", ".SH EXAMPLES"}) {
    EXPECT_NE(run.find(part), std::string::npos) << part;
  }
  if (std::system("groff --version > /dev/null 2>&1") != 0) return;
  for (const std::string& name : written) {
    const std::string warnings = (folder_.path() / "warnings").string();
    std::system(
        Cat("groff -man -ww -Tascii ", (folder / name).string(), " > /dev/null 2> ", warnings)
            .c_str());
    EXPECT_EQ(*ReadFile(warnings), "") << name;
  }
}

TEST_F(Program, FailsWhereItsOutputCannotBeWritten) {
  for (const std::string& command :
       {std::string("--help"), std::string("list"), std::string("list --available"),
        std::string("completion bash"), std::string("ps"), "estimate " + tiny_, "tokenize " + tiny_,
        "run " + tiny_ + " Hi --max-tokens 1"}) {
    EXPECT_EQ(Run(command).code, 0) << command;
    for (const char* output : {" > /dev/full", " >&-"}) {
      const Finished failed = Run(command + output);
      EXPECT_EQ(failed.code, 1) << command << output;
      EXPECT_NE(failed.err.find("facet: stdout cannot be written"), std::string::npos)
          << command << output << "\n"
          << failed.err;
    }
  }
}

TEST_F(Program, ShowsDebugMessagesWhenAskedTo) {
  setenv("XDG_CACHE_HOME", "/dev/null", 1);  // where nothing can be kept
  const std::string message = "debug: compiled vocabulary not kept";
  EXPECT_EQ(Run("tokenize " + tiny_).err, "");
  for (const char* place : {"--log-level debug tokenize ", "tokenize --log-level debug "})
    EXPECT_NE(Run(place + tiny_).err.find(message), std::string::npos) << place;
  setenv("FACET_LOG", "debug", 1);
  EXPECT_NE(Run("tokenize " + tiny_).err.find(message), std::string::npos);
  EXPECT_EQ(Run("tokenize " + tiny_ + " --log-level info").err, "");
  setenv("FACET_LOG", "loud", 1);
  EXPECT_EQ(Run("tokenize " + tiny_).code, 2);
  unsetenv("FACET_LOG");

  const Finished verbose = Run("run " + tiny_ + " Hi --max-tokens 1 --verbose");
  EXPECT_NE(verbose.err.find(message), std::string::npos) << verbose.err;
  EXPECT_NE(verbose.err.find("tok/s"), std::string::npos) << verbose.err;
  const Finished stats = Run("run " + tiny_ + " Hi --max-tokens 1 --stats");
  EXPECT_EQ(stats.err.find(message), std::string::npos) << stats.err;
  EXPECT_NE(stats.err.find("tok/s"), std::string::npos) << stats.err;
  UseTestCache();
}

TEST_F(Program, ReportsEveryErrorInOneStyle) {
  setenv("XDG_RUNTIME_DIR", folder_.path().c_str(), 1);
  for (const char* command : {"serve /nowhere", "stop", "run /nowhere Hi", "show nobody"}) {
    const Finished failed = Run(command);
    EXPECT_EQ(failed.code, 1) << command;
    EXPECT_TRUE(failed.err.starts_with("facet: ")) << command << "\n" << failed.err;
  }
  unsetenv("XDG_RUNTIME_DIR");
  for (const char* command : {"serve --nonsense", "cook", "export"}) {
    const Finished refused = Run(command);
    EXPECT_EQ(refused.code, 2) << command;
    EXPECT_TRUE(refused.err.starts_with("facet: ")) << command << "\n" << refused.err;
    EXPECT_NE(refused.err.find("--help"), std::string::npos) << refused.err;
  }
}

TEST_F(Program, AsksTheModelThatComesAlongWhereAQuestionStandsForAModel) {
  const Finished answer = Run("run 'What is 3/4 of eight?' --max-tokens 2 --temperature 0 --json");
  ASSERT_EQ(answer.code, 0) << answer.err;
  EXPECT_EQ(json::parse(answer.out)["model"], "pebble");
  // A path with blanks is a path.
  const Finished path = Run("run '/no such folder/model.gguf'", "Hi");
  EXPECT_EQ(path.code, 1);
  EXPECT_NE(path.err.find("no such file"), std::string::npos) << path.err;
  // A slip in a name.
  const Finished slip = Run("run gemma4-13b", "Hi");
  EXPECT_EQ(slip.code, 1);
  EXPECT_NE(slip.err.find("did you mean gemma4-12b?"), std::string::npos) << slip.err;
  // One word may be either.
  const Finished word = Run("run Hello", "Hi");
  EXPECT_EQ(word.code, 1);
  EXPECT_NE(word.err.find("facet run pebble \"Hello\""), std::string::npos) << word.err;
}

TEST_F(Program, TakesSizesWithFractionsAndRefusesOthers) {
  for (const char* size : {"2.5GB", "12gib", "1000000", "0.5t"}) {
    const Finished taken = Run(Cat("serve /nowhere --memory ", size));
    EXPECT_EQ(taken.code, 1) << size << "\n" << taken.err;  // it went on to look for the model
    EXPECT_NE(taken.err.find("/nowhere"), std::string::npos) << taken.err;
  }
  for (const char* size : {"-5", "-2GB", "12XB", "GB", "1e9", "1.2.3GB", "20000000TB", "nan"}) {
    const Finished refused = Run(Cat("serve /nowhere --memory=", size));
    EXPECT_EQ(refused.code, 2) << size << "\n" << refused.err;
    EXPECT_NE(refused.err.find("--memory"), std::string::npos) << refused.err;
  }
}

}  // namespace
}  // namespace facet
