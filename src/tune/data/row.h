// One line of a data file: a conversation and what of it is to be learnt, or plain text.
// docs/tuning.md lists the fields.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/prompt.h"

namespace facet::tune {

struct Row {
  // In the shape that BuildPrompt takes. Media parts have `path` (absolute or from the working
  // folder) or `data` (base64). Reasoning lies in `reasoning_content`, never inside the content.
  nlohmann::ordered_json messages = nlohmann::ordered_json::array();
  std::vector<bool> trained;     // by message: an assistant's that is to be learnt
  nlohmann::ordered_json tools;  // null or a list
  RenderOptions render;
  MediaOptions media;
  bool spell = false;  // labelled text is tokenised character by character

  // Rows of `prompt` and `completion` or of `text` for a model without a template.
  struct Plain {
    std::string prompt, completion;
  };
  std::optional<Plain> plain;
};

struct RowOptions {
  bool plain = false;  // prompt and completion are texts to continue, not turns
  MediaOptions media;
};

// A line of JSON: `messages`; ShareGPT's `conversations`; `prompt` and `completion`; or `text`.
// `folder` is where relative paths start. Errors name the field: unknown, wrong type, a media file
// that is not there, an address that would have to be downloaded, a conversation without a trained
// message.
Result<Row> ReadRow(std::string_view line, const std::filesystem::path& folder,
                    const RowOptions& options);

// The bytes of a media part of a row.
Result<std::string> LoadPart(const nlohmann::ordered_json& part);

}  // namespace facet::tune
