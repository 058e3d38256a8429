// facet tune as a person runs it, on the tiny reference model: what it says before training, what
// it leaves behind, and that nothing that happens to it on the way changes the result.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "base/mapped_file.h"
#include "formats/safetensors.h"
#include "support/paths.h"
#include "support/temp_folder.h"
#include "support/vocabularies.h"

namespace facet {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

struct Finished {
  std::string out, err;
  int code = -1;
};

class TuneCommand : public testing::Test {
 protected:
  TuneCommand() {
    UseTestCache();
    fs::copy(Reference("tiny/media"), folder_.path() / "media");
    std::ofstream out(folder_.path() / "chat.jsonl");
    for (int i = 0; i < 14; ++i)
      out << R"({"messages": [{"role": "user", "content": "say )" << i * 7
          << R"("}, {"role": "assistant", "content": ")" << i * 13 % 10 << " times\"}]}\n";
    const Json media = Json::parse(R"([{"role": "user", "content": [
        {"type": "image", "path": "media/small.png"},
        {"type": "input_audio", "input_audio": {"path": "media/two-frames.wav"}},
        {"type": "text", "text": "What?"}]}, {"role": "assistant", "content": "It."}])");
    out << Json{{"messages", media}, {"image_budget", 70}}.dump() << "\n";
    const Json tools = Json::parse(R"([{"role": "user", "content": "Weather?"},
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "function",
           "function": {"name": "look", "arguments": {"city": "Oslo"}}}]},
        {"role": "tool", "tool_call_id": "c", "name": "look", "content": "rain"},
        {"role": "assistant", "content": "Rain."}])");
    out << Json{{"messages", tools}}.dump() << "\n";
  }

  // The program's arguments, split at spaces.
  static std::vector<std::string> Words(const std::string& arguments) {
    std::istringstream in(arguments);
    std::vector<std::string> words;
    for (std::string word; in >> word;) words.push_back(word);
    return words;
  }

  // Starts the program in the test's folder.
  pid_t Start(const std::string& arguments) const {
    std::vector<std::string> words = Words(arguments);
    words.insert(words.begin(), FacetBinary());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    const pid_t child = fork();
    if (child == 0) {
      if (chdir(folder_.path().c_str()) != 0 || freopen("out", "w", stdout) == nullptr ||
          freopen("err", "w", stderr) == nullptr)
        _exit(126);
      execv(argv[0], argv.data());
      _exit(127);
    }
    return child;
  }
  Finished Wait(pid_t child) const {
    int status = 0;
    waitpid(child, &status, 0);
    return {*ReadFile(folder_.path() / "out"), *ReadFile(folder_.path() / "err"),
            WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status)};
  }
  Finished Run(const std::string& arguments) const { return Wait(Start(arguments)); }
  // Returns once these files have `count` lines more than at any moment since the call (a resumed
  // run may shorten its log first), or the child has ended.
  void WaitForLines(pid_t child, const std::vector<std::string>& files, int64_t count) const {
    int64_t least = std::numeric_limits<int64_t>::max();
    while (true) {
      int64_t lines = 0;
      for (const std::string& name : files) {
        const auto text = ReadFile(folder_.path() / name);
        if (text.ok()) lines += std::count(text->begin(), text->end(), '\n');
      }
      least = std::min(least, lines);
      siginfo_t ended{};
      if (lines >= least + count ||
          waitid(P_PID, child, &ended, WEXITED | WNOHANG | WNOWAIT) != 0 || ended.si_pid == child)
        return;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
  std::string File(const std::string& path) const {
    const auto bytes = ReadFile(folder_.path() / path);
    EXPECT_TRUE(bytes.ok()) << path;
    return bytes.ok() ? *bytes : "";
  }
  int64_t LastStep(const std::string& out) const {
    return Json::parse(File(out + "/trainer_state.json"))["global_step"];
  }

  const std::string tiny_ = Reference("tiny/checkpoint").string();
  TempFolder folder_;
};

TEST_F(TuneCommand, ShowsWhatIsLearnt) {
  const Finished first = Run("tune " + tiny_ + " --show-mask chat.jsonl");
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_NE(first.out.find("chat.jsonl:1, example 1 of 1: "), std::string::npos) << first.out;
  EXPECT_NE(first.out.find("⟦0 times<turn|>⟧"), std::string::npos) << first.out;
  const Finished last = Run("tune " + tiny_ + " --show-mask chat.jsonl:16");
  EXPECT_NE(last.out.find("example 2 of 2"), std::string::npos) << last.out;
  EXPECT_EQ(Run("tune " + tiny_ + " --show-mask chat.jsonl:99").code, 1);
}

TEST_F(TuneCommand, SaysWhatItWouldDo) {
  const Finished run =
      Run("tune " + tiny_ + " --data chat.jsonl --validation 0.25 --rank 4 --dry-run");
  ASSERT_EQ(run.code, 0) << run.err;
  for (const char* part :
       {"trained     ", "an adapter", "13 examples, ", "learnt (", "4 examples, ",
        " steps of at most ", " x 1 tokens, ", " epochs, learning rate ", "memory      about "})
    EXPECT_NE(run.out.find(part), std::string::npos) << part << "\n" << run.out;
  EXPECT_FALSE(fs::exists(folder_.path() / "tuned"));
  const Finished full = Run("tune " + tiny_ + " --data chat.jsonl --full --dry-run");
  EXPECT_NE(full.out.find("(100 %), all weights"), std::string::npos) << full.out;
}

TEST_F(TuneCommand, FollowsTheDataWhereTheyAreFew) {
  const auto plan = [&](const std::string& options) {
    const Finished run = Run("tune " + tiny_ + " --data chat.jsonl --dry-run" + options);
    EXPECT_EQ(run.code, 0) << run.err;
    const size_t at = run.out.find("run         ");
    return run.out.substr(at, run.out.find('\n', at) - at);
  };
  const std::string few = plan("");
  const int64_t steps = std::stoll(few.substr(12));
  EXPECT_GE(steps, 100) << few;
  EXPECT_LE(steps, 400) << few;
  EXPECT_EQ(few.find("2048"), std::string::npos) << few;
  // What is said counts.
  EXPECT_NE(plan(" --epochs 2 --batch-tokens 2048 --lr 1e-4").find("2048 x 1 tokens, 2 epochs"),
            std::string::npos);
  // Many examples need no more than three epochs.
  std::string many;
  for (int i = 0; i < 80; ++i) many += " --data chat.jsonl";
  many = plan(many + " --batch-tokens 256");
  EXPECT_NE(many.find("256 x 1 tokens, 3 epochs"), std::string::npos) << many;
  // All weights are somewhere already.
  EXPECT_NE(plan(" --full").find("3 epochs"), std::string::npos);
}

TEST_F(TuneCommand, WarnsOfWhatCannotTeach) {
  const std::string start = "tune " + tiny_ + " --data chat.jsonl --dry-run";
  EXPECT_EQ(Run(start).out.find("warning"), std::string::npos);
  EXPECT_EQ(Run(start + " --full --steps 6").out.find("warning"), std::string::npos);
  for (const char* options : {" --epochs 1", " --steps 6", " --lr 1e-6"}) {
    const Finished run = Run(start + options);
    EXPECT_EQ(run.code, 0) << run.err;
    EXPECT_NE(run.out.find("next to nothing"), std::string::npos) << options << "\n" << run.out;
  }
  EXPECT_NE(Run(start + " --lr 0.5").out.find("the loss may never fall"), std::string::npos);
}

TEST_F(TuneCommand, RefusesBeforeItTrains) {
  std::ofstream(folder_.path() / "bad.jsonl")
      << R"({"messages": [{"role": "user", "content": "x"}]})"
      << "\n";
  const std::pair<std::string, std::string> cases[] = {
      {"tune", "name a MODEL"},
      {"tune " + tiny_, "--data FILE.jsonl"},
      {"tune " + tiny_ + " --data none.jsonl", "none.jsonl: No such file"},
      {"tune " + tiny_ + " --data bad.jsonl",
       "bad.jsonl:1: nothing to learn: no message of the assistant is trained"},
      {"tune " + tiny_ + " --data chat.jsonl --max-length 40", "tokens, more than the 40 that fit"},
      {"tune " + tiny_ + " --data chat.jsonl --batch-tokens 40",
       "more than a batch (--batch-tokens 40)"},
      {"tune " + tiny_ + " --data chat.jsonl --targets nonsense", "nonsense"},
      {"tune " + tiny_ + " --data chat.jsonl --validation 1.5", "a share between 0 and 1"},
      {"tune --resume nowhere", "nowhere: there is no run to go on with"},
      {"tune " + Reference("tiny/gguf/model-q8_0.gguf").string() + " --full --data chat.jsonl",
       "full tuning needs a checkpoint folder"},
      {"tune " + tiny_ + " --from media --data chat.jsonl", "holds neither an adapter nor a model"},
      {"tune " + tiny_ + " --data chat.jsonl --eval-every 5", "--eval-every: needs --validation"},
      {"tune " + tiny_ + " --data chat.jsonl --tokenizer media", "needs --init"},
  };
  for (const auto& [arguments, message] : cases) {
    const Finished run = Run(arguments);
    EXPECT_EQ(run.code, 1) << arguments;
    EXPECT_NE(run.err.find(message), std::string::npos) << arguments << "\n" << run.err;
  }
  EXPECT_EQ(Run("tune " + tiny_ + " --rank 0").code, 2);
  EXPECT_EQ(Run("tune " + tiny_ + " --full --rank 4").code, 2);
}

TEST_F(TuneCommand, LeavesAnAdapterWithAllThatBelongsToIt) {
  const Finished run = Run("tune " + tiny_ +
                           " --data chat.jsonl --validation 0.2 --steps 6 --lr 1e-2 --out ad "
                           "--rank 4 --eval-every 3 --batch-tokens 128 --threads 1");
  ASSERT_EQ(run.code, 0) << run.err;
  for (const char* name :
       {"adapter_config.json", "adapter_model.safetensors", "README.md", "log.jsonl",
        "trainer_state.json", "loss.svg", "tune.json", "checkpoint-6/adapter_model.safetensors"})
    EXPECT_TRUE(fs::exists(folder_.path() / "ad" / name)) << name;
  EXPECT_NE(File("ad/README.md").find("library_name: peft"), std::string::npos);
  EXPECT_EQ(LastStep("ad"), 6);
  const Json log = Json::parse(File("ad/trainer_state.json"))["log_history"];
  double first = 0, last = 0;
  for (const Json& entry : log) {
    if (!entry.contains("loss")) continue;
    if (entry["step"] == 1) first = entry["loss"];
    last = entry["loss"];
  }
  EXPECT_LT(last, first);
  // From there with a new optimiser.
  const Finished more =
      Run("tune " + tiny_ + " --from ad --data chat.jsonl --steps 2 --out more --threads 1");
  EXPECT_EQ(more.code, 0) << more.err;
  EXPECT_NE(File("more/adapter_model.safetensors"), File("ad/adapter_model.safetensors"));
  EXPECT_EQ(Run("tune " + tiny_ + " --data chat.jsonl --out ad").code, 1);
}

// An adapter that reaches into pictures is merged whole or refused.
TEST_F(TuneCommand, ExportsAllOfAnAdapterOrNothing) {
  const Finished run =
      Run("tune " + tiny_ + " --data chat.jsonl --steps 1 --out ad --train-vision --threads 1");
  ASSERT_EQ(run.code, 0) << run.err;
  const Finished part = Run("export " + tiny_ + " part.gguf --adapter ad");
  EXPECT_EQ(part.code, 1);
  EXPECT_NE(part.err.find("without --mmproj"), std::string::npos) << part.err;
  EXPECT_NE(part.err.find("embed_vision"), std::string::npos) << part.err;
  EXPECT_FALSE(fs::exists(folder_.path() / "part.gguf"));
  const Finished both = Run("export " + tiny_ + " both.gguf --adapter ad --mmproj mm.gguf");
  EXPECT_EQ(both.code, 0) << both.err;
  EXPECT_TRUE(fs::exists(folder_.path() / "mm.gguf"));
}

TEST_F(TuneCommand, LeavesAModelThatLoads) {
  const Finished run =
      Run("tune " + tiny_ + " --data chat.jsonl --full --steps 2 --out full --threads 1");
  ASSERT_EQ(run.code, 0) << run.err;
  const auto before = Safetensors::Open(tiny_);
  const auto after = Safetensors::Open(folder_.path() / "full");
  ASSERT_TRUE(after.ok()) << after.error().message;
  EXPECT_EQ((*after)->tensors().size(), (*before)->tensors().size());
  std::ofstream(folder_.path() / "case.json")
      << R"({"messages": [{"role": "user", "content": "say 7"}]})";
  EXPECT_EQ(Run("render full case.json").code, 0);
  EXPECT_EQ(Run("tune full --data chat.jsonl --dry-run").code, 0);
  // So does what a run leaves that is stopped, or whose best step was an earlier one.
  EXPECT_EQ(*ReadFile(folder_.path() / "full/checkpoint-2/model.safetensors"),
            *ReadFile(folder_.path() / "full/model.safetensors"));
  EXPECT_EQ(Run("render full/checkpoint-2 case.json").code, 0);
}

TEST_F(TuneCommand, TakesOptionsFromAFile) {
  std::ofstream(folder_.path() / "options.json") << Json{
      {"model", tiny_},
      {"data", {"chat.jsonl"}},
      {"steps", 3},
      {"rank", 2},
      {"rslora", true},
      {"out", "by-file"},
      {"targets", {"q_proj", "v_proj"}}}.dump();
  const Finished run = Run("tune --config options.json --steps 2 --threads 1");
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(LastStep("by-file"), 2);  // the command line wins
  const Json config = Json::parse(File("by-file/adapter_config.json"));
  EXPECT_EQ(config["r"], 2);
  EXPECT_EQ(config["use_rslora"], true);
  std::ofstream(folder_.path() / "typo.json") << R"({"rnak": 3})";
  EXPECT_NE(Run("tune --config typo.json").err.find("there is no option \"rnak\""),
            std::string::npos);
  std::ofstream(folder_.path() / "wrong.json") << R"({"rank": "much"})";
  EXPECT_NE(Run("tune --config wrong.json").err.find("wrong.json: rank"), std::string::npos);
}

TEST_F(TuneCommand, MakesAModelFromNothing) {
  const std::string init = " --init " + tiny_ + "/config.json --tokenizer " + tiny_ +
                           "/tokenizer.json --full --data chat.jsonl --threads 1";
  const Finished run = Run("tune" + init + " --steps 4 --out new");
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_TRUE(fs::exists(folder_.path() / "new" / "chat_template.jinja"));
  const Finished stage =
      Run("tune --from new --full --data chat.jsonl:0.5 --steps 2 --out stage2 --threads 1");
  EXPECT_EQ(stage.code, 0) << stage.err;
  EXPECT_NE(Run("tune" + init.substr(0, init.find(" --full")) + " --data chat.jsonl")
                .err.find("needs --full"),
            std::string::npos);
}

// Acceptance of the drafter in a folder, as `facet run` reports it.
TEST_F(TuneCommand, MakesADrafterFromTheModelsOwnText) {
  std::ofstream few(folder_.path() / "few.jsonl");
  for (const char* word : {"one", "two", "three"})
    few << R"({"messages": [{"role": "user", "content": ")" << word
        << R"("}, {"role": "assistant", "content": "-"}]})"
        << "\n";
  few.close();
  const std::string command =
      "tune --drafter " + tiny_ +
      " --data few.jsonl --temperature 0 --answer-tokens 20 --lr 2e-3 --warmup 5 --threads 1";
  const Finished dry = Run(command + " --out dry --dry-run");
  ASSERT_EQ(dry.code, 0) << dry.err;
  EXPECT_NE(dry.out.find("a drafter"), std::string::npos) << dry.out;
  EXPECT_NE(dry.out.find("the model answers the prompts first"), std::string::npos) << dry.out;

  const Finished run = Run(command + " --out dr --steps 150");
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_NE(run.err.find("of 4 drafts a step are accepted"), std::string::npos) << run.err;
  for (const char* name :
       {"config.json", "model.safetensors", "README.md", "own-text.jsonl", "loss.svg", "tune.json",
        "initial/config.json", "checkpoint-150/model.safetensors", "checkpoint-150/config.json"})
    EXPECT_TRUE(fs::exists(folder_.path() / "dr" / name)) << name;
  EXPECT_NE(File("dr/README.md").find("--drafter"), std::string::npos);
  const auto ask = [&](const std::string& drafter) {
    const Finished asked = Run("run " + tiny_ +
                               " one --temperature 0 --max-tokens 20 --json "
                               "--threads 1 --draft 4 --drafter " +
                               drafter);
    EXPECT_EQ(asked.code, 0) << asked.err;
    const Json timings = Json::parse(asked.out, nullptr, false)["timings"];
    return timings["draft_n_accepted"].get<double>() / timings["draft_n"].get<double>();
  };
  EXPECT_LT(ask("dr/initial"), 0.3);
  EXPECT_GT(ask("dr"), 0.7);

  // On with it on given text, with a new optimiser.
  const Finished more = Run("tune --drafter " + tiny_ +
                            " --from dr --given-text --data chat.jsonl --steps 2 --out more");
  EXPECT_EQ(more.code, 0) << more.err;
  EXPECT_FALSE(fs::exists(folder_.path() / "more/own-text.jsonl"));
  EXPECT_EQ(File("more/config.json"), File("dr/config.json"));
  EXPECT_NE(File("more/model.safetensors"), File("dr/model.safetensors"));
}

TEST_F(TuneCommand, ADrafterStoppedAtAnyPlaceEndsTheSame) {
  const std::string command = "tune --drafter " + tiny_ +
                              " --data chat.jsonl --prompts 9 --answer-tokens 40 --steps 40 "
                              "--save-every 10 --batch-tokens 512 --threads 1 --out ";
  ASSERT_EQ(Run(command + "whole").code, 0);
  // Named alike by the first call and by one that goes on, whichever of them wrote it.
  const std::string named = (folder_.path() / "chat.jsonl:1\"").string();
  EXPECT_NE(File("whole/own-text.jsonl").find("\"from\":\"" + named), std::string::npos);
  std::mt19937 random(4);
  Finished run;
  for (int part = 0; part < 60; ++part) {
    const pid_t child = Start(part == 0 ? command + "parts" : "tune --resume parts");
    WaitForLines(child, {"parts/own-text.jsonl", "parts/log.jsonl"}, 3 + random() % 10);
    kill(child, part % 2 == 0 ? SIGINT : SIGKILL);
    run = Wait(child);
    if (run.code == 0) break;
  }
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(File("parts/own-text.jsonl"), File("whole/own-text.jsonl"));
  EXPECT_EQ(File("parts/model.safetensors"), File("whole/model.safetensors"));
}

TEST_F(TuneCommand, RefusesWhatDraftersAreNot) {
  const std::string drafter = "tune --drafter " + tiny_ + " --data chat.jsonl ";
  const std::pair<std::string, std::string> cases[] = {
      {"tune --drafter", "name the MODEL that the drafter is for"},
      {drafter + "--rank 4", "--rank: does not go with --drafter"},
      {drafter + "--full", "--full: does not go with --drafter"},
      {drafter + "--from media", "is no folder of a drafter"},
      {drafter + "--from " + tiny_, "is not a drafter"},
      {drafter + "--init " + tiny_, "expected a gemma4_unified_assistant"},
      {drafter + "--init media", "media"},
      {drafter + "--layers 2 --init " + tiny_ + "-assistant", "shape is that of --from or --init"},
      {drafter + "--given-text --prompts 3", "--given-text has none"},
      {"tune " + tiny_ + " --data chat.jsonl --layers 2", "needs --drafter"},
      {"tune --drafter " + tiny_ + "-assistant --data chat.jsonl", "drafter"},
  };
  for (const auto& [arguments, message] : cases) {
    const Finished run = Run(arguments);
    EXPECT_EQ(run.code, 1) << arguments;
    EXPECT_NE(run.err.find(message), std::string::npos) << arguments << "\n" << run.err;
  }
}

// A call that fails leaves no folder of its own, and takes none of somebody else's away.
TEST_F(TuneCommand, AFailedCallLeavesFoldersAsTheyWere) {
  const std::string refused = "tune --drafter " + tiny_ + " --data chat.jsonl --from media --out ";
  fs::create_directory(folder_.path() / "theirs");
  for (const std::string out : {"own", "theirs"}) EXPECT_EQ(Run(refused + out).code, 1);
  EXPECT_FALSE(fs::exists(folder_.path() / "own"));
  EXPECT_TRUE(fs::exists(folder_.path() / "theirs"));
}

// A model from nothing is what the options say, and a call that only shows leaves nothing.
TEST_F(TuneCommand, ANewRunTakesNoOldBeginning) {
  const std::string drafter =
      "tune --drafter " + tiny_ + " --data chat.jsonl --width 32 --out begun ";
  ASSERT_EQ(Run(drafter + "--layers 4 --dry-run").code, 0);
  EXPECT_FALSE(fs::exists(folder_.path() / "begun"));
  // Stopped before its first checkpoint: the next call has other options.
  fs::create_directories(folder_.path() / "begun/initial");
  std::ofstream(folder_.path() / "begun/initial/model.safetensors") << "of an earlier call";
  const Finished run = Run(drafter + "--layers 2 --given-text --steps 1 --threads 1");
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(Json::parse(File("begun/initial/config.json"))["text_config"]["num_hidden_layers"], 2);
}

TEST_F(TuneCommand, OptionsOfAFileAreCheckedLikeThoseOfTheCommandLine) {
  std::ofstream(folder_.path() / "both.json")
      << R"({"full": true, "rank": 8, "data": ["chat.jsonl"]})";
  const Finished run = Run("tune " + tiny_ + " --config both.json --dry-run");
  EXPECT_EQ(run.code, 1);
  EXPECT_NE(run.err.find("--rank: is about an adapter"), std::string::npos) << run.err;
}

TEST_F(TuneCommand, CtrlCSavesAndSaysHowToGoOn) {
  const std::string arguments =
      tiny_ + " --data chat.jsonl --steps 300 --batch-tokens 128 --rank 4 --threads 1";
  // Many times: a signal may come while a matrix product has the stack pointer for something else.
  for (int run = 0; run < 8; ++run) {
    const std::string out = "stopped" + std::to_string(run);
    const pid_t child = Start("tune " + arguments + " --out " + out);
    for (int i = 0; i < 600; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20 + run));
      const auto log = ReadFile(folder_.path() / out / "log.jsonl");
      if (log.ok() && std::count(log->begin(), log->end(), '\n') >= 3) break;
    }
    kill(child, SIGINT);
    const Finished stopped = Wait(child);
    ASSERT_EQ(stopped.code, 130) << stopped.err;
    EXPECT_NE(stopped.err.find("go on with: facet tune --resume " + out), std::string::npos)
        << stopped.err;
    const int64_t step = LastStep(out);
    EXPECT_TRUE(fs::exists(folder_.path() / out / ("checkpoint-" + std::to_string(step))));
    EXPECT_LT(step, 300);
  }
}

// Two processes with half of the batches each learn what one does with all.
TEST_F(TuneCommand, TwoProcessesLearnAsOneSlow) {
  const fs::path module = fs::path(FacetBinary()).parent_path() / "facet_mpi.so";
  if (!fs::exists(module) || std::system("command -v mpirun > /dev/null") != 0)
    GTEST_SKIP() << "no MPI";
  const std::string options = tiny_ +
                              " --data chat.jsonl --steps 8 --batch-tokens 100 --full "
                              "--accumulate 2 --lr 1e-5 --threads 1 --out ";
  ASSERT_EQ(Run("tune " + options + "one").code, 0);
  setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
  setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
  const std::string command = "cd " + folder_.path().string() + " && mpirun -n 2 --oversubscribe " +
                              FacetBinary() + " tune " + options + "two 2> err";
  ASSERT_EQ(std::system(command.c_str()), 0) << File("err");
  const Json one = Json::parse(File("one/trainer_state.json"))["log_history"];
  const Json two = Json::parse(File("two/trainer_state.json"))["log_history"];
  ASSERT_EQ(one.size(), two.size());
  for (size_t i = 0; i < one.size(); ++i) {
    const double loss = one[i]["loss"], norm = one[i]["grad_norm"];
    EXPECT_NEAR(two[i]["loss"].get<double>(), loss, 1e-4 * loss);
    EXPECT_NEAR(two[i]["grad_norm"].get<double>(), norm, 1e-3 * norm);
  }
}

// The product's promise: whatever kills a run, the resumed one ends with the same bytes.
class TuneKilled : public TuneCommand, public testing::WithParamInterface<const char*> {};

TEST_P(TuneKilled, FiveTimesEndsTheSameSlow) {
  const std::string options = tiny_ +
                              " --data chat.jsonl --validation 0.2 --steps 60 --save-every 4"
                              " --eval-every 20 --batch-tokens 128 --accumulate 2 --lr 1e-3"
                              " --threads 2 " +
                              GetParam();
  ASSERT_EQ(Run("tune " + options + " --out whole").code, 0);
  std::mt19937 random(23);
  const auto log_lines = [&] {
    const auto log = ReadFile(folder_.path() / "killed" / "log.jsonl");
    return log.ok() ? std::count(log->begin(), log->end(), '\n') : 0;
  };
  for (int kills = 0; kills <= 5; ++kills) {
    const pid_t child =
        Start(kills == 0 ? "tune " + options + " --out killed" : "tune --resume killed");
    if (kills < 5) {  // once it is some way on, and then anywhere in a step or a write
      const int64_t lines = 2 + kills * 10 + static_cast<int64_t>(random() % 8);
      for (int wait = 0; wait < 60'000 && log_lines() < lines; ++wait)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 20'000));
      kill(child, SIGKILL);
    }
    const Finished run = Wait(child);
    ASSERT_EQ(run.code, kills < 5 ? -SIGKILL : 0) << run.err;
  }
  const bool full = std::string(GetParam()).find("--full") != std::string::npos;
  const std::string model = full ? "/model.safetensors" : "/adapter_model.safetensors";
  EXPECT_EQ(File("whole" + model), File("killed" + model));
}

INSTANTIATE_TEST_SUITE_P(Methods, TuneKilled,
                         testing::Values("--rank 4 --dropout 0.1 --train-vision --train-audio",
                                         "--full"));

// The commands of docs/tuning.md, with the tiny model in place of the large one. Those that other
// commands answer run where these take adapters already.
TEST_F(TuneCommand, FiveCommandsOfTheDocumentation) {
  const std::string doc = *ReadFile(fs::path(TestsDir()).parent_path() / "docs" / "tuning.md");
  const size_t begin = doc.find("```sh\n") + 6;
  std::istringstream lines(doc.substr(begin, doc.find("```", begin) - begin));
  const bool runs = Run("run --help").out.find("--adapter") != std::string::npos;
  int commands = 0;
  for (std::string line; std::getline(lines, line); ++commands) {
    ASSERT_TRUE(line.starts_with("facet ")) << line;
    std::string arguments = line.substr(6);
    const size_t model = arguments.find("gemma4-12b");
    ASSERT_NE(model, std::string::npos) << line;
    arguments.replace(model, 10, tiny_);
    if (arguments.starts_with("serve ") || (arguments.starts_with("run ") && !runs)) continue;
    if (arguments.starts_with("run "))
      arguments = arguments.substr(0, arguments.find(" \"")) + " Hello --max-tokens 4";
    const Finished run = Run(arguments);
    EXPECT_EQ(run.code, 0) << line << "\n" << run.err;
  }
  EXPECT_EQ(commands, 5);
  EXPECT_TRUE(fs::exists(folder_.path() / "support" / "adapter_model.safetensors"));
}

}  // namespace
}  // namespace facet
