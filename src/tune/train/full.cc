#include "tune/train/full.h"

#include "model/tensor_names.h"
#include "ops/quant/quant.h"

namespace facet::tune {
namespace {

// A name with its ending cut off; empty where it ends otherwise.
std::string Stem(const std::string& name, std::string_view end) {
  return name.ends_with(end) ? name.substr(0, name.size() - end.size()) : std::string();
}

// Turns weights into parameters, one container's names at a time.
class Everything {
 public:
  Everything(const Checkpoint& checkpoint, TrainWeights& weights, Parameters& parameters)
      : checkpoint_(checkpoint),
        weights_(weights),
        parameters_(parameters),
        gguf_(checkpoint.weights.embedding.name == "token_embd.weight") {}

  Result<void> Run() {
    const Weights& from = checkpoint_.weights;
    FACET_TRY(Matrix(from.embedding, Part::kText, weights_.embedding));
    const std::string top = Stem(from.embedding.name, "embed_tokens.weight");
    FACET_TRY(Values(gguf_ ? "output_norm.weight" : top + "norm.weight", Part::kText,
                     weights_.final_norm));
    for (size_t i = 0; i < from.layers.size(); ++i)
      FACET_TRY(Layer(from.layers[i], weights_.layers[i]));
    if (from.vision) FACET_TRY(Vision(*from.vision, *weights_.vision));
    if (from.audio) FACET_TRY(Matrix(from.audio->projection, Part::kAudio, *weights_.audio));
    if (from.drafter) {
      TrainDrafter& to = *weights_.drafter;
      FACET_TRY(Matrix(from.drafter->pre_projection, Part::kText, to.pre_projection));
      FACET_TRY(Matrix(from.drafter->post_projection, Part::kText, to.post_projection));
    }
    return Ok();
  }

 private:
  // The tensor of the file in float32, as a parameter of its shape.
  Result<Parameter*> Tensor(const std::string& name, Part part) {
    const TensorFile* file = checkpoint_.FileOf(name);
    if (file == nullptr) return checkpoint_.text->Get(name).error();
    const facet::Tensor& tensor = *file->Find(name);
    std::vector<float> value(tensor.elements());
    const int64_t cols = tensor.cols();
    for (int64_t r = 0; r < tensor.rows(); ++r) {
      DequantizeRow(tensor.type, tensor.data.data() + r * RowBytes(tensor.type, cols),
                    std::span(value).subspan(r * cols, cols));
    }
    file->Drop(tensor);
    return &parameters_.Add(name, tensor.shape, part, std::move(value));
  }
  Result<void> Matrix(const Linear& from, Part part, TrainLinear& to) {
    FACET_ASSIGN(Parameter * p, Tensor(from.name, part));
    to.weight = {DType::kF32, from.rows(), from.cols(),
                 reinterpret_cast<const std::byte*>(p->value.data())};
    to.gradient = p->gradient.data();
    return Ok();
  }
  Result<void> Values(const std::string& name, Part part, TrainVector& to) {
    FACET_ASSIGN(Parameter * p, Tensor(name, part));
    to = {p->value, p->gradient.data()};
    return Ok();
  }

  Result<void> Layer(const LayerWeights& from, TrainLayer& to) {
    const std::string stem = Stem(from.q.name, gguf_ ? kQ.gguf : kQ.hub);
    const auto name = [&](const PartName& part) { return stem + (gguf_ ? part.gguf : part.hub); };
    const std::pair<const PartName*, TrainVector*> vectors[] = {
        {&kAttnNorm, &to.attn_norm}, {&kQNorm, &to.q_norm},
        {&kKNorm, &to.k_norm},       {&kPostAttnNorm, &to.post_attn_norm},
        {&kFfnNorm, &to.ffn_norm},   {&kPostFfnNorm, &to.post_ffn_norm}};
    for (const auto& [part, vector] : vectors) {
      const bool here = !vector->value.empty();  // a drafter's layers have no keys
      if (here) FACET_TRY(Values(name(*part), Part::kText, *vector));
    }
    const std::pair<const Linear*, TrainLinear*> matrices[] = {
        {&from.q, &to.q},       {&from.k, &to.k},   {&from.v, &to.v},      {&from.o, &to.o},
        {&from.gate, &to.gate}, {&from.up, &to.up}, {&from.down, &to.down}};
    for (const auto& [linear, matrix] : matrices) {
      if (linear->weight.data == nullptr) continue;
      FACET_TRY(Matrix(*linear, Part::kText, *matrix));
      parameters_.all().back().hidden = true;
    }
    return Ok();
  }

  Result<void> Vision(const VisionWeights& from, TrainVision& to) {
    struct Name {
      const char *hub, *gguf;
      TrainVector* vector;
    };
    const Name names[] = {{"patch_ln1.weight", "patch_norm.1.weight", &to.ln1},
                          {"patch_ln1.bias", "patch_norm.1.bias", &to.ln1_bias},
                          {"patch_dense.bias", "patch_embd.bias", &to.bias},
                          {"patch_ln2.weight", "patch_norm.2.weight", &to.ln2},
                          {"patch_ln2.bias", "patch_norm.2.bias", &to.ln2_bias},
                          {"pos_norm.weight", "patch_norm.3.weight", &to.pos_norm},
                          {"pos_norm.bias", "patch_norm.3.bias", &to.pos_norm_bias}};
    const std::string stem = gguf_ ? "v." : Stem(from.patch.name, "patch_dense.weight");
    for (const Name& name : names)
      FACET_TRY(Values(stem + (gguf_ ? name.gguf : name.hub), Part::kVision, *name.vector));
    FACET_TRY(Matrix(from.patch, Part::kVision, to.patch));
    FACET_TRY(Matrix(from.projection, Part::kVision, to.projection));
    // (positions, 2, width) of the hub, (2, positions, width) of a GGUF.
    FACET_ASSIGN(Parameter * p,
                 Tensor(gguf_ ? "v.position_embd.weight" : stem + "pos_embedding", Part::kVision));
    const int64_t width = p->shape.back(), positions = p->shape[gguf_ ? 1 : 0];
    const int64_t stride = gguf_ ? width : 2 * width, rows = gguf_ ? positions * width : width;
    to.columns = {p->value.data(), p->gradient.data(), stride};
    to.rows = {p->value.data() + rows, p->gradient.data() + rows, stride};
    return Ok();
  }

  const Checkpoint& checkpoint_;
  TrainWeights& weights_;
  Parameters& parameters_;
  bool gguf_;
};

}  // namespace

Result<void> TrainEverything(const Checkpoint& checkpoint, TrainWeights& weights,
                             Parameters& parameters) {
  return Everything(checkpoint, weights, parameters).Run();
}

}  // namespace facet::tune
