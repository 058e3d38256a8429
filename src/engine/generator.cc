#include "engine/generator.h"

#include <algorithm>
#include <chrono>

namespace facet {
namespace {

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

bool Cancelled(const GenerateOptions& options) { return options.cancel != nullptr && options.cancel->load(); }

}  // namespace

Session::Session(Model& model, std::shared_ptr<const Tokenizer> tokenizer)
    : model_(model), tokenizer_(std::move(tokenizer)), sequence_(model.cache()) {}

void Session::Clear() {
  sequence_ = KvSequence(model_.cache());
  read_.clear();
  soft_.clear();
}

int Session::Reuse(const Prompt& prompt) {
  int same = 0;
  const int limit = static_cast<int>(std::min(read_.size(), prompt.ids.size() - 1));  // the last token is read anew for its logits
  while (same < limit && read_[same] == prompt.ids[same]) ++same;
  // Soft tokens look alike: what lies under them must be equal too, and a run is reused whole or not at all.
  size_t item = 0;
  for (const auto& soft : prompt.items) {
    if (soft->begin >= same) break;
    const bool equal = item < soft_.size() && soft_[item] == std::pair(soft->begin, soft->hash);
    if (!equal || soft->begin + soft->count > same) {
      same = soft->begin;
      break;
    }
    ++item;
  }
  if (!sequence_.CanRewind(same)) {
    Clear();
    return 0;
  }
  if (!sequence_.Rewind(same).ok()) return 0;
  read_.resize(same);
  std::erase_if(soft_, [&](const auto& s) { return s.first >= same; });
  return same;
}

Result<void> Session::Prefill(const Prompt& prompt, int begin, const GenerateOptions& options, Buffer& hidden) {
  const std::vector<SoftRun> runs = prompt.Runs();
  const int total = static_cast<int>(prompt.ids.size());
  for (int at = begin; at < total;) {
    if (Cancelled(options)) return Error{"cancelled", ErrorKind::kCancelled};
    const int count = ChunkLength(runs, at, total, options.chunk);
    const Chunk chunk{&sequence_, std::span(prompt.ids).subspan(at, count), runs, at + count == total ? 1 : 0};
    FACET_TRY(model_.Forward({&chunk, 1}, hidden));
    sequence_.Commit(count);
    read_.insert(read_.end(), chunk.tokens.begin(), chunk.tokens.end());
    at += count;
    for (const auto& soft : prompt.items) {
      if (soft->begin >= at - count && soft->begin < at) soft_.emplace_back(soft->begin, soft->hash);
    }
    if (options.on_prompt) options.on_prompt(at, total);
  }
  return Ok();
}

Result<GenerateResult> Session::Generate(Prompt& prompt, const GenerateOptions& options) {
  const int context = model_.config().text.context, total = static_cast<int>(prompt.ids.size());
  if (total == 0) return Error{"the prompt is empty"};
  if (total >= context) {
    return Error{Cat("the prompt has ", total, " tokens, the context holds ", context), ErrorKind::kResource};
  }
  FACET_TRY(CheckSampling(options.sampling, model_.config().text.vocab));
  GenerateResult result;
  const double start = Seconds();
  FACET_TRY(EmbedPrompt(model_, prompt));
  result.prompt_tokens = total;
  result.cached_tokens = Reuse(prompt);
  Buffer hidden, logits;
  FACET_TRY(Prefill(prompt, result.cached_tokens, options, hidden));

  Sampler sampler(options.sampling);
  sampler.AddPrompt(prompt.ids);
  StreamDecoder decoder(tokenizer_, options.skip_special);
  StopStrings stops(options.stop);
  const auto emit = [&](const std::string& text) {
    if (text.empty()) return;
    result.text += text;
    if (options.on_text) options.on_text(text);
  };
  const int room = context - total;
  const int limit = options.max_tokens < 0 ? room : std::min(options.max_tokens, room);
  const std::vector<int>& eos = model_.config().generation.eos;
  double first = Seconds();
  result.prompt_seconds = first - start;
  result.finish = GenerateResult::Finish::kLength;
  for (int step = 0; step < limit; ++step) {
    if (Cancelled(options)) {
      result.finish = GenerateResult::Finish::kCancelled;
      break;
    }
    if (step > 0) {
      const TokenId last = result.ids.back();
      const Chunk chunk{&sequence_, {&last, 1}, {}, 1};
      FACET_TRY(model_.Forward({&chunk, 1}, hidden));
      sequence_.Commit(1);
      read_.push_back(last);
    }
    model_.Logits(hidden, logits.Resize(1, model_.config().text.vocab));
    const TokenId id = sampler.Sample(logits.view().row_span(0));
    sampler.Accept(id);
    result.ids.push_back(id);
    if (step == 0) {
      first = Seconds();
      result.prompt_seconds = first - start;
    }
    if (options.on_token) options.on_token(id);
    if (std::find(eos.begin(), eos.end(), id) != eos.end()) {
      result.finish = GenerateResult::Finish::kStop;
      break;
    }
    emit(stops.Add(decoder.Add(id)));
    if (stops.stopped()) {
      result.finish = GenerateResult::Finish::kStop;
      break;
    }
  }
  if (!stops.stopped()) {
    emit(stops.Add(decoder.Finish()));
    emit(stops.Finish());
  }
  result.decode_seconds = Seconds() - first;
  return result;
}

}  // namespace facet
