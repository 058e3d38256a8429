// `facet verify`: sound models pass, and a mutation of each part of a model is caught.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>

#include "formats/gguf.h"
#include "model/convert.h"
#include "ops/quant/quant.h"
#include "support/command.h"

namespace facet {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// A GGUF as it is to be written again, with changes.
struct Draft {
  struct Piece {
    std::string name;
    DType type;
    std::vector<int64_t> shape;
    std::vector<std::byte> data;
  };
  std::unique_ptr<Gguf> file;
  std::vector<Piece> pieces;
  std::function<void(GgufWriter&)> keys = [](GgufWriter&) {};
  std::vector<std::string> dropped;  // keys

  Piece& At(const std::string& name) {
    const auto found = std::find_if(pieces.begin(), pieces.end(),
                                    [&](const Piece& piece) { return piece.name == name; });
    EXPECT_NE(found, pieces.end()) << name;
    return *found;
  }

  template <typename T>
  void SetKey(const std::string& key, T value) {
    dropped.push_back(key);
    keys = [key, value, before = keys](GgufWriter& writer) {
      before(writer);
      writer.Set(key, value);
    };
  }

  // A tensor's values, changed; it becomes float32.
  void Change(const std::string& name, const std::function<float(float, size_t)>& to) {
    Piece& piece = At(name);
    const int64_t cols = piece.shape.back();
    const size_t row_bytes = RowBytes(piece.type, cols);
    std::vector<float> values(piece.data.size() / row_bytes * cols);
    for (size_t r = 0; r * row_bytes < piece.data.size(); ++r) {
      DequantizeRow(piece.type, piece.data.data() + r * row_bytes,
                    std::span(values).subspan(r * cols, cols));
    }
    for (size_t i = 0; i < values.size(); ++i) values[i] = to(values[i], i);
    piece.type = DType::kF32;
    piece.data.resize(values.size() * sizeof(float));
    std::memcpy(piece.data.data(), values.data(), piece.data.size());
  }

  // Two tensors of one shape take each other's place.
  void Exchange(const std::string& a, const std::string& b) {
    std::swap(At(a).data, At(b).data);
    std::swap(At(a).type, At(b).type);
  }

  // All tensors of two layers of one shape.
  void ExchangeLayers(int a, int b) {
    const std::string first = Cat("blk.", a, "."), second = Cat("blk.", b, ".");
    for (size_t i = 0; i < pieces.size(); ++i) {
      const std::string name = pieces[i].name;
      if (name.starts_with(first)) Exchange(name, second + name.substr(first.size()));
    }
  }

  std::vector<std::string> Named(const std::string& end) const {
    std::vector<std::string> out;
    for (const Piece& piece : pieces)
      if (piece.name.ends_with(end)) out.push_back(piece.name);
    return out;
  }
};

struct Mutation {
  const char* what;
  std::function<void(Draft&)> apply;
};

const auto kAdd = [](float by) { return [by](float v, size_t) { return v + by; }; };
const auto kTimes = [](float by) { return [by](float v, size_t) { return v * by; }; };

void ChangeAll(Draft& draft, const std::string& end,
               const std::function<float(float, size_t)>& to) {
  for (const std::string& name : draft.Named(end)) draft.Change(name, to);
}

// What holds for both families; `arch` is the prefix of keys.
std::vector<Mutation> Mutations(const std::string& arch, int layer, int next) {
  return {
      {"two layers exchanged", [=](Draft& d) { d.ExchangeLayers(layer, next); }},
      {"norms before attention less 1",
       [](Draft& d) { ChangeAll(d, ".attn_norm.weight", kAdd(-1)); }},
      {"norms behind attention and 1",
       [](Draft& d) { ChangeAll(d, ".post_attention_norm.weight", kAdd(1)); }},
      {"norms of queries and keys less 1",
       [](Draft& d) {
         ChangeAll(d, ".attn_q_norm.weight", kAdd(-1));
         ChangeAll(d, ".attn_k_norm.weight", kAdd(-1));
       }},
      {"norms behind the feed forward and 1",
       [](Draft& d) { ChangeAll(d, ".post_ffw_norm.weight", kAdd(1)); }},
      {"the last norm less 1", [](Draft& d) { d.Change("output_norm.weight", kAdd(-1)); }},
      {"RoPE base of sliding layers",
       [=](Draft& d) { d.SetKey(arch + ".rope.freq_base_swa", 1e6f); }},
      {"RoPE base of full layers", [=](Draft& d) { d.SetKey(arch + ".rope.freq_base", 1e4f); }},
      {"window", [=](Draft& d) { d.SetKey(arch + ".attention.sliding_window", uint32_t{256}); }},
      {"eps", [=](Draft& d) { d.SetKey(arch + ".attention.layer_norm_rms_epsilon", 1e-5f); }},
      {"cap of the logits", [=](Draft& d) { d.SetKey(arch + ".final_logit_softcapping", 50.0f); }},
      {"gate and up exchanged",
       [](Draft& d) {
         for (const std::string& gate : d.Named(".ffn_gate.weight")) {
           std::string up = gate;
           up.replace(up.find("gate"), 4, "up");
           d.Exchange(gate, up);
         }
       }},
      {"a scale applied twice",
       [=](Draft& d) { d.Change(Cat("blk.", layer, ".attn_output.weight"), kTimes(16)); }},
      {"a hole of zeros",
       [=](Draft& d) {
         auto& data = d.At(Cat("blk.", next, ".ffn_down.weight")).data;
         std::fill(data.begin(), data.begin() + static_cast<int64_t>(data.size() / 4),
                   std::byte{0});
       }},
      {"embeddings of the next token",
       [](Draft& d) {
         auto& piece = d.At("token_embd.weight");
         const size_t row = RowBytes(piece.type, piece.shape.back());
         std::rotate(piece.data.begin(), piece.data.begin() + static_cast<int64_t>(row),
                     piece.data.end());
       }},
  };
}

class VerifyTest : public CommandTest {
 protected:
  Draft Read(const fs::path& path) {
    auto file = Gguf::Open(path);
    EXPECT_TRUE(file.ok()) << path;
    Draft draft;
    for (const Tensor& tensor : (*file)->tensors()) {
      draft.pieces.push_back(
          {tensor.name, tensor.type, tensor.shape, {tensor.data.begin(), tensor.data.end()}});
    }
    draft.file = std::move(*file);
    return draft;
  }

  fs::path Write(const Draft& draft) {
    const fs::path path = folder_.path() / "mutated.gguf";
    GgufWriter writer;
    for (const auto& [key, value] : draft.file->metadata()) {
      if (key == "general.alignment" ||
          std::find(draft.dropped.begin(), draft.dropped.end(), key) != draft.dropped.end())
        continue;
      writer.Copy(key, value);
    }
    draft.keys(writer);
    for (const auto& piece : draft.pieces) writer.Declare(piece.name, piece.type, piece.shape);
    EXPECT_TRUE(writer.Begin(path).ok());
    for (const auto& piece : draft.pieces) EXPECT_TRUE(writer.Append(piece.data).ok());
    EXPECT_TRUE(writer.Finish().ok());
    return path;
  }

  void ExpectCaught(const fs::path& source, const std::vector<Mutation>& mutations) {
    for (const Mutation& mutation : mutations) {
      Draft draft = Read(source);
      mutation.apply(draft);
      const std::string path = Write(draft).string();
      Finished run = Run("verify --quick " + path);
      if (run.code == 0) run = Run("verify " + path);
      EXPECT_EQ(run.code, 1) << mutation.what << "\n" << run.out << run.err;
      EXPECT_NE(run.out.find("\nFAIL "), std::string::npos) << mutation.what << "\n" << run.out;
    }
  }

  void ExpectSound(const fs::path& model) {
    const Finished run = Run("verify " + model.string());
    EXPECT_EQ(run.code, 0) << model << "\n" << run.out << run.err;
    EXPECT_EQ(run.out.find("FAIL"), std::string::npos) << run.out;
  }

  // The same model in another type, with its projector beside it.
  fs::path Quantised(const fs::path& source, DType type) {
    const fs::path path = folder_.path() / Cat("sound-", Traits(type).name, ".gguf");
    ConvertOptions options;
    options.source = source;
    options.output = path;
    options.type = type;
    EXPECT_TRUE(ConvertToGguf(options).ok());
    return path;
  }

  const fs::path pebble_ = fs::path(TestsDir()).parent_path() / "models/pebble";
};

TEST_F(VerifyTest, SlowPebbleIsSoundInEveryType) {
  ExpectSound("pebble");
  fs::create_symlink(pebble_ / "mmproj-bf16.gguf", folder_.path() / "mmproj-bf16.gguf");
  for (const DType type : {DType::kQ4_0, DType::kQ4_K})
    ExpectSound(Quantised(pebble_ / "model-q8_0.gguf", type));
}

TEST_F(VerifyTest, SlowCatchesEveryMutationOfPebble) {
  // The layers in the middle do nearly the same: exchanged, they answer as well.
  std::vector<Mutation> mutations = Mutations("gemma4", 0, 1);
  mutations.push_back(
      {"one norm and 1", [](Draft& d) { d.Change("blk.4.post_ffw_norm.weight", kAdd(1)); }});
  mutations.push_back({"all pairs of full layers turn", [](Draft& d) {
                         d.Change("rope_freqs.weight", [](float, size_t) { return 1.0f; });
                       }});
  ExpectCaught(pebble_ / "model-q8_0.gguf", mutations);
}

TEST_F(VerifyTest, SlowCatchesMutationsOfTheProjector) {
  for (const char* name : {"mm.input_projection.weight", "v.position_embd.weight"}) {
    Draft draft = Read(pebble_ / "mmproj-bf16.gguf");
    const int64_t cols = draft.At(name).shape.back();
    // Its columns in the opposite order: shape, size and every number are as before.
    auto& piece = draft.At(name);
    const size_t bytes = RowBytes(piece.type, 1);
    for (size_t row = 0; row < piece.data.size(); row += bytes * cols) {
      for (int64_t i = 0, k = cols - 1; i < k; ++i, --k) {
        std::swap_ranges(piece.data.begin() + static_cast<int64_t>(row + i * bytes),
                         piece.data.begin() + static_cast<int64_t>(row + (i + 1) * bytes),
                         piece.data.begin() + static_cast<int64_t>(row + k * bytes));
      }
    }
    const fs::path written = Write(draft);
    const fs::path folder = folder_.path() / "model";
    fs::create_directories(folder);
    fs::rename(written, folder / "mmproj-bf16.gguf");
    fs::remove(folder / "model.gguf");
    fs::create_symlink(pebble_ / "model-q8_0.gguf", folder / "model.gguf");
    const Finished run = Run("verify --quick " + (folder / "model.gguf").string());
    EXPECT_EQ(run.code, 1) << name << "\n" << run.out << run.err;
  }
}

// The base model that ./dev fetches, by a variable of its own: these two take half an hour.
std::optional<fs::path> Gemma3() {
  const char* path = std::getenv("FACET_VERIFY_GEMMA3");
  if (path == nullptr || *path == 0) return std::nullopt;
  return path;
}

TEST_F(VerifyTest, SlowGemma3IsSoundInEveryType) {
  if (!Gemma3()) GTEST_SKIP() << "FACET_VERIFY_GEMMA3 names no model";
  ExpectSound(*Gemma3());
  for (const DType type : {DType::kQ8_0, DType::kQ4_0}) ExpectSound(Quantised(*Gemma3(), type));
}

TEST_F(VerifyTest, SlowCatchesEveryMutationOfGemma3) {
  if (!Gemma3()) GTEST_SKIP() << "FACET_VERIFY_GEMMA3 names no model";
  std::vector<Mutation> mutations = Mutations("gemma3", 7, 8);
  mutations.push_back(
      {"attention without a scale", [](Draft& d) { d.SetKey("gemma3.attention.scale", 1.0f); }});
  mutations.push_back({"kinds of layers", [](Draft& d) {
                         d.SetKey("gemma3.attention.sliding_window_pattern", uint32_t{3});
                       }});
  ExpectCaught(*Gemma3(), mutations);
}

TEST_F(VerifyTest, AnUntrainedModelDoesNotPass) {
  const Finished run = Run("verify --quick " + Reference("tiny/checkpoint").string());
  EXPECT_EQ(run.code, 1) << run.out;
  EXPECT_NE(run.out.find("FAIL  perplexity"), std::string::npos) << run.out;
  EXPECT_NE(run.out.find("ok    chunks"), std::string::npos) << run.out;
}

}  // namespace
}  // namespace facet
