// `facet eval` as a process, on a few handmade items: given answers, and a scripted model.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "support/namespaces.h"
#include "support/paths.h"
#include "support/temp_folder.h"

namespace facet {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::json;

struct Outcome {
  int status = -1;
  std::string out, err;
};

class EvalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    FACET_NEEDS_NAMESPACES();  // one skill's answers are programs
    setenv("FACET_PEBBLE_PYTHON", "python3", 1);
    Add("speech", "words", "", {{"s0", "What?", "turn left"}, {"s1", "Who?", "go up now"}});
    Add("chat", "text", "", {{"c0", "Hello", "Hi there."}, {"c1", "Bye", "Goodbye!"}});
    json call = {{"id", "1"},
                 {"type", "function"},
                 {"function", {{"name", "add"}, {"arguments", R"({"a": 1, "b": 2})"}}}};
    json declared = {{"type", "function"},
                     {"function",
                      {{"name", "add"},
                       {"description", "Add"},
                       {"parameters", {{"type", "object"}, {"properties", json::object()}}}}}};
    Write("tools", {{"id", "t0"},
                    {"tools", json::array({declared})},
                    {"messages",
                     {{{"role", "user"}, {"content", "Add 1 and 2."}},
                      {{"role", "assistant"}, {"content", ""}, {"tool_calls", json::array({call})}},
                      {{"role", "tool"}, {"tool_call_id", "1"}, {"name", "add"}, {"content", "3"}},
                      {{"role", "assistant"}, {"content", "It is 3."}}}},
                    {"meta", {{"skill", "tools"}, {"check", "tools"}}}});
    Write("code",
          {{"id", "p0"},
           {"messages",
            {{{"role", "user"}, {"content", "Write one()."}},
             {{"role", "assistant"}, {"content", "```python\ndef one():\n    return 1\n```"}}}},
           {"meta",
            {{"skill", "code"},
             {"check", "code"},
             {"function", "one"},
             {"tests", json::array({{{"arguments", json::array()}, {"result", 1}}})}}}});
  }

  struct Short {
    const char *id, *asked, *wanted;
  };
  void Add(const std::string& skill, const char* check, const char* group,
           const std::vector<Short>& items) {
    for (const Short& item : items) {
      Write(skill, {{"id", item.id},
                    {"messages",
                     {{{"role", "user"}, {"content", item.asked}},
                      {{"role", "assistant"}, {"content", item.wanted}}}},
                    {"meta", {{"skill", skill}, {"check", check}, {"group", group}}}});
    }
  }
  void Write(const std::string& skill, const json& row) {
    files_[skill] += row.dump() + "\n";
    ASSERT_TRUE(WriteFile(folder_.path() / (skill + "-heldout.jsonl"), files_[skill]).ok());
    rows_.push_back(row);
  }

  // What each item wants, as the answers to it; `shift` gives each item another one's.
  fs::path Oracle(size_t shift) {
    std::string text;
    for (size_t i = 0; i < rows_.size(); ++i) {
      json answers = json::array();
      for (const json& message : rows_[(i + shift) % rows_.size()]["messages"]) {
        if (message["role"] != "assistant") continue;
        json calls = json::array();
        for (const json& call : message.value("tool_calls", json::array()))
          calls.push_back(call["function"]);
        answers.push_back({{"content", message["content"]}, {"tool_calls", calls}});
      }
      text += json{{"id", rows_[i]["id"]}, {"answers", answers}}.dump() + "\n";
    }
    const fs::path file = folder_.path() / "answers.jsonl";
    EXPECT_TRUE(WriteFile(file, text).ok());
    return file;
  }

  Outcome Facet(std::vector<std::string> words) {
    words.insert(words.begin(), {FacetBinary(), "eval"});
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    const fs::path out = folder_.path() / "out", err = folder_.path() / "err";
    const pid_t child = fork();
    if (child == 0) {
      dup2(open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), 1);
      dup2(open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), 2);
      execv(argv[0], argv.data());
      _exit(127);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, *ReadFile(out), *ReadFile(err)};
  }
  Outcome WithAnswers(const fs::path& answers, std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"--data", folder_.path().string(), "--answers", answers.string()});
    return Facet(more);
  }

  TempFolder folder_;
  std::map<std::string, std::string> files_;
  std::vector<json> rows_;
};

TEST_F(EvalTest, RightAnswersHoldEveryFloorAndShuffledOnesNone) {
  const Outcome right = WithAnswers(Oracle(0), {"--json"});
  ASSERT_EQ(right.status, 0) << right.err;
  const json report = json::parse(right.out);
  EXPECT_EQ(report["floors_held"], true);
  EXPECT_EQ(report["items"], 6);
  EXPECT_EQ(report["programs"], 1);
  ASSERT_EQ(report["figures"].size(), 4u);
  for (const json& figure : report["figures"]) {
    EXPECT_EQ(figure["wrong"], 0) << figure;
    EXPECT_EQ(figure["aim_met"], true) << figure;
    EXPECT_EQ(figure["enough"], false) << figure;
  }
  const Outcome wrong = WithAnswers(Oracle(1), {"--json"});
  EXPECT_EQ(wrong.status, 1);
  const json shuffled = json::parse(wrong.out);
  ASSERT_EQ(shuffled["figures"].size(), 4u);
  for (const json& figure : shuffled["figures"]) EXPECT_EQ(figure["floor_held"], false) << figure;
}

TEST_F(EvalTest, TheTableSaysWhatWasEvaluatedAndHowMuch) {
  const Outcome table = WithAnswers(Oracle(0), {"--skill", "speech"});
  EXPECT_EQ(table.status, 0) << table.err;
  EXPECT_NE(table.out.find("2 held-out items of "), std::string::npos) << table.out;
  EXPECT_NE(table.out.find("5 words"), std::string::npos) << table.out;
  EXPECT_NE(table.out.find("(of at least 300)"), std::string::npos) << table.out;
  EXPECT_NE(table.out.find("1 of 1 floors held; 10 skills were not asked for"), std::string::npos)
      << table.out;
}

TEST_F(EvalTest, AsksAModelWithToolsAndHistory) {
  const fs::path script = folder_.path() / "script.jsonl";
  const json lines[] = {
      {{"match", "declaration:add.*Add 1 and 2.*response:add"}, {"emit", "It is 3.<turn|>"}},
      {{"match", "declaration:add.*Add 1 and 2"},
       {"emit", "<|tool_call>call:add{a:1,b:2}<tool_call|><|tool_response>"}},
      {{"match", "What\\?"}, {"emit", "turn left<turn|>"}},
      {{"match", "Who\\?"}, {"emit", "go down now<turn|>"}},
      {{"match", "Write one"}, {"emit", "```python\ndef one():\n    return 1\n```<turn|>"}},
      {{"match", "Hello"}, {"emit", "hi there<turn|>"}},
      json::object({{"emit", "I do not know.<turn|>"}})};
  std::string text;
  for (const json& line : lines) text += line.dump() + "\n";
  ASSERT_TRUE(WriteFile(script, text).ok());
  const fs::path saved = folder_.path() / "saved.jsonl";
  const Outcome done = Facet({"script:" + script.string(), "--data", folder_.path().string(),
                              "--json", "--save", saved.string()});
  EXPECT_EQ(done.status, 1) << done.err;  // chat is below its floor
  ASSERT_FALSE(done.out.empty()) << done.err;
  std::map<std::string, std::string> figures;
  const json report = json::parse(done.out);
  for (const json& figure : report["figures"])
    figures[figure["skill"]] = Cat(figure["wrong"], "/", figure["total"]);
  EXPECT_EQ(figures["speech"], "1/5");
  EXPECT_EQ(figures["tools"], "0/1");
  EXPECT_EQ(figures["code"], "0/1");
  EXPECT_EQ(figures["chat"], "1/2");
  // What was saved can be judged again.
  EXPECT_EQ(WithAnswers(saved, {"--json", "--skill", "speech"}).status, 0);
}

TEST_F(EvalTest, RefusesWhatItCannotMeasure) {
  EXPECT_NE(Facet({}).err.find("expected a model, or --answers"), std::string::npos);
  EXPECT_NE(Facet({"m", "--skill", "cooking"}).err.find("expected a skill but got cooking"),
            std::string::npos);
  EXPECT_NE(WithAnswers(Oracle(0), {"--skill", "film"}).err.find("film-heldout.jsonl"),
            std::string::npos);
}

}  // namespace
}  // namespace facet
