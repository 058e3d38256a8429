// How many soft tokens a picture, or a frame of a film, may have at most: one of five budgets
// (Gemma 4's max_soft_tokens).
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace facet {

constexpr int kPictureBudgets[] = {70, 140, 280, 560, 1120};
// The same for messages.
constexpr const char* kPictureBudgetNames = "70, 140, 280, 560 or 1120";

constexpr bool IsPictureBudget(int64_t n) {
  return std::find(std::begin(kPictureBudgets), std::end(kPictureBudgets), n) !=
         std::end(kPictureBudgets);
}

// Where neither the caller nor the checkpoint says anything.
constexpr int kImageBudget = 280, kVideoBudget = 70;

}  // namespace facet
