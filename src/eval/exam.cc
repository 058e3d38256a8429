#include "eval/exam.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "formats/json.h"

namespace facet::eval {
namespace {

using nlohmann::json;

Result<std::string> SkillText(const json& row, const char* key) {
  const auto found = row.find(key);
  if (found == row.end()) return Error{Cat(key, ": missing")};
  if (!found->is_string() || found->get_ref<const std::string&>().empty())
    return Expected("a text", ShowJson(*found), key);
  return found->get<std::string>();
}

Result<double> SkillNumber(const json& row, const char* key, double most) {
  const auto found = row.find(key);
  if (found == row.end()) return Error{Cat(key, ": missing")};
  if (!found->is_number() || found->get<double>() < 0 || found->get<double>() > most)
    return Expected(Cat("a number from 0 to ", most), ShowJson(*found), key);
  return found->get<double>();
}

Result<Skill> ReadSkill(const json& row) {
  if (!row.is_object()) return Expected("an object", ShowJson(row), "skill");
  constexpr const char* kKeys[] = {"name", "title", "unit", "measure", "floor", "aim", "enough"};
  for (const auto& [key, value] : row.items()) {
    if (std::find(std::begin(kKeys), std::end(kKeys), key) == std::end(kKeys))
      return Error{Cat(key, ": not a field of a skill")};
  }
  Skill skill;
  FACET_ASSIGN(skill.name, SkillText(row, "name"));
  FACET_ASSIGN(skill.title, SkillText(row, "title"));
  FACET_ASSIGN(skill.unit, SkillText(row, "unit"));
  FACET_ASSIGN(const std::string measure, SkillText(row, "measure"));
  if (measure != "error_rate" && measure != "right")
    return Expected("error_rate or right", measure, "measure");
  skill.error_rate = measure == "error_rate";
  FACET_ASSIGN(skill.floor, SkillNumber(row, "floor", 100));
  FACET_ASSIGN(skill.aim, SkillNumber(row, "aim", 100));
  FACET_ASSIGN(const double enough, SkillNumber(row, "enough", 1e9));
  skill.enough = static_cast<int>(enough);
  return skill;
}

}  // namespace

const Skill* Exam::Find(std::string_view name) const {
  const auto found = std::find_if(skills.begin(), skills.end(),
                                  [&](const Skill& skill) { return skill.name == name; });
  return found == skills.end() ? nullptr : &*found;
}

Result<Exam> Exam::Read(const std::filesystem::path& file) {
  FACET_ASSIGN(const json root, ReadJson(file));
  if (!root.is_object() || !root.contains("skills") || !root["skills"].is_array() ||
      root["skills"].empty())
    return Error{Cat(file.string(), ": expected {\"skills\": [...]}")};
  Exam exam;
  for (const json& row : root["skills"]) {
    const std::string where = Cat(file.string(), ": skills[", exam.skills.size(), "]");
    Result<Skill> skill = ReadSkill(row);
    if (!skill.ok()) return skill.error().In(where);
    if (exam.Find(skill->name) != nullptr)
      return Error{Cat(where, ": two skills are called ", skill->name)};
    exam.skills.push_back(std::move(*skill));
  }
  return exam;
}

}  // namespace facet::eval
