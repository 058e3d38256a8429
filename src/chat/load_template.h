// Where checkpoints keep their chat template.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "chat/chat_template.h"

namespace facet {

// The text of the template; none: the checkpoint has no template.
Result<std::optional<std::string>> FindChatTemplate(const std::filesystem::path& model);

// chat_template.jinja, chat_template.json, tokenizer_config.json, or a GGUF's
// tokenizer.chat_template. None: the checkpoint continues plain text.
Result<std::optional<ChatTemplate>> LoadChatTemplate(const std::filesystem::path& model,
                                                     const Tokenizer& tokenizer);

}  // namespace facet
