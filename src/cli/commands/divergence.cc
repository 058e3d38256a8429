#include "cli/commands/divergence.h"

#include <algorithm>
#include <cmath>

#include "base/mapped_file.h"
#include "cli/terminal/progress.h"
#include "cli/terminal/resolve.h"
#include "engine/sampler.h"

namespace facet::cli {
namespace {

constexpr int kRows = 64;  // logits that are held at a time, of each model

// One model in the middle of a window.
struct Reader {
  explicit Reader(Model& of) : model(of), sequence(of.cache()) {}

  Result<void> Read(std::span<const TokenId> ids) {
    const int count = static_cast<int>(ids.size());
    const Chunk chunk{&sequence, ids, {}, count};
    FACET_TRY(model.Forward({&chunk, 1}, hidden));
    sequence.Commit(count);
    Mat rows = logits.Resize(count, model.config().text.vocab);
    model.Logits(hidden, rows);
    model.pool().ParallelFor(count, [&](int64_t r) { LogSoftmax(rows.row_span(r)); });
    return Ok();
  }

  static void LogSoftmax(std::span<float> row) {
    const float best = *std::max_element(row.begin(), row.end());
    double sum = 0;
    for (const float v : row) sum += std::exp(v - best);
    const auto shift = static_cast<float>(best + std::log(sum));
    for (float& v : row) v -= shift;
  }

  Model& model;
  KvSequence sequence;
  Buffer hidden, logits;  // logits: log-probabilities
};

double RowKl(std::span<const float> p, std::span<const float> q) {
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) sum += std::exp(p[i]) * (p[i] - q[i]);
  return sum;
}

// Adds rows [0, next.size()); next are the tokens that follow each row.
void Compare(Reader& reference, Reader& other, std::span<const TokenId> next, Divergence& total) {
  std::vector<Divergence> rows(next.size());
  reference.model.pool().ParallelFor(static_cast<int64_t>(next.size()), [&](int64_t r) {
    const std::span<const float> p = std::as_const(reference.logits).view().row_span(r);
    const std::span<const float> q = std::as_const(other.logits).view().row_span(r);
    rows[r] = {1, ArgMax(p) == ArgMax(q), &reference == &other ? 0 : RowKl(p, q), -q[next[r]]};
  });
  for (const Divergence& row : rows) {
    total.positions += row.positions;
    total.same_best += row.same_best;
    total.kl += row.kl;
    total.loss += row.loss;
  }
}

}  // namespace

Result<std::vector<Divergence>> MeasureDivergence(Model& reference, std::span<Model* const> others,
                                                  const DivergenceText& text,
                                                  const std::function<void(int64_t)>& progress) {
  std::vector<Divergence> totals(1 + others.size());
  const int prefix = text.bos ? 1 : 0, window = std::max(2, text.window);
  for (size_t begin = 0; begin + 1 < text.ids.size();) {
    std::vector<TokenId> ids;
    if (text.bos) ids.push_back(*text.bos);
    const auto part =
        text.ids.subspan(begin, std::min<size_t>(window - prefix, text.ids.size() - begin));
    ids.insert(ids.end(), part.begin(), part.end());
    begin += part.size();
    std::vector<std::unique_ptr<Reader>> readers;
    readers.push_back(std::make_unique<Reader>(reference));
    for (Model* other : others) readers.push_back(std::make_unique<Reader>(*other));
    for (size_t at = 0; at + 1 < ids.size(); at += kRows) {
      const auto rows = std::span(ids).subspan(at, std::min<size_t>(kRows, ids.size() - at));
      const auto next = std::span(ids).subspan(at + 1, std::min(rows.size(), ids.size() - at - 1));
      for (const auto& reader : readers) FACET_TRY(reader->Read(rows));
      for (size_t i = 0; i < readers.size(); ++i)
        Compare(*readers[0], *readers[i], next, totals[i]);
      progress(totals[0].positions);
    }
  }
  return totals;
}

namespace {

struct Variant {
  const char* name;
  Precision precision;
  CacheType cache;
};
// The reference first.
constexpr Variant kVariants[] = {
    {"float32", Precision::kPlain, CacheType::kF32},
    {"fast, f32 cache", Precision::kFast, CacheType::kF32},
    {"fast, f16 cache", Precision::kFast, CacheType::kF16},
    {"fast, q8_0 cache", Precision::kFast, CacheType::kQ8_0},
};

Result<std::unique_ptr<Model>> LoadVariant(const ModelFiles& files, const Variant& variant,
                                           ThreadPool& pool) {
  LoadOptions load;
  load.model = files.model;
  load.precision = variant.precision;
  load.cache = variant.cache;
  load.compact_cache = variant.precision == Precision::kFast;
  return Model::Load(load, pool);
}

// The tokens of all files, one after another, at most check.tokens.
Result<std::vector<TokenId>> ReadTokens(const Tokenizer& tokenizer, const TextCheck& check) {
  std::vector<TokenId> ids;
  for (const auto& path : check.files) {
    FACET_ASSIGN(const MappedFile file, MappedFile::Open(path));
    const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()),
                                file.bytes().size());
    const std::vector<TokenId> more = tokenizer.EncodePlain(text);
    ids.insert(ids.end(), more.begin(), more.end());
    if (ids.size() >= static_cast<size_t>(check.tokens)) break;
  }
  ids.resize(std::min<size_t>(ids.size(), std::max(0, check.tokens)));
  if (ids.size() < 2) return Error{"the text has fewer than two tokens"};
  return ids;
}

TextReport MakeReport(const std::vector<Divergence>& totals, const TextCheck& check) {
  TextReport report;
  report.json = {{"positions", totals[0].positions}, {"window", check.window}};
  report.table = Cat(totals[0].positions, " positions, contexts of ", check.window, " tokens\n");
  char line[160];
  std::snprintf(line, sizeof(line), "%-18s %12s %12s %12s\n", "", "mean KL", "same best",
                "perplexity");
  report.table += line;
  for (size_t i = 0; i < totals.size(); ++i) {
    const Divergence& d = totals[i];
    std::snprintf(line, sizeof(line), "%-18s %12.3g %11.2f%% %12.5g\n", kVariants[i].name,
                  d.MeanKl(), 100 * d.SameBest(), std::exp(d.MeanLoss()));
    report.table += line;
    report.json["variants"].push_back({{"name", kVariants[i].name},
                                       {"kl", d.MeanKl()},
                                       {"same_best", d.SameBest()},
                                       {"perplexity", std::exp(d.MeanLoss())}});
  }
  return report;
}

}  // namespace

Result<TextReport> CheckTexts(const std::string& model, const TextCheck& check) {
  FACET_ASSIGN(const ModelFiles files, ResolveModel(model));
  FACET_ASSIGN(const auto tokenizer, Tokenizer::Load(files.model));
  FACET_ASSIGN(const std::vector<TokenId> ids, ReadTokens(*tokenizer, check));
  ThreadPool pool(check.threads);
  std::vector<std::unique_ptr<Model>> models;
  std::vector<Model*> others;
  for (const Variant& variant : kVariants) {
    FACET_ASSIGN(auto loaded, LoadVariant(files, variant, pool));
    models.push_back(std::move(loaded));
    if (models.size() > 1) others.push_back(models.back().get());
  }
  ProgressBar bar(false);
  const auto show = [&](int64_t done) {
    bar.Update(done, static_cast<int64_t>(ids.size()), done, "tokens compared");
  };
  FACET_ASSIGN(const std::vector<Divergence> totals,
               MeasureDivergence(*models[0], others, {ids, tokenizer->bos(), check.window}, show));
  bar.Clear();
  return MakeReport(totals, check);
}

}  // namespace facet::cli
