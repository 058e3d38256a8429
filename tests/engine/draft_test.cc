// Drafting decides how fast an answer comes, never which: generations with drafts are compared, to
// the bit of every log-probability, with those without.
#include "engine/draft_identity.h"

namespace facet {
namespace {

struct Setting {
  std::string name;
  DraftOptions draft;
  int together = 1;
  bool cache = true;
  size_t budget = 0;
  int chunk = 512;
};

DraftOptions Fixed(int length, bool lookup, bool drafter) {
  return {DraftOptions::Mode::kFixed, length, lookup, drafter};
}

class DraftTest : public testing::Test {
 protected:
  std::unique_ptr<Model> LoadTiny(const TestModel& files, Precision precision, size_t budget) {
    LoadOptions options =
        PlainOptions(Reference(files.model),
                     files.mmproj.empty() ? std::filesystem::path() : Reference(files.mmproj));
    options.precision = precision;
    options.cache_budget = budget;
    if (precision == Precision::kFast)
      options.cache = CacheType::kQ8_0, options.compact_cache = true;
    UseTestCache();
    return Take(Model::Load(options, pool_));
  }
  static std::unique_ptr<Engine> Start(Model& model, const TestModel& files, const Setting& setting,
                                       int context = 0) {
    EngineOptions options;
    options.draft = setting.draft;
    options.prefix_cache = setting.cache;
    options.chunk = setting.chunk;
    auto drafter = Take(Drafter::Load(Reference(files.drafter), model));
    return std::make_unique<Engine>(MakeModelExecutor(model, context, std::move(drafter)), options);
  }
  static Setting Plain() { return {"plain", {DraftOptions::Mode::kOff}, 1, false}; }

  void ExpectSame(const TestModel& files, Precision precision, const std::vector<Setting>& settings,
                  int count) {
    Generations generations(Take(Tokenizer::Load(Reference(files.model))));
    const auto adapt = [&](const Model& model) {
      generations.Use(Take(
          Adapter::Load(Reference("tiny/adapter-after-3-steps"), model.weights(), model.config())));
    };
    std::vector<Heard> want;
    {
      const auto model = LoadTiny(files, precision, 0);
      adapt(*model);
      want = RunAll(*Start(*model, files, Plain()), generations, 0, count, 1);
    }
    for (const Setting& setting : settings) {
      const auto model = LoadTiny(files, precision, setting.budget);
      adapt(*model);
      const auto engine = Start(*model, files, setting);
      const std::vector<Heard> got = RunAll(*engine, generations, 0, count, setting.together);
      for (int i = 0; i < count; ++i) {
        ASSERT_EQ(got[i].ids, want[i].ids) << setting.name << ", generation " << i;
        ASSERT_TRUE(got[i] == want[i]) << setting.name << ", generation " << i;
        ASSERT_NE(got[i].outcome.reason, Outcome::Reason::kError) << got[i].outcome.error.message;
      }
      const EngineStats stats = engine->Stats();
      if (setting.draft.mode == DraftOptions::Mode::kFixed) {
        EXPECT_GT(stats.drafted, 0u) << setting.name;
        EXPECT_GT(stats.accepted, 0u) << setting.name;
      }
      if (setting.budget > 0) {
        EXPECT_GT(stats.evictions, 0u) << setting.name;
      }
      EXPECT_EQ(stats.cached_tokens > 0, setting.cache) << setting.name;
    }
  }
  ThreadPool pool_{1};
};

TEST_F(DraftTest, ChangesNoAnswer) {
  ExpectSame(TinyFolder(), Precision::kPlain,
             {{"auto", {}, 2},
              {"lookup 4", Fixed(4, true, false), 1},
              {"drafter 1", Fixed(1, false, true), 3},
              {"drafter 8 without a cache", Fixed(8, false, true), 4, false},
              {"both 2, small chunks", Fixed(2, true, true), 4, true, 0, 37},
              {"both 8, little room", Fixed(8, true, true), 4, true, size_t{700} << 10}},
             36);
}

TEST_F(DraftTest, ChangesNoAnswerOfQuantisedFiles) {
  const TestModel q4_0{"q4_0", "tiny/gguf/model-q4_0.gguf", TinyGguf().mmproj, TinyGguf().drafter};
  ExpectSame(q4_0, Precision::kFast, {{"both 4", Fixed(4, true, true), 4}, {"auto", {}, 3}}, 24);
}

TEST_F(DraftTest, ChangesNoneOfThousandsSlow) {
  std::vector<Setting> settings;
  for (const int length : {1, 2, 4, 8}) {
    for (int together = 1; together <= 4; ++together) {
      settings.push_back({Cat("both ", length, " x ", together), Fixed(length, true, true),
                          together, together % 2 == 0});
    }
  }
  settings.push_back({"auto", {}, 4});
  settings.push_back({"auto, little room", {}, 4, true, size_t{700} << 10});
  settings.push_back({"lookup 8", Fixed(8, true, false), 2});
  settings.push_back({"drafter 4", Fixed(4, false, true), 2});
  ExpectSame(TinyFolder(), Precision::kPlain, settings, 100);
  ExpectSame(TinyGguf(), Precision::kPlain, {{"both 4", Fixed(4, true, true), 4}}, 100);
}

}  // namespace
}  // namespace facet
