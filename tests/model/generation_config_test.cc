// What generation_config.json means, from a checkpoint into a GGUF and back.
#include "model/generation_config.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "model/convert.h"
#include "model/weights.h"
#include "support/paths.h"
#include "support/temp_folder.h"

namespace facet {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class GenerationTest : public testing::Test {
 protected:
  GenerationTest() {
    fs::create_directory(checkpoint_);
    for (const auto& entry : fs::directory_iterator(TestsDir() + "/reference/tiny/checkpoint"))
      fs::copy(entry.path(), checkpoint_ / entry.path().filename());
  }

  // The configuration of the checkpoint with this file; none for null.
  Result<GenerationConfig> OfCheckpoint(const json& generation) {
    const fs::path file = checkpoint_ / "generation_config.json";
    fs::remove(file);
    if (!generation.is_null()) {
      EXPECT_TRUE(WriteFile(file, generation.dump()).ok());
    }
    return Of(checkpoint_);
  }

  Result<GenerationConfig> Of(const fs::path& model) {
    FACET_ASSIGN(const Checkpoint checkpoint, LoadCheckpoint(model, std::nullopt));
    return checkpoint.config.generation;
  }

  // The checkpoint as a GGUF; then once more from that, in another type.
  std::vector<fs::path> Converted() {
    const fs::path first = folder_.path() / "first.gguf", second = folder_.path() / "second.gguf";
    EXPECT_TRUE(ConvertToGguf({checkpoint_, first, DType::kF32}).ok());
    EXPECT_TRUE(ConvertToGguf({first, second, DType::kQ8_0}).ok());
    return {first, second};
  }

  // A copy of a GGUF with other keys.
  template <typename F>
  fs::path WithKeys(const fs::path& source, const std::set<std::string>& without, F set) {
    const fs::path path = folder_.path() / "changed.gguf";
    const auto file = Gguf::Open(source);
    EXPECT_TRUE(file.ok());
    GgufWriter writer;
    for (const auto& [key, value] : (*file)->metadata())
      if (!without.contains(key)) writer.Copy(key, value);
    set(writer);
    for (const Tensor& tensor : (*file)->tensors())
      writer.Declare(tensor.name, tensor.type, tensor.shape);
    EXPECT_TRUE(writer.Begin(path).ok());
    for (const Tensor& tensor : (*file)->tensors()) EXPECT_TRUE(writer.Append(tensor.data).ok());
    EXPECT_TRUE(writer.Finish().ok());
    return path;
  }

  TempFolder folder_;
  const fs::path checkpoint_ = folder_.path() / "checkpoint";
};

void ExpectSame(const GenerationConfig& got, const GenerationConfig& want) {
  EXPECT_EQ(got.eos, want.eos);
  EXPECT_EQ(got.suppress, want.suppress);
  EXPECT_EQ(got.temperature, want.temperature);
  EXPECT_EQ(got.top_p, want.top_p);
  EXPECT_EQ(got.min_p, want.min_p);
  EXPECT_EQ(got.repetition_penalty, want.repetition_penalty);
  EXPECT_EQ(got.top_k, want.top_k);
  EXPECT_EQ(got.do_sample, want.do_sample);
  EXPECT_EQ(json::parse(got.source), json::parse(want.source));
}

TEST_F(GenerationTest, EveryFieldSurvivesAGgufAndTheWayBack) {
  const json cases[] = {
      nullptr,  // config.json alone names what ends an answer
      json::object(),
      {{"do_sample", false}},
      {{"do_sample", false}, {"temperature", 0.7}},  // greedy, and the temperature is kept too
      {{"do_sample", true}, {"temperature", 0.3}},
      {{"temperature", 0.0}},
      {{"top_k", 64}, {"top_p", 0.95}, {"min_p", 0.05}},
      {{"top_k", 0}},
      {{"repetition_penalty", 1.1}},
      {{"eos_token_id", 17}},
      {{"eos_token_id", {17, 1, 300}}, {"suppress_tokens", {5, 8}}},
      {{"max_new_tokens", 512},
       {"pad_token_id", 0},
       {"cache_implementation", "hybrid"},
       {"transformers_version", "5.0"},
       {"_from_model_config", true},
       {"typical_p", 0.9}},
  };
  for (const json& generation : cases) {
    const std::string shown = generation.dump();
    const auto want = OfCheckpoint(generation);
    ASSERT_TRUE(want.ok()) << shown << want.error().message;
    const std::vector<fs::path> files = Converted();
    for (const fs::path& file : files) {
      const auto got = Of(file);
      ASSERT_TRUE(got.ok()) << shown << got.error().message;
      SCOPED_TRACE(shown + " " + file.filename().string());
      ExpectSame(*got, *want);
    }
    const auto gguf = Of(files.back());
    const auto back = OfCheckpoint(json::parse(gguf->source));
    ASSERT_TRUE(back.ok());
    ExpectSame(*back, *want);
    for (const auto& [key, value] : generation.items())
      EXPECT_EQ(json::parse(back->source)[key], value) << shown;
  }
}

TEST_F(GenerationTest, OtherProgramsReadTheKeysTheyKnow) {
  ASSERT_TRUE(OfCheckpoint({{"do_sample", false},
                            {"temperature", 0.7},
                            {"top_k", 64},
                            {"top_p", 0.95},
                            {"min_p", 0.05},
                            {"repetition_penalty", 1.1},
                            {"suppress_tokens", {5, 8}}})
                  .ok());
  const auto file = Gguf::Open(Converted().front());
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(*(*file)->Float("general.sampling.temp"), 0);
  EXPECT_EQ(*(*file)->Int("general.sampling.top_k"), 64);
  EXPECT_FLOAT_EQ(*(*file)->Float("general.sampling.top_p"), 0.95);
  EXPECT_FLOAT_EQ(*(*file)->Float("general.sampling.min_p"), 0.05);
  EXPECT_FLOAT_EQ(*(*file)->Float("general.sampling.penalty_repeat"), 1.1);
  EXPECT_EQ(*(*file)->Ints("tokenizer.ggml.suppress_tokens"), (std::vector<int64_t>{5, 8}));
}

TEST_F(GenerationTest, FilesOfOtherProgramsSayItByTheirKeys) {
  ASSERT_TRUE(OfCheckpoint(json::object()).ok());
  const auto path = WithKeys(Converted().front(), {"facet.generation_config"}, [](GgufWriter& w) {
    w.Set("general.sampling.temp", 0.0f);
    w.Set("general.sampling.min_p", 0.25f);
    w.Set("general.sampling.penalty_repeat", 1.5f);
  });
  const auto got = Of(path);
  ASSERT_TRUE(got.ok()) << got.error().message;
  EXPECT_EQ(got->do_sample, false);
  EXPECT_EQ(got->min_p, 0.25);
  EXPECT_EQ(got->repetition_penalty, 1.5);
  EXPECT_FALSE(got->eos.empty());  // from the vocabulary
}

TEST_F(GenerationTest, KeysChangedSinceWin) {
  ASSERT_TRUE(OfCheckpoint({{"do_sample", false}, {"top_p", 0.9}, {"top_k", 7}}).ok());
  const auto path = WithKeys(
      Converted().front(), {"general.sampling.temp", "general.sampling.top_k"}, [](GgufWriter& w) {
        w.Set("general.sampling.temp", 0.5f);
        w.Set("general.sampling.top_k", int32_t{9});
      });
  const auto got = Of(path);
  ASSERT_TRUE(got.ok()) << got.error().message;
  EXPECT_EQ(got->do_sample, true);
  EXPECT_EQ(got->temperature, 0.5);
  EXPECT_EQ(got->top_k, 9);
  EXPECT_EQ(got->top_p, 0.9);
}

TEST_F(GenerationTest, RefusesByNameWhatNoSamplerTakes) {
  const std::pair<const char*, json> wrong[] = {
      {"temperature", -1},      {"temperature", "hot"},
      {"top_p", 1.5},           {"top_k", 1e9},
      {"min_p", -0.1},          {"do_sample", "no"},
      {"eos_token_id", "x"},    {"suppress_tokens", {1.5}},
      {"repetition_penalty", 0}};
  for (const auto& [name, value] : wrong) {
    const auto got = OfCheckpoint({{name, value}});
    ASSERT_FALSE(got.ok()) << name << value;
    EXPECT_NE(got.error().message.find(name), std::string::npos) << got.error().message;
  }
  ASSERT_TRUE(OfCheckpoint(json::object()).ok());
  const auto broken = Of(WithKeys(Converted().front(), {"facet.generation_config"},
                                  [](GgufWriter& w) { w.Set("facet.generation_config", "{"); }));
  ASSERT_FALSE(broken.ok());
  EXPECT_NE(broken.error().message.find("facet.generation_config"), std::string::npos)
      << broken.error().message;
}

}  // namespace
}  // namespace facet
