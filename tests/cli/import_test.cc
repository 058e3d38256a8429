// The commands of the store, as processes: what a person types, and what is on the disk afterwards.
#include <sys/stat.h>
#include <sys/wait.h>

#include <chrono>
#include <thread>

#include "formats/safetensors.h"
#include "hub/store.h"
#include "support/paths.h"
#include "support/test_hub.h"

namespace facet {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::json;

struct Outcome {
  int status = -1;  // exit code; -signal where a signal ended it
  std::string out, err;
};

class ImportTest : public ::testing::Test {
 protected:
  static constexpr const char* kRepo = "org/tiny";

  void SetUp() override {
    reference_ = fs::path(TestsDir()) / "reference/tiny";
    for (const auto& entry : fs::directory_iterator(reference_ / "checkpoint")) {
      hub_.Add(kRepo, entry.path().filename().string(), TestHub::Read(entry.path()));
    }
    for (const auto& entry : fs::directory_iterator(reference_ / "gguf")) {
      hub_.Add("org/tiny-gguf", entry.path().filename().string(), TestHub::Read(entry.path()));
    }
  }

  pid_t Spawn(std::vector<std::string> words) {
    words.insert(words.begin(), FacetBinary());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    const pid_t child = fork();
    if (child != 0) return child;
    const auto set = [](const char* name, const std::string& value) {
      setenv(name, value.c_str(), 1);
    };
    for (const char* name : {"HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN_PATH"})
      unsetenv(name);
    set("HF_ENDPOINT", "http://127.0.0.1:" + std::to_string(hub_.hub_port()));
    set("HF_HOME", (hub_.root() / "hf").string());
    set("XDG_DATA_HOME", (hub_.root() / "data").string());
    set("XDG_CACHE_HOME", (hub_.root() / "xdg-cache").string());
    set("HOME", (hub_.root() / "home").string());
    for (const auto& [name, value] : environment_) set(name.c_str(), value);
    const int null = open("/dev/null", O_RDONLY);
    const int out = open((hub_.root() / "out").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    const int err = open((hub_.root() / "err").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(null, 0);
    dup2(out, 1);
    dup2(err, 2);
    execv(argv[0], argv.data());
    _exit(127);
  }

  static int Wait(pid_t child) {
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
  }

  // Bytes that files take on the disk, not counting what lies in `except`. Those of a file that was
  // made as long as it will be count once they are written.
  static int64_t DiskBytes(const fs::path& folder, const std::set<fs::path>& except = {}) {
    int64_t bytes = 0;
    for (const std::string& name : TestHub::Tree(folder)) {
      struct stat info {};
      const fs::path path = folder / name;
      if (!except.contains(path.parent_path()) && lstat(path.c_str(), &info) == 0)
        bytes += int64_t{info.st_blocks} * 512;
    }
    return bytes;
  }

  // Waits until `progress` is reached, or the child has ended. True where the child still runs.
  template <typename F>
  static bool WaitFor(pid_t child, F progress) {
    while (!progress()) {
      siginfo_t ended{};
      waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOHANG | WNOWAIT);
      if (ended.si_pid == child) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }

  Outcome Facet(const std::vector<std::string>& words) {
    const int status = Wait(Spawn(words));
    return {status, TestHub::Read(hub_.root() / "out"), TestHub::Read(hub_.root() / "err")};
  }

  // Every name leads to files that are there and whole.
  void ExpectNoHalfModel() {
    const Store store(hub_.root() / "data/facet");
    std::vector<Error> damaged;
    for (const StoredModel& model : store.List(&damaged)) {
      EXPECT_TRUE(model.Missing().empty()) << model.files.name;
      for (const StoredModel::Source& source : model.sources) {
        const fs::path snapshot =
            hub_.cache() / RepoId::Parse(source.repo)->folder() / "snapshots" / source.commit;
        for (const std::string& file : source.files) {
          EXPECT_EQ(TestHub::Read(snapshot / file),
                    TestHub::Read(hub_.root() / "root" / source.repo / file))
              << file;
        }
      }
    }
    EXPECT_TRUE(damaged.empty());
    for (const std::string& name : TestHub::Tree(store.folder() / "models"))
      EXPECT_TRUE(name.ends_with(".json")) << name;
  }

  TestHub hub_;
  fs::path reference_;
  std::vector<std::pair<std::string, std::string>> environment_;
};

TEST_F(ImportTest, TakesARepositoryOrItsAddressInPlaceOfAName) {
  hub_.Start();
  int number = 0;
  for (const char* what : {"org/tiny", "https://huggingface.co/org/tiny", "hf.co/org/tiny/",
                           "https://huggingface.co/org/tiny/tree/main?x=1"}) {
    const Outcome done = Facet({"import", what, Cat("tiny", number), "--json"});
    ASSERT_EQ(done.status, 0) << what << done.err;
    const json model = json::parse(done.out);
    EXPECT_EQ(model["name"], Cat("tiny", number++));
    EXPECT_EQ(model["sources"][0]["repo"], "org/tiny");
  }
  // What is there is a path.
  fs::create_directories(hub_.root() / "org");
  EXPECT_NE(Facet({"run", "nobody/nothing", "Hi"}).err.find("facet import nobody/nothing"),
            std::string::npos);
}

TEST_F(ImportTest, ThePebbleThatComesAlongIsShownAndStays) {
  const Outcome shown = Facet({"show", "pebble", "--json"});
  ASSERT_EQ(shown.status, 0) << shown.err;
  const json model = json::parse(shown.out);
  EXPECT_EQ(model["architecture"], "gemma4");
  EXPECT_GT(model["parameters"], 12'000'000);  // with its projector
  for (const char* command : {"rm", "rename"}) {
    std::vector<std::string> words = {command, "pebble"};
    if (words[0] == "rename") words.emplace_back("stone");
    const Outcome refused = Facet(words);
    EXPECT_EQ(refused.status, 1);
    EXPECT_NE(refused.err.find("comes with facet"), std::string::npos) << refused.err;
  }
  EXPECT_NE(Facet({"show", "peble"}).err.find("did you mean pebble?"), std::string::npos);
}

TEST_F(ImportTest, ImportsACheckpoint) {
  hub_.Start();
  const Outcome done = Facet({"import", "--from-huggingface-repo=org/tiny", "tiny", "--json"});
  ASSERT_EQ(done.status, 0) << done.err;
  const json model = json::parse(done.out);
  EXPECT_EQ(model["name"], "tiny");
  EXPECT_EQ(model["sources"][0]["commit"], TestHub::kCommit);
  EXPECT_EQ(model["model"],
            (hub_.cache() / "models--org--tiny/snapshots" / TestHub::kCommit).string());
  ExpectNoHalfModel();

  const json listed = json::parse(Facet({"list", "--json"}).out);
  ASSERT_EQ(listed["models"].size(), 2u);  // pebble comes along
  EXPECT_EQ(listed["models"][0]["comes_with_facet"], true);
  EXPECT_EQ(listed["models"][1]["comes_with_facet"], false);
  EXPECT_EQ(listed["models"][1]["complete"], true);
  EXPECT_EQ(listed["models"][1]["format"], "safetensors");
  EXPECT_EQ(json::parse(Facet({"show", "tiny", "--json"}).out)["architecture"], "gemma4_unified");
  EXPECT_EQ(Facet({"list", "--names"}).out, "pebble\ntiny\n");
}

TEST_F(ImportTest, ImportsAGgufWithItsCompanions) {
  hub_.Start();
  Outcome done = Facet({"import", "--from-huggingface-repo=org/tiny-gguf", "tiny"});
  EXPECT_EQ(done.status, 1);
  for (const char* choice : {"model-f32.gguf", "model-q4_0.gguf", "model-q8_0.gguf"}) {
    EXPECT_NE(done.err.find(choice), std::string::npos) << done.err;
  }
  EXPECT_FALSE(fs::exists(hub_.root() / "data"));
  done = Facet({"import", "--from-huggingface-repo=org/tiny-gguf", "q4_0", "tiny", "--json"});
  ASSERT_EQ(done.status, 0) << done.err;
  const json model = json::parse(done.out);
  EXPECT_EQ(fs::path(model["model"].get<std::string>()).filename(), "model-q4_0.gguf");
  EXPECT_EQ(fs::path(model["mmproj"].get<std::string>()).filename(), "mmproj-f32.gguf");
  EXPECT_EQ(fs::path(model["drafter"].get<std::string>()).filename(), "assistant-f32.gguf");
  ExpectNoHalfModel();
}

TEST_F(ImportTest, ImportsOfflineOnlyWhatIsWhole) {
  hub_.Add("org/sharded", "config.json", "{}");
  hub_.Add("org/sharded", "model-00001-of-00002.safetensors", TestHub::Noise(1000, 1));
  hub_.Add("org/sharded", "model-00002-of-00002.safetensors", TestHub::Noise(1000, 2));
  hub_.Add(
      "org/sharded", "model.safetensors.index.json",
      R"({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}})");
  hub_.Start();
  ASSERT_EQ(Facet({"import", "--from-huggingface-repo=org/sharded", "s"}).status, 0);
  hub_.Stop();
  environment_ = {{"HF_HUB_OFFLINE", "1"}};
  Outcome done = Facet({"import", "--from-huggingface-repo=org/sharded", "t"});
  EXPECT_EQ(done.status, 0) << done.err;
  const fs::path snapshot = hub_.cache() / "models--org--sharded/snapshots" / TestHub::kCommit;
  fs::remove(snapshot / "model-00002-of-00002.safetensors");
  done = Facet({"import", "--from-huggingface-repo=org/sharded", "u"});
  EXPECT_EQ(done.status, 1);
  EXPECT_NE(done.err.find("model-00002-of-00002.safetensors: named by the index, but not there"),
            std::string::npos)
      << done.err;
  EXPECT_EQ(Facet({"list", "--names"}).out, "pebble\ns\nt\n");
}

// The tensors of a checkpoint's one file in shards of these names, with an index.
void AddSharded(TestHub& hub, const std::string& repo, const fs::path& checkpoint,
                const std::vector<std::string>& names) {
  for (const auto& entry : fs::directory_iterator(checkpoint)) {
    const std::string name = entry.path().filename();
    if (name != "model.safetensors") hub.Add(repo, name, TestHub::Read(entry.path()));
  }
  const auto whole = Safetensors::Open(checkpoint / "model.safetensors");
  ASSERT_TRUE(whole.ok()) << whole.error().message;
  std::vector<std::vector<TensorOut>> shards(names.size());
  json map;
  for (const Tensor& t : (*whole)->tensors()) {
    const size_t shard = map.size() % names.size();
    shards[shard].push_back({t.name, t.type, t.shape, t.data});
    map[t.name] = names[shard];
  }
  const fs::path folder = hub.root() / "root" / repo;
  for (size_t i = 0; i < names.size(); ++i) {
    fs::create_directories((folder / names[i]).parent_path());
    ASSERT_TRUE(SaveSafetensors(folder / names[i], shards[i]).ok());
  }
  hub.Add(repo, "model.safetensors.index.json",
          json{{"metadata", {{"total_size", 1}}}, {"weight_map", map}}.dump());
}

TEST_F(ImportTest, FollowsTheIndexToShardsOfAnyName) {
  const std::vector<std::vector<std::string>> namings = {
      {"model.safetensors-00001-of-00002.safetensors",
       "model.safetensors-00002-of-00002.safetensors"},
      {"weights/first.safetensors", "weights/second.safetensors", "rest.safetensors"},
      {"model.safetensors", "model-media.safetensors"}};
  for (size_t i = 0; i < namings.size(); ++i) {
    AddSharded(hub_, "org/odd" + std::to_string(i), reference_ / "checkpoint", namings[i]);
    // The same weights again, as some repositories have them.
    hub_.Add("org/odd" + std::to_string(i), "consolidated.safetensors", TestHub::Noise(1000, 1));
  }
  hub_.Start();
  for (size_t i = 0; i < namings.size(); ++i) {
    const std::string repo = "org/odd" + std::to_string(i), name = "odd" + std::to_string(i);
    const Outcome done = Facet({"import", "--from-huggingface-repo=" + repo, name, "--json"});
    ASSERT_EQ(done.status, 0) << done.err;
    const fs::path folder = json::parse(done.out)["model"].get<std::string>();
    for (const std::string& shard : namings[i]) EXPECT_TRUE(fs::exists(folder / shard)) << shard;
    EXPECT_FALSE(fs::exists(folder / "consolidated.safetensors"));
    const Outcome answer = Facet({"run", name, "Hello", "--max-tokens", "4", "--temperature", "0"});
    EXPECT_EQ(answer.status, 0) << answer.err;
  }
  ExpectNoHalfModel();
}

TEST_F(ImportTest, RefusesALocalFolderThatLacksAShard) {
  AddSharded(hub_, "org/odd", reference_ / "checkpoint", {"a.safetensors", "b.safetensors"});
  const fs::path folder = hub_.root() / "root/org/odd";
  ASSERT_EQ(Facet({"import", folder.string(), "whole"}).status, 0);
  fs::remove(folder / "b.safetensors");
  const Outcome done = Facet({"import", folder.string(), "half"});
  EXPECT_EQ(done.status, 1);
  EXPECT_NE(done.err.find("b.safetensors: named by the index, but not there"), std::string::npos)
      << done.err;
}

TEST_F(ImportTest, ImportsLocalFilesInPlace) {
  hub_.Start();
  ASSERT_EQ(Facet({"import", (reference_ / "checkpoint").string(), "a"}).status, 0);
  ASSERT_EQ(Facet({"import", (reference_ / "gguf/model-q8_0.gguf").string()}).status, 0);
  EXPECT_EQ(Facet({"list", "--names"}).out, "pebble\na\nmodel-q8_0\n");
  EXPECT_TRUE(hub_.Requests().empty());
  const Outcome taken = Facet({"import", (reference_ / "gguf/model-q4_0.gguf").string(), "a"});
  EXPECT_EQ(taken.status, 1);
  EXPECT_NE(taken.err.find("--replace"), std::string::npos) << taken.err;
  EXPECT_EQ(
      Facet({"import", (reference_ / "gguf/model-q4_0.gguf").string(), "a", "--replace"}).status,
      0);
  EXPECT_EQ(Facet({"rename", "a", "b"}).status, 0);
  EXPECT_EQ(Facet({"rm", "b", "--json"}).status, 0);
  EXPECT_TRUE(fs::exists(reference_ / "gguf/model-q4_0.gguf"));
  EXPECT_EQ(Facet({"list", "--names"}).out, "pebble\nmodel-q8_0\n");
}

TEST_F(ImportTest, RemovesTheNameAndOnRequestTheFiles) {
  hub_.Start();
  ASSERT_EQ(Facet({"import", "--from-huggingface-repo=org/tiny", "one"}).status, 0);
  ASSERT_EQ(Facet({"import", "--from-huggingface-repo=org/tiny", "two"}).status, 0);
  const size_t blobs = TestHub::Tree(hub_.cache() / "models--org--tiny/blobs").size();
  // The other name uses the same files.
  json removed = json::parse(Facet({"rm", "--purge", "one", "--json"}).out);
  EXPECT_EQ(removed["freed_bytes"], 0);
  EXPECT_EQ(TestHub::Tree(hub_.cache() / "models--org--tiny/blobs").size(), blobs);
  ExpectNoHalfModel();
  ASSERT_EQ(Facet({"import", "--from-huggingface-repo=org/tiny", "one"}).status, 0);
  ASSERT_EQ(Facet({"rm", "two"}).status, 0);
  removed = json::parse(Facet({"rm", "one", "--purge", "--json"}).out);
  EXPECT_GT(removed["freed_bytes"], 3'000'000);
  EXPECT_TRUE(TestHub::Tree(hub_.cache() / "models--org--tiny/blobs").empty());
  EXPECT_TRUE(TestHub::Tree(hub_.cache() / "models--org--tiny/snapshots").empty());
}

TEST_F(ImportTest, QuantizesACheckpoint) {
  hub_.Start();
  const Outcome done = Facet(
      {"import", "--from-huggingface-repo=org/tiny", "--quantize", "q8_0", "small", "--json"});
  ASSERT_EQ(done.status, 0) << done.err;
  const json model = json::parse(done.out);
  EXPECT_EQ(model["quantized"], "q8_0");
  const fs::path owned = model["owned"].get<std::string>();
  EXPECT_EQ(TestHub::Tree(owned), (std::set<std::string>{"mmproj-bf16.gguf", "model-q8_0.gguf"}));
  EXPECT_EQ(json::parse(Facet({"show", "small", "--json"}).out)["architecture"], "gemma4");
  const json removed = json::parse(Facet({"rm", "small", "--json"}).out);
  EXPECT_GT(removed["freed_bytes"], 100'000);
  EXPECT_GT(removed["kept_in_cache_bytes"], 3'000'000);
  EXPECT_FALSE(fs::exists(owned));
}

TEST_F(ImportTest, SurvivesKillsAtTenRandomMoments) {
  hub_.Start({{"rate", 3'000'000}});
  std::mt19937 random(5);
  int killed = 0;
  for (int i = 0; i < 10; ++i) {
    const pid_t child = Spawn({"import", "--from-huggingface-repo=org/tiny", "tiny"});
    // Ten times the most of it is less than the whole.
    const int64_t until = DiskBytes(hub_.cache()) + static_cast<int64_t>(random() % 300'000);
    WaitFor(child, [&] { return DiskBytes(hub_.cache()) > until; });
    kill(child, SIGKILL);
    killed += Wait(child) == -SIGKILL;
    ExpectNoHalfModel();
  }
  EXPECT_GT(killed, 3);
  const Outcome done = Facet({"import", "--from-huggingface-repo=org/tiny", "tiny"});
  ASSERT_EQ(done.status, 0) << done.err;
  EXPECT_EQ(Facet({"list", "--names"}).out, "pebble\ntiny\n");
  ExpectNoHalfModel();
  for (const std::string& name : TestHub::Tree(hub_.cache()))
    EXPECT_FALSE(name.ends_with(".incomplete")) << name;
}

TEST_F(ImportTest, SurvivesKillsWhileItQuantizes) {
  hub_.Start();
  ASSERT_EQ(Facet({"import", "--from-huggingface-repo=org/tiny", "full"}).status, 0);
  const fs::path owned = hub_.root() / "data/facet/files";
  std::error_code code;
  std::mt19937 random(6);
  for (int i = 0; i < 10; ++i) {
    std::set<fs::path> before;
    for (const auto& entry : fs::directory_iterator(owned, code)) before.insert(entry.path());
    const pid_t child =
        Spawn({"import", "--from-huggingface-repo=org/tiny", "--quantize", "q4_0", "small"});
    const auto until = static_cast<int64_t>(random() % 1'000'000);
    WaitFor(child, [&] { return DiskBytes(owned, before) > until; });
    kill(child, SIGKILL);
    Wait(child);
    ExpectNoHalfModel();
  }
  ASSERT_EQ(
      Facet({"import", "--from-huggingface-repo=org/tiny", "--quantize", "q4_0", "small"}).status,
      0);
  ExpectNoHalfModel();
  // What the kills left is gone.
  std::set<fs::path> folders;
  for (const auto& entry : fs::directory_iterator(owned)) folders.insert(entry.path());
  EXPECT_EQ(folders.size(), 1u);
}

TEST_F(ImportTest, StopsAtCtrlC) {
  hub_.Start({{"rate", 500'000}});
  const pid_t child = Spawn({"import", "--from-huggingface-repo=org/tiny", "tiny"});
  ASSERT_TRUE(WaitFor(child, [&] { return DiskBytes(hub_.cache()) > 100'000; }));
  kill(child, SIGINT);
  EXPECT_EQ(Wait(child), 130);
  EXPECT_NE(TestHub::Read(hub_.root() / "err").find("the same command goes on from here"),
            std::string::npos);
  ExpectNoHalfModel();
}

TEST_F(ImportTest, SaysWhatIsWrong) {
  hub_.Start({{"corrupt", {"model.safetensors"}}, {"token", "hf_right"}});
  const auto error = [&](std::vector<std::string> words) {
    const Outcome outcome = Facet(words);
    EXPECT_EQ(outcome.status, 1) << outcome.out;
    EXPECT_NE(outcome.err.find("facet: "), std::string::npos) << outcome.err;
    return outcome.err;
  };
  const std::string repo = "--from-huggingface-repo=org/tiny";
  EXPECT_NE(error({"import", repo, "x"}).find("HF_TOKEN or --token"), std::string::npos);
  EXPECT_NE(error({"import", repo, "x", "--token", "hf_wrong"}).find("does not accept the token"),
            std::string::npos);
  EXPECT_NE(error({"import", repo, "x", "--token", "hf_right"}).find("expected sha256"),
            std::string::npos);
  EXPECT_NE(error({"import", repo, "x", "--token", "hf_right", "--revision", "v9"})
                .find("revision 'v9' not found"),
            std::string::npos);
  EXPECT_NE(error({"import", repo, "../x", "--token", "hf_right"}).find("model name"),
            std::string::npos);
  EXPECT_NE(error({"import", "--from-huggingface-repo=../etc", "x"}).find("repository"),
            std::string::npos);
  EXPECT_NE(error({"import", "/nowhere", "x"}).find("no such file"), std::string::npos);
  EXPECT_NE(error({"show", "x"}).find("no model is called 'x'"), std::string::npos);
  EXPECT_NE(error({"rm", "x"}).find("no model is called 'x'"), std::string::npos);
  EXPECT_NE(error({"conform", "gemma4-12b", (reference_ / "cases/text-short.json").string(),
                   (hub_.root() / "o").string()})
                .find("facet import gemma4-12b"),
            std::string::npos);
  EXPECT_EQ(Facet({"import", repo, "x", "--quantize", "q2"}).status, 2);
  ExpectNoHalfModel();
  EXPECT_EQ(Facet({"list", "--names"}).out, "pebble\n");
}

TEST_F(ImportTest, ImportsOneRepositoryFromManyProcesses) {
  hub_.Start({{"rate", 8'000'000}});
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    children.push_back(
        Spawn({"import", "--from-huggingface-repo=org/tiny", "m" + std::to_string(i), "-q"}));
  }
  for (const pid_t child : children) EXPECT_EQ(Wait(child), 0);
  EXPECT_EQ(Facet({"list", "--names"}).out, "pebble\nm0\nm1\nm2\nm3\n");
  ExpectNoHalfModel();
}

TEST_F(ImportTest, ListsDisposableCaches) {
  hub_.Start();
  TestHub::Write(hub_.root() / "xdg-cache/facet/abc-p1.packed", std::string(5000, 'x'));
  const json listed = json::parse(Facet({"list", "--json"}).out);
  ASSERT_EQ(listed["caches"].size(), 1u);
  EXPECT_EQ(listed["caches"][0]["bytes"], 5000);
  EXPECT_NE(Facet({"list"}).out.find("Disposable caches, rebuilt when needed: 5.0 kB"),
            std::string::npos);
}

// Other programs' files in the folder are not facet's to call disposable.
TEST_F(ImportTest, ListsOnlyWhatItKeepsItself) {
  hub_.Start();
  const auto folder = hub_.root() / "xdg-cache/facet";
  for (const char* other : {"versus/env/lib/module.py", "pebble/python/bin/python", "notes.txt",
                            "demo/venv/pyvenv.cfg"}) {
    TestHub::Write(folder / other, "x");
  }
  ASSERT_EQ(Facet({"tokenize", (reference_ / "checkpoint").string()}).status, 0);
  TestHub::Write(folder / "demo/gemma-3-270m-q4_k_m.gguf", "x");
  TestHub::Write(folder / "prefixes/abc", "x");
  TestHub::Write(folder / "0123-p1.packed.77.part", "x");
  std::vector<std::string> names;
  const json listed = json::parse(Facet({"list", "--json"}).out);
  for (const json& file : listed["caches"])
    names.push_back(fs::path(file["path"].get<std::string>()).lexically_relative(folder).string());
  ASSERT_EQ(names.size(), 4u) << json(names);
  EXPECT_EQ(names[0], "0123-p1.packed.77.part");
  EXPECT_EQ(names[1], "demo/gemma-3-270m-q4_k_m.gguf");
  EXPECT_EQ(names[2], "prefixes/abc");
  EXPECT_TRUE(names[3].starts_with("vocabulary-")) << names[3];
}

// A relative XDG_CACHE_HOME counts as none (XDG base directories), for writing and for listing.
TEST_F(ImportTest, ListsTheFolderThatIsUsed) {
  environment_ = {{"XDG_CACHE_HOME", "relative"}};
  ASSERT_EQ(Facet({"tokenize", (reference_ / "checkpoint").string()}).status, 0);
  const json caches = json::parse(Facet({"list", "--json"}).out)["caches"];
  ASSERT_EQ(caches.size(), 1u);
  EXPECT_TRUE(caches[0]["path"].get<std::string>().starts_with(
      (hub_.root() / "home/.cache/facet/vocabulary-").string()));
}

TEST_F(ImportTest, CompletesInBash) {
  hub_.Start();
  ASSERT_EQ(Facet({"import", (reference_ / "checkpoint").string(), "alpha"}).status, 0);
  const std::string script = (hub_.root() / "complete.sh").string();
  TestHub::Write(
      script,
      Facet({"completion", "bash"}).out +
          "COMP_WORDS=(facet imp); COMP_CWORD=1; _facet; echo \"${COMPREPLY[@]}\"\n"
          "COMP_WORDS=(facet import --quan); COMP_CWORD=2; _facet; echo \"${COMPREPLY[@]}\"\n"
          "COMP_WORDS=(facet show al); COMP_CWORD=2; _facet; echo \"${COMPREPLY[@]}\"\n");
  const std::string command = "cd / && PATH=" + fs::path(FacetBinary()).parent_path().string() +
                              ":$PATH XDG_DATA_HOME=" + (hub_.root() / "data").string() + " bash " +
                              script + " > " + (hub_.root() / "completed").string();
  ASSERT_EQ(std::system(command.c_str()), 0);
  EXPECT_EQ(TestHub::Read(hub_.root() / "completed"), "import\n--quantize\nalpha\n");
}

}  // namespace
}  // namespace facet
