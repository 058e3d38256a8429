#include "eval/score.h"

#include <algorithm>
#include <cstdio>

#include "eval/text.h"
#include "formats/json.h"

namespace facet::eval {
namespace {

using nlohmann::json;

std::string ContentOf(const json& message) {
  return message.contains("content") && message["content"].is_string()
             ? message["content"].get<std::string>()
             : "";
}

std::vector<std::string> LinesOf(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string line = OneSpace(text.substr(0, end));
    if (!line.empty()) lines.push_back(std::move(line));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

// Each line with its label, in its place. Lines too many are wrong, and count.
Score JudgeLabels(std::string_view wanted, std::string_view got) {
  const std::vector<std::string> want = LinesOf(wanted), have = LinesOf(got);
  Score score{0, static_cast<int>(std::max(want.size(), have.size()))};
  for (int i = 0; i < score.total; ++i) {
    const size_t at = static_cast<size_t>(i);
    const bool right = at < want.size() && at < have.size() && Words(want[at]) == Words(have[at]);
    score.wrong += right ? 0 : 1;
  }
  return score;
}

// Numbers by value, texts but for white space at the ends and between words.
bool SameValue(const json& a, const json& b) {
  if (a.is_number() && b.is_number()) return a.get<double>() == b.get<double>();
  if (a.is_string() && b.is_string())
    return OneSpace(a.get<std::string>()) == OneSpace(b.get<std::string>());
  if (a.is_array() && b.is_array()) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), SameValue);
  }
  if (!a.is_object() || !b.is_object()) return a == b;
  if (a.size() != b.size()) return false;
  for (const auto& [key, value] : a.items()) {
    if (!b.contains(key) || !SameValue(value, b[key])) return false;
  }
  return true;
}

// The arguments as an object, whether they are one or its text.
json ArgumentsOf(const json& arguments) {
  if (!arguments.is_string()) return arguments;
  const auto parsed = ParseJsonAs<json>(arguments.get_ref<const std::string&>());
  return parsed.ok() ? *parsed : json(json::value_t::discarded);
}

bool SameCalls(const json& wanted, const json& got) {
  if (wanted.size() != got.size()) return false;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const json& function = wanted[i]["function"];
    const json have = ArgumentsOf(got[i]["arguments"]);
    if (function["name"] != got[i]["name"] || have.is_discarded() ||
        !SameValue(ArgumentsOf(function["arguments"]), have))
      return false;
  }
  return true;
}

bool SameTurn(const json& wanted, const Answer& got) {
  const json calls = wanted.contains("tool_calls") ? wanted["tool_calls"] : json::array();
  if (!calls.empty()) return SameCalls(calls, got.tool_calls);
  return got.tool_calls.empty() && KeyWords(ContentOf(wanted)) == KeyWords(got.content);
}

bool IsRight(const Item& item, size_t turn, const Answer& answer) {
  if (item.check == Check::kTools) return SameTurn(item.Wanted(turn), answer);
  if (!answer.tool_calls.empty()) return false;
  const std::string wanted = ContentOf(item.Wanted(turn));
  if (item.check == Check::kSentence) return OneSpace(wanted) == OneSpace(answer.content);
  return KeyWords(wanted) == KeyWords(answer.content);
}

std::string PercentText(double value) {
  char text[16];
  std::snprintf(text, sizeof(text), "%.1f %%", value);
  return text;
}

std::string TableLine(const std::string& skill, const std::string& measure, const std::string& of,
                      const std::string& figure, const std::string& floor, const std::string& aim,
                      const std::string& verdict) {
  char line[160];
  std::snprintf(line, sizeof(line), "%-21s%-12s%16s%10s%9s%9s  %s\n", skill.c_str(),
                measure.c_str(), of.c_str(), figure.c_str(), floor.c_str(), aim.c_str(),
                verdict.c_str());
  return line;
}

}  // namespace

Score Judge(const Item& item, std::span<const Answer> answers) {
  const std::string got = answers.empty() ? "" : answers[0].content;
  const std::string wanted = ContentOf(item.Wanted(0));
  switch (item.check) {
    case Check::kWords: {
      const auto words = Words(wanted);
      return {WordDistance(words, Words(got)), static_cast<int>(words.size())};
    }
    case Check::kLetters: {
      const std::string text = OneSpace(wanted);
      return {LetterDistance(text, OneSpace(got)), LetterCount(text)};
    }
    case Check::kLabels:
      return JudgeLabels(wanted, got);
    default:
      break;
  }
  for (size_t turn = 0; turn < item.wanted.size(); ++turn) {
    if (turn >= answers.size() || !IsRight(item, turn, answers[turn])) return {1, 1};
  }
  return {0, 1};
}

Score JudgeProgram(bool passed) {
  return {passed ? 0 : 1, 1};
}

double Figure::percent() const {
  if (total == 0) return skill->error_rate ? 100 : 0;
  return 100.0 * (skill->error_rate ? wrong : total - wrong) / total;
}

bool Figure::holds(double bound) const {
  return skill->error_rate ? percent() <= bound : percent() >= bound;
}

std::vector<Figure> Figures(const Exam& exam, std::span<const Item> items,
                            std::span<const Score> scores) {
  std::vector<Figure> figures;
  for (const Skill& skill : exam.skills) {
    std::vector<Figure> of_skill;
    for (size_t i = 0; i < items.size(); ++i) {
      if (items[i].skill != skill.name) continue;
      auto figure = std::find_if(of_skill.begin(), of_skill.end(),
                                 [&](const Figure& f) { return f.group == items[i].group; });
      if (figure == of_skill.end())
        figure = of_skill.insert(items[i].group.empty() ? of_skill.begin() : of_skill.end(),
                                 Figure{&skill, items[i].group});
      ++figure->items;
      figure->wrong += scores[i].wrong;
      figure->total += scores[i].total;
    }
    figures.insert(figures.end(), of_skill.begin(), of_skill.end());
  }
  return figures;
}

std::string Table(const Exam& exam, std::span<const Figure> figures) {
  std::string out = TableLine("skill", "measure", "of", "figure", "floor", "aim", "");
  size_t held = 0, asked = 0, few = 0;
  for (const Figure& f : figures) {
    const std::string of = Cat(f.total, " ", f.skill->unit), figure = PercentText(f.percent());
    const char* measure = f.skill->error_rate ? "error rate" : "right";
    if (!f.group.empty()) {
      out += TableLine("  " + f.group, measure, of, figure, "", "", "(beside)");
      continue;
    }
    ++asked;
    held += f.floor_held();
    few += !f.enough();
    std::string verdict = f.holds(f.skill->aim) ? "aim" : f.floor_held() ? "floor" : "FAIL";
    if (!f.enough()) verdict += Cat("  (of at least ", f.skill->enough, ")");
    out += TableLine(f.skill->title, measure, of, figure, PercentText(f.skill->floor),
                     PercentText(f.skill->aim), verdict);
  }
  out += Cat(held, " of ", asked, " floors held");
  if (asked < exam.skills.size())
    out += Cat("; ", exam.skills.size() - asked, " skills were not asked for");
  if (few > 0) out += Cat("; ", few, " figures come from too few examples");
  return out + "\n";
}

json ToJson(const Figure& f) {
  json out = {{"skill", f.skill->name}, {"measure", f.skill->error_rate ? "error_rate" : "right"},
              {"percent", f.percent()}, {"wrong", f.wrong},
              {"total", f.total},       {"unit", f.skill->unit},
              {"items", f.items}};
  if (!f.group.empty()) {
    out["group"] = f.group;
    return out;
  }
  out["floor"] = f.skill->floor;
  out["aim"] = f.skill->aim;
  out["floor_held"] = f.floor_held();
  out["aim_met"] = f.total > 0 && f.holds(f.skill->aim);
  out["enough"] = f.enough();
  return out;
}

}  // namespace facet::eval
