// Judges answers, and adds the judgements up to the figures of a table.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "eval/exam.h"
#include "eval/item.h"

namespace facet::eval {

// One item's share of a figure. For error rates, `wrong` may exceed `total`: inserted words are
// errors too.
struct Score {
  int wrong = 0, total = 0;  // words, letters, lines, or one item
};

// Everything but programs. `answers`: one for each wanted message; one that is missing is wrong.
Score Judge(const Item& item, std::span<const Answer> answers);
// An item whose program was run.
Score JudgeProgram(bool passed);

// What an exam says of one skill, or of a group of its items.
struct Figure {
  const Skill* skill = nullptr;  // the exam's
  std::string group;             // reported beside, not held to the floor
  int items = 0, wrong = 0, total = 0;

  double percent() const;  // errors or right ones, as the skill has it
  bool holds(double bound) const;
  bool floor_held() const { return total > 0 && holds(skill->floor); }
  bool enough() const { return (skill->error_rate ? total : items) >= skill->enough; }
};

// A figure for each skill and group that occurs, skills in the exam's order.
std::vector<Figure> Figures(const Exam& exam, std::span<const Item> items,
                            std::span<const Score> scores);

// The table for people; the last line says whether every floor holds.
std::string Table(const Exam& exam, std::span<const Figure> figures);
nlohmann::json ToJson(const Figure& figure);

}  // namespace facet::eval
