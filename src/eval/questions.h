// The questions of an exam: made by the recipe, and read from a folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "eval/exam.h"
#include "eval/item.h"

namespace facet::eval {

struct QuestionOptions {
  std::vector<std::string> skills;  // of the exam; empty: all
  uint64_t seed = 0;
  int count = 200;  // of each skill
};

// Writes held-out questions, SKILL-heldout.jsonl, with the recipe's make_data.py.
Result<void> MakeQuestions(const Exam& exam, const QuestionOptions& options,
                           const std::filesystem::path& recipe, const std::filesystem::path& out);

// Those of the wanted skills in `folder`. Where no skill was named, those that are there.
Result<std::vector<Item>> ReadQuestions(const Exam& exam, const std::vector<std::string>& skills,
                                        const std::filesystem::path& folder);

}  // namespace facet::eval
