#include "eval/questions.h"

#include "sandbox/process.h"

namespace facet::eval {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> WantedSkills(const Exam& exam, const std::vector<std::string>& named) {
  if (!named.empty()) return named;
  std::vector<std::string> names;
  for (const Skill& skill : exam.skills) names.push_back(skill.name);
  return names;
}

}  // namespace

Result<void> MakeQuestions(const Exam& exam, const QuestionOptions& options, const fs::path& recipe,
                           const fs::path& out) {
  const std::string script = (recipe / "make_data.py").string();
  sandbox::Command command;
  command.words = {(recipe / "python").string(),
                   script,
                   "--split",
                   "heldout",
                   "--seed",
                   std::to_string(options.seed),
                   "--count",
                   std::to_string(options.count),
                   "--out",
                   out.string()};
  for (const std::string& skill : WantedSkills(exam, options.skills)) {
    command.words.push_back("--skill");
    command.words.push_back(skill);
  }
  FACET_ASSIGN(const int code, sandbox::RunCommand(command));
  if (code != 0) return Error{Cat(script, ": failed (exit code ", code, ")"), ErrorKind::kIo};
  return Ok();
}

Result<std::vector<Item>> ReadQuestions(const Exam& exam, const std::vector<std::string>& skills,
                                        const fs::path& folder) {
  std::vector<Item> items;
  for (const std::string& skill : WantedSkills(exam, skills)) {
    const fs::path file = folder / (skill + "-heldout.jsonl");
    std::error_code code;
    if (skills.empty() && !fs::exists(file, code)) continue;
    FACET_ASSIGN(std::vector<Item> of_skill, ReadItems(file));
    for (Item& item : of_skill) {
      if (item.skill != skill)
        return Expected(skill, item.skill, Cat(file.string(), ": meta.skill"));
      items.push_back(std::move(item));
    }
  }
  if (items.empty())
    return Error{Cat(folder.string(), ": no SKILL-heldout.jsonl"), ErrorKind::kNotFound};
  return items;
}

}  // namespace facet::eval
