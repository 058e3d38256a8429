// From the media parts of a conversation to soft tokens.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/prompt.h"

namespace facet {

// What takes the place of the template's placeholder of one media part: runs of soft tokens, each
// with the text before it, and the text after the last.
struct MediaExpansion {
  struct Run {
    std::string before;
    std::shared_ptr<SoftItem> item;
  };
  std::string_view placeholder;
  std::vector<Run> runs;
  std::string after;
};

// The placeholders that templates write, one for each part; a run has one for each soft token.
inline constexpr std::string_view kImagePlaceholder = "<|image|>", kAudioPlaceholder = "<|audio|>",
                                  kVideoPlaceholder = "<|video|>";

// Decodes or measures the media of all messages, part by part and in their order. Changes the
// messages: a film with sound becomes the film and an audio part after it, so that the template
// writes both. Errors as BuildPrompt.
Result<std::vector<MediaExpansion>> DecodeMediaParts(const ModelConfig& config,
                                                     PromptRequest& request);

// The rendered text with every placeholder of the template replaced by its expansion, tokenised.
// Errors: placeholders that are not those of the expansions, in their order; more than `max_tokens`
// (kOverContext).
Result<Prompt> JoinMedia(const ModelConfig& config, const Tokenizer& tokenizer,
                         const RenderedPrompt& rendered, std::vector<MediaExpansion> expansions,
                         size_t max_tokens = SIZE_MAX);

}  // namespace facet
