#include "cli/commands/verify_weights.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "ops/quant/quant.h"

namespace facet::cli {
namespace {

// Rows that are looked at, evenly spread: a large model's all would take as long as reading it.
constexpr int64_t kSampledRows = 128;
// How far a layer's tensor may be from the median of its kind. Trained layers differ by less than
// three times as a rule; a scale that was lost or applied twice is off by more.
constexpr double kFarOff = 12;
// Of the sampled rows: so many zeros are a hole in the file.
constexpr double kZeroShare = 0.05;

struct TensorSample {
  std::string name;
  double size = 0;  // root of the mean square
  bool finite = true;
  double zero_rows = 0;  // share
};

TensorSample Sample(const Linear& linear, ThreadPool& pool) {
  const int64_t count = std::min(kSampledRows, linear.rows()), cols = linear.cols();
  std::vector<double> squares(count);
  pool.ParallelFor(count, [&](int64_t i) {
    thread_local std::vector<float> row;
    row.resize(cols);
    DequantizeRow(linear.weight.type, linear.weight.row(i * linear.rows() / count), row);
    double sum = 0;
    for (const float v : row) sum += static_cast<double>(v) * v;
    squares[i] = sum;
  });
  TensorSample out{linear.name};
  double sum = 0, zeros = 0;
  for (const double square : squares) {
    out.finite = out.finite && std::isfinite(square);
    zeros += square == 0;
    sum += square;
  }
  out.size = std::sqrt(sum / static_cast<double>(count * cols));
  out.zero_rows = zeros / static_cast<double>(count);
  return out;
}

TensorSample Sample(const std::string& name, const std::vector<float>& values) {
  TensorSample out{name};
  double sum = 0;
  for (const float v : values) {
    out.finite = out.finite && std::isfinite(v);
    sum += static_cast<double>(v) * v;
  }
  out.size = std::sqrt(sum / static_cast<double>(std::max<size_t>(1, values.size())));
  out.zero_rows = out.size == 0 ? 1 : 0;
  return out;
}

class OddFinder {
 public:
  // One kind of matrix, in every layer that has it.
  void Add(const std::string& kind, TensorSample sample) {
    kinds_[kind].push_back(std::move(sample));
  }
  // Norms differ from layer to layer by factors of ten and more in sound models.
  void AddNorm(TensorSample sample) { norms_.push_back(std::move(sample)); }

  std::vector<std::string> Find() const {
    std::vector<std::string> out;
    for (const TensorSample& norm : norms_) {
      if (!norm.finite) out.push_back(norm.name + " holds a value that is no number");
      if (norm.finite && norm.size == 0) out.push_back(norm.name + " is all zeros");
    }
    for (const auto& [kind, samples] : kinds_) {
      std::vector<double> sizes;
      for (const TensorSample& sample : samples) sizes.push_back(sample.size);
      std::nth_element(sizes.begin(), sizes.begin() + sizes.size() / 2, sizes.end());
      const double median = sizes[sizes.size() / 2];
      for (const TensorSample& sample : samples) {
        if (!sample.finite) {
          out.push_back(sample.name + " holds a value that is no number");
        } else if (sample.zero_rows > kZeroShare) {
          out.push_back(sample.name + " holds rows of zeros");
        } else if (sample.size > kFarOff * median || sample.size * kFarOff < median) {
          out.push_back(Cat(sample.name, " is ", sample.size / median,
                            " times as large as in the other layers"));
        }
      }
    }
    return out;
  }

 private:
  std::map<std::string, std::vector<TensorSample>> kinds_;
  std::vector<TensorSample> norms_;
};

}  // namespace

std::vector<std::string> OddWeights(const Weights& weights, ThreadPool& pool) {
  OddFinder odd;
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    const LayerWeights& layer = weights.layers[i];
    const std::string of_layer = Cat(" of layer ", i);
    // Full layers have other shapes: they are compared among themselves.
    const std::string shape = Cat(" ", layer.q.rows());
    for (const auto& [name, linear] : {std::pair("queries", &layer.q),
                                       {"keys", &layer.k},
                                       {"values", &layer.v},
                                       {"attention's output", &layer.o},
                                       {"gate", &layer.gate},
                                       {"up", &layer.up},
                                       {"down", &layer.down}}) {
      if (linear->weight.data != nullptr) odd.Add(name + shape, Sample(*linear, pool));
    }
    for (const auto& [name, values] : {std::pair("norm before attention", &layer.attn_norm),
                                       {"norm behind attention", &layer.post_attn_norm},
                                       {"norm before the feed forward", &layer.ffn_norm},
                                       {"norm behind the feed forward", &layer.post_ffn_norm},
                                       {"norm of queries", &layer.q_norm},
                                       {"norm of keys", &layer.k_norm}}) {
      if (!values->empty()) odd.AddNorm(Sample(name + of_layer, *values));
    }
  }
  odd.AddNorm(Sample("the last norm", weights.final_norm));
  if (weights.vision) {
    odd.Add("patches", Sample(weights.vision->patch, pool));
    odd.Add("pictures", Sample(weights.vision->projection, pool));
  }
  if (weights.audio) odd.Add("sound", Sample(weights.audio->projection, pool));
  return odd.Find();
}

}  // namespace facet::cli
