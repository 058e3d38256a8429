// An exam: the skills that a model is measured in, and what it is held to. Data, beside the recipe
// that makes its questions:
//   {"skills": [{"name", "title", "unit", "measure": "error_rate" | "right",
//                "floor", "aim", "enough"}]}
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace facet::eval {

// A row of the table that a model is held to.
struct Skill {
  std::string name, title, unit;  // name: as in the items; unit: of what is counted
  bool error_rate = false;        // the figure is the share of errors, and should be small
  double floor = 0, aim = 0;      // in percent
  int enough = 0;                 // fewer words or letters (else: items) say too little
};

struct Exam {
  std::vector<Skill> skills;  // in the order of the report

  // Null where no skill has that name.
  const Skill* Find(std::string_view name) const;

  // Errors name the file and the field.
  static Result<Exam> Read(const std::filesystem::path& file);
};

}  // namespace facet::eval
