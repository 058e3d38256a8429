// A chat at a terminal: the loop of questions and answers, and the commands between them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cli/terminal/chat_settings.h"
#include "cli/terminal/python_host.h"
#include "runtime/conversation.h"

namespace facet::cli {

// A model to talk to, with the settings that it starts with.
struct ChatModel {
  std::shared_ptr<const LoadedModel> model;
  ReplyOptions reply;
};

struct ChatOptions {
  std::string system;
  nlohmann::json media;  // parts before the first question
  bool stats = false;
  // For /model: loads what has this name. The model before is given up first, since two may not
  // fit.
  std::function<Result<ChatModel>(const std::string& name)> load;
  std::vector<std::string> names;  // of models, for completion
  std::string name;                // what `load` calls the first model
  PythonLoop* python = nullptr;    // null: programs that the model writes are only shown
  PythonFlags python_flags = {};
};

// Reads questions until /exit, the end of input or a second Ctrl-C. Ctrl-C stops an answer, or
// clears the line.
Result<void> ChatAtTerminal(ChatModel model, const ChatOptions& options);

}  // namespace facet::cli
