// Judges the answers to all items of an exam together; programs are run.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "eval/item.h"
#include "eval/score.h"

namespace facet::eval {

using Answers = std::map<std::string, std::vector<Answer>>;  // by item

struct Judgement {
  std::vector<Score> scores;  // by item
  size_t programs = 0;        // that were run
};

// Items without answers are wrong. `find_recipe` is called where there are programs to run; the
// error is kUnsupported where there is no sandbox for them.
Result<Judgement> JudgeAll(std::span<const Item> items, const Answers& answers,
                           const std::function<Result<std::filesystem::path>()>& find_recipe);

// The answers as ReadAnswers takes them, with how many errors each item has.
Result<void> SaveAnswers(const std::filesystem::path& file, std::span<const Item> items,
                         const Answers& answers, std::span<const Score> scores);

}  // namespace facet::eval
