#include "hub/hub.h"

#include <atomic>
#include <thread>

#include "support/test_hub.h"

namespace facet {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::json;
using ::testing::Test;

const char* const kRepo = "org/tiny";

// --- names
// ---------------------------------------------------------------------------------------------------------

TEST(HubNames, DigestsAreLowerHexOf40Or64) {
  const std::string hex(64, 'a');
  EXPECT_TRUE(Digest::Parse(hex, "d").ok());
  EXPECT_TRUE(Digest::Parse(hex.substr(0, 40), "d").ok());
  for (const std::string& bad :
       {hex.substr(1), hex + "a", std::string(64, 'A'), std::string(), "../" + hex.substr(3),
        hex.substr(0, 63) + "/", hex.substr(0, 63) + "g", std::string(41, 'a'), "sha256:" + hex,
        hex.substr(0, 63) + "\n", std::string(64, '\0')}) {
    const auto digest = Digest::Parse(bad, "digest of x");
    ASSERT_FALSE(digest.ok()) << bad;
    EXPECT_NE(digest.error().message.find("digest of x"), std::string::npos);
  }
}

TEST(HubNames, PathsStayUnderTheirFolder) {
  for (const char* good :
       {"a", "a/b.gguf", "model-00001-of-00002.safetensors", ".gitattributes", "a..b", "ä b"}) {
    EXPECT_TRUE(PathUnder::Parse(good, "f").ok()) << good;
  }
  for (const std::string bad :
       {"", "/a", "..", "../a", "a/../b", "a/..", "./a", "a//b", "a/", "a\\b", "..\\a", "a\nb"}) {
    EXPECT_FALSE(PathUnder::Parse(bad, "f").ok()) << bad;
  }
  EXPECT_FALSE(PathUnder::Parse(std::string("a\0b", 3), "f").ok());
  EXPECT_FALSE(PathUnder::Parse(std::string(300, 'a'), "f").ok());
}

TEST(HubNames, RepositoriesFollowTheHubsRules) {
  for (const char* good : {"foo", "foo/bar", "google/gemma-4-12B-it", "Foo-BAR_foo.bar123"}) {
    EXPECT_TRUE(RepoId::Parse(good).ok()) << good;
  }
  for (const char* bad : {"", "a/b/c", "foo--bar", "a..b", ".a", "a/", "/a", "a/-b", "../a", "a b",
                          "foo.git", "a?b"}) {
    EXPECT_FALSE(RepoId::Parse(bad).ok()) << bad;
  }
  EXPECT_EQ(RepoId::Parse("google/gemma-4-12B-it")->folder(), "models--google--gemma-4-12B-it");
}

TEST(HubNames, TokensCannotBreakOutOfTheirHeader) {
  EXPECT_EQ(*HubConfig::CleanToken(" hf_abc\n"), "hf_abc");
  EXPECT_FALSE(HubConfig::CleanToken("hf_a\r\nHost: evil").ok());
}

// --- downloads
// -----------------------------------------------------------------------------------------------------

class HubTest : public Test {
 protected:
  // A sharded checkpoint: small text files and shards of several chunks.
  void SetUp() override {
    hub_.Add(kRepo, "config.json", R"({"model_type": "gemma4_unified"})");
    hub_.Add(kRepo, "empty.txt", "");
    hub_.Add(kRepo, "sub/tokenizer.json", TestHub::Noise(5000, 1));
    hub_.Add(kRepo, "model-00001-of-00002.safetensors", shard1_);
    hub_.Add(kRepo, "model-00002-of-00002.safetensors", shard2_);
  }

  Result<fs::path> Import(const HubConfig& config, const std::string& revision = "main",
                          const HubMonitor& monitor = {}) {
    const Hub hub(config);
    FACET_ASSIGN(const RepoId repo, RepoId::Parse(kRepo));
    FACET_ASSIGN(const HubListing listing, hub.List(repo, revision, monitor));
    return hub.Download(listing, listing.files, monitor);
  }

  std::string ImportError(const HubConfig& config, const std::string& revision = "main") {
    auto result = Import(config, revision);
    EXPECT_FALSE(result.ok());
    return result.ok() ? "" : result.error().message;
  }

  fs::path Folder() const { return hub_.cache() / "models--org--tiny"; }

  // Every file of the repository under the snapshot, byte for byte, through links that stay
  // relative; nothing else in the cache but blobs of the right names, locks, the reference.
  void ExpectComplete() {
    const fs::path snapshot = Folder() / "snapshots" / TestHub::kCommit;
    EXPECT_EQ(TestHub::Tree(snapshot),
              (std::set<std::string>{"config.json", "empty.txt", "sub/tokenizer.json",
                                     "model-00001-of-00002.safetensors",
                                     "model-00002-of-00002.safetensors"}));
    for (const std::string& name : TestHub::Tree(snapshot)) {
      EXPECT_EQ(TestHub::Read(snapshot / name), TestHub::Read(hub_.root() / "root" / kRepo / name))
          << name;
      const fs::path target = fs::read_symlink(snapshot / name);
      EXPECT_TRUE(target.is_relative());
      EXPECT_EQ((snapshot / name).parent_path() / target,
                (snapshot / name).parent_path() / target.lexically_normal());
      EXPECT_EQ(fs::canonical(snapshot / name).parent_path(), fs::canonical(Folder() / "blobs"));
    }
    EXPECT_EQ(TestHub::Read(Folder() / "refs/main"), TestHub::kCommit);
    EXPECT_EQ(TestHub::Tree(Folder() / "blobs").size(), 5u);
    ExpectNothingHalfNamed();
  }

  // Whatever happened: a blob of a final name has that digest's content, and a snapshot is whole or
  // not there.
  void ExpectNothingHalfNamed() {
    for (const std::string& name : TestHub::Tree(Folder() / "blobs")) {
      if (name.ends_with(".incomplete")) continue;
      ASSERT_TRUE(Digest::Parse(name, "blob").ok()) << name;
      if (name.size() == 64) {
        const std::string content = TestHub::Read(Folder() / "blobs" / name);
        EXPECT_TRUE(content == shard1_ || content == shard2_) << name;
      }
    }
    const fs::path snapshot = Folder() / "snapshots" / TestHub::kCommit;
    if (fs::exists(snapshot)) {
      EXPECT_EQ(TestHub::Tree(snapshot).size(), 5u);
    }
    for (const std::string& name : TestHub::Tree(hub_.cache()))
      EXPECT_EQ(name.find(".part"), std::string::npos) << name;
  }

  TestHub hub_;
  const std::string shard1_ = TestHub::Noise(1'000'003, 2), shard2_ = TestHub::Noise(300'000, 3);
};

TEST_F(HubTest, FetchesAShardedCheckpointIntoTheCacheLayout) {
  hub_.Start();
  HubMonitor monitor;
  HubMonitor::Progress last;
  monitor.on_progress = [&](const HubMonitor::Progress& progress) {
    EXPECT_GE(progress.done, last.done);
    last = progress;
  };
  const auto path = Import(hub_.Config(), "main", monitor);
  ASSERT_TRUE(path.ok()) << path.error().message;
  EXPECT_EQ(*path, Folder() / "snapshots" / TestHub::kCommit);
  ExpectComplete();
  EXPECT_EQ(last.done, last.total);
  EXPECT_EQ(last.total, 32 + 5000 + 1'000'003 + 300'000);
  int ranges = 0;
  for (const json& request : hub_.Requests())
    ranges += request["server"] == "cdn" && request["status"] == 206;
  EXPECT_EQ(ranges, 16 + 5);  // chunks of 64 KiB
}

TEST_F(HubTest, NeverFetchesWhatIsThere) {
  hub_.Start();
  ASSERT_TRUE(Import(hub_.Config()).ok());
  hub_.ForgetRequests();
  ASSERT_TRUE(Import(hub_.Config()).ok());
  ASSERT_EQ(hub_.Requests().size(), 1u);  // the list
  // A commit as revision gets no reference of its own.
  ASSERT_TRUE(Import(hub_.Config(), TestHub::kCommit).ok());
  ASSERT_TRUE(Import(hub_.Config(), "refs/pr/1").ok());
  EXPECT_EQ(TestHub::Tree(Folder() / "refs"), (std::set<std::string>{"main", "refs/pr/1"}));
}

TEST_F(HubTest, ReadsACacheOfTheOfficialClient) {
  hub_.Start();
  // As `hf download` leaves it: blobs by etag, relative links.
  const fs::path snapshot = Folder() / "snapshots" / TestHub::kCommit;
  ASSERT_TRUE(Import(hub_.Config()).ok());
  fs::remove_all(hub_.cache() / ".locks");
  fs::remove(hub_.cache() / "CACHEDIR.TAG");
  fs::remove(snapshot / "config.json");  // an earlier snapshot_download with allow_patterns
  hub_.ForgetRequests();
  ASSERT_TRUE(Import(hub_.Config()).ok());
  EXPECT_EQ(hub_.Requests().size(), 1u);
  ExpectComplete();
  // And without links, as where the system has none.
  const fs::path blob = fs::canonical(snapshot / "model-00001-of-00002.safetensors");
  fs::remove(snapshot / "model-00001-of-00002.safetensors");
  fs::rename(blob, snapshot / "model-00001-of-00002.safetensors");
  hub_.ForgetRequests();
  ASSERT_TRUE(Import(hub_.Config()).ok());
  EXPECT_EQ(hub_.Requests().size(), 1u);
}

TEST_F(HubTest, ResumesAPartialFileWithRange) {
  hub_.Start();
  const Digest digest = *Digest::Parse(
      [&] {
        EXPECT_TRUE(Import(hub_.Config()).ok());
        const fs::path blob = fs::canonical(Folder() / "snapshots" / TestHub::kCommit /
                                            "model-00001-of-00002.safetensors");
        return blob.filename().string();
      }(),
      "blob");
  fs::remove_all(Folder());
  TestHub::Write(Folder() / "blobs" / (digest.hex() + ".incomplete"), shard1_.substr(0, 700'001));
  hub_.ForgetRequests();
  ASSERT_TRUE(Import(hub_.Config()).ok());
  ExpectComplete();
  for (const json& request : hub_.Requests()) {
    if (request["server"] != "cdn" ||
        request["path"].get<std::string>().find("00001") == std::string::npos)
      continue;
    EXPECT_GE(std::stol(request["range"].get<std::string>().substr(6)), 700'001);
  }
  // A damaged partial file is noticed by its digest, and fetched anew.
  fs::remove_all(Folder());
  TestHub::Write(Folder() / "blobs" / (digest.hex() + ".incomplete"), TestHub::Noise(700'001, 9));
  ASSERT_TRUE(Import(hub_.Config()).ok());
  ExpectComplete();
}

TEST_F(HubTest, ManagesWithAServerWithoutRanges) {
  hub_.Start({{"no_range", true}});
  ASSERT_TRUE(Import(hub_.Config()).ok());
  ExpectComplete();
}

TEST_F(HubTest, ManagesWithAServerWithoutRangesAndABadLine) {
  hub_.Start({{"no_range", true}, {"drop", 900'000}});
  HubConfig config = hub_.Config();
  const std::string error = ImportError(config);
  EXPECT_NE(error.find("900000 of 1000003 bytes"), std::string::npos) << error;
  ExpectNothingHalfNamed();
}

TEST_F(HubTest, ManagesWithABadLine) {
  hub_.Start({{"drop", 30'000}});
  const auto path = Import(hub_.Config());
  ASSERT_TRUE(path.ok()) << path.error().message;
  ExpectComplete();
}

TEST_F(HubTest, ManagesWithABusyServer) {
  hub_.Start({{"flaky", 2}});
  const auto path = Import(hub_.Config());
  ASSERT_TRUE(path.ok()) << path.error().message;
  ExpectComplete();
}

TEST_F(HubTest, AsksForMetadataWhereTheListHasNone) {
  hub_.Start({{"no_blobs", true}});
  const auto path = Import(hub_.Config());
  ASSERT_TRUE(path.ok()) << path.error().message;
  ExpectComplete();
}

TEST_F(HubTest, ServesLargeFilesWithoutACdn) {
  hub_.Start({{"plain", true}});
  ASSERT_TRUE(Import(hub_.Config()).ok());
  ExpectComplete();
}

TEST_F(HubTest, FollowsARenamedRepository) {
  hub_.Start({{"rename", {{"org/old", kRepo}}}});
  const Hub hub(hub_.Config());
  const auto listing = hub.List(*RepoId::Parse("org/old"), "main", {});
  ASSERT_TRUE(listing.ok()) << listing.error().message;
  ASSERT_TRUE(hub.Download(*listing, listing->files, {}).ok());
  EXPECT_EQ(TestHub::Tree(hub_.cache() / "models--org--old/snapshots").size(), 5u);
}

// --- what goes wrong
// -----------------------------------------------------------------------------------------------

TEST_F(HubTest, RefusesAWrongSha256) {
  hub_.Start({{"corrupt", {"model-00002-of-00002.safetensors"}}});
  const std::string error = ImportError(hub_.Config());
  EXPECT_NE(error.find("org/tiny/model-00002-of-00002.safetensors: expected sha256 "),
            std::string::npos)
      << error;
  EXPECT_FALSE(fs::exists(Folder() / "snapshots" / TestHub::kCommit));
  for (const std::string& name : TestHub::Tree(Folder() / "blobs"))
    EXPECT_FALSE(name.ends_with(".incomplete"));
  ExpectNothingHalfNamed();
}

TEST_F(HubTest, RefusesAWrongGitSha1) {
  hub_.Start({{"corrupt", {"config.json"}}});
  EXPECT_NE(ImportError(hub_.Config()).find("config.json: expected git sha1 "), std::string::npos);
  ExpectNothingHalfNamed();
}

TEST_F(HubTest, NamesATruncatedBody) {
  hub_.Start({{"truncate", {{"model-00001-of-00002.safetensors", 500'000}}}});
  const std::string error = ImportError(hub_.Config());
  // Whichever connection gives up first: its place is named.
  EXPECT_NE(error.find("model-00001-of-00002.safetensors, after "), std::string::npos) << error;
  EXPECT_NE(error.find(" of 1000003 bytes"), std::string::npos) << error;
  EXPECT_FALSE(fs::exists(Folder() / "snapshots" / TestHub::kCommit));
  ExpectNothingHalfNamed();
  // What came is kept for the next time: a prefix, without holes.
  bool kept = false;
  for (const std::string& name : TestHub::Tree(Folder() / "blobs")) {
    if (!name.ends_with(".incomplete")) continue;
    const std::string content = TestHub::Read(Folder() / "blobs" / name);
    kept |= !content.empty() && content.size() <= 500'000 && shard1_.starts_with(content);
  }
  EXPECT_TRUE(kept);
}

TEST_F(HubTest, NamesABodyThatIsAnnouncedShort) {
  hub_.Start({{"no_range", true}, {"short", {{"model-00001-of-00002.safetensors", 400'000}}}});
  const std::string error = ImportError(hub_.Config());
  EXPECT_NE(error.find("expected 1000003 bytes but the server announces 400000"), std::string::npos)
      << error;
  ExpectNothingHalfNamed();
}

TEST_F(HubTest, NamesWhatIsNotFound) {
  hub_.Start();
  HubConfig config = hub_.Config();
  const Hub hub(config);
  auto listing = hub.List(*RepoId::Parse("org/none"), "main", {});
  ASSERT_FALSE(listing.ok());
  EXPECT_EQ(listing.error().kind, ErrorKind::kNotFound);
  EXPECT_NE(listing.error().message.find("org/none: repository not found"), std::string::npos);
  listing = hub.List(*RepoId::Parse(kRepo), "v9", {});
  ASSERT_FALSE(listing.ok());
  EXPECT_NE(listing.error().message.find("revision 'v9' not found"), std::string::npos);
  listing = hub.List(*RepoId::Parse(kRepo), "main", {});
  ASSERT_TRUE(listing.ok());
  const auto gone = hub.Download(
      *listing,
      {{*PathUnder::Parse("gone.gguf", "f"), 5, *Digest::Parse(std::string(64, 'a'), "d")}}, {});
  ASSERT_FALSE(gone.ok());
  EXPECT_NE(gone.error().message.find("org/tiny/gone.gguf: no such file in revision main"),
            std::string::npos)
      << gone.error().message;
}

TEST_F(HubTest, AsksForATokenWhereOneIsNeeded) {
  hub_.Start({{"token", "hf_right"}});
  HubConfig config = hub_.Config();
  EXPECT_NE(ImportError(config).find("HF_TOKEN or --token"), std::string::npos);
  config.token = "hf_wrong";
  EXPECT_NE(ImportError(config).find("does not accept the token"), std::string::npos);
  config.token = "hf_right";
  const auto path = Import(config);
  ASSERT_TRUE(path.ok()) << path.error().message;
  ExpectComplete();
}

TEST_F(HubTest, NeverSendsTheTokenToAnotherHost) {
  hub_.Start({{"token", "hf_right"}});
  HubConfig config = hub_.Config();
  config.token = "hf_right";
  ASSERT_TRUE(Import(config).ok());
  int at_cdn = 0;
  for (const json& request : hub_.Requests()) {
    if (request["server"] == "cdn") {
      ++at_cdn;
      EXPECT_TRUE(request["authorization"].is_null()) << request;
    } else {
      EXPECT_EQ(request["authorization"], "Bearer hf_right");
    }
  }
  EXPECT_GT(at_cdn, 0);
}

TEST_F(HubTest, ExplainsAGatedRepository) {
  hub_.Start({{"gated", true}});
  HubConfig config = hub_.Config();
  std::string error = ImportError(config);
  EXPECT_NE(error.find("accept the terms at "), std::string::npos) << error;
  EXPECT_NE(error.find("HF_TOKEN"), std::string::npos);
  config.token = "hf_x";
  error = ImportError(config);
  EXPECT_NE(error.find("with the account that it belongs to"), std::string::npos) << error;
}

TEST_F(HubTest, RefusesUnsafeNamesAndDigestsFromTheServer) {
  const std::string hex(64, 'a');
  const auto lfs = [&](const std::string& name, const std::string& digest) {
    return json{{"rfilename", name}, {"size", 9}, {"lfs", {{"sha256", digest}, {"size", 9}}}};
  };
  const std::vector<json> bad = {lfs("../../evil.gguf", hex),
                                 lfs("/etc/evil", hex),
                                 lfs("a/../../b", hex),
                                 lfs("a\\..\\b", hex),
                                 lfs("x.gguf", hex + "a"),
                                 lfs("x.gguf", hex.substr(1)),
                                 lfs("x.gguf", std::string(64, 'A')),
                                 lfs("x.gguf", "../../../../tmp/evil"),
                                 lfs("", hex),
                                 lfs("x.gguf", hex.substr(0, 40)),
                                 json{{"rfilename", 5}},
                                 json{{"rfilename", "x"}, {"size", -4}, {"blobId", hex}},
                                 lfs("config.json", hex)};
  for (const json& entry : bad) {
    hub_.Start({{"siblings", json::array({entry})}});
    EXPECT_FALSE(Import(hub_.Config()).ok()) << entry;
    EXPECT_FALSE(fs::exists(hub_.root() / "hf")) << entry;  // refused before anything was written
    hub_.Stop();
  }
  hub_.Start({{"sha", "../../../evil"}});
  EXPECT_NE(ImportError(hub_.Config()).find("commit from the hub"), std::string::npos);
}

TEST_F(HubTest, RefusesOtherContentThanTheListPromised) {
  hub_.Start({{"announce", {{"model-00001-of-00002.safetensors", std::string(64, 'b')}}}});
  EXPECT_NE(ImportError(hub_.Config()).find("digest announced by the hub"), std::string::npos);
  ExpectNothingHalfNamed();
}

TEST_F(HubTest, RefusesOtherSchemesAndEndlessRedirects) {
  hub_.Start({{"redirect", "ftp://127.0.0.1/"}});
  EXPECT_NE(ImportError(hub_.Config()).find("redirects from http to ftp"), std::string::npos);
  hub_.Stop();
  hub_.Start({{"redirect", "file:///etc/"}});
  EXPECT_NE(ImportError(hub_.Config()).find("is refused"), std::string::npos);
}

TEST_F(HubTest, RefusesAWayFromHttpsToHttp) {
  const std::string cert = (hub_.root() / "cert.pem").string(),
                    key = (hub_.root() / "key.pem").string();
  const std::string make =
      "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout " +
      key + " -out " + cert +
      " -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null";
  ASSERT_EQ(std::system(make.c_str()), 0);
  hub_.Start({{"tls", {cert, key}}});
  HubConfig config = hub_.Config();
  config.endpoint = "https://localhost:" + std::to_string(hub_.hub_port());
  EXPECT_FALSE(Import(config).ok());  // an unknown certificate
  ASSERT_EQ(setenv("SSL_CERT_FILE", cert.c_str(), 1), 0);
  const std::string error = ImportError(config);
  unsetenv("SSL_CERT_FILE");
  EXPECT_NE(error.find("redirects from https to http, which is refused"), std::string::npos)
      << error;
}

TEST_F(HubTest, ChecksTheDiskBeforeItDownloads) {
  hub_.Start();
  const Hub hub(hub_.Config());
  auto listing = hub.List(*RepoId::Parse(kRepo), "main", {});
  ASSERT_TRUE(listing.ok());
  hub_.ForgetRequests();
  const HubFile huge{*PathUnder::Parse("huge.gguf", "f"), int64_t{1} << 49,
                     *Digest::Parse(std::string(64, 'a'), "d")};
  const auto path = hub.Download(*listing, {huge}, {});
  ASSERT_FALSE(path.ok());
  EXPECT_EQ(path.error().kind, ErrorKind::kResource);
  EXPECT_NE(path.error().message.find("org/tiny needs 563 TB"), std::string::npos)
      << path.error().message;
  EXPECT_TRUE(hub_.Requests().empty());
}

TEST_F(HubTest, NamesAServerThatIsNotThere) {
  hub_.Start();
  const HubConfig config = hub_.Config();
  hub_.Stop();
  auto result = Import(config);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().kind, ErrorKind::kIo);
  EXPECT_NE(result.error().message.find("listing org/tiny"), std::string::npos);
}

TEST_F(HubTest, WorksOfflineFromTheCache) {
  hub_.Start();
  HubConfig config = hub_.Config();
  config.offline = true;
  EXPECT_NE(ImportError(config).find("HF_HUB_OFFLINE is set"), std::string::npos);
  config.offline = false;
  ASSERT_TRUE(Import(config).ok());
  hub_.Stop();
  config.offline = true;
  auto path = Import(config);
  ASSERT_TRUE(path.ok()) << path.error().message;
  EXPECT_EQ(*path, Folder() / "snapshots" / TestHub::kCommit);
  // Not told to be offline, but without a network: the same, and it says so.
  config.offline = false;
  std::string note;
  HubMonitor monitor;
  monitor.on_note = [&](const std::string& text) { note = text; };
  path = Import(config, "main", monitor);
  ASSERT_TRUE(path.ok()) << path.error().message;
  EXPECT_NE(note.find("cannot be reached"), std::string::npos);
}

TEST_F(HubTest, RefusesALinkOutOfTheCache) {
  hub_.Start();
  ASSERT_TRUE(Import(hub_.Config()).ok());
  TestHub::Write(hub_.root() / "secret", "x");
  fs::create_symlink(hub_.root() / "secret",
                     Folder() / "snapshots" / TestHub::kCommit / "extra.json");
  HubConfig config = hub_.Config();
  config.offline = true;
  EXPECT_NE(ImportError(config).find("links out of the cache"), std::string::npos);
}

TEST_F(HubTest, RefusesASnapshotFolderThatIsALink) {
  hub_.Start();
  fs::create_directories(hub_.root() / "outside");
  fs::create_directories(Folder() / "snapshots" / TestHub::kCommit);
  fs::create_symlink(hub_.root() / "outside", Folder() / "snapshots" / TestHub::kCommit / "sub");
  EXPECT_NE(ImportError(hub_.Config()).find("expected a folder of the cache"), std::string::npos);
  EXPECT_TRUE(fs::is_empty(hub_.root() / "outside"));
}

TEST_F(HubTest, SharesOneDownloadBetweenProcesses) {
  hub_.Start({{"rate", 2'000'000}});
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    const pid_t child = fork();
    if (child == 0) _exit(Import(hub_.Config()).ok() ? 0 : 1);
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  ExpectComplete();
  std::set<std::string> seen;
  for (const json& request : hub_.Requests()) {
    if (request["server"] == "cdn") {
      EXPECT_TRUE(
          seen.insert(request["path"].get<std::string>() + request["range"].get<std::string>())
              .second);
    }
  }
}

TEST_F(HubTest, SurvivesKillsAtTenRandomMoments) {
  hub_.Start({{"rate", 3'000'000}});
  std::mt19937 random(20);
  int killed = 0;
  for (int i = 0; i < 10; ++i) {
    const pid_t child = fork();
    if (child == 0) _exit(Import(hub_.Config()).ok() ? 0 : 1);
    std::this_thread::sleep_for(std::chrono::milliseconds(5 + random() % 50));
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    killed += WIFSIGNALED(status);
    ExpectNothingHalfNamed();
  }
  EXPECT_GT(killed, 3);
  const auto path = Import(hub_.Config());
  ASSERT_TRUE(path.ok()) << path.error().message;
  ExpectComplete();
}

TEST_F(HubTest, StopsWhenCancelledAndGoesOnLater) {
  hub_.Start({{"rate", 1'000'000}});
  std::atomic<bool> cancelled = false;
  HubMonitor monitor;
  monitor.cancelled = &cancelled;
  monitor.on_progress = [&](const HubMonitor::Progress& progress) {
    cancelled = progress.done > 200'000;
  };
  const auto path = Import(hub_.Config(), "main", monitor);
  ASSERT_FALSE(path.ok());
  EXPECT_EQ(path.error().kind, ErrorKind::kCancelled);
  ExpectNothingHalfNamed();
  ASSERT_TRUE(Import(hub_.Config()).ok());
  ExpectComplete();
}

TEST_F(HubTest, RemovesOnlyWhatNoSnapshotUses) {
  hub_.Start();
  ASSERT_TRUE(Import(hub_.Config()).ok());
  const HubCache cache(hub_.cache(), *RepoId::Parse(kRepo));
  const std::string other(40, 'f');
  fs::create_directories(Folder() / "snapshots" / other);
  fs::copy(Folder() / "snapshots" / TestHub::kCommit / "config.json",
           Folder() / "snapshots" / other / "config.json", fs::copy_options::copy_symlinks);
  std::vector<std::string> names;
  const auto files = cache.Files(TestHub::kCommit);
  ASSERT_TRUE(files.ok());
  for (const auto& file : *files) names.push_back(file.name.text());
  EXPECT_EQ(*cache.Removable(TestHub::kCommit, names), 5000 + 1'000'003 + 300'000);
  const auto freed = cache.Remove(TestHub::kCommit, names);
  ASSERT_TRUE(freed.ok()) << freed.error().message;
  EXPECT_EQ(*freed, 5000 + 1'000'003 + 300'000);
  EXPECT_EQ(TestHub::Tree(Folder() / "snapshots"), std::set<std::string>{other + "/config.json"});
  EXPECT_EQ(TestHub::Tree(Folder() / "blobs").size(), 1u);
  EXPECT_TRUE(TestHub::Tree(Folder() / "refs").empty());
}

TEST(HubConfigTest, ReadsTheOfficialClientsVariables) {
  TestHub scratch;  // for its folder
  const auto set = [](const char* name, const std::string& value) {
    setenv(name, value.c_str(), 1);
  };
  for (const char* name :
       {"HF_ENDPOINT", "HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN_PATH",
        "XDG_CACHE_HOME", "HUGGINGFACE_HUB_CACHE", "HUGGING_FACE_HUB_TOKEN"}) {
    unsetenv(name);
  }
  set("HF_HOME", (scratch.root() / "hf").string());
  TestHub::Write(scratch.root() / "hf/token", "hf_file\n");
  auto config = HubConfig::FromEnvironment();
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->endpoint, "https://huggingface.co");
  EXPECT_EQ(config->cache, scratch.root() / "hf/hub");
  EXPECT_EQ(config->token, "hf_file");
  EXPECT_FALSE(config->offline);
  set("HF_TOKEN", "hf_env");
  set("HF_HUB_CACHE", "/elsewhere");
  set("HF_ENDPOINT", "https://mirror.example/");
  set("HF_HUB_OFFLINE", "1");
  config = HubConfig::FromEnvironment();
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->endpoint, "https://mirror.example");
  EXPECT_EQ(config->cache, "/elsewhere");
  EXPECT_EQ(config->token, "hf_env");
  EXPECT_TRUE(config->offline);
  set("HF_ENDPOINT", "file:///etc");
  EXPECT_FALSE(HubConfig::FromEnvironment().ok());
  for (const char* name : {"HF_ENDPOINT", "HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_HOME"})
    unsetenv(name);
}

}  // namespace
}  // namespace facet
