// A conversation in a file: a line of JSON that `facet tune` takes as data, too.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/result.h"

namespace facet::cli {

// `messages` in the chat API's shape; media parts carry absolute paths.
Result<void> SaveConversation(const std::filesystem::path& path, const nlohmann::json& messages,
                              const std::string& model);
// Messages with the roles system (first, if at all), user and assistant. Errors name the file and
// the message: what is no conversation, a file of a media part that is gone.
Result<nlohmann::json> LoadConversation(const std::filesystem::path& path);

}  // namespace facet::cli
