#include "engine/prompt.h"

#include <algorithm>

#include "base/mapped_file.h"
#include "base/picture_budget.h"
#include "engine/media_parts.h"

namespace facet {
namespace {

// True where one of the spans (sorted, disjoint) has a byte in [begin, end).
bool Touches(std::span<const TextSpan> spans, size_t begin, size_t end) {
  const auto at = std::partition_point(spans.begin(), spans.end(),
                                       [&](const TextSpan& s) { return s.end <= begin; });
  return at != spans.end() && at->begin < end;
}

TokenId PlaceholderOf(const ModelConfig& config, SoftItem::Kind kind) {
  switch (kind) {
    case SoftItem::Kind::kImage:
      return config.tokens.image;
    case SoftItem::Kind::kFrame:
      return config.tokens.video;
    case SoftItem::Kind::kAudio:
      return config.tokens.audio;
  }
  return -1;
}

// Joins rendered text and soft tokens to a prompt. Text is tokenised up to each run of soft tokens:
// a special token always ends the text before it, so the ids are those that the whole text with
// its placeholders would give.
class PromptWriter {
 public:
  PromptWriter(const ModelConfig& config, const Tokenizer& tokenizer, size_t limit)
      : config_(config), tokenizer_(tokenizer), limit_(limit) {}

  // Bytes [begin, end) of the rendered text, with the plain spans inside.
  void AddText(const RenderedPrompt& rendered, size_t begin, size_t end) {
    const size_t shift = text_.size() - begin;
    text_.append(rendered.text, begin, end - begin);
    const std::vector<TextSpan>& plain = rendered.plain;
    for (; next_span_ < plain.size() && plain[next_span_].begin < end; ++next_span_)
      spans_.push_back({plain[next_span_].begin + shift, plain[next_span_].end + shift});
  }
  Result<void> AddMedia(MediaExpansion expansion) {
    for (MediaExpansion::Run& run : expansion.runs) {
      text_ += run.before;
      FACET_TRY(AddSoftTokens(expansion.placeholder, std::move(run.item)));
    }
    text_ += expansion.after;
    return Ok();
  }
  Result<Prompt> Finish() {
    FACET_TRY(TokeniseText());
    return std::move(prompt_);
  }

 private:
  Result<void> TokeniseText() {
    const size_t left = limit_ - std::min(limit_, prompt_.ids.size());
    const auto ids = tokenizer_.EncodeAtMost(left, text_, spans_);
    if (!ids)
      return Error{Cat("the prompt has more than ", limit_, " tokens"), ErrorKind::kOverContext};
    prompt_.ids.insert(prompt_.ids.end(), ids->begin(), ids->end());
    prompt_.text += text_;
    text_.clear();
    spans_.clear();
    return Ok();
  }
  Result<void> AddSoftTokens(std::string_view placeholder, std::shared_ptr<SoftItem> item) {
    const TokenId id = PlaceholderOf(config_, item->kind);
    if (item->count > 0 && tokenizer_.Find(placeholder) != id) {
      return Error{
          "the vocabulary does not have the placeholders of this model's pictures and sound"};
    }
    FACET_TRY(TokeniseText());
    item->begin = static_cast<int>(prompt_.ids.size());
    prompt_.ids.insert(prompt_.ids.end(), item->count, id);
    for (int i = 0; i < item->count; ++i) prompt_.text += placeholder;
    prompt_.items.push_back(std::move(item));
    return Ok();
  }

  const ModelConfig& config_;
  const Tokenizer& tokenizer_;
  const size_t limit_;  // tokens
  Prompt prompt_;
  size_t next_span_ = 0;         // of the rendered text's plain spans
  std::string text_;             // not tokenised yet
  std::vector<TextSpan> spans_;  // plain spans of text_
};

}  // namespace

std::shared_ptr<void> MediaMemory::Hold(size_t bytes) {
  size_t held = held_.load();
  do {
    if (bytes > limit_ - held) return nullptr;
  } while (!held_.compare_exchange_weak(held, held + bytes));
  return {this, [memory = shared_from_this(), bytes](void*) { memory->held_ -= bytes; }};
}

int ImageBudget(const MediaOptions& options, const ModelConfig& config) {
  return options.image_budget.value_or(config.vision ? config.vision->image_budget : kImageBudget);
}

int VideoBudget(const MediaOptions& options, const ModelConfig& config) {
  return options.video_budget.value_or(config.vision ? config.vision->video_budget : kVideoBudget);
}

Result<MediaSource> ReadMediaFile(const std::filesystem::path& path) {
  FACET_ASSIGN(std::string bytes, ReadFile(path));
  return MediaSource(std::move(bytes));
}

std::vector<PictureSpan> Prompt::Pictures() const {
  std::vector<PictureSpan> pictures;
  for (const auto& item : items) {
    if (item->picture()) pictures.push_back({item->begin, item->end()});
  }
  return pictures;
}

Result<Prompt> JoinMedia(const ModelConfig& config, const Tokenizer& tokenizer,
                         const RenderedPrompt& rendered, std::vector<MediaExpansion> expansions,
                         size_t max_tokens) {
  PromptWriter writer(config, tokenizer, max_tokens);
  const std::string_view text = rendered.text;
  size_t next = 0, copied = 0;
  for (size_t at = text.find("<|"); at != text.npos; at = text.find("<|", at + 1)) {
    const std::string_view rest = text.substr(at);
    std::string_view found;
    for (const std::string_view placeholder :
         {kImagePlaceholder, kAudioPlaceholder, kVideoPlaceholder}) {
      if (rest.starts_with(placeholder)) found = placeholder;
    }
    if (found.empty() || Touches(rendered.plain, at, at + found.size())) continue;
    if (next == expansions.size() || expansions[next].placeholder != found) {
      return Error{
          Cat("the chat template writes ", found, " where the messages have ",
              next == expansions.size() ? "no further media" : expansions[next].placeholder)};
    }
    writer.AddText(rendered, copied, at);
    FACET_TRY(writer.AddMedia(std::move(expansions[next++])));
    copied = at + found.size();
  }
  writer.AddText(rendered, copied, text.size());
  if (next != expansions.size()) {
    return Error{Cat("the chat template writes no place for ", expansions[next].placeholder),
                 ErrorKind::kUnsupported};
  }
  return writer.Finish();
}

namespace {

void AppendPlain(const std::string& text, RenderedPrompt& to) {
  if (text.empty()) return;
  to.plain.push_back({to.text.size(), to.text.size() + text.size()});
  to.text += text;
}

// As the model would have written it so far. Special tokens inside of it stay text.
void Append(const BegunAnswer& begun, RenderedPrompt& to) {
  constexpr std::string_view kOpen = "<|channel>thought\n", kClose = "<channel|>";
  if (!begun.thoughts.empty()) {
    // In place of the empty channel by which a template switches thinking off.
    const std::string empty = Cat(kOpen, kClose);
    if (to.text.ends_with(empty)) to.text.erase(to.text.size() - empty.size());
    to.text += kOpen;
    AppendPlain(begun.thoughts, to);
    if (!begun.content.empty()) to.text += Cat("\n", kClose);
  }
  AppendPlain(begun.content, to);
}

}  // namespace

Result<Prompt> BuildPrompt(const ModelConfig& config, const Tokenizer& tokenizer,
                           const ChatTemplate& chat_template, PromptRequest request) {
  const size_t max_tokens = request.max_tokens;
  FACET_ASSIGN(std::vector<MediaExpansion> media, DecodeMediaParts(config, request));
  FACET_ASSIGN(
      RenderedPrompt rendered,
      chat_template.Render(std::move(request.messages), std::move(request.tools), request.render));
  if (request.begun) Append(*request.begun, rendered);
  return JoinMedia(config, tokenizer, rendered, std::move(media), max_tokens);
}

Prompt RawPrompt(const Tokenizer& tokenizer, std::string text) {
  Prompt prompt;
  prompt.ids = tokenizer.Encode(text);
  prompt.text = std::move(text);
  return prompt;
}

Result<void> EmbedItem(Model& model, const SoftItem& item, const Adapter* adapter, Buffer& rows) {
  if (item.count == 0) return Ok();
  Mat out = rows.Resize(item.count, model.config().text.width);
  if (!item.picture())
    return model.EmbedAudio({item.frames.data(), item.count, media::kFrameSamples}, out, adapter);
  const media::Patches& patches = item.patches;
  return model.EmbedPatches({patches.pixels.data(), patches.count(), media::kPatchValues},
                            patches.columns, out, adapter);
}

Result<EmbeddedMedia> EmbedMedia(Model& model, Media media, const Adapter* adapter) {
  EmbeddedMedia out;
  for (const auto& item : media) {
    if (item->count == 0) continue;
    FACET_TRY(EmbedItem(model, *item, adapter, out.rows.emplace_back()));
    out.runs.push_back({item->begin, std::as_const(out.rows.back()).view(), item->picture()});
  }
  return out;
}

}  // namespace facet
