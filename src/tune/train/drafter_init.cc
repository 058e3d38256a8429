#include "tune/train/drafter_init.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "base/matrix.h"
#include "ops/gemm/gemm.h"
#include "ops/quant/quant.h"

namespace facet::tune {
namespace {

constexpr int64_t kSample = 16384;  // rows of the table that the directions are found with
constexpr int64_t kBlock = 4096;    // rows that are decoded at a time
constexpr int kIterations = 8;
// Of the first logits, at most. States are random then: those of a target whose final norm is large
// (Gemma 3) would be sure of wrong tokens, and learning would begin with unsaying them.
constexpr double kLogitDeviation = 1;

Mat Decode(const WeightView& table, int64_t begin, int64_t step, int64_t count, Buffer& rows) {
  Mat out = rows.Resize(count, table.cols);
  for (int64_t r = 0; r < count; ++r)
    DequantizeRow(table.type, table.row(begin + r * step), out.row_span(r));
  return out;
}

double MeanSquare(std::span<const float> values) {
  double sum = 0;
  for (const float v : values) sum += double{v} * v;
  return sum / static_cast<double>(values.size());
}

float Dot(const float* a, const float* b, int64_t count) {
  constexpr int kLanes = 16;
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) lanes[l] += a[i + l] * b[i + l];
  }
  float sum = 0;
  for (const float lane : lanes) sum += lane;
  for (; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

// Rows of length 1 at right angles (Gram and Schmidt, modified).
void Orthonormalise(Mat rows) {
  for (int64_t j = 0; j < rows.rows(); ++j) {
    float* row = rows.row(j);
    const float scale = 1 / std::max(1e-20f, std::sqrt(Dot(row, row, rows.cols())));
    for (int64_t d = 0; d < rows.cols(); ++d) row[d] *= scale;
    for (int64_t i = j + 1; i < rows.rows(); ++i) {
      float* other = rows.row(i);
      const float along = Dot(row, other, rows.cols());
      for (int64_t d = 0; d < rows.cols(); ++d) other[d] -= along * row[d];
    }
  }
}

// (width, target width): the directions in which the rows of `table` differ most, by orthogonal
// iteration.
void FindDirections(const WeightView& table, uint64_t seed, Mat directions, ThreadPool& pool) {
  const int64_t step = std::max<int64_t>(1, table.rows / kSample);
  Buffer storage, covariance_storage, next_storage;
  Mat rows = Decode(table, 0, step, table.rows / step, storage);
  for (int64_t d = 0; d < rows.cols(); ++d) {
    double mean = 0;
    for (int64_t r = 0; r < rows.rows(); ++r) mean += rows(r, d);
    mean /= static_cast<double>(rows.rows());
    for (int64_t r = 0; r < rows.rows(); ++r) rows(r, d) -= static_cast<float>(mean);
  }
  Mat covariance = covariance_storage.Resize(rows.cols(), rows.cols());
  Gemm(Transposed(rows), Plain(rows), covariance, Sum::kStore, pool);
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  for (int64_t r = 0; r < directions.rows(); ++r)
    for (float& v : directions.row_span(r)) v = normal(random);
  Mat next = next_storage.Resize(directions.rows(), directions.cols());
  for (int i = 0; i < kIterations; ++i) {
    Orthonormalise(directions);
    Gemm(Plain(directions), Plain(covariance), next, Sum::kStore, pool);
    std::copy_n(next.row(0), next.rows() * next.cols(), directions.row(0));
  }
  Orthonormalise(directions);
}

std::vector<float> Project(const WeightView& table, ConstMat directions, ThreadPool& pool) {
  std::vector<float> out(static_cast<size_t>(table.rows * directions.rows()));
  Buffer storage;
  for (int64_t begin = 0; begin < table.rows; begin += kBlock) {
    const int64_t count = std::min(kBlock, table.rows - begin);
    const Mat rows = Decode(table, begin, 1, count, storage);
    Gemm(Plain(rows), Transposed(directions),
         Mat(out.data() + begin * directions.rows(), count, directions.rows()), Sum::kStore, pool);
  }
  return out;
}

}  // namespace

InitialValues StartLikeTarget(const Checkpoint& target, const ModelConfig& drafter, uint64_t seed,
                              ThreadPool& pool) {
  const TextConfig& text = target.config.text;
  const WeightView& table = target.weights.embedding.weight;
  const int width = drafter.text.width;
  if (width > text.width || drafter.text.vocab != text.vocab ||
      drafter.drafter->target_width != text.width)
    return {};
  Buffer storage;
  Mat directions = storage.Resize(width, text.width);
  if (width < text.width) {
    FindDirections(table, seed, directions, pool);
  } else {
    for (int64_t r = 0; r < width; ++r)
      for (int64_t d = 0; d < width; ++d) directions(r, d) = r == d ? 1.0f : 0.0f;
  }
  InitialValues out;
  std::vector<float>& own = out["model.embed_tokens.weight"];
  own = Project(table, directions, pool);
  std::vector<float>& post = out["post_projection.weight"];
  post.resize(static_cast<size_t>(text.width) * width);
  for (int64_t d = 0; d < text.width; ++d)
    for (int64_t r = 0; r < width; ++r) post[d * width + r] = directions(r, d);

  // Mean squares of what the layers read: the target's state, and the scaled embedding.
  const double state = MeanSquare(target.weights.final_norm);
  const double entry = MeanSquare(own) * width;  // squared length of a token in the table
  const double embedding = entry / text.width * text.embedding_scale * text.embedding_scale;
  const double natural = std::sqrt(state * text.width / width);
  const double norm = std::min(natural, kLogitDeviation / std::sqrt(entry));
  out["model.norm.weight"].assign(width, static_cast<float>(norm));
  for (float& v : post) v *= static_cast<float>(natural / norm);
  std::mt19937_64 random(seed + 1);
  std::normal_distribution<float> normal(
      0, static_cast<float>(1 / std::sqrt(text.width * (state + embedding))));
  std::vector<float>& pre = out["pre_projection.weight"];
  pre.resize(static_cast<size_t>(width) * 2 * text.width);
  for (float& v : pre) v = normal(random);
  return out;
}

}  // namespace facet::tune
