#include "tune/train/init.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/mapped_file.h"
#include "formats/safetensors.h"
#include "model/weights.h"
#include "support/temp_folder.h"
#include "support/vocabularies.h"

namespace facet::tune {
namespace {

std::vector<float> Values(const TensorFile& file, const std::string& name) {
  const Tensor* tensor = file.Find(name);
  EXPECT_NE(tensor, nullptr) << name;
  std::vector<float> values(tensor == nullptr ? 0 : tensor->elements());
  if (tensor != nullptr) std::memcpy(values.data(), tensor->data.data(), tensor->data.size());
  return values;
}

double Deviation(const std::vector<float>& values) {
  double sum = 0, squares = 0;
  for (const float v : values) {
    sum += v;
    squares += double{v} * v;
  }
  const double n = static_cast<double>(values.size());
  EXPECT_NEAR(sum / n, 0, 0.002);
  return std::sqrt(squares / n);
}

TEST(Init, HasEveryTensorOfTheReference) {
  UseTestCache();
  TempFolder folder;
  const InitOptions options{.config = Reference("tiny/checkpoint/config.json"),
                            .tokenizer = Reference("tiny/checkpoint/tokenizer.json"),
                            .out = folder.path() / "model",
                            .seed = 3};
  const auto written = WriteInitialModel(options);
  ASSERT_TRUE(written.ok()) << written.error().message;
  const auto made = Safetensors::Open(options.out);
  const auto reference = Safetensors::Open(Reference("tiny/checkpoint"));
  ASSERT_TRUE(made.ok());
  EXPECT_EQ((*made)->tensors().size(), (*reference)->tensors().size());
  for (const Tensor& tensor : (*reference)->tensors()) {
    const Tensor* same = (*made)->Find(tensor.name);
    ASSERT_NE(same, nullptr) << tensor.name;
    EXPECT_EQ(same->shape, tensor.shape) << tensor.name;
  }
  EXPECT_TRUE(LoadCheckpoint(options.out, std::nullopt).ok());
  for (const char* name : {"config.json", "tokenizer.json", "chat_template.jinja",
                           "processor_config.json", "generation_config.json"})
    EXPECT_TRUE(std::filesystem::exists(options.out / name)) << name;

  const std::string layer = "model.language_model.layers.5.";
  EXPECT_NEAR(Deviation(Values(**made, layer + "mlp.up_proj.weight")), 0.02, 0.001);
  EXPECT_NEAR(Deviation(Values(**made, "model.vision_embedder.pos_embedding")), 0.02, 0.001);
  // Scores are not scaled, so the norms are; 6 layers have 12 branches.
  const auto queries = Values(**made, layer + "self_attn.q_norm.weight");
  const auto head = static_cast<double>(queries.size());
  for (const float v : queries) EXPECT_FLOAT_EQ(v, static_cast<float>(std::pow(head, -0.25)));
  for (const float v : Values(**made, layer + "self_attn.k_norm.weight")) EXPECT_EQ(v, queries[0]);
  const auto branch = static_cast<float>(1 / std::sqrt(12.0));
  for (const char* norm : {"post_attention_layernorm.weight", "post_feedforward_layernorm.weight"})
    for (const float v : Values(**made, layer + norm)) EXPECT_FLOAT_EQ(v, branch);
  for (const float v : Values(**made, layer + "layer_scalar")) EXPECT_EQ(v, 1);
  for (const float v : Values(**made, "model.vision_embedder.patch_dense.bias")) EXPECT_EQ(v, 0);
  const auto table = Values(**made, "model.language_model.embed_tokens.weight");
  for (int i = 0; i < 64; ++i) EXPECT_EQ(table[i], 0);  // <pad>
  EXPECT_NE(table[64], 0);

  InitOptions again = options;
  again.out = folder.path() / "again";
  ASSERT_TRUE(WriteInitialModel(again).ok());
  EXPECT_EQ(*ReadFile(options.out / "model.safetensors"),
            *ReadFile(again.out / "model.safetensors"));
  EXPECT_FALSE(WriteInitialModel(again).ok());  // never over a model
}

TEST(Init, RefusesWhatDoesNotFit) {
  UseTestCache();
  TempFolder folder;
  const auto large = WriteInitialModel({.config = Reference("tiny/checkpoint"),
                                        .tokenizer = Reference("gemma4/vocab.gguf"),
                                        .out = folder.path() / "model"});
  ASSERT_FALSE(large.ok());
  EXPECT_NE(large.error().message.find("expected at most 2048 tokens (vocab_size)"),
            std::string::npos);
  const auto drafter = WriteInitialModel({.config = Reference("tiny/checkpoint-assistant"),
                                          .tokenizer = Reference("tiny/checkpoint"),
                                          .out = folder.path() / "model"});
  ASSERT_FALSE(drafter.ok());
  EXPECT_NE(drafter.error().message.find("expected a gemma4_unified model"), std::string::npos);
}

}  // namespace
}  // namespace facet::tune
