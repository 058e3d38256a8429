#include "model/adapter.h"

#include <cmath>
#include <fstream>

#include "model/convert.h"
#include "model/merge.h"
#include "support/temp_folder.h"
#include "tune/tiny.h"

namespace facet::tune {
namespace {

constexpr const char* kAfter = "tiny/adapter-after-3-steps";

// States of every position of the example with an adapter (null: none).
Buffer States(Model& model, const Example& example, const Adapter* adapter) {
  const EmbeddedMedia media = Take(EmbedMedia(model, example.items, adapter));
  KvSequence sequence(model.cache());
  Chunk chunk{&sequence, example.tokens, media.runs, static_cast<int>(example.tokens.size())};
  chunk.adapter = adapter;
  Buffer hidden;
  EXPECT_TRUE(model.Forward({&chunk, 1}, hidden).ok());
  return hidden;
}

double LossOf(Model& model, const Example& example, const Adapter* adapter) {
  const Buffer hidden = States(model, example, adapter);
  const Buffer logits = AllLogits(model, hidden);
  double loss = 0;
  for (size_t i = 1; i < example.tokens.size(); ++i) {
    if (!example.labelled[i]) continue;
    const auto row = logits.view().row_span(static_cast<int64_t>(i) - 1);
    double sum = 0;
    for (const float z : row) sum += std::exp(double{z});
    loss += std::log(sum) - row[example.tokens[i]];
  }
  return loss / Labels(example);
}

double WantedLoss(int index) {
  return Expectation("tiny/tuning.safetensors").Floats("lora.losses")(0, index);
}

TEST(Adapter, InferenceGivesTheLossesOfTraining) {
  ThreadPool pool(2);
  const auto loaded = Load(TinyFolder(), pool);
  const Example example = ReferenceExample();
  const auto start = Take(loaded.model->LoadAdapter(Reference("tiny/adapter-start")));
  const auto after = Take(loaded.model->LoadAdapter(Reference(kAfter)));
  EXPECT_NEAR(LossOf(*loaded.model, example, start.get()), WantedLoss(0), 1e-3);
  EXPECT_NEAR(LossOf(*loaded.model, example, after.get()), WantedLoss(3), 1e-3);
}

TEST(Adapter, RowsOfOneBatchHaveTheirOwn) {
  for (const Precision precision : {Precision::kPlain, Precision::kFast}) {
    ThreadPool pool(3);
    LoadOptions options = PlainOptions(Reference(TinyFolder().model));
    options.precision = precision;
    const auto model = Take(Model::Load(options, pool));
    const auto a = Take(model->LoadAdapter(Reference("tiny/adapter-start")));
    const auto b = Take(model->LoadAdapter(Reference(kAfter)));
    const Example texts[] = {TextExample(33, 1, 1), TextExample(5, 1, 2), TextExample(17, 1, 3)};
    const Adapter* adapters[] = {a.get(), nullptr, b.get()};
    std::vector<KvSequence> sequences;
    for (int i = 0; i < 3; ++i) sequences.emplace_back(model->cache());
    std::vector<Chunk> chunks;
    for (int i = 0; i < 3; ++i) {
      chunks.push_back({&sequences[i], texts[i].tokens, {}, 1});
      chunks.back().adapter = adapters[i];
    }
    Buffer together;
    ASSERT_TRUE(model->Forward(chunks, together).ok());
    std::vector<Buffer> alone(3);
    for (int i = 0; i < 3; ++i) {
      KvSequence sequence(model->cache());
      Chunk chunk{&sequence, texts[i].tokens, {}, 1};
      chunk.adapter = adapters[i];
      ASSERT_TRUE(model->Forward({&chunk, 1}, alone[i]).ok());
      EXPECT_EQ(std::memcmp(together.view().row(i), alone[i].view().row(0),
                            alone[i].cols() * sizeof(float)),
                0);
    }
  }
}

TEST(Adapter, MergedWeightsGiveTheSameLoss) {
  ThreadPool pool(2);
  const TempFolder folder;
  const Example example = ReferenceExample();
  ASSERT_TRUE(MergeToFolder(Reference(TinyFolder().model), Reference(kAfter),
                            folder.path() / "merged", pool)
                  .ok());
  const auto merged = Load(PlainOptions(folder.path() / "merged"), pool);
  EXPECT_NEAR(LossOf(*merged.model, example, nullptr), WantedLoss(3), 1e-3);
  EXPECT_FALSE(MergeToFolder(Reference(TinyFolder().model), Reference(kAfter),
                             folder.path() / "merged", pool)
                   .ok());  // holds a model already

  // A GGUF of a folder, and of a GGUF.
  for (const TestModel* files : {&TinyFolder(), &TinyGguf()}) {
    const Checkpoint source = Take(LoadCheckpoint(Reference(files->model), std::nullopt));
    const auto adapter = Take(Adapter::Load(Reference(kAfter), source.weights, source.config));
    ConvertOptions convert;
    convert.source = Reference(files->model);
    convert.output = folder.path() / (files->name + ".gguf");
    convert.type = DType::kF32;
    convert.adapter = adapter.get();
    const auto converted = ConvertToGguf(convert);
    ASSERT_TRUE(converted.ok()) << converted.error().message;
    const auto gguf = Load(PlainOptions(convert.output, Reference(TinyGguf().mmproj)), pool);
    EXPECT_NEAR(LossOf(*gguf.model, ReferenceExample(TinyGguf()), nullptr), WantedLoss(3), 1e-3);
  }
}

// What is wrong with an adapter folder is said by name.
TEST(Adapter, RefusesWhatItDoesNotCompute) {
  const Checkpoint model = TinyCheckpoint();
  const auto config =
      nlohmann::json::parse(Take(ReadFile(Reference("tiny/adapter-start/adapter_config.json"))));
  const auto refused = [&](const nlohmann::json& changes, const std::string& part) {
    const TempFolder folder;
    std::filesystem::copy(Reference("tiny/adapter-start/adapter_model.safetensors"), folder.path());
    nlohmann::json changed = config;
    changed.update(changes);
    std::ofstream(folder.path() / "adapter_config.json") << changed;
    const auto loaded = Adapter::Load(folder.path(), model.weights, model.config);
    ASSERT_FALSE(loaded.ok()) << part;
    EXPECT_NE(loaded.error().message.find(part), std::string::npos) << loaded.error().message;
  };
  refused({{"use_dora", true}}, "use_dora");
  refused({{"modules_to_save", {"embed_tokens"}}}, "modules_to_save");
  refused({{"alpha_pattern", {{"q_proj", 3}}}}, "alpha_pattern");
  refused({{"peft_type", "IA3"}}, "peft_type");
  refused({{"bias", "all"}}, "bias");
  refused({{"init_lora_weights", "pissa"}}, "pissa");
  refused({{"something_new", 1}}, "something_new");
  refused({{"r", 8}}, "lora_A");
  refused({{"r", "four"}}, "r)");
}

TEST(Adapter, RefusesTensorsThatBelongNowhere) {
  const Checkpoint model = TinyCheckpoint();
  const auto file =
      Take(Safetensors::Open(Reference("tiny/adapter-start/adapter_model.safetensors")));
  const auto refused = [&](const std::string& from, const std::string& to,
                           const std::string& part) {
    const TempFolder folder;
    std::filesystem::copy(Reference("tiny/adapter-start/adapter_config.json"), folder.path());
    std::vector<TensorOut> tensors;
    for (const Tensor& tensor : file->tensors()) {
      if (tensor.name == from && to.empty()) continue;
      tensors.push_back(
          {tensor.name == from ? to : tensor.name, tensor.type, tensor.shape, tensor.data});
    }
    ASSERT_TRUE(SaveSafetensors(folder.path() / "adapter_model.safetensors", tensors).ok());
    const auto loaded = Adapter::Load(folder.path(), model.weights, model.config);
    ASSERT_FALSE(loaded.ok());
    EXPECT_NE(loaded.error().message.find(part), std::string::npos) << loaded.error().message;
  };
  const std::string a = "base_model.model.model.language_model.layers.2.mlp.up_proj.lora_A.weight";
  refused(a, "", a);
  refused(a, "base_model.model.lm_head.lora_A.weight", "lm_head");
  refused(a, "base_model.model.model.language_model.layers.99.mlp.up_proj.lora_A.weight", "99");
}

TEST(Adapter, RankStabilisedScale) {
  AdapterConfig config;
  config.alpha = 8;
  EXPECT_FLOAT_EQ(config.Scale(16), 0.5f);
  config.rank_stabilised = true;
  EXPECT_FLOAT_EQ(config.Scale(16), 2.0f);
}

}  // namespace
}  // namespace facet::tune
