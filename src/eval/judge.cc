#include "eval/judge.h"

#include "base/mapped_file.h"
#include "eval/programs.h"

namespace facet::eval {
namespace {

using nlohmann::json;

std::span<const Answer> AnswersTo(const Item& item, const Answers& answers) {
  const auto found = answers.find(item.id);
  return found == answers.end() ? std::span<const Answer>() : std::span(found->second);
}

bool IsProgram(const Item& item) {
  return item.check == Check::kPlot || item.check == Check::kCode;
}

}  // namespace

Result<Judgement> JudgeAll(std::span<const Item> items, const Answers& answers,
                           const std::function<Result<std::filesystem::path>()>& find_recipe) {
  Judgement out;
  std::vector<const Item*> with_program;
  std::vector<std::string> programs;
  for (const Item& item : items) {
    const std::span<const Answer> given = AnswersTo(item, answers);
    if (IsProgram(item)) {
      with_program.push_back(&item);
      programs.push_back(given.empty() ? "" : given[0].content);
    }
    out.scores.push_back(IsProgram(item) ? Score{} : Judge(item, given));
  }
  out.programs = programs.size();
  if (programs.empty()) return out;
  FACET_ASSIGN(const std::filesystem::path recipe, find_recipe());
  FACET_ASSIGN(const auto runner, ProgramRunner::Create(recipe));
  FACET_ASSIGN(const auto results, runner.Run(with_program, programs));
  for (size_t i = 0; i < results.size(); ++i)
    out.scores[with_program[i] - items.data()] = JudgeProgram(results[i].right);
  return out;
}

Result<void> SaveAnswers(const std::filesystem::path& file, std::span<const Item> items,
                         const Answers& answers, std::span<const Score> scores) {
  std::string text;
  for (size_t i = 0; i < items.size(); ++i) {
    if (!answers.contains(items[i].id)) continue;
    json row = {{"id", items[i].id}, {"answers", json::array()}, {"wrong", scores[i].wrong}};
    for (const Answer& answer : AnswersTo(items[i], answers))
      row["answers"].push_back(ToJson(answer));
    text += row.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  }
  return WriteFile(file, text);
}

}  // namespace facet::eval
