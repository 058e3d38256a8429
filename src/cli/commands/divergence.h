// How far other ways of computing a model are from a reference, over a text.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace facet::cli {

// Sums over positions; each is the prediction of the token that follows.
struct Divergence {
  int64_t positions = 0;
  int64_t same_best = 0;  // positions where both models like the same token best
  double kl = 0;          // sum of KL(reference || other), in nats
  double loss = 0;        // sum of -log p of the text's next token under the other model

  double MeanKl() const { return kl / static_cast<double>(positions); }
  double SameBest() const {
    return static_cast<double>(same_best) / static_cast<double>(positions);
  }
  double MeanLoss() const { return loss / static_cast<double>(positions); }
};

struct DivergenceText {
  std::span<const TokenId> ids;
  std::optional<TokenId> bos;  // put before each window
  int window = 1024;           // tokens of a context; then a new one begins
};

// The reference's own entry comes first (its KL is 0), then one for each of `others`. All models
// read the text in the same windows. `progress` receives the positions that are done.
Result<std::vector<Divergence>> MeasureDivergence(Model& reference, std::span<Model* const> others,
                                                  const DivergenceText& text,
                                                  const std::function<void(int64_t)>& progress);

// `facet verify --text`: the fast kernels with each type of cache against float32.
struct TextCheck {
  std::vector<std::filesystem::path> files;
  int tokens = 20000, window = 1024, threads = 0;
};
struct TextReport {
  nlohmann::json json;
  std::string table;
};
Result<TextReport> CheckTexts(const std::string& model, const TextCheck& check);

}  // namespace facet::cli
