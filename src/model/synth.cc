#include "model/synth.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

#include "base/patch.h"
#include "model/convert_plan.h"
#include "model/synth_vocabulary.h"
#include "model/tensor_names.h"
#include "ops/quant/quant.h"
#include "text/vocabulary_export.h"

namespace facet {
namespace {

constexpr int64_t kPatch = kPatchValues;
// Scores are q . k with no scale: this weight of both norms keeps their spread near 2 at 256
// dimensions.
constexpr float kHeadNorm = 0.35f;

struct Shape {
  ModelConfig config;
  bool projector = false;
};

TextConfig Gemma4Text(int layers, int width, int ffn) {
  TextConfig text;
  text.width = width;
  text.ffn = ffn;
  text.vocab = 262144;
  text.context = 262144;
  text.window = 1024;
  for (int i = 0; i < layers; ++i) {
    const bool full = i % 6 == 5 || i == layers - 1;
    text.layers.push_back({!full, 16, full ? 1 : 8, full ? 512 : 256, full});
  }
  text.rope_sliding = {1e4, 128, 1};
  text.rope_full = {1e6, 64, 1};
  text.softcap = 30;
  text.value_norm = text.image_bidirectional = true;
  return text;
}

// The values of docs/model.md, "Numbers"; the drafter's are those of the published one.
Shape Make12b() {
  Shape shape;
  shape.config.text = Gemma4Text(48, 3840, 15360);
  return shape;
}

Shape Make12bDrafter() {
  Shape shape;
  shape.config.text = Gemma4Text(4, 1024, 8192);
  shape.config.text.family = Family::kGemma4Assistant;
  shape.config.text.context = 131072;
  shape.config.text.softcap = 0;
  for (LayerConfig& layer : shape.config.text.layers) layer.keys_are_values = false;
  shape.config.drafter = DrafterConfig{.target_width = 3840};
  return shape;
}

Shape Make12bProjector() {
  Shape shape = Make12b();
  shape.projector = true;
  shape.config.vision = VisionConfig{3840, 1120, 1e-6f};
  shape.config.audio = AudioConfig{};
  return shape;
}

// Gemma 3 270M.
Shape Make270m() {
  Shape shape;
  TextConfig& text = shape.config.text;
  text.family = Family::kGemma3;
  text.width = 640;
  text.ffn = 2048;
  text.vocab = 262144;
  text.context = 32768;
  text.window = 512;
  for (int i = 0; i < 18; ++i) text.layers.push_back({(i + 1) % 6 != 0, 4, 1, 256, false});
  text.rope_full.theta = 1e6;
  return shape;
}

// All kinds of layers in a file of a megabyte or so; rows are whole super-blocks.
Shape MakeTiny() {
  Shape shape;
  TextConfig& text = shape.config.text;
  text = Gemma4Text(6, 256, 512);
  text.vocab = 2048;
  text.context = 8192;
  text.window = 32;
  for (LayerConfig& layer : text.layers) {
    layer.heads = 4;
    layer.head_dim = layer.sliding ? 64 : 128;
    layer.kv_heads = layer.sliding ? 2 : 1;
  }
  text.rope_sliding.rotated_pairs = 32;
  text.rope_full.rotated_pairs = 16;
  return shape;
}

Shape MakeTinyGemma3() {
  Shape shape = Make270m();
  TextConfig& text = shape.config.text;
  text.width = 256;
  text.ffn = 512;
  text.vocab = 2048;
  text.context = 8192;
  text.window = 32;
  text.layers.resize(7);
  for (LayerConfig& layer : text.layers) {
    layer.kv_heads = 2;
    layer.head_dim = 64;
  }
  return shape;
}

struct NamedShape {
  SynthShape shape;
  Shape (*make)();
};

const std::vector<NamedShape>& Shapes() {
  static const std::vector<NamedShape> shapes = {
      {{"12b", "Gemma 4 12B Unified, text"}, Make12b},
      {{"12b-drafter", "its drafter"}, Make12bDrafter},
      {{"12b-mmproj", "its projector for pictures and sound"}, Make12bProjector},
      {{"270m", "Gemma 3 270M"}, Make270m},
      {{"tiny", "a small Gemma 4 with both kinds of layers"}, MakeTiny},
      {{"tiny-gemma3", "a small Gemma 3"}, MakeTinyGemma3},
  };
  return shapes;
}

Result<Shape> FindShape(std::string_view name) {
  std::string known;
  for (const NamedShape& entry : Shapes()) {
    if (entry.shape.name == name) return entry.make();
    known += Cat(known.empty() ? "" : ", ", entry.shape.name);
  }
  return Expected(Cat("one of ", known), Cat("\"", Printable(name), "\""), "shape");
}

// Tensors of the plan: `values` filled for vectors, empty for matrices of random numbers.
class Builder {
 public:
  explicit Builder(const TypeRule& types) : types_(types) {}

  void Vector(const std::string& name, int64_t count, float value) {
    plan.push_back({name,
                    DType::kF32,
                    {count},
                    nullptr,
                    RowOrder::kGenerated,
                    std::vector<float>(count, value)});
  }
  void Matrix(const std::string& name, std::vector<int64_t> shape) {
    const DType type = types_.TypeOf(name, shape);
    plan.push_back({name, type, std::move(shape), nullptr, RowOrder::kSame, {}});
  }

  TensorPlan plan;

 private:
  const TypeRule& types_;
};

void AddLayer(const ModelConfig& config, int index, Builder& build) {
  const LayerConfig& layer = config.text.layers[index];
  const int64_t width = config.text.width, ffn = config.text.ffn, dim = layer.head_dim;
  const auto name = [&](const PartName& part) { return Cat("blk.", index, ".", part.gguf); };
  build.Vector(name(kAttnNorm), width, 1);
  build.Matrix(name(kQ), {layer.heads * dim, width});
  build.Vector(name(kQNorm), dim, kHeadNorm);
  if (!config.drafter) {
    build.Matrix(name(kK), {layer.kv_heads * dim, width});
    build.Vector(name(kKNorm), dim, kHeadNorm);
    if (!layer.keys_are_values) build.Matrix(name(kV), {layer.kv_heads * dim, width});
  }
  build.Matrix(name(kO), {width, layer.heads * dim});
  build.Vector(name(kPostAttnNorm), width, 1);
  build.Vector(name(kFfnNorm), width, 1);
  build.Matrix(name(kGate), {ffn, width});
  build.Matrix(name(kUp), {ffn, width});
  build.Matrix(name(kDown), {width, ffn});
  build.Vector(name(kPostFfnNorm), width, 1);
  if (config.text.family != Family::kGemma3) build.Vector(name(kLayerScalar), 1, 1);
}

TensorPlan TextPlan(const ModelConfig& config, const TypeRule& types) {
  Builder build(types);
  const int64_t width = config.text.width;
  if (config.text.family != Family::kGemma3) {
    std::vector<float> factors = RopeFactors(config.text);
    const int64_t count = static_cast<int64_t>(factors.size());
    build.plan.push_back({"rope_freqs.weight",
                          DType::kF32,
                          {count},
                          nullptr,
                          RowOrder::kGenerated,
                          std::move(factors)});
  }
  build.Matrix("token_embd.weight", {config.text.vocab, width});
  for (size_t i = 0; i < config.text.layers.size(); ++i)
    AddLayer(config, static_cast<int>(i), build);
  build.Vector("output_norm.weight", width, 1);
  if (config.drafter) {
    const int64_t target = config.drafter->target_width;
    build.Matrix("nextn.post_projection.weight", {target, width});
    build.Matrix("nextn.pre_projection.weight", {width, 2 * target});
  }
  return build.plan;
}

TensorPlan ProjectorPlan(const ModelConfig& config, const TypeRule& types) {
  Builder build(types);
  const int64_t width = config.text.width, dim = config.vision->embed_dim;
  build.Matrix("mm.a.input_projection.weight", {width, config.audio->frame});
  build.Matrix("mm.input_projection.weight", {width, dim});
  build.Matrix("v.patch_embd.weight", {dim, kPatch});
  build.Vector("v.patch_embd.bias", dim, 0);
  build.Matrix("v.position_embd.weight", {2, config.vision->positions, dim});
  for (const auto& [index, size] : {std::pair(1, kPatch), std::pair(2, dim), std::pair(3, dim)}) {
    build.Vector(Cat("v.patch_norm.", index, ".weight"), size, 1);
    build.Vector(Cat("v.patch_norm.", index, ".bias"), size, 0);
  }
  return build.plan;
}

void SetGemma3Keys(const TextConfig& text, GgufWriter& writer) {
  const LayerConfig& layer = text.layers.front();
  const auto set = [&](const char* key, int value) {
    writer.Set(Cat("gemma3.", key), static_cast<uint32_t>(value));
  };
  writer.Set("general.architecture", "gemma3");
  writer.Set("general.type", "model");
  set("context_length", text.context);
  set("embedding_length", text.width);
  set("block_count", static_cast<int>(text.layers.size()));
  set("feed_forward_length", text.ffn);
  set("attention.head_count", layer.heads);
  set("attention.head_count_kv", layer.kv_heads);
  set("attention.key_length", layer.head_dim);
  set("attention.value_length", layer.head_dim);
  set("attention.sliding_window", text.window);
  writer.Set("gemma3.attention.layer_norm_rms_epsilon", text.eps);
  writer.Set("gemma3.rope.freq_base", static_cast<float>(text.rope_full.theta));
}

// Byte of a block (of 32 elements for unquantised types) from which on there are low bits only: one
// byte of the simple types, 128 of the K types.
int LowByte(DType type) {
  switch (type) {
    case DType::kQ8_0:
    case DType::kQ4_0:
      return 2;
    case DType::kQ5_0:
      return 6;
    case DType::kQ4_K:
      return 16;
    case DType::kQ5_K:
      return 48;
    default:
      return 0;
  }
}

// Writes random matrices. A pool of encoded rows is made once for each type and width; what is
// written are its rows in a random order with one element of each 32 changed, so that no two
// rows are equal.
class RandomRows {
 public:
  RandomRows(const SynthOptions& options, uint64_t total, GgufWriter& writer)
      : options_(options), total_(total), writer_(writer), random_(options.seed) {}

  Result<void> Write(const PlannedTensor& tensor) {
    if (!tensor.values.empty()) return Emit(std::as_bytes(std::span(tensor.values)));
    const int64_t cols = tensor.shape.back();
    const size_t bytes = RowBytes(tensor.type, cols);
    int64_t rows = 1;
    for (size_t i = 0; i + 1 < tensor.shape.size(); ++i) rows *= tensor.shape[i];
    const std::vector<std::byte>& pool = Pool(tensor.type, cols);
    const int64_t pool_rows = static_cast<int64_t>(pool.size() / bytes);
    const int64_t chunk = std::max<int64_t>(1, kBufferBytes / static_cast<int64_t>(bytes));
    for (int64_t begin = 0; begin < rows; begin += chunk) {
      const int64_t count = std::min(chunk, rows - begin);
      buffer_.resize(count * bytes);
      for (int64_t r = 0; r < count; ++r) {
        const std::byte* from = pool.data() + Next() % pool_rows * bytes;
        std::copy_n(from, bytes, buffer_.data() + r * bytes);
      }
      Vary(tensor.type);
      FACET_TRY(Emit(buffer_));
    }
    return Ok();
  }

 private:
  static constexpr int64_t kBufferBytes = 4 << 20, kPoolElements = 1 << 20;

  uint64_t Next() {
    // xorshift64*, Vigna 2014.
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1dull >> 16;
  }

  const std::vector<std::byte>& Pool(DType type, int64_t cols) {
    std::vector<std::byte>& pool = pools_[{type, cols}];
    if (!pool.empty()) return pool;
    const int64_t rows = std::max<int64_t>(1, kPoolElements / cols);
    const size_t bytes = RowBytes(type, cols);
    std::normal_distribution<float> normal(0, 1 / std::sqrt(static_cast<float>(cols)));
    std::vector<float> row(cols);
    pool.resize(rows * bytes);
    for (int64_t r = 0; r < rows; ++r) {
      for (float& x : row) x = normal(random_);
      QuantizeRow(type, row, pool.data() + r * bytes);
    }
    return pool;
  }

  void Vary(DType type) {
    const size_t step = IsQuantized(type) ? Traits(type).bytes : 32 * Traits(type).bytes;
    const size_t changes = std::max(1, Traits(type).block / 32);
    // Seven bits: the eighth of a bfloat16 belongs to its exponent.
    for (size_t block = LowByte(type); block < buffer_.size(); block += step) {
      for (size_t i = 0; i < changes; ++i) {
        buffer_[block + 16 * i] ^= static_cast<std::byte>(Next() & 0x7f);
      }
    }
  }

  Result<void> Emit(std::span<const std::byte> bytes) {
    FACET_TRY(writer_.Append(bytes));
    done_ += bytes.size();
    if (options_.progress && !options_.progress(done_, total_))
      return Error{"stopped", ErrorKind::kCancelled};
    return Ok();
  }

  const SynthOptions& options_;
  uint64_t total_, done_ = 0;
  GgufWriter& writer_;
  std::mt19937 random_;
  uint64_t state_ = 0x9e3779b97f4a7c15ull;
  std::map<std::pair<DType, int64_t>, std::vector<std::byte>> pools_;
  std::vector<std::byte> buffer_;
};

Result<void> SetKeys(const SynthOptions& options, Shape& shape, GgufWriter& writer) {
  ModelConfig& config = shape.config;
  if (shape.projector) {
    SetProjectorKeys(config, writer);
  } else if (config.text.family == Family::kGemma3) {
    SetGemma3Keys(config.text, writer);
  } else {
    SetTextKeys(config, writer);
  }
  writer.Set("general.name", Cat("random ", options.shape));
  writer.Set("general.file_type", FileType(options.type));
  writer.Set("general.quantization_version", uint32_t{2});
  if (shape.projector) {
    if (options.vocabulary.empty()) return Ok();
    return Error{Cat(options.vocabulary.string(), ": a projector has no vocabulary")};
  }
  if (!options.vocabulary.empty())
    return SetVocabulary({options.vocabulary, config.text.vocab, true}, writer);
  SetSynthVocabulary(config.text.vocab, writer);
  return Ok();
}

}  // namespace

const std::vector<SynthShape>& SynthShapes() {
  static const std::vector<SynthShape> names = [] {
    std::vector<SynthShape> out;
    for (const NamedShape& entry : Shapes()) out.push_back(entry.shape);
    return out;
  }();
  return names;
}

Result<void> WriteSynthModel(const SynthOptions& options) {
  FACET_ASSIGN(Shape shape, FindShape(options.shape));
  const TypeRule types = MakeTypeRule(options.type, shape.config.text);
  const TensorPlan plan =
      shape.projector ? ProjectorPlan(shape.config, types) : TextPlan(shape.config, types);
  GgufWriter writer;
  FACET_TRY(SetKeys(options, shape, writer));
  uint64_t total = 0;
  for (const PlannedTensor& tensor : plan) {
    writer.Declare(tensor.name, tensor.type, tensor.shape);
    total += TensorBytes(tensor.type, tensor.shape).value_or(0);
  }
  FACET_TRY(writer.Begin(options.output));
  RandomRows rows(options, total, writer);
  for (const PlannedTensor& tensor : plan) FACET_TRY(rows.Write(tensor));
  return writer.Finish();
}

}  // namespace facet
