// What /set changes in a chat.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runtime/conversation.h"

namespace facet::cli {

struct ChatSettings {
  ReplyOptions reply;
  bool stats = false;
};

std::vector<std::string> SettingNames();
// The values of all settings, a line each.
std::string ShowSettings(const ChatSettings& settings);
// Errors name the setting, and what it takes; `settings` is then as it was. `vocab` bounds ids.
Result<void> ChangeSetting(std::string_view name, std::string_view value, int vocab,
                           ChatSettings& settings);

}  // namespace facet::cli
