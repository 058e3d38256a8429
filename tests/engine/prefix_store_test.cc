// Prefixes on disk: what comes back after a restart is what was there, and nothing else is used.
#include "engine/prefix_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <future>
#include <random>

#include "base/mapped_file.h"
#include "engine/engine.h"
#include "engine/model_executor.h"
#include "support/paths.h"

namespace facet {
namespace {

namespace fs = std::filesystem;

class Collector : public GenerationListener {
 public:
  Decision OnToken(const Sampled& token) override {
    ids.push_back(token.id);
    return {};
  }
  void OnDone(const Outcome& outcome) override { done.set_value(outcome); }
  std::vector<TokenId> ids;
  std::promise<Outcome> done;
};

struct Answer {
  std::vector<TokenId> ids;
  int cached = 0;
  bool operator==(const Answer& other) const { return ids == other.ids; }
};

class PrefixStoreTest : public testing::Test {
 protected:
  PrefixStoreTest() : root_(fs::temp_directory_path() / Cat("facet-prefix-", getpid())) {
    fs::remove_all(root_);
    options_.keep.folder = root_ / "made" / "prefixes";
    LoadOptions load;
    load.model = fs::path(TestsDir()) / "reference/tiny/checkpoint";
    load.precision = Precision::kPlain;
    load.cache = CacheType::kF32;
    load_ = load;
  }
  ~PrefixStoreTest() override { fs::remove_all(root_); }

  std::unique_ptr<Model> Load() {
    auto model = Model::Load(load_, pool_);
    EXPECT_TRUE(model.ok());
    return std::move(*model);
  }
  // A system prompt with a picture in it, and a question behind it.
  static std::shared_ptr<Prompt> Make(int question, int seed = 1) {
    auto prompt = std::make_shared<Prompt>();
    std::mt19937 random(seed);
    for (int i = 0; i < 200; ++i) prompt->ids.push_back(20 + random() % 200);
    auto item = std::make_shared<SoftItem>();
    item->begin = 70;
    item->count = 20;
    item->digest = {77, 78, 79, 80};
    item->patches.columns = 5;
    item->patches.rows = 4;
    item->patches.pixels.resize(20 * media::kPatchValues);
    for (auto& value : item->patches.pixels) value = random() & 255;
    prompt->ids.insert(prompt->ids.begin() + 70, 20, 5);
    prompt->items.push_back(std::move(item));
    for (int i = 0; i < 30; ++i) prompt->ids.push_back(20 + (question * 31 + i * 7) % 200);
    return prompt;
  }
  static Answer Ask(Engine& engine, std::shared_ptr<Prompt> prompt,
                    const std::string& scope = "k") {
    auto collector = std::make_shared<Collector>();
    GenerationRequest request;
    request.prompt = std::move(prompt);
    request.anchors = {220};
    request.sampling.temperature = 0;
    request.max_tokens = 16;
    request.scope = scope;
    EXPECT_TRUE(engine.Submit(std::move(request), collector).ok());
    const Outcome outcome = collector->done.get_future().get();
    EXPECT_EQ(outcome.reason, Outcome::Reason::kLength) << outcome.error.message;
    return {collector->ids, outcome.stats.cached};
  }
  std::vector<fs::path> Files() {
    std::vector<fs::path> out;
    std::error_code code;
    for (const auto& item : fs::directory_iterator(options_.keep.folder, code))
      out.push_back(item.path());
    return out;
  }

  fs::path root_;
  EngineOptions options_;
  LoadOptions load_;
  ThreadPool pool_{1};
};

TEST_F(PrefixStoreTest, TheFirstRequestAfterARestartFindsTheSystemPrompt) {
  Answer want;
  {
    const auto model = Load();
    EngineOptions off;
    off.prefix_cache = false;
    Engine engine(MakeModelExecutor(*model), off);
    want = Ask(engine, Make(2));
  }
  {
    const auto model = Load();
    Engine engine(MakeModelExecutor(*model), options_);
    EXPECT_EQ(Ask(engine, Make(1)).cached, 0);
  }
  ASSERT_EQ(Files().size(), 1u);
  const auto model = Load();
  {
    Engine engine(MakeModelExecutor(*model), options_);
    const Answer answer = Ask(engine, Make(2));
    EXPECT_EQ(answer.cached, 220);
    EXPECT_EQ(answer, want);
    EXPECT_EQ(Ask(engine, Make(2), "another key").cached, 0);
    EXPECT_EQ(Ask(engine, Make(2, 5)).cached, 0);
  }
  EXPECT_EQ(model->cache().bytes_in_use(), 0u);
}

TEST_F(PrefixStoreTest, OnlyTheOwnerCanReadAndNoKeyStandsInIt) {
  const auto model = Load();
  { Ask(*std::make_unique<Engine>(MakeModelExecutor(*model), options_), Make(1), "SECRETKEY"); }
  ASSERT_EQ(Files().size(), 1u);
  struct stat info {};
  stat(Files()[0].c_str(), &info);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  stat(options_.keep.folder.c_str(), &info);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  EXPECT_EQ(ReadFile(Files()[0])->find("SECRETKEY"), std::string::npos);
  EXPECT_EQ(Files()[0].string().find("SECRETKEY"), std::string::npos);
}

TEST_F(PrefixStoreTest, WhatIsDamagedOrForeignIsLeftAlone) {
  const auto model = Load();
  {
    Engine engine(MakeModelExecutor(*model), options_);
    Ask(engine, Make(1));
  }
  ASSERT_EQ(Files().size(), 1u);
  const fs::path path = Files()[0];
  const std::string good = *ReadFile(path);
  // Reads it with nothing to write afterwards.
  const auto cached = [&] {
    Engine engine(MakeModelExecutor(*model), options_);
    return Ask(engine, Make(2)).cached;
  };
  const auto put = [&](const std::string& bytes, mode_t mode = 0600) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
    chmod(path.c_str(), mode);
  };
  EXPECT_EQ(cached(), 220);
  for (const size_t at : {size_t{0}, size_t{20}, size_t{60}, size_t{90}, good.size() - 1}) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    put(bad);
    EXPECT_EQ(cached(), 0) << at;
  }
  for (const size_t bytes : {size_t{0}, size_t{10}, size_t{87}, good.size() / 2}) {
    put(good.substr(0, bytes));
    EXPECT_EQ(cached(), 0) << bytes;
  }
  put(good, 0644);
  EXPECT_EQ(cached(), 0);
  put(good);
  fs::rename(path, root_ / "elsewhere");
  fs::create_symlink(root_ / "elsewhere", path);
  EXPECT_EQ(cached(), 0);
  fs::remove(path);
  put(good);
  EXPECT_EQ(cached(), 220);
  // Another type of cache is another model.
  load_.cache = CacheType::kF16;
  const auto other = Load();
  Engine engine(MakeModelExecutor(*other), options_);
  EXPECT_EQ(Ask(engine, Make(2)).cached, 0);
}

TEST_F(PrefixStoreTest, FilesStayWithinTheirBytes) {
  const auto model = Load();
  {
    Engine engine(MakeModelExecutor(*model), options_);
    Ask(engine, Make(1));
  }
  const auto one = fs::file_size(Files()[0]);
  options_.keep.max_bytes = 3 * one;
  for (int i = 0; i < 6; ++i) {
    Engine engine(MakeModelExecutor(*model), options_);
    Ask(engine, Make(1), Cat("key ", i));
  }
  uintmax_t total = 0;
  for (const fs::path& path : Files()) total += fs::file_size(path);
  EXPECT_LE(total, options_.keep.max_bytes);
  EXPECT_GE(total, one);
  {
    Engine engine(MakeModelExecutor(*model), options_);
    EXPECT_EQ(Ask(engine, Make(2), "key 5").cached, 220);
    EXPECT_EQ(Ask(engine, Make(2), "key 0").cached, 0);
  }
}

TEST_F(PrefixStoreTest, ARunningServerWritesBesidesItsWork) {
  const auto model = Load();
  Engine engine(MakeModelExecutor(*model), options_);
  Ask(engine, Make(1));
  for (int i = 0; i < 400 && Files().empty(); ++i) usleep(5000);
  EXPECT_EQ(Files().size(), 1u);
}

}  // namespace
}  // namespace facet
