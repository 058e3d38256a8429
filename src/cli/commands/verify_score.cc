#include "cli/commands/verify_score.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <sstream>

#include "base/mapped_file.h"
#include "cli/commands/verify_data.h"
#include "engine/sampler.h"
#include "runtime/data_folder.h"
#include "tune/data/mask.h"

namespace facet::cli {
namespace {

namespace fs = std::filesystem;

constexpr int kLogitRows = 64;  // held at a time

int64_t CountLabelled(const std::vector<tune::Example>& examples) {
  int64_t count = 0;
  for (const tune::Example& example : examples)
    count += std::count(example.labelled.begin(), example.labelled.end(), 1);
  return count;
}

// English behind the token that a text begins with.
tune::Example PlainEnglish(const LoadedModel& model) {
  tune::Example example;
  if (const auto bos = model.tokenizer->bos()) example.tokens.push_back(*bos);
  const std::vector<TokenId> ids = model.tokenizer->EncodePlain(std::string(VerifyText()));
  example.tokens.insert(example.tokens.end(), ids.begin(), ids.end());
  example.labelled.assign(example.tokens.size(), 1);
  example.labelled[0] = 0;
  return example;
}

tune::Row EnglishRow() {
  tune::Row row;
  row.messages = nlohmann::ordered_json::array(
      {{{"role", "user"},
        {"content", "Recite the beginning of the Universal Declaration of Human Rights."}},
       {{"role", "assistant"}, {"content", std::string(VerifyText())}}});
  row.trained = {false, true};
  return row;
}

Result<std::vector<tune::Example>> ReadExamples(const fs::path& path,
                                                const tune::Renderer& renderer) {
  FACET_ASSIGN(const std::string text, ReadFile(path));
  std::istringstream lines(text);
  std::vector<tune::Example> out;
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.empty()) continue;
    const std::string where = Cat(path.string(), ":", number);
    const auto row = tune::ReadRow(line, path.parent_path(), {});
    if (!row.ok()) return row.error().In(where);
    auto examples = renderer.Examples(*row);
    // A model without a projector is asked about the rest.
    if (!examples.ok() && examples.error().kind == ErrorKind::kUnsupported) continue;
    if (!examples.ok()) return examples.error().In(where);
    std::move(examples->begin(), examples->end(), std::back_inserter(out));
  }
  if (out.empty()) return Error{Cat(path.string(), ": no examples")};
  return out;
}

fs::path ExamplesOf(const ModelFiles& files, bool like_pebble) {
  constexpr const char* kName = "verify.jsonl";
  std::error_code code;
  const fs::path folder =
      fs::is_directory(files.model, code) ? files.model : files.model.parent_path();
  if (fs::exists(folder / kName, code)) return folder / kName;
  if (!like_pebble) return {};
  const auto own = FindData(Cat("models/pebble/", kName));
  return own.ok() ? *own : fs::path();
}

// The likelihoods of the labelled tokens of one example.
Result<void> ScoreExample(Model& model, const tune::Example& example, std::vector<float>& out) {
  FACET_ASSIGN(const EmbeddedMedia media, EmbedMedia(model, example.items));
  const int count = static_cast<int>(example.tokens.size());
  KvSequence sequence(model.cache());
  const Chunk chunk{&sequence, example.tokens, media.runs, count};
  Buffer hidden, logits;
  FACET_TRY(model.Forward({&chunk, 1}, hidden));
  for (int begin = 0; begin + 1 < count; begin += kLogitRows) {
    const int rows = std::min(kLogitRows, count - 1 - begin);
    model.Logits(std::as_const(hidden).view().rows_at(begin, rows),
                 logits.Resize(rows, model.config().text.vocab));
    std::vector<float> scores(rows);
    model.pool().ParallelFor(rows, [&](int64_t r) {
      const std::span<const float> row = std::as_const(logits).view().row_span(r);
      scores[r] = static_cast<float>(row[example.tokens[begin + r + 1]] - LogSumExp(row));
    });
    for (int r = 0; r < rows; ++r) {
      if (example.labelled[begin + r + 1] != 0) out.push_back(scores[r]);
    }
  }
  return Ok();
}

}  // namespace

Result<std::vector<KnownTexts>> TextsToVerifyBy(const LoadedModel& model, const ModelFiles& files,
                                                bool like_pebble) {
  const tune::Renderer renderer(model.config, *model.tokenizer, model.chat_template.get());
  std::vector<KnownTexts> out;
  if (const fs::path path = ExamplesOf(files, like_pebble);
      !path.empty() && model.chat_template != nullptr) {
    FACET_ASSIGN(std::vector<tune::Example> examples, ReadExamples(path, renderer));
    const int64_t count = CountLabelled(examples);
    out.push_back({Cat(count, " tokens of its own answers"), std::move(examples)});
    return out;
  }
  tune::Example plain = PlainEnglish(model);
  const size_t count = plain.tokens.size();
  out.push_back({Cat(count, " tokens of English"), {std::move(plain)}});
  if (model.chat_template != nullptr) {
    FACET_ASSIGN(std::vector<tune::Example> answer, renderer.Examples(EnglishRow()));
    const int64_t labelled = CountLabelled(answer);
    out.push_back({Cat(labelled, " tokens of an English answer"), std::move(answer)});
  }
  return out;
}

Result<std::vector<float>> ScoreTexts(Model& model, const KnownTexts& texts) {
  std::vector<float> scores;
  for (const tune::Example& example : texts.examples)
    FACET_TRY(ScoreExample(model, example, scores));
  return scores;
}

double MeanLoss(const std::vector<float>& scores) {
  double sum = 0;
  for (const float score : scores) sum -= score;
  return sum / static_cast<double>(std::max<size_t>(1, scores.size()));
}

}  // namespace facet::cli
