#include "model/convert.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "base/mapped_file.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "model/weights.h"
#include "ops/quant/quant.h"
#include "support/paths.h"
#include "support/temp_folder.h"

namespace facet {
namespace {

namespace fs = std::filesystem;

const fs::path kTiny = TestsDir() + "/reference/tiny";

std::unique_ptr<Gguf> MustOpen(const fs::path& path) {
  auto file = Gguf::Open(path);
  EXPECT_TRUE(file.ok()) << file.error().message;
  return file.ok() ? std::move(*file) : nullptr;
}

std::unique_ptr<Gguf> Converted(ConvertOptions options) {
  const auto done = ConvertToGguf(options);
  EXPECT_TRUE(done.ok()) << done.error().message;
  return done.ok() ? MustOpen(options.output) : nullptr;
}

bool SameValue(const GgufValue& a, const GgufValue& b) {
  if (a.index() != b.index()) return false;
  const GgufArray* left = std::get_if<GgufArray>(&a);
  if (left == nullptr) {
    return std::visit(
        [&](const auto& value) {
          using T = std::decay_t<decltype(value)>;
          if constexpr (std::is_same_v<T, GgufArray>) {
            return false;
          } else {
            return value == std::get<T>(b);
          }
        },
        a);
  }
  const GgufArray& right = std::get<GgufArray>(b);
  return left->kind == right.kind && left->count == right.count &&
         left->element_bytes == right.element_bytes && std::ranges::equal(left->bytes, right.bytes);
}

// Tensors equal in name, shape, type and bytes; keys equal, apart from names and from what `also`
// lists.
void ExpectSameFile(const Gguf& got, const Gguf& want, std::vector<std::string> also = {}) {
  also.push_back("facet.generation_config");  // generation_config_test.cc
  ASSERT_EQ(got.tensors().size(), want.tensors().size());
  for (const Tensor& tensor : want.tensors()) {
    const Tensor* mine = got.Find(tensor.name);
    ASSERT_NE(mine, nullptr) << tensor.name;
    EXPECT_EQ(mine->Describe(), tensor.Describe()) << tensor.name;
    ASSERT_EQ(mine->data.size(), tensor.data.size()) << tensor.name;
    EXPECT_EQ(std::memcmp(mine->data.data(), tensor.data.data(), tensor.data.size()), 0)
        << tensor.name;
  }
  for (const auto& [key, value] : want.metadata()) {
    if (key == "general.name" || std::ranges::find(also, key) != also.end()) continue;
    ASSERT_TRUE(got.Has(key)) << key;
    EXPECT_TRUE(SameValue(got.metadata().at(key), value)) << key;
  }
  for (const auto& [key, value] : got.metadata()) {
    EXPECT_TRUE(want.Has(key) || std::ranges::find(also, key) != also.end())
        << key << " is not in the reference";
  }
}

TEST(Convert, ModelEqualsTheReferenceFile) {
  const TempFolder folder;
  const auto got = Converted({kTiny / "checkpoint", folder.path() / "model.gguf", DType::kF32});
  const auto want = MustOpen(kTiny / "gguf/model-f32.gguf");
  ASSERT_TRUE(got && want);
  ExpectSameFile(*got, *want);
}

TEST(Convert, BothSpellingsOfTheConfigGiveTheSameFile) {
  const TempFolder folder;
  const fs::path source = folder.path() / "hub";
  fs::create_directory(source);
  for (const auto& entry : fs::directory_iterator(kTiny / "checkpoint")) {
    fs::copy(entry.path(), source / entry.path().filename());
  }
  fs::rename(source / "config-hub-style.json", source / "config.json");
  const auto got = Converted({source, folder.path() / "model.gguf", DType::kF32});
  const auto want = MustOpen(kTiny / "gguf/model-f32.gguf");
  ASSERT_TRUE(got && want);
  ExpectSameFile(*got, *want);
}

// general.sampling.* and the size label stand in the reference's projector too; no reader looks at
// them there.
const std::vector<std::string> kProjectorExtras = {"general.sampling.top_k",
                                                   "general.sampling.top_p",
                                                   "general.sampling.temp", "general.size_label"};

TEST(Convert, ProjectorEqualsTheReferenceFile) {
  const TempFolder folder;
  const auto got = Converted(
      {kTiny / "checkpoint", folder.path() / "mmproj.gguf", DType::kF32, ConvertPart::kProjector});
  const auto want = MustOpen(kTiny / "gguf/mmproj-f32.gguf");
  ASSERT_TRUE(got && want);
  ExpectSameFile(*got, *want, kProjectorExtras);
}

// The checkpoint's tensors under the names that other versions of the reference use.
void WriteRenamed(const fs::path& folder) {
  const auto file = Safetensors::Open(kTiny / "checkpoint");
  ASSERT_TRUE(file.ok());
  std::vector<TensorOut> tensors;
  for (const Tensor& tensor : (*file)->tensors()) {
    std::string name = tensor.name;
    const std::string from = "model.vision_embedder.";
    if (name.starts_with(from)) name = "model.embed_vision." + name.substr(from.size());
    const size_t at = name.find(".embedding_projection");
    if (at != name.npos) name.insert(at, ".multimodal_embedder");
    tensors.push_back({name, tensor.type, tensor.shape, tensor.data});
  }
  ASSERT_TRUE(SaveSafetensors(folder / "model.safetensors", tensors).ok());
  for (const char* name : {"config.json", "tokenizer.json", "tokenizer_config.json"}) {
    fs::copy(kTiny / "checkpoint" / name, folder / name);
  }
}

TEST(Convert, BothSpellingsOfTensorNames) {
  const TempFolder folder;
  WriteRenamed(folder.path());
  const auto got = Converted(
      {folder.path(), folder.path() / "mmproj.gguf", DType::kF32, ConvertPart::kProjector});
  const auto want = MustOpen(kTiny / "gguf/mmproj-f32.gguf");
  ASSERT_TRUE(got && want);
  ExpectSameFile(*got, *want, kProjectorExtras);
}

TEST(Convert, DrafterEqualsTheReferenceFile) {
  const TempFolder folder;
  ConvertOptions options{kTiny / "checkpoint-assistant", folder.path() / "drafter.gguf",
                         DType::kF32, ConvertPart::kDrafter};
  const auto refused = ConvertToGguf(options);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("tokenizer.json"), std::string::npos)
      << refused.error().message;
  options.vocabulary = kTiny / "checkpoint";
  const auto want = MustOpen(kTiny / "gguf/assistant-f32.gguf");
  auto got = Converted(options);
  ASSERT_TRUE(got && want);
  ExpectSameFile(*got, *want);
  options.vocabulary = kTiny / "gguf/model-q8_0.gguf";
  got = Converted(options);
  ASSERT_NE(got, nullptr);
  ExpectSameFile(*got, *want, {"tokenizer.ggml.suppress_tokens"});
}

TEST(Convert, QuantisedEqualsLlamaQuantize) {
  const TempFolder folder;
  for (const auto& [type, name] :
       {std::pair(DType::kQ8_0, "model-q8_0.gguf"), std::pair(DType::kQ4_0, "model-q4_0.gguf")}) {
    const auto want = MustOpen(kTiny / "gguf" / name);
    const auto got = Converted({kTiny / "checkpoint", folder.path() / name, type});
    ASSERT_TRUE(got && want);
    ExpectSameFile(*got, *want);
    // From a GGUF instead of a folder.
    const auto again =
        Converted({kTiny / "gguf/model-f32.gguf", folder.path() / "again.gguf", type});
    ASSERT_NE(again, nullptr);
    ExpectSameFile(*again, *want);
  }
}

double Distance(const Tensor& a, const Tensor& b) {
  std::vector<float> x(a.elements()), y(b.elements());
  DequantizeRow(a.type, a.data.data(), x);
  DequantizeRow(b.type, b.data.data(), y);
  double error = 0, norm = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    error += (x[i] - y[i]) * double(x[i] - y[i]);
    norm += double(y[i]) * y[i];
  }
  return std::sqrt(error / std::max(norm, 1e-30));
}

TEST(Convert, EveryTypeLoadsAndStaysNearTheSource) {
  const TempFolder folder;
  const auto exact = MustOpen(kTiny / "gguf/model-f32.gguf");
  ASSERT_NE(exact, nullptr);
  for (const auto& [type, allowed] :
       {std::pair(DType::kF16, 5e-4), std::pair(DType::kBF16, 4e-3), std::pair(DType::kQ8_0, 7e-3),
        std::pair(DType::kQ4_K, 0.06)}) {
    const fs::path model = folder.path() / "m.gguf", projector = folder.path() / "p.gguf";
    const auto got = Converted({kTiny / "checkpoint", model, type});
    ASSERT_NE(got, nullptr);
    for (const Tensor& tensor : got->tensors()) {
      if (tensor.name == "rope_freqs.weight") continue;
      EXPECT_LE(Distance(tensor, *exact->Find(tensor.name)), allowed)
          << Traits(type).name << " " << tensor.name;
    }
    ASSERT_NE(Converted({kTiny / "checkpoint", projector, type, ConvertPart::kProjector}), nullptr);
    const auto loaded = LoadCheckpoint(model, projector);
    EXPECT_TRUE(loaded.ok()) << loaded.error().message;
  }
}

TEST(Convert, RowsThatAreNoWholeBlocksFallBack) {
  const TempFolder folder;
  // 64 columns: no super-blocks, but blocks of 32.
  const auto got = Converted({kTiny / "checkpoint", folder.path() / "m.gguf", DType::kQ4_K});
  ASSERT_NE(got, nullptr);
  EXPECT_EQ(got->Find("blk.0.attn_q.weight")->type, DType::kQ5_0);
  EXPECT_EQ(got->Find("token_embd.weight")->type, DType::kQ8_0);
  EXPECT_EQ(got->Find("blk.0.attn_norm.weight")->type, DType::kF32);
}

TEST(Convert, SaysHowMuchItWritesAndStopsWhenTold) {
  const TempFolder folder;
  ConvertOptions options{kTiny / "checkpoint", folder.path() / "m.gguf", DType::kQ8_0};
  uint64_t last = 0;
  std::set<uint64_t> totals;
  options.progress = [&](uint64_t done, uint64_t total) {
    totals.insert(total);
    EXPECT_GT(done, last);
    last = done;
    return true;
  };
  ASSERT_TRUE(ConvertToGguf(options).ok());
  // What was announced is what the file then holds.
  const auto written = Gguf::Open(options.output);
  ASSERT_TRUE(written.ok());
  uint64_t bytes = 0;
  for (const Tensor& tensor : (*written)->tensors()) bytes += tensor.data.size();
  EXPECT_EQ(totals, std::set<uint64_t>{bytes});
  EXPECT_EQ(last, bytes);
  fs::remove(options.output);
  options.progress = [](uint64_t done, uint64_t) { return done < 100'000; };
  const auto stopped = ConvertToGguf(options);
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().kind, ErrorKind::kCancelled);
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(Convert, RefusesByName) {
  const TempFolder folder;
  const auto message = [](const ConvertOptions& options) {
    const auto done = ConvertToGguf(options);
    EXPECT_FALSE(done.ok());
    return done.ok() ? std::string() : done.error().message;
  };
  const fs::path out = folder.path() / "out.gguf";
  EXPECT_NE(message({kTiny / "checkpoint", out, DType::kQ5_1}).find("Q5_1"), std::string::npos);
  EXPECT_NE(
      message({kTiny / "checkpoint", out, DType::kF32, ConvertPart::kDrafter}).find("a drafter"),
      std::string::npos);
  EXPECT_NE(message({kTiny / "gguf/mmproj-f32.gguf", out, DType::kF32}).find("clip"),
            std::string::npos);
  EXPECT_FALSE(fs::exists(out));

  // A weight that is not finite, and a tensor that nothing knows.
  const fs::path hurt = folder.path() / "hurt";
  fs::create_directory(hurt);
  const auto write = [&](const std::string& extra, bool nan) {
    const auto file = Safetensors::Open(kTiny / "checkpoint");
    std::vector<TensorOut> tensors;
    std::vector<std::byte> changed;
    for (const Tensor& tensor : (*file)->tensors()) {
      tensors.push_back({tensor.name, tensor.type, tensor.shape, tensor.data});
      if (!nan || tensor.name != "model.language_model.layers.2.mlp.up_proj.weight") continue;
      changed.assign(tensor.data.begin(), tensor.data.end());
      const float value = std::nanf("");
      std::memcpy(changed.data() + 3 * 64 * sizeof(float), &value, sizeof(value));
      tensors.back().data = changed;
    }
    const std::vector<std::byte> four(4);
    if (!extra.empty()) tensors.push_back({extra, DType::kF32, {1}, four});
    EXPECT_TRUE(SaveSafetensors(hurt / "model.safetensors", tensors).ok());
  };
  for (const char* name : {"config.json", "tokenizer.json"})
    fs::copy(kTiny / "checkpoint" / name, hurt / name);
  write("", true);
  const std::string finite = message({hurt, out, DType::kQ8_0});
  EXPECT_NE(finite.find("layers.2.mlp.up_proj.weight, row 3: a weight is not a finite number"),
            std::string::npos)
      << finite;
  write("model.something_new", false);
  const std::string unknown = message({hurt, out, DType::kQ8_0});
  EXPECT_NE(unknown.find("model.something_new"), std::string::npos) << unknown;
  EXPECT_FALSE(fs::exists(out));
}

}  // namespace
}  // namespace facet
