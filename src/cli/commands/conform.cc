// `facet conform`: what the model computes for one case, in float32, for comparison with the
// reference implementation.
#include <CLI/CLI.hpp>
#include <cmath>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/commands/conform_case.h"
#include "cli/options/cache_type.h"
#include "cli/terminal/report.h"
#include "cli/terminal/resolve.h"
#include "engine/sampler.h"
#include "model/drafter.h"

namespace facet::cli {
namespace {

using nlohmann::json;
// The processor's tensors under the reference's names: pictures padded to their budget, positions
// (column, row).
void WritePatches(const Prompt& prompt, SoftItem::Kind kind, int budget, const std::string& prefix,
                  const std::string& positions_name, TensorOutput& out) {
  std::vector<uint8_t> pixels;
  std::vector<int32_t> positions;
  int64_t count = 0;
  for (const auto& item : prompt.items) {
    if (item->kind != kind) continue;
    ++count;
    pixels.insert(pixels.end(), item->patches.pixels.begin(), item->patches.pixels.end());
    pixels.resize(count * budget * media::kPatchValues);
    for (int i = 0; i < budget; ++i) {
      const bool inside = i < item->count;
      positions.push_back(inside ? i % item->patches.columns : -1);
      positions.push_back(inside ? i / item->patches.columns : -1);
    }
  }
  if (count == 0) return;
  out.AddBytes(prefix + "_u8", {count, budget, media::kPatchValues}, pixels);
  out.AddInts(positions_name, {count, budget, 2}, positions);
}

void WriteSound(const Prompt& prompt, TensorOutput& out) {
  int64_t count = 0, longest = 0;
  for (const auto& item : prompt.items) {
    if (item->kind != SoftItem::Kind::kAudio) continue;
    ++count;
    longest = std::max<int64_t>(longest, item->count);
  }
  if (count == 0) return;
  std::vector<float> features;
  for (const auto& item : prompt.items) {
    if (item->kind != SoftItem::Kind::kAudio) continue;
    features.insert(features.end(), item->frames.begin(), item->frames.end());
    features.resize(
        (features.size() / (longest * media::kFrameSamples) + (item->count < longest ? 1 : 0)) *
        longest * media::kFrameSamples);
  }
  out.AddFloats("input_features", {count, longest, media::kFrameSamples}, features);
}

// Logits of prompt positions, whole or as the best few with their log-sum-exp, in pieces that fit
// into memory.
void WritePromptLogits(Model& model, ConstMat hidden, int top, TensorOutput& out) {
  const int64_t rows = hidden.rows(), vocab = model.config().text.vocab;
  constexpr int64_t kPiece = 64;
  std::vector<float> all, top_logits, sums;
  std::vector<int32_t> top_ids;
  Buffer logits;
  for (int64_t begin = 0; begin < rows; begin += kPiece) {
    const int64_t count = std::min(kPiece, rows - begin);
    Mat piece = logits.Resize(count, vocab);
    model.Logits(hidden.rows_at(begin, count), piece);
    for (int64_t r = 0; r < count; ++r) {
      const std::span<float> row = piece.row_span(r);
      if (top == 0) {
        all.insert(all.end(), row.begin(), row.end());
        continue;
      }
      const float best = row[ArgMax(row)];
      double sum = 0;
      for (const float v : row) sum += std::exp(static_cast<double>(v) - best);
      sums.push_back(static_cast<float>(best + std::log(sum)));
      for (const auto& [id, logit] : TopLogits(row, top))
        top_ids.push_back(id), top_logits.push_back(logit);
    }
  }
  if (top == 0) {
    out.AddFloats("prompt_logits", {rows, vocab}, all);
    return;
  }
  out.AddInts("top_ids", {rows, top}, top_ids);
  out.AddFloats("top_logits", {rows, top}, top_logits);
  out.AddFloats("logsumexp", {rows}, sums);
}

// The first twelve drafts, four a round; a round begins after the tokens that the one before it got
// accepted.
class DraftRecorder {
 public:
  DraftRecorder(Drafter& drafter, TensorOutput& out) : drafter_(drafter), out_(out) {}

  // `newest` has just been sampled, after the target's state `hidden` at the last cached position.
  Result<void> Sampled(const KvSequence& sequence, int32_t newest, ConstMat hidden) {
    if (rounds_ == 3) return Ok();
    if (next_ < drafts_.size() && drafts_[next_] == newest) {
      ++next_;
      return Ok();
    }
    drafts_.clear();
    next_ = 0;
    ++rounds_;
    Buffer state(1, hidden.cols()), next_state, logits;
    std::copy(hidden.row(0), hidden.row(0) + hidden.cols(), state.view().row(0));
    for (int i = 0; i < 4; ++i) {
      const DraftRow row{&sequence, i == 0 ? newest : drafts_.back(), state.view().row(0)};
      FACET_TRY(drafter_.Draft({&row, 1}, logits, next_state));
      std::swap(state, next_state);
      const std::span<float> scores = logits.view().row_span(0);
      drafts_.push_back(ArgMax(scores));
      values_.insert(values_.end(), scores.begin(), scores.end());
    }
    return Ok();
  }
  void Finish() {
    const int64_t vocab = drafter_.config().text.vocab;
    out_.AddFloats("draft_logits", {static_cast<int64_t>(values_.size()) / vocab, vocab}, values_);
  }

 private:
  Drafter& drafter_;
  TensorOutput& out_;
  std::vector<int32_t> drafts_;
  size_t next_ = 0;
  int rounds_ = 0;
  std::vector<float> values_;
};

// Reads the prompt in chunks; gives the states of all its positions and the embeddings that went
// in.
Result<void> ReadPrompt(Model& model, const Adapter* adapter, const Prompt& prompt, int chunk,
                        KvSequence& sequence, Buffer& hidden, std::vector<float>& embeddings) {
  FACET_ASSIGN(const EmbeddedMedia media, EmbedMedia(model, prompt.items, adapter));
  const int total = static_cast<int>(prompt.ids.size()), width = model.config().text.width;
  model.set_trace([&](std::string_view name, int, ConstMat values) {
    if (name != "embeddings") return;
    for (int64_t r = 0; r < values.rows(); ++r)
      embeddings.insert(embeddings.end(), values.row(r), values.row(r) + width);
  });
  Mat all = hidden.Resize(total, width);
  Buffer piece;
  for (int at = 0; at < total;) {
    const int count = ChunkLength(prompt.Pictures(), at, total, chunk);
    const Chunk part{&sequence, std::span(prompt.ids).subspan(at, count), media.runs, count,
                     adapter};
    FACET_TRY(model.Forward({&part, 1}, piece));
    sequence.Commit(count);
    for (int i = 0; i < count; ++i)
      std::copy(piece.view().row(i), piece.view().row(i) + width, all.row(at + i));
    at += count;
  }
  model.set_trace({});
  return Ok();
}

Result<void> Decode(Model& model, const Adapter* adapter, KvSequence& sequence, ConstMat last,
                    int steps, DraftRecorder* drafts, TensorOutput& out) {
  const int64_t vocab = model.config().text.vocab, width = model.config().text.width;
  SamplingParams greedy;
  greedy.temperature = 0;
  greedy.suppress = model.config().generation.suppress;
  const Sampler sampler(greedy);
  std::vector<float> step_logits;
  std::vector<int32_t> ids;
  Buffer hidden(1, width), logits;
  std::copy(last.row(0), last.row(0) + width, hidden.view().row(0));
  for (int step = 0; step < steps; ++step) {
    if (step > 0) {
      const Chunk chunk{&sequence, {&ids.back(), 1}, {}, 1, adapter};
      FACET_TRY(model.Forward({&chunk, 1}, hidden));
      sequence.Commit(1);
    }
    Mat row = logits.Resize(1, vocab);
    model.Logits(hidden, row);
    step_logits.insert(step_logits.end(), row.row(0), row.row(0) + vocab);
    ids.push_back(sampler.Sample(row.row_span(0)));
    if (drafts != nullptr) FACET_TRY(drafts->Sampled(sequence, ids.back(), hidden));
  }
  out.AddFloats("step_logits", {steps, vocab}, step_logits);
  out.AddInts("generated_ids", {steps}, ids);
  if (drafts != nullptr) drafts->Finish();
  return Ok();
}

Result<void> Conform(const ConformOptions& options) {
  FACET_ASSIGN(const ConformCase input, ReadCase(options));
  ThreadPool pool(options.threads);
  LoadOptions load;
  load.model = input.files.model;
  load.mmproj = input.files.mmproj;
  load.precision = options.fast ? Precision::kFast : Precision::kPlain;
  load.compact_cache = options.compact;
  load.cache = CacheTypeOf(options.cache);
  FACET_ASSIGN(const std::unique_ptr<Model> model, Model::Load(load, pool));
  std::shared_ptr<const Adapter> adapter;
  if (!options.adapter.empty()) {
    FACET_ASSIGN(adapter, model->LoadAdapter(options.adapter));
  }
  std::unique_ptr<Drafter> drafter;
  if (!options.draft.empty()) {
    FACET_ASSIGN(const ModelFiles draft, ResolveModel(options.draft));
    FACET_ASSIGN(drafter, Drafter::Load(draft.model, *model));
  }
  FACET_ASSIGN(const Prompt prompt, PromptOfCase(options, input, model->config()));
  if (prompt.ids.empty()) return Error{Cat(options.case_file.string(), ": the prompt is empty")};

  TensorOutput out;
  const int64_t total = static_cast<int64_t>(prompt.ids.size());
  out.AddInts("input_ids", {total}, prompt.ids);
  const MediaOptions media = MediaOfCase(input.request);
  WritePatches(prompt, SoftItem::Kind::kImage, ImageBudget(media, model->config()), "pixel_values",
               "image_position_ids", out);
  WritePatches(prompt, SoftItem::Kind::kFrame, VideoBudget(media, model->config()),
               "pixel_values_videos", "video_position_ids", out);
  WriteSound(prompt, out);
  KvSequence sequence(model->cache());
  Buffer hidden;
  std::vector<float> embeddings;
  FACET_TRY(ReadPrompt(*model, adapter.get(), prompt, options.chunk, sequence, hidden, embeddings));
  out.AddFloats("embeddings", {total, model->config().text.width}, embeddings);
  WritePromptLogits(*model, hidden, options.top, out);
  std::optional<DraftRecorder> drafts;
  if (drafter) drafts.emplace(*drafter, out);
  FACET_TRY(Decode(*model, adapter.get(), sequence, hidden.view().rows_at(total - 1, 1),
                   options.max_new, drafts ? &*drafts : nullptr, out));
  return out.Save(options.out);
}

void AddGradientOptions(CLI::App& command, ConformOptions& options) {
  const char* group = "Tuning";
  CLI::Option* grad = command
                          .add_option("--grad", options.grad,
                                      "Write losses and gradients of tuning instead: full or lora")
                          ->check(CLI::IsMember({"full", "lora"}))
                          ->group(group);
  command.add_option("--steps", options.steps, "Steps of AdamW (--grad)")
      ->check(CLI::Range(0, 100000))
      ->capture_default_str()
      ->needs(grad)
      ->group(group);
  command.add_option("--lr", options.lr, "Learning rate (--grad)")
      ->capture_default_str()
      ->needs(grad)
      ->group(group);
  command.add_option("--weight-decay", options.weight_decay, "Weight decay (--grad)")
      ->capture_default_str()
      ->needs(grad)
      ->group(group);
  command
      .add_option("--save-adapter", options.save_adapter,
                  "Folder for what was trained, after the last step (--grad)")
      ->needs(grad)
      ->group(group);
}

void AddConformOptions(CLI::App& command, ConformOptions& options) {
  command.add_option("model", options.model, "Model: a name, a checkpoint folder or a GGUF")
      ->required();
  command.add_option("case", options.case_file, "Case: {\"messages\": ...} or {\"text\": ...}")
      ->required();
  command.add_option("out", options.out, "safetensors file to write")->required();
  command.add_option("--media", options.media, "Folder that the case's paths start from")
      ->capture_default_str();
  command.add_option("--mmproj", options.mmproj, "Projector file of a GGUF model");
  command.add_option("--draft", options.draft, "Drafter: also write draft_logits");
  command.add_option("--top", options.top, "Write the K best logits and the log-sum-exp only")
      ->check(CLI::Range(1, 4096));
  command.add_option("--max-new", options.max_new, "Greedy tokens after the prompt")
      ->check(CLI::Range(0, 100000))
      ->capture_default_str();
  command.add_option("--chunk", options.chunk, "Prompt tokens a step")
      ->check(CLI::Range(1, 1 << 20));
  command.add_option("--threads", options.threads, "Threads; 0 = all cores")
      ->check(CLI::Range(0, 1024));
  AddCacheType(command, "--cache", options.cache);
  command.add_flag("--compact", options.compact, "Compact cache of full layers");
  command.add_flag("--fast", options.fast, "The fast kernels instead of float32");
  command.add_option("--adapter", options.adapter, "Folder of a LoRA adapter (PEFT)");
}

}  // namespace

void AddConform(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<ConformOptions>();
  CLI::App* command = app.add_subcommand(
      "conform", "Write what the model computes for one case, to compare with the reference");
  AddConformOptions(*command, *options);
  AddGradientOptions(*command, *options);
  command->footer(
      "OUT holds input_ids, the processor's tensors, embeddings, prompt_logits, and step_logits "
      "and generated_ids of greedy\n"
      "decoding that ignores stop tokens; with --top, top_ids, top_logits and logsumexp instead of "
      "prompt_logits.\n"
      "With --grad, losses before each step and after the last, and grad.NAME of the first step; "
      "the "
      "case's first_label\n"
      "is the first token to be predicted.\n"
      "Examples:\n"
      "  facet conform checkpoint case.json out.safetensors --media pictures\n"
      "  echo '{\"text\": \"<bos>Once upon a time\"}' > case.json\n"
      "  facet conform model.gguf case.json out.safetensors --top 32 --max-new 8");
  command->callback([options, &exit_code] {
    exit_code = Report(options->grad.empty() ? Conform(*options) : ConformGradients(*options));
  });
}

}  // namespace facet::cli
