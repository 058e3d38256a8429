// Drafters by distillation: the same arithmetic as the engine's, a model's own text, and drafts
// that are accepted after training.
#include "tune/train/drafter_trainer.h"

#include <cmath>
#include <fstream>

#include "engine/draft_identity.h"
#include "model/synth.h"
#include "ops/gradient.h"
#include "ops/quant/quant.h"
#include "support/temp_folder.h"
#include "tune/data/generated_answers.h"
#include "tune/data/order.h"
#include "tune/models.h"
#include "tune/tiny.h"
#include "tune/train/drafter_config.h"
#include "tune/train/drafter_init.h"
#include "tune/train/init.h"

namespace facet::tune {
namespace {

namespace fs = std::filesystem;

std::unique_ptr<DrafterTrainer> Make(const fs::path& drafter, int drafts, ThreadPool& pool,
                                     const TestModel& files = TinyFolder()) {
  return Take(DrafterTrainer::Create(TinyCheckpoint(files), drafter, {{.seed = 1}, drafts}, pool));
}

std::vector<double> LogSoftmax(std::span<const float> logits) {
  double sum = 0;
  for (const float z : logits) sum += std::exp(double{z});
  std::vector<double> out;
  for (const float z : logits) out.push_back(z - std::log(sum));
  return out;
}

// The divergences of all rounds of a text, with the target and the drafter as the engine runs them.
LossSum ByInference(Model& model, Drafter& drafter, const Example& example, int drafts) {
  const int vocab = model.config().text.vocab, width = model.config().text.width;
  const int length = static_cast<int>(example.tokens.size());
  const std::vector<TokenId>& ids = example.tokens;
  const EmbeddedMedia media = Take(EmbedMedia(model, example.items));
  KvSequence whole(model.cache());
  const Chunk all{&whole, ids, media.runs, length};
  Buffer states, logits(length, vocab);
  EXPECT_TRUE(model.Forward({&all, 1}, states).ok());
  model.Logits(states, logits);
  LossSum sum;
  for (int end = 1; end + 1 < length; ++end) {  // keys of `end` tokens, the next one is the newest
    if (!example.labelled[end]) continue;
    KvSequence sequence(model.cache());
    const Chunk some{&sequence, std::span(ids).first(end), media.runs, 1};
    Buffer hidden, draft_logits, next;
    EXPECT_TRUE(model.Forward({&some, 1}, hidden).ok());
    sequence.Commit(end);
    std::vector<float> state(hidden.view().row(0), hidden.view().row(0) + width);
    for (int draft = 0; draft < drafts && end + 1 + draft < length; ++draft) {
      if (!example.labelled[end + 1 + draft]) break;
      const DraftRow row{&sequence, example.tokens[end + draft], state.data()};
      EXPECT_TRUE(drafter.Draft({&row, 1}, draft_logits, next).ok());
      const auto p = LogSoftmax(logits.view().row_span(end + draft));
      const auto q = LogSoftmax(draft_logits.view().row_span(0));
      for (int v = 0; v < vocab; ++v) sum.loss += std::exp(p[v]) * (p[v] - q[v]);
      ++sum.tokens;
      state.assign(next.view().row(0), next.view().row(0) + width);
    }
  }
  return sum;
}

// Longer than the sliding window; with a picture and a sound; two answers in one example.
TEST(DrafterTrainer, LossIsThatOfTheEnginesArithmetic) {
  ThreadPool pool(2);
  Example apart = TextExample(60, 20, 2);
  std::fill(apart.labelled.begin() + 30, apart.labelled.begin() + 50, uint8_t{0});
  for (const TestModel& files : {TinyFolder(), TinyGguf()}) {
    const LoadedReference target = Load(files, pool);
    const auto drafter = Take(Drafter::Load(Reference(files.drafter), *target.model));
    // The drafter's weights are the same in both containers.
    const auto trainer = Make(Reference(TinyFolder().drafter), 3, pool, files);
    LossSum all;
    std::vector<Example> examples = {TextExample(70, 50, 1), apart, ReferenceExample(files)};
    for (const Example& example : examples) {
      const LossSum want = ByInference(*target.model, *drafter, example, 3);
      const Example* batch[] = {&example};
      const LossSum got = Take(trainer->Evaluate(batch));
      EXPECT_EQ(got.tokens, want.tokens);
      EXPECT_EQ(got.tokens, CountDrafts(example, 3));
      EXPECT_NEAR(got.loss, want.loss, 1e-3 * want.loss);
      all.loss += got.loss;
      all.tokens += got.tokens;
    }
    const Example* together[] = {&examples[0], &examples[1], &examples[2]};
    const LossSum packed = Take(trainer->Evaluate(together));
    EXPECT_EQ(packed.tokens, all.tokens);
    EXPECT_NEAR(packed.loss, all.loss, 1e-4 * all.loss);
  }
}

// Its scores have a scale, which a drafter's norm of queries learns; its values have no norm, and
// all of its heads are alike.
TEST(DrafterTrainer, Gemma3HasDraftersToo) {
  ThreadPool pool(2);
  const TempFolder folder;
  const fs::path path = folder.path() / "gemma3.gguf", drafter_path = folder.path() / "drafter";
  const auto written = WriteSynthModel({"tiny-gemma3", DType::kF32, path});
  ASSERT_TRUE(written.ok()) << written.error().message;
  UseTestCache();
  const auto target = Take(Model::Load(PlainOptions(path), pool));
  const auto config = DeriveDrafterConfig(target->config(), {.layers = 2});
  ASSERT_TRUE(WriteInitialDrafter(config, drafter_path, 1).ok());
  const auto drafter = Take(Drafter::Load(drafter_path, *target));
  const auto trainer = Take(DrafterTrainer::Create(Take(LoadCheckpoint(path, std::nullopt)),
                                                   drafter_path, {{.seed = 1}, 3}, pool));
  const Example example = TextExample(70, 20, 1);  // longer than the window
  const LossSum want = ByInference(*target, *drafter, example, 3);
  const Example* batch[] = {&example};
  const LossSum got = Take(trainer->Evaluate(batch));
  EXPECT_EQ(got.tokens, want.tokens);
  EXPECT_NEAR(got.loss, want.loss, 1e-3 * want.loss);
}

// What a narrow drafter starts with of its target's table: the directions that hold most of it.
TEST(DrafterStart, IsTheTargetsTableInItsMainDirections) {
  ThreadPool pool(2);
  const Checkpoint target = TinyCheckpoint();
  const WeightView& table = target.weights.embedding.weight;
  const int64_t width = target.config.text.width, half = width / 2;
  ModelConfig drafter;
  drafter.text.vocab = target.config.text.vocab;
  drafter.drafter = DrafterConfig{.target_width = static_cast<int>(width)};
  std::vector<float> row(width);
  const auto start = [&](int64_t wide) {
    drafter.text.width = static_cast<int>(wide);
    return StartLikeTarget(target, drafter, 1, pool);
  };

  const InitialValues same = start(width), narrow = start(half);
  // (width, half), all of one length
  std::vector<float> directions = narrow.at("post_projection.weight");
  double column = 0;
  for (int64_t d = 0; d < width; ++d) column += double{directions[d * half]} * directions[d * half];
  EXPECT_GE(column, 0.999);
  for (float& v : directions) v /= static_cast<float>(std::sqrt(column));
  double held = 0, all = 0;
  for (int64_t id = 0; id < table.rows; ++id) {
    DequantizeRow(table.type, table.row(id), row);
    for (int64_t d = 0; d < width; ++d) {
      EXPECT_EQ(same.at("model.embed_tokens.weight")[id * width + d], row[d]);
      all += row[d] * row[d];
    }
    for (int64_t r = 0; r < half; ++r) {
      double want = 0;
      for (int64_t d = 0; d < width; ++d) want += double{directions[d * half + r]} * row[d];
      const float got = narrow.at("model.embed_tokens.weight")[id * half + r];
      EXPECT_NEAR(got, want, 1e-4);
      held += got * got;
    }
  }
  EXPECT_GT(held, 0.55 * all);  // any half of the directions holds half of a random table
  for (int64_t a = 0; a < half; ++a) {
    for (int64_t b = 0; b <= a; ++b) {
      double product = 0;
      for (int64_t d = 0; d < width; ++d)
        product += double{directions[d * half + a]} * directions[d * half + b];
      EXPECT_NEAR(product, a == b ? 1 : 0, 1e-4);
    }
  }
  EXPECT_TRUE(start(width + 32).empty());
  drafter.drafter->target_width = 1;
  EXPECT_TRUE(start(half).empty());
}

// Gemma 3's final norm is so large that random states would be sure of wrong tokens.
TEST(DrafterStart, IsUnsureWhateverTheTargetsFinalNorm) {
  ThreadPool pool(2);
  Checkpoint target = TinyCheckpoint();
  const int64_t width = target.config.text.width, half = width / 2;
  ModelConfig drafter;
  drafter.text.vocab = target.config.text.vocab;
  drafter.text.width = static_cast<int>(half);
  drafter.drafter = DrafterConfig{.target_width = static_cast<int>(width)};
  const std::vector<float> large(width, 50.0f);
  target.weights.final_norm = large;
  const InitialValues start = StartLikeTarget(target, drafter, 1, pool);
  double square = 0;
  for (const float v : start.at("model.embed_tokens.weight")) square += double{v} * v;
  const double norm = start.at("model.norm.weight")[0];
  EXPECT_NEAR(norm * std::sqrt(square / drafter.text.vocab), 1, 1e-3);  // deviation of a logit
  // A draft's state still has the size of the target's: norm times a column of post_projection.
  double column = 0;
  for (int64_t d = 0; d < width; ++d)
    column += std::pow(start.at("post_projection.weight")[d * half], 2);
  EXPECT_NEAR(norm * std::sqrt(column), 50 * std::sqrt(2.0), 0.1);
}

TEST(DrafterTrainer, GradientsAgreeWithFiniteDifferences) {
  ThreadPool pool(2);
  const TempFolder folder;
  const Example example = TextExample(12, 4, 1);
  const Example* batch[] = {&example};
  const auto trainer = Make(Reference("tiny/checkpoint-assistant"), 4, pool);
  Take(trainer->Accumulate(batch, 0.5));
  // A step along the gradient changes the loss by its squared norm.
  const double norm = trainer->GradientNorm(), before = Take(trainer->Evaluate(batch)).loss;
  ASSERT_GT(norm, 0);
  ASSERT_TRUE(trainer->SaveState(folder.path() / "state").ok());
  std::map<std::string, std::vector<float>> gradients;
  trainer->ForEachGradient(
      [&](const GradientView& g) { gradients[g.name].assign(g.values.begin(), g.values.end()); });
  EXPECT_TRUE(gradients.contains("pre_projection.weight"));
  EXPECT_TRUE(gradients.contains("post_projection.weight"));
  for (const auto& [name, gradient] : gradients) {
    EXPECT_TRUE(std::ranges::any_of(gradient, [](float v) { return v != 0; })) << name;
    EXPECT_EQ(name.find("k_proj"), std::string::npos);
  }
  for (const auto& [name, gradient] : gradients) {
    SCOPED_TRACE(name);
    double square = 0;
    for (const float v : gradient) square += double{v} * v;
    const double step = 0.02 / std::sqrt(square);
    double losses[2];
    for (const int side : {0, 1}) {
      // The state file has the values; one tensor of it is moved.
      std::string bytes = Take(ReadFile(folder.path() / "state"));
      const auto file = Take(Safetensors::Open(folder.path() / "state"));
      const Tensor& tensor = *Take(file->Get("value." + name));
      std::vector<float> moved(gradient.size());
      std::memcpy(moved.data(), tensor.data.data(), tensor.data.size());
      for (size_t i = 0; i < moved.size(); ++i)
        moved[i] += static_cast<float>((side == 0 ? -step : step) * gradient[i]);
      const std::string old(reinterpret_cast<const char*>(tensor.data.data()), tensor.data.size());
      const size_t at = bytes.find(old);
      ASSERT_NE(at, bytes.npos);
      std::memcpy(bytes.data() + at, moved.data(), old.size());
      ASSERT_TRUE(WriteFile(folder.path() / "moved", bytes).ok());
      ASSERT_TRUE(trainer->LoadState(folder.path() / "moved").ok());
      losses[side] = Take(trainer->Evaluate(batch)).loss;
    }
    // Accumulate's scale was 0.5.
    EXPECT_NEAR((losses[1] - losses[0]) / (2 * step), 2 * square, 0.03 * 2 * square + 1e-4)
        << before;
  }
}

TEST(DrafterTrainer, DerivesAShapeThatFits) {
  ThreadPool pool(1);
  for (const TestModel& files : {TinyFolder(), TinyGguf()}) {
    const TempFolder folder;
    const ModelConfig target = TinyCheckpoint(files).config;
    for (const DrafterShape& shape :
         {DrafterShape{}, DrafterShape{.layers = 1, .width = 32, .ffn = 96}}) {
      const fs::path out = folder.path() / Cat(shape.layers);
      ASSERT_TRUE(WriteInitialDrafter(DeriveDrafterConfig(target, shape), out, 3).ok());
      const Checkpoint made = Take(LoadCheckpoint(out, std::nullopt));
      const TextConfig& text = made.config.text;
      EXPECT_EQ(static_cast<int>(text.layers.size()), shape.layers);
      EXPECT_FALSE(text.layers.back().sliding);
      EXPECT_EQ(text.width, shape.width > 0 ? shape.width : 64);
      EXPECT_EQ(text.ffn, shape.width > 0 ? 96 : 128);
      EXPECT_EQ(text.eps, target.text.eps);
      EXPECT_EQ(text.rope_full.rotated_pairs, target.text.rope_full.rotated_pairs);
      EXPECT_EQ(text.rope_full.theta, target.text.rope_full.theta);
      EXPECT_TRUE(CheckDrafterFits(made.config, target).ok());
      Make(out, 2, pool, files);
    }
  }
}

TEST(DrafterTrainer, RefusesByName) {
  ThreadPool pool(1);
  const TempFolder folder;
  const auto refuse = [&](Checkpoint target, const fs::path& drafter, const std::string& part) {
    const auto made = DrafterTrainer::Create(std::move(target), drafter, {}, pool);
    ASSERT_FALSE(made.ok()) << part;
    EXPECT_NE(made.error().message.find(part), std::string::npos) << made.error().message;
  };
  const fs::path assistant = Reference("tiny/checkpoint-assistant");
  refuse(TinyCheckpoint(), Reference("tiny/checkpoint"), "is not a drafter");
  refuse(TinyCheckpoint(), Reference("tiny/gguf/assistant-f32.gguf"), "not a GGUF");
  Checkpoint other = TinyCheckpoint();
  other.config.drafter = DrafterConfig{};
  refuse(std::move(other), assistant, "this is a drafter");
  other = TinyCheckpoint();
  other.config.text.width = 128;
  refuse(std::move(other), assistant, "backbone_hidden_size");
  auto config = DeriveDrafterConfig(TinyCheckpoint().config, {});
  config["use_ordered_embeddings"] = true;
  config["num_centroids"] = 64;
  config["centroid_intermediate_top_k"] = 8;
  const auto written = WriteInitialDrafter(config, folder.path() / "ordered", 0);
  ASSERT_FALSE(written.ok());
  EXPECT_NE(written.error().message.find("use_ordered_embeddings"), std::string::npos);
}

// Prompts of a few rows, and what the tiny model answers to them.
class OwnText : public testing::Test {
 protected:
  OwnText() {
    std::ofstream out(folder_.path() / "data.jsonl");
    for (int i = 0; i < 6; ++i)
      out << R"({"messages": [{"role": "user", "content": "say )" << i * 37
          << R"("}, {"role": "assistant", "content": "no"}, {"role": "user", "content": "and )" << i
          << R"("}, {"role": "assistant", "content": "yes"}]})"
          << "\n";
    out.close();
    options_.file = folder_.path() / "out/own-text.jsonl";
    options_.max_tokens = 24;
    options_.temperature = 0;
    options_.ends = model_->renderer->ends();
  }
  std::unique_ptr<DataSet> Open(int drafts = 4) const {
    DataOptions options;
    options.count = [drafts](const Example& example) { return CountDrafts(example, drafts); };
    return Take(DataSet::Open({{folder_.path() / "data.jsonl", 1}}, *model_->renderer, options));
  }
  Result<void> Use(DataSet& data) {
    return UseGeneratedAnswers(*target_.model, *target_.tokenizer, options_, data);
  }

  TempFolder folder_;
  ThreadPool pool_{2};
  std::unique_ptr<RenderedModel> model_ = TinyModel();
  LoadedReference target_ = Load(TinyFolder(), pool_);
  GeneratedAnswersOptions options_;
};

TEST_F(OwnText, IsWhatTheModelSaysAndIsKept) {
  const auto data = Open();
  const size_t before = data->entries().size();
  const Example given = Take(data->Build(1));
  ASSERT_TRUE(Use(*data).ok());
  ASSERT_EQ(data->entries().size(), before);  // each answer of the template's is an example
  const Example own = Take(data->Build(1));
  const auto begin = std::find(own.labelled.begin(), own.labelled.end(), 1) - own.labelled.begin();
  EXPECT_TRUE(std::equal(own.tokens.begin(), own.tokens.begin() + begin, given.tokens.begin()));
  EXPECT_NE(own.tokens, given.tokens);
  EXPECT_EQ(data->entries()[1].labelled, CountDrafts(own, 4));
  // Greedy: each token is the likeliest behind those before it.
  KvSequence sequence(target_.model->cache());
  const int length = static_cast<int>(own.tokens.size());
  Buffer states, logits(length, target_.model->config().text.vocab);
  const Chunk chunk{&sequence, own.tokens, {}, length};
  ASSERT_TRUE(target_.model->Forward({&chunk, 1}, states).ok());
  target_.model->Logits(states, logits);
  const Sampler sampler(DefaultSampling(target_.model->config().generation));
  for (int i = static_cast<int>(begin); i < length; ++i) {
    const auto row = logits.view().row_span(i - 1);
    sampler.Adjust(row);
    EXPECT_EQ(ArgMax(row), own.tokens[i]) << i;
  }
}

TEST_F(OwnText, GoesOnWhereItWasStopped) {
  options_.temperature = std::nullopt;  // sampled
  const auto whole = Open();
  ASSERT_TRUE(Use(*whole).ok());
  const std::string text = Take(ReadFile(options_.file));
  // Stopped in the middle of a line.
  ASSERT_TRUE(WriteFile(options_.file, text.substr(0, text.size() * 2 / 3)).ok());
  const auto again = Open();
  ASSERT_TRUE(Use(*again).ok());
  EXPECT_EQ(Take(ReadFile(options_.file)), text);
  EXPECT_EQ(again->Fingerprint(), whole->Fingerprint());
  EXPECT_NE(whole->Fingerprint(), Open()->Fingerprint());
  for (size_t i = 0; i < whole->entries().size(); ++i)
    EXPECT_EQ(Take(again->Build(i)).tokens, Take(whole->Build(i)).tokens);
  // Other answers than these are asked for.
  options_.max_tokens = 9;
  const auto other = Use(*Open());
  ASSERT_FALSE(other.ok());
  EXPECT_NE(other.error().message.find("max_tokens"), std::string::npos) << other.error().message;
  // A file that is not ours.
  ASSERT_TRUE(WriteFile(options_.file, "{\"messages\": []}\n").ok());
  EXPECT_FALSE(Use(*Open()).ok());
  options_.max_tokens = 24;
  ASSERT_TRUE(
      WriteFile(options_.file, text + "{\"example\": 99, \"begin\": 3, \"tokens\": [1]}\n").ok());
  EXPECT_FALSE(Use(*Open()).ok());
}

TEST_F(OwnText, StopsWhenAsked) {
  std::atomic<bool> stop = true;
  options_.cancelled = &stop;
  const auto stopped = Use(*Open());
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().kind, ErrorKind::kCancelled);
}

TEST_F(OwnText, SomePromptsAreChosenBySeed) {
  options_.prompts = 3;
  std::set<uint64_t> seen;
  for (const uint64_t seed : {1, 2}) {
    options_.seed = seed;
    options_.file = folder_.path() / Cat(seed, ".jsonl");
    const auto data = Open();
    ASSERT_TRUE(Use(*data).ok());
    EXPECT_EQ(data->entries().size(), 3u);
    seen.insert(data->Fingerprint());
  }
  EXPECT_EQ(seen.size(), 2u);
}

// What the engine drafts and accepts for these prompts with a drafter, greedily.
GenerationStats Generate(Model& model, const fs::path& drafter, const DataSet& data,
                         const std::vector<TokenId>& ends) {
  DraftOptions draft{DraftOptions::Mode::kFixed, 4, false, true};
  EngineOptions options;
  options.draft = draft;
  Engine engine(MakeModelExecutor(model, 0, Take(Drafter::Load(drafter, model))), options);
  GenerationStats sum;
  for (size_t i = 0; i < data.entries().size(); ++i) {
    const Example example = Take(data.Build(i));
    const auto begin = std::find(example.labelled.begin(), example.labelled.end(), 1);
    auto prompt = std::make_shared<Prompt>();
    prompt->ids.assign(example.tokens.begin(),
                       example.tokens.begin() + (begin - example.labelled.begin()));
    GenerationRequest request;
    request.prompt = prompt;
    request.sampling.temperature = 0;
    request.sampling.suppress = model.config().generation.suppress;
    request.max_tokens = 24;
    request.stop_tokens = ends;
    const auto ear = std::make_shared<Ear>(Ear::Habits{});
    EXPECT_TRUE(engine.Submit(std::move(request), ear).ok());
    const Heard heard = ear->Wait();
    sum.drafted += heard.outcome.stats.drafted;
    sum.accepted += heard.outcome.stats.accepted;
    sum.generated += heard.outcome.stats.generated;
  }
  return sum;
}

double Share(const GenerationStats& stats) {
  return static_cast<double>(stats.accepted) / stats.drafted;
}

TEST_F(OwnText, TeachesADrafterWhoseDraftsAreAccepted) {
  options_.prompts = 4;
  const auto data = Open();
  ASSERT_TRUE(Use(*data).ok());
  const fs::path start = folder_.path() / "start", end = folder_.path() / "end";
  ASSERT_TRUE(
      WriteInitialDrafter(DeriveDrafterConfig(target_.model->config(), {.layers = 2}), start, 1)
          .ok());
  const GenerationStats before = Generate(*target_.model, start, *data, options_.ends);
  const auto trainer = Make(start, 4, pool_);
  std::vector<uint32_t> all(data->entries().size());
  std::iota(all.begin(), all.end(), 0u);
  for (int step = 0; step < 150; ++step) {
    ASSERT_TRUE(ForEachBatch(*data, all, 4096, nullptr,
                             [&](std::span<const Example* const> batch) -> Result<void> {
                               FACET_TRY(trainer->Accumulate(batch, 1.0 / data->labelled()));
                               return trainer->Step(2e-3, 1);
                             })
                    .ok());
  }
  ASSERT_TRUE(trainer->Export(end).ok());
  const GenerationStats after = Generate(*target_.model, end, *data, options_.ends);
  EXPECT_LT(Share(before), 0.05);
  EXPECT_GT(Share(after), 0.8);
  // What the trainer says of it is what the engine does.
  const DraftScore score = Take(ScoreDrafts(*trainer, *data, all, 4096));
  EXPECT_NEAR(score.acceptance(), Share(after), 0.03);
  EXPECT_GT(score.tokens_per_step(), 3.3);
  EXPECT_LE(score.tokens_per_step(), 5);
}

}  // namespace
}  // namespace facet::tune
