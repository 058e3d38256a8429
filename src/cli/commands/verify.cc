// `facet verify`: whether a model on this machine computes what it should, as a report that a user
// can attach.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/mapped_file.h"
#include "base/space.h"
#include "cli/commands.h"
#include "cli/commands/divergence.h"
#include "cli/commands/verify_alternatives.h"
#include "cli/commands/verify_data.h"
#include "cli/commands/verify_known.h"
#include "cli/commands/verify_score.h"
#include "cli/commands/verify_weights.h"
#include "cli/terminal/progress.h"
#include "cli/terminal/report.h"
#include "cli/terminal/resolve.h"
#include "ops/cpu.h"

namespace facet::cli {
namespace {

using nlohmann::json;

struct VerifyFlags {
  std::string model, out;
  bool as_json = false, quick = false;
  TextCheck text;
};

struct Check {
  std::string name;
  bool passed = false;
  std::string detail;
};

std::string FormatNumber(double value, const char* format = "%.3g") {
  char text[32];
  std::snprintf(text, sizeof(text), format, value);
  return text;
}

// Log-probabilities of each next token of a text.
struct Scores {
  std::vector<std::vector<float>> all;  // log-softmax, one row a position
};

// What a model that was trained on English gives the text that is verified by, at most: models of
// every size and kind are below 20, untrained or broken ones above 1000.
constexpr double kWorstPerplexity = 60;
// How far above the published weights' loss quantising to four bits or tuning may bring a model:
// nats a token, and their share.
constexpr double kLossOfQuantising = 0.01, kShareOfQuantising = 0.25;

std::string Joined(const std::vector<std::string>& parts, size_t most) {
  std::string out;
  for (size_t i = 0; i < std::min(most, parts.size()); ++i) out += (i > 0 ? "; " : "") + parts[i];
  if (parts.size() > most) out += Cat("; and ", parts.size() - most, " more");
  return out;
}

class Verifier {
 public:
  Verifier(LoadedModel& loaded, const ModelFiles& files, bool quick)
      : loaded_(loaded), files_(files), quick_(quick), known_(FindKnownModel(loaded.config.text)) {}

  Result<std::vector<Check>> Run() {
    CheckTokenizer();
    CheckNumbers();
    CheckWeights();
    FACET_TRY(CheckKnowledge());
    FACET_TRY(CheckText());
    if (loaded_.chat_template != nullptr && loaded_.config.vision)
      FACET_TRY(CheckMedia("picture", "image", VerifyPicture()));
    if (loaded_.chat_template != nullptr && loaded_.config.audio)
      FACET_TRY(CheckMedia("sentence", "audio", VerifySentence()));
    return checks_;
  }

 private:
  void AddCheck(std::string name, bool passed, std::string detail) {
    checks_.push_back({std::move(name), passed, std::move(detail)});
  }

  void CheckTokenizer() {
    const auto& tokenizer = *loaded_.tokenizer;
    const int64_t rows = loaded_.config.text.vocab;
    AddCheck("vocabulary", tokenizer.size() <= rows && tokenizer.bos().has_value(),
             Cat(tokenizer.size(), " tokens for an embedding of ", rows, " rows"));
    std::string wrong;
    for (const char* text : {"Hello, world", "  two  spaces\n\n\nlines\t", "naïve 名前 🙂",
                             "def f(x):\n    return x ** 2"}) {
      if (tokenizer.Decode(tokenizer.EncodePlain(text)) != text) wrong = text;
    }
    AddCheck("tokenizer", wrong.empty(),
             wrong.empty() ? "texts come back as they went in" : "changes: " + wrong);
  }

  // What the file says of itself, beside what is published of this model.
  void CheckNumbers() {
    if (known_ == nullptr) return;
    const std::vector<std::string> wrong = DifferencesFromKnown(loaded_.config.text, *known_);
    AddCheck("numbers", wrong.empty(),
             wrong.empty() ? Cat("as published for ", known_->name)
                           : Cat(known_->name, ": ", Joined(wrong, 3)));
  }

  void CheckWeights() {
    const std::vector<std::string> odd = OddWeights(loaded_.model->weights(), *loaded_.pool);
    AddCheck("weights", odd.empty(),
             odd.empty() ? "finite, and alike from layer to layer" : Joined(odd, 3));
  }

  // The texts that the model knows best of those that it may know.
  Result<void> CheckKnowledge() {
    const bool like_pebble = known_ != nullptr && std::string_view(known_->name) == "pebble";
    FACET_ASSIGN(const std::vector<KnownTexts> texts,
                 TextsToVerifyBy(loaded_, files_, like_pebble));
    const KnownTexts* best = nullptr;
    std::vector<float> scores;
    for (const KnownTexts& candidate : texts) {
      FACET_ASSIGN(std::vector<float> found, ScoreTexts(*loaded_.model, candidate));
      if (best != nullptr && !(MeanLoss(found) < MeanLoss(scores))) continue;
      best = &candidate;
      scores = std::move(found);
    }
    const double loss = MeanLoss(scores);
    // What was measured was a model's own answers, or, without a template, English.
    const bool measured =
        known_ != nullptr && known_->loss && (like_pebble || loaded_.chat_template == nullptr);
    double most = std::log(kWorstPerplexity);
    if (measured) {
      const double usual = *known_->loss;
      most = usual + std::max(kLossOfQuantising, kShareOfQuantising * usual);
    }
    const bool knows = std::isfinite(loss) && loss <= most;
    AddCheck("perplexity", knows,
             Cat(FormatNumber(std::exp(loss), "%.4g"), " on ", best->what, ", at most ",
                 FormatNumber(std::exp(most), "%.4g"), " in a sound model"));
    if (quick_ || !std::isfinite(loss)) return Ok();
    return CheckNeighbours(*best);
  }

  Result<void> CheckNeighbours(const KnownTexts& texts) {
    StatusLine line;
    size_t count = 0;
    FACET_ASSIGN(const std::vector<Alternative> better,
                 BetterAlternatives(*loaded_.model, texts, [&](size_t done, size_t all) {
                   count = all;
                   line.Draw(Cat("trying what else the model could be: ", done, " of ", all));
                 }));
    line.Clear();
    AddCheck("parts", better.empty(),
             better.empty() ? Cat("none of ", count, " other models is better")
                            : Cat("better with ", better[0].what, ", by ",
                                  FormatNumber(better[0].gain), " nats a token"));
    return Ok();
  }

  // The shipped text, in one piece or in chunks.
  Result<Scores> ScoreText(Model& model, const std::vector<TokenId>& ids, int chunk) {
    KvSequence sequence(model.cache());
    Scores scores;
    Buffer hidden, logits;
    for (int at = 0; at < static_cast<int>(ids.size());) {
      const int count = std::min<int>(chunk, static_cast<int>(ids.size()) - at);
      const Chunk part{&sequence, std::span(ids).subspan(at, count), {}, count};
      FACET_TRY(model.Forward({&part, 1}, hidden));
      sequence.Commit(count);
      model.Logits(hidden, logits.Resize(count, model.config().text.vocab));
      for (int i = 0; i < count; ++i) {
        const std::span<const float> row = std::as_const(logits).view().row_span(i);
        const float best = row[ArgMax(row)];
        double sum = 0;
        for (const float v : row) sum += std::exp(static_cast<double>(v) - best);
        const auto lse = static_cast<float>(best + std::log(sum));
        std::vector<float> log(row.begin(), row.end());
        for (float& v : log) v -= lse;
        scores.all.push_back(std::move(log));
      }
      at += count;
    }
    return scores;
  }

  Result<void> CheckText() {
    std::vector<TokenId> ids = loaded_.tokenizer->EncodePlain(VerifyText());
    if (const auto bos = loaded_.tokenizer->bos()) ids.insert(ids.begin(), *bos);
    ids.resize(std::min<size_t>(ids.size(), 160));
    Model& fast = *loaded_.model;
    FACET_ASSIGN(const Scores whole, ScoreText(fast, ids, static_cast<int>(ids.size())));
    FACET_ASSIGN(const Scores pieces, ScoreText(fast, ids, 7));
    AddCheck("chunks", whole.all == pieces.all,
             "a prompt read in pieces of 7 tokens gives the same bits as in one");
    LoadOptions plain;
    plain.model = files_.model;
    plain.mmproj = files_.mmproj;
    plain.precision = Precision::kPlain;
    plain.cache = CacheType::kF32;
    plain.compact_cache = false;
    FACET_ASSIGN(const std::unique_ptr<Model> exact, Model::Load(plain, *loaded_.pool));
    ids.resize(std::min<size_t>(ids.size(), 48));  // float32 on a large model is slow
    FACET_ASSIGN(const Scores reference, ScoreText(*exact, ids, static_cast<int>(ids.size())));
    CompareWithFloat32(reference, whole);
    return Ok();
  }

  void CompareWithFloat32(const Scores& reference, const Scores& fast) {
    double divergence = 0;
    int same = 0;
    for (size_t i = 0; i < reference.all.size(); ++i) {
      double kl = 0;
      for (size_t k = 0; k < reference.all[i].size(); ++k) {
        const double p = std::exp(static_cast<double>(reference.all[i][k]));
        if (p > 0) kl += p * (reference.all[i][k] - fast.all[i][k]);
      }
      divergence += kl / static_cast<double>(reference.all.size());
      same += ArgMax(reference.all[i]) == ArgMax(fast.all[i]);
    }
    AddCheck("fast kernels", divergence < 0.02,
             Cat("mean divergence from float32 ", FormatNumber(divergence),
                 ", best token equal at ", same, " of ", reference.all.size()));
  }

  // One question about a shipped file: the right number of soft tokens, finite embeddings, an
  // answer to read.
  Result<void> CheckMedia(const char* name, const char* type, std::string_view bytes) {
    PromptRequest request;
    request.messages = json::array(
        {{{"role", "user"},
          {"content",
           json::array({{{"type", type}},
                        {{"type", "text"}, {"text", "What is this? Answer in one sentence."}}})}}});
    request.load = [&](const nlohmann::ordered_json&) {
      return Result<MediaSource>(std::string(bytes));
    };
    FACET_ASSIGN(const Prompt prompt, BuildPrompt(loaded_.config, *loaded_.tokenizer,
                                                  *loaded_.chat_template, std::move(request)));
    FACET_ASSIGN(const EmbeddedMedia media, EmbedMedia(*loaded_.model, prompt.items));
    int count = 0;
    bool finite = true;
    for (const SoftRun& run : media.runs) {
      count += static_cast<int>(run.rows.rows());
      for (int64_t r = 0; r < run.rows.rows(); ++r) {
        for (const float v : run.rows.row_span(r)) finite = finite && std::isfinite(v);
      }
    }
    KvSequence sequence(loaded_.model->cache());
    Buffer hidden, logits;
    std::vector<TokenId> answer;
    Chunk chunk{&sequence, prompt.ids, media.runs, 1};
    for (int step = 0; step < 24; ++step) {
      FACET_TRY(loaded_.model->Forward({&chunk, 1}, hidden));
      sequence.Commit(static_cast<int>(chunk.tokens.size()));
      loaded_.model->Logits(hidden, logits.Resize(1, loaded_.config.text.vocab));
      SamplingParams greedy = loaded_.sampling;
      greedy.temperature = 0;
      answer.push_back(Sampler(greedy).Sample(logits.view().row_span(0)));
      if (std::find(loaded_.eos.begin(), loaded_.eos.end(), answer.back()) != loaded_.eos.end())
        break;
      chunk = {&sequence, {&answer.back(), 1}, {}, 1};
    }
    AddCheck(name, finite && count > 0,
             Cat(count, " soft tokens; answer: ",
                 json(loaded_.tokenizer->Decode(answer, true))
                     .dump(-1, ' ', false, json::error_handler_t::replace)));
    return Ok();
  }

  LoadedModel& loaded_;
  const ModelFiles& files_;
  const bool quick_;
  const KnownModel* known_;  // null where the shape is not a published one
  std::vector<Check> checks_;
};

// What was verified, and where.
struct VerifyReport {
  std::string model, file;
  size_t layers = 0;
  int width = 0;
  int64_t vocabulary = 0;
  int threads = 0;
  double seconds = 0;
  std::vector<Check> checks;

  bool passed() const {
    return std::all_of(checks.begin(), checks.end(), [](const Check& c) { return c.passed; });
  }
};

json ReportAsJson(const VerifyReport& report) {
  json out = {{"facet", FACET_VERSION},
              {"model", report.model},
              {"file", report.file},
              {"layers", report.layers},
              {"width", report.width},
              {"vocabulary", report.vocabulary},
              {"cpu", IsaName(ActiveIsa())},
              {"threads", report.threads},
              {"memory", HumanBytes(MemoryBytes())},
              {"seconds", std::round(report.seconds * 10) / 10},
              {"checks", json::array()},
              {"passed", report.passed()}};
  for (const Check& check : report.checks) {
    out["checks"].push_back(
        {{"name", check.name}, {"passed", check.passed}, {"detail", check.detail}});
  }
  return out;
}

std::string ReportAsText(const VerifyReport& report) {
  std::string out =
      Cat("facet ", FACET_VERSION, "  ", report.model, " (", report.layers, " layers, width ",
          report.width, ", ", report.vocabulary, " tokens), ", IsaName(ActiveIsa()), ", ",
          report.threads, " threads, ", HumanBytes(MemoryBytes()), "\n");
  for (const Check& check : report.checks) {
    char line[64];
    std::snprintf(line, sizeof(line), "%-5s %-13s ", check.passed ? "ok" : "FAIL",
                  check.name.c_str());
    out += line + check.detail + "\n";
  }
  return out + (report.passed() ? "passed\n" : "FAILED\n");
}

// To stdout, and to --out.
Result<void> WriteReport(const VerifyFlags& flags, const json& as_json,
                         const std::string& as_text) {
  const std::string output = flags.as_json ? as_json.dump(2) + "\n" : as_text;
  std::cout << output;
  return flags.out.empty() ? Ok() : WriteFile(flags.out, output);
}

Result<void> Verify(const VerifyFlags& flags) {
  FACET_ASSIGN(const ModelSpec spec, ResolveSpec(flags.model));
  if (spec.script) return Error{"a script has no weights to verify", ErrorKind::kUnsupported};
  const auto start = Clock::now();
  FACET_ASSIGN(const std::shared_ptr<LoadedModel> model, LoadModel(spec, {}));
  VerifyReport report;
  FACET_ASSIGN(report.checks, Verifier(*model, spec.files, flags.quick).Run());
  const TextConfig& text = model->config.text;
  report.model = model->id;
  report.file = spec.files.model.filename().string();
  report.layers = text.layers.size();
  report.width = text.width;
  report.vocabulary = text.vocab;
  report.threads = model->pool->threads();
  report.seconds = SecondsSince(start);
  FACET_TRY(WriteReport(flags, ReportAsJson(report), ReportAsText(report)));
  if (!report.passed())
    return Error{"the model does not compute what it should here; attach this report to an issue"};
  return Ok();
}

Result<void> VerifyTexts(const VerifyFlags& flags) {
  FACET_ASSIGN(const TextReport report, CheckTexts(flags.model, flags.text));
  return WriteReport(flags, report.json, report.table);
}

}  // namespace

void AddVerify(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<VerifyFlags>();
  CLI::App* command = app.add_subcommand(
      "verify", "Check that a model computes what it should on this machine, with a report");
  command->add_option("model", flags->model, "A name, a checkpoint folder or a GGUF")->required();
  command->add_option("--out", flags->out, "Also write the report to this file");
  command->add_flag("--json", flags->as_json, "The report as JSON");
  command->add_flag("--quick", flags->quick,
                    "Do not try what else the model could be (takes most of the time)");
  command
      ->add_option("--text", flags->text.files,
                   "Instead: how far the fast kernels and each type of cache are from float32 on "
                   "these files (slow: every token is computed in float32)")
      ->check(CLI::ExistingFile);
  command->add_option("--tokens", flags->text.tokens, "At most so many tokens of --text")
      ->capture_default_str();
  command->add_option("--window", flags->text.window, "Tokens of a context of --text")
      ->capture_default_str();
  command->add_option("--threads", flags->text.threads, "Threads (default: all cores)");
  command->footer(
      "Examples:\n  facet verify gemma4-12b --out report.txt\n"
      "  facet verify gemma3-270m --text /usr/share/common-licenses/GPL-3");
  command->callback([flags, &exit_code] {
    exit_code = Report(flags->text.files.empty() ? Verify(*flags) : VerifyTexts(*flags));
  });
}

}  // namespace facet::cli
