#include "hub/store.h"

#include "formats/gguf.h"
#include "hub/select.h"
#include "hub/short_names.h"
#include "support/paths.h"
#include "support/test_hub.h"

namespace facet {
namespace {

namespace fs = std::filesystem;

// --- which files make up a model
// -----------------------------------------------------------------------------------

HubListing Listing(const std::vector<std::string>& names) {
  HubListing listing{
      *RepoId::Parse("org/m"), *PathUnder::Parse("main", "r"), TestHub::kCommit, {}, false};
  for (const std::string& name : names)
    listing.files.push_back({*PathUnder::Parse(name, "f"), 1'000'000, {}});
  return listing;
}

std::set<std::string> Names(const HubSelection& selection) {
  std::set<std::string> out;
  for (const HubFile& file : selection.files) out.insert(file.name.text());
  return out;
}

// With the index of a checkpoint that it has, if it has one.
Result<HubSelection> Select(const HubListing& listing, const HubQuery& wish,
                            const std::string& index = "") {
  return SelectFiles(listing, wish, [&](const HubFile& file) -> Result<std::string> {
    EXPECT_EQ(file.name.text(), "model.safetensors.index.json");
    return index;
  });
}

// An index whose tensors lie in these shards.
std::string Index(const std::vector<std::string>& shards) {
  nlohmann::json map;
  for (size_t i = 0; i < shards.size(); ++i) map["tensor" + std::to_string(i)] = shards[i];
  return nlohmann::json{{"metadata", {{"total_size", 1}}}, {"weight_map", map}}.dump();
}

std::string SelectError(const HubListing& listing, const HubQuery& wish,
                        const std::string& index = "") {
  const auto selection = Select(listing, wish, index);
  EXPECT_FALSE(selection.ok());
  return selection.ok() ? "" : selection.error().message;
}

TEST(HubSelect, TakesAllOfACheckpointAndNothingElse) {
  const HubListing listing = Listing(
      {".gitattributes", "LICENSE", "README.md", "chat_template.jinja", "config.json",
       "consolidated.safetensors", "generation_config.json", "model-00001-of-00002.safetensors",
       "model-00002-of-00002.safetensors", "model.safetensors.index.json", "onnx/model.onnx",
       "original/params.json", "processor_config.json", "pytorch_model.bin", "tokenizer.json",
       "tokenizer_config.json"});
  const auto selection = Select(
      listing, {}, Index({"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}));
  ASSERT_TRUE(selection.ok()) << selection.error().message;
  EXPECT_TRUE(selection->checkpoint);
  EXPECT_EQ(selection->weights, (std::set<std::string>{"model-00001-of-00002.safetensors",
                                                       "model-00002-of-00002.safetensors"}));
  EXPECT_EQ(
      Names(*selection),
      (std::set<std::string>{"LICENSE", "README.md", "chat_template.jinja", "config.json",
                             "generation_config.json", "model-00001-of-00002.safetensors",
                             "model-00002-of-00002.safetensors", "model.safetensors.index.json",
                             "processor_config.json", "tokenizer.json", "tokenizer_config.json"}));
  EXPECT_NE(SelectError(Listing({"model.safetensors"}), {}).find("config.json"), std::string::npos);
}

TEST(HubSelect, TakesTheShardsThatTheIndexNamesWhateverTheyAreCalled) {
  const std::vector<std::vector<std::string>> namings = {
      {"model.safetensors-00001-of-00002.safetensors",
       "model.safetensors-00002-of-00002.safetensors"},
      {"model-00001-of-000002.safetensors", "model-00002-of-000002.safetensors"},
      {"weights/part a.safetensors", "weights/part b.safetensors"},
      {"model.safetensors", "model-vision.safetensors"},
      {"pytorch_model-00001-of-00001.safetensors"},
      {"shard_0.st", "shard_1.st"}};
  for (const auto& shards : namings) {
    std::vector<std::string> names = {"config.json",
                                      "model.safetensors.index.json",
                                      "consolidated.safetensors",
                                      "model-00001-of-00009.safetensors",
                                      "weights/other.safetensors",
                                      "weights/config.json"};
    names.insert(names.end(), shards.begin(), shards.end());
    const auto selection = Select(Listing(names), {}, Index(shards));
    ASSERT_TRUE(selection.ok()) << selection.error().message;
    std::set<std::string> want(shards.begin(), shards.end());
    EXPECT_EQ(selection->weights, want);
    want.insert({"config.json", "model.safetensors.index.json"});
    EXPECT_EQ(Names(*selection), want);
  }
}

TEST(HubSelect, LeavesAnIndexThatIsOutOfDateBehind) {
  const auto selection =
      Select(Listing({"config.json", "model.safetensors", "model.safetensors.index.json"}), {},
             Index({"model-00001-of-00002.safetensors"}));
  ASSERT_TRUE(selection.ok()) << selection.error().message;
  EXPECT_EQ(Names(*selection), (std::set<std::string>{"config.json", "model.safetensors"}));
}

TEST(HubSelect, RefusesAnIndexThatLeadsNowhere) {
  const HubListing listing =
      Listing({"config.json", "model-00001-of-00002.safetensors", "model.safetensors.index.json"});
  const auto error = [&](const std::string& index) { return SelectError(listing, {}, index); };
  EXPECT_NE(error(Index({"model-00002-of-00002.safetensors"}))
                .find("names model-00002-of-00002.safetensors, which the repository does not have"),
            std::string::npos);
  EXPECT_NE(error(Index({"../../x.safetensors"})).find("lies outside the folder"),
            std::string::npos);
  EXPECT_NE(error(Index({"/etc/passwd"})).find("lies outside the folder"), std::string::npos);
  EXPECT_NE(error(R"({"weight_map": {"a": 1}})").find("tensor a is not a file name"),
            std::string::npos);
  for (const char* none :
       {"", "{}", "[]", R"({"weight_map": []})", R"({"weight_map": {}})", "<html>"})
    EXPECT_NE(error(none).find("org/m/model.safetensors.index.json"), std::string::npos) << none;
  EXPECT_NE(SelectError(Listing({"config.json", "a.safetensors", "b.safetensors"}), {})
                .find("several safetensors files and no model.safetensors.index.json"),
            std::string::npos);
}

TEST(HubSelect, TakesAGgufWithProjectorAndDrafter) {
  const HubListing listing = Listing({"README.md", "gemma-Q4_0.gguf", "mmproj-BF16.gguf",
                                      "mmproj-F16.gguf", "mmproj-F32.gguf", "mtp-gemma.gguf"});
  const auto selection = Select(listing, {});
  ASSERT_TRUE(selection.ok()) << selection.error().message;
  EXPECT_FALSE(selection->checkpoint);
  EXPECT_EQ(Names(*selection),
            (std::set<std::string>{"gemma-Q4_0.gguf", "mmproj-BF16.gguf", "mtp-gemma.gguf"}));
  EXPECT_EQ(selection->model->text(), "gemma-Q4_0.gguf");
  EXPECT_EQ(selection->mmproj->text(), "mmproj-BF16.gguf");
  EXPECT_EQ(selection->drafter->text(), "mtp-gemma.gguf");
  EXPECT_EQ(Select(listing, {"", "F32", ""})->mmproj->text(), "mmproj-F32.gguf");
  EXPECT_EQ(Names(*Select(listing, {"mtp-gemma.gguf", "", ""})),
            std::set<std::string>{"mtp-gemma.gguf"});
}

TEST(HubSelect, ListsTheChoices) {
  const HubListing listing =
      Listing({"g-Q4_0.gguf", "g-Q8_0.gguf", "g-UD-Q8_0.gguf", "mmproj.gguf"});
  const std::string error = SelectError(listing, {});
  for (const char* name : {"g-Q4_0.gguf  (1.0 MB)", "g-Q8_0.gguf", "g-UD-Q8_0.gguf"}) {
    EXPECT_NE(error.find(name), std::string::npos) << error;
  }
  EXPECT_EQ(error.find("mmproj"), std::string::npos);
  EXPECT_EQ(Select(listing, {"q4_0", "", ""})->model->text(), "g-Q4_0.gguf");
  EXPECT_EQ(Select(listing, {"g-Q8_0.gguf", "", ""})->model->text(), "g-Q8_0.gguf");
  EXPECT_NE(SelectError(listing, {"Q8_0", "", ""}).find("more than one file"), std::string::npos);
  EXPECT_NE(SelectError(listing, {"Q5", "", ""}).find("no file is called 'Q5'"), std::string::npos);
}

TEST(HubSelect, RefusesWhatItCannotRead) {
  EXPECT_NE(SelectError(Listing({"README.md", "pytorch_model.bin"}), {})
                .find("no safetensors and no GGUF"),
            std::string::npos);
  EXPECT_NE(
      SelectError(Listing({"g-00001-of-00002.gguf", "g-00002-of-00002.gguf"}), {"00001", "", ""})
          .find("split"),
      std::string::npos);
  EXPECT_NE(SelectError(Listing({"gemma-4-12b-it.litertlm"}), {}).find("LiteRT"),
            std::string::npos);
}

TEST(ShortNamesTest, NameUsableRepositoriesAndFiles) {
  ASSERT_NE(FindShortName("gemma4-12b"), nullptr);
  EXPECT_EQ(FindShortName("gemma"), nullptr);
  std::set<std::string_view> seen;
  for (const ShortName& name : ShortNames()) {
    EXPECT_TRUE(CheckModelName(name.name).ok()) << name.name;
    EXPECT_TRUE(seen.insert(name.name).second) << name.name;
    EXPECT_TRUE(RepoId::Parse(name.repo).ok()) << name.repo;
    if (!name.drafter_repo.empty()) {
      EXPECT_TRUE(RepoId::Parse(name.drafter_repo).ok());
    }
    if (!name.file.empty()) {
      EXPECT_EQ(RoleOf(name.file), GgufRole::kModel);
    }
    if (!name.mmproj.empty()) {
      EXPECT_EQ(RoleOf(name.mmproj), GgufRole::kProjector);
    }
    if (!name.drafter.empty()) {
      EXPECT_EQ(RoleOf(name.drafter), GgufRole::kDrafter);
    }
    EXPECT_GT(name.bytes, 0);
  }
}

// --- the store
// -----------------------------------------------------------------------------------------------------

class StoreTest : public ::testing::Test {
 protected:
  fs::path root() const { return scratch_.root(); }
  StoredModel Model(const std::string& name) {
    TestHub::Write(root() / "m.gguf", "x");
    StoredModel model;
    model.files = {name, root() / "m.gguf", {}, {}};
    model.bytes = 1;
    return model;
  }

  TestHub scratch_;
  Store store_{scratch_.root() / "facet"};
};

TEST_F(StoreTest, KeepsWhatItIsGiven) {
  StoredModel model = Model("gemma-4.q4_0");
  model.files.mmproj = root() / "p.gguf";
  model.files.drafter = root() / "d.gguf";
  model.sources = {{"org/m", "main", TestHub::kCommit, {"m.gguf", "sub/p.gguf"}}};
  model.quantized = "q4_0";
  ASSERT_TRUE(store_.Put(model).ok());
  const auto back = store_.Get("gemma-4.q4_0");
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_EQ(back->imported.size(), 20u);
  nlohmann::json expected = ToJson(model), got = ToJson(*back);
  expected["imported"] = got["imported"];
  EXPECT_EQ(got, expected);
  EXPECT_EQ(back->Missing(), (std::vector<fs::path>{root() / "p.gguf", root() / "d.gguf"}));
  ASSERT_EQ(store_.List().size(), 1u);
}

TEST_F(StoreTest, RefusesBadNames) {
  for (const char* bad : {"", "../x", "a/b", ".hidden", "a b", "-x", "a\n"}) {
    EXPECT_FALSE(store_.Put(Model(bad)).ok()) << bad;
    EXPECT_FALSE(store_.Has(bad));
    EXPECT_FALSE(store_.Get(bad).ok());
    EXPECT_FALSE(store_.Remove(bad).ok());
  }
  EXPECT_FALSE(fs::exists(store_.folder()));
}

TEST_F(StoreTest, RenamesAndRemoves) {
  ASSERT_TRUE(store_.Put(Model("a")).ok());
  ASSERT_TRUE(store_.Put(Model("b")).ok());
  EXPECT_NE(store_.Rename("a", "b").error().message.find("already"), std::string::npos);
  EXPECT_FALSE(store_.Rename("a", "../c").ok());
  EXPECT_FALSE(store_.Rename("none", "c").ok());
  ASSERT_TRUE(store_.Rename("a", "c").ok());
  EXPECT_FALSE(store_.Has("a"));
  EXPECT_EQ(store_.Get("c")->files.name, "c");
  ASSERT_TRUE(store_.Remove("c").ok());
  EXPECT_EQ(store_.Remove("c").error().kind, ErrorKind::kNotFound);
  EXPECT_TRUE(fs::exists(root() / "m.gguf"));  // not ours
}

TEST_F(StoreTest, RemovesOnlyFoldersOfItsOwn) {
  StoredModel model = Model("evil");
  fs::create_directories(root() / "precious");
  model.owned = root() / "precious";
  ASSERT_TRUE(store_.Put(model).ok());
  ASSERT_TRUE(store_.Remove("evil").ok());
  EXPECT_TRUE(fs::exists(root() / "precious"));
}

TEST_F(StoreTest, OwnsWhatItWritesAndClearsWhatAKillLeft) {
  fs::path kept, orphan;
  {
    auto owned = store_.NewOwned("q");
    ASSERT_TRUE(owned.ok());
    kept = owned->path;
    TestHub::Write(kept / "model.gguf", std::string(1000, 'x'));
    StoredModel model = Model("q");
    model.files.model = kept / "model.gguf";
    model.owned = kept;
    // While it is being written, another import must not take it for an orphan.
    ASSERT_TRUE(store_.NewOwned("other").ok());
    EXPECT_TRUE(fs::exists(kept));
    ASSERT_TRUE(store_.Put(model).ok());
  }
  {
    auto owned = store_.NewOwned("killed");
    ASSERT_TRUE(owned.ok());
    orphan = owned->path;
  }
  EXPECT_TRUE(fs::exists(orphan));
  ASSERT_TRUE(store_.NewOwned("next").ok());
  EXPECT_FALSE(fs::exists(orphan));
  EXPECT_TRUE(fs::exists(kept));
  ASSERT_TRUE(store_.Rename("q", "r").ok());
  EXPECT_EQ(*store_.Remove("r"), 1000);
  EXPECT_FALSE(fs::exists(kept));
}

TEST_F(StoreTest, NamesDamagedManifests) {
  ASSERT_TRUE(store_.Put(Model("good")).ok());
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"a", "{"},
      {"b", "[]"},
      {"c", R"({"version": 9})"},
      {"d", R"({"version": 1, "name": "other", "model": "/x"})"},
      {"e", R"({"version": 1, "name": "e", "model": "relative"})"},
      {"f",
       R"({"version": 1, "name": "f", "model": "/x", "sources": [{"repo": "../..", "commit": "x"}]})"},
      {"g", R"({"version": 1, "name": "g", "model": 7})"}};
  for (const auto& [name, text] : bad)
    TestHub::Write(store_.folder() / "models" / (name + ".json"), text);
  std::vector<Error> damaged;
  EXPECT_EQ(store_.List(&damaged).size(), 1u);
  EXPECT_EQ(damaged.size(), bad.size());
  for (const auto& [name, text] : bad) EXPECT_TRUE(store_.Remove(name).ok()) << name;
}

// --- from a word to files
// ------------------------------------------------------------------------------------------

class FindModelTest : public StoreTest {
 protected:
  const fs::path gguf_ = fs::path(TestsDir()) / "reference/tiny/gguf";
};

TEST_F(FindModelTest, FindsWhatLiesBesideAGguf) {
  const auto files = FindModel(store_, (gguf_ / "model-q4_0.gguf").string());
  ASSERT_TRUE(files.ok()) << files.error().message;
  EXPECT_EQ(files->name, "model-q4_0");
  EXPECT_EQ(files->mmproj, gguf_ / "mmproj-f32.gguf");
  EXPECT_EQ(files->drafter, gguf_ / "assistant-f32.gguf");
}

TEST_F(FindModelTest, FindsTheDrafterBesideAFolder) {
  const fs::path tiny = gguf_.parent_path();
  const auto files = FindModel(store_, (tiny / "checkpoint").string());
  ASSERT_TRUE(files.ok()) << files.error().message;
  EXPECT_EQ(files->drafter, tiny / "checkpoint-assistant");
  const auto drafter = FindModel(store_, (tiny / "checkpoint-assistant").string());
  ASSERT_TRUE(drafter.ok()) << drafter.error().message;
  EXPECT_FALSE(drafter->drafter);
}

TEST_F(FindModelTest, LeavesTheFilesOfOtherModelsAlone) {
  // A folder of downloads: a projector of another width, a drafter of another architecture, a file
  // that is no GGUF.
  fs::copy(gguf_ / "model-q4_0.gguf", root() / "model.gguf");
  TestHub::Write(root() / "mmproj-BF16.gguf", "no GGUF");
  GgufWriter writer;
  writer.Set("general.architecture", std::string_view("clip"));
  writer.Set("clip.vision.projection_dim", uint32_t{9999});
  ASSERT_TRUE(writer.Begin(root() / "mmproj-F16.gguf").ok());
  ASSERT_TRUE(writer.Finish().ok());
  GgufWriter drafter;
  drafter.Set("general.architecture", std::string_view("llama"));
  ASSERT_TRUE(drafter.Begin(root() / "draft.gguf").ok());
  ASSERT_TRUE(drafter.Finish().ok());
  auto files = FindModel(store_, (root() / "model.gguf").string());
  ASSERT_TRUE(files.ok()) << files.error().message;
  EXPECT_FALSE(files->mmproj.has_value());
  EXPECT_FALSE(files->drafter.has_value());
  // The fitting one is found behind a preferred one that does not fit; the folder itself means its
  // only model.
  fs::copy(gguf_ / "mmproj-f32.gguf", root() / "mmproj-F32.gguf");
  files = FindModel(store_, root().string());
  ASSERT_TRUE(files.ok()) << files.error().message;
  EXPECT_EQ(files->model, root() / "model.gguf");
  EXPECT_EQ(files->mmproj, root() / "mmproj-F32.gguf");
}

TEST_F(FindModelTest, TakesACheckpointFolder) {
  const std::string folder = TestsDir() + "/reference/tiny/checkpoint";
  for (const std::string& text : {folder, folder + "/"}) {
    const auto files = FindModel(store_, text);
    ASSERT_TRUE(files.ok()) << files.error().message;
    EXPECT_EQ(files->name, "checkpoint");
    EXPECT_EQ(files->model, fs::path(folder));
    EXPECT_EQ(files->drafter, fs::path(folder + "-assistant"));
  }
}

TEST_F(FindModelTest, FindsNamesAndSaysWhatIsGone) {
  ASSERT_TRUE(store_.Put(Model("m")).ok());
  EXPECT_EQ(FindModel(store_, "m")->model, root() / "m.gguf");
  fs::remove(root() / "m.gguf");
  EXPECT_NE(FindModel(store_, "m").error().message.find("is gone; import it again"),
            std::string::npos);
  EXPECT_EQ(FindModel(store_, "nobody").error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(FindModel(store_, "./nothing.gguf").error().kind, ErrorKind::kNotFound);
}

}  // namespace
}  // namespace facet
