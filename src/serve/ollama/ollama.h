// Ollama's API as another spelling of chats, completions and embeddings.
// Source: docs/api.md of ollama/ollama, and its Python and JavaScript clients.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "serve/chat_route.h"
#include "serve/openai/embeddings.h"
#include "serve/openai/requests.h"

namespace facet::serve {

// A request for /api/chat or /api/generate.
struct OllamaRequest {
  ChatRequest chat;
  std::string name;                   // the model as the client calls it
  OrderedJson given_messages;         // of a chat, until they have been read
  std::string prompt, system;         // of a text
  OrderedJson given_images;           // of a text, until they have been read
  bool raw = false;                   // a text without the template
  bool unload = false;                // keep_alive is zero
  std::optional<int> penalty_window;  // repeat_last_n
  bool logprobs = false;
  std::optional<int> given_top_logprobs;
  bool texts = false;  // /api/generate
};
const FieldTable<OllamaRequest>& OllamaChatFields();
const FieldTable<OllamaRequest>& OllamaGenerateFields();
Result<OllamaRequest> ReadOllamaChat(OrderedJson body, const ModelPool& models,
                                     const MediaAccess& access, IgnoredFields* ignored);
Result<OllamaRequest> ReadOllamaText(OrderedJson body, const ModelPool& models,
                                     const MediaAccess& access, IgnoredFields* ignored);

struct OllamaEmbedRequest {
  std::optional<std::string> model;
  std::vector<TextOrIds> texts;
  bool truncate = true;
  std::optional<int> dimensions;
};
const FieldTable<OllamaEmbedRequest>& OllamaEmbedFields();

// One object a line, or a whole one.
std::shared_ptr<AnswerJob> MakeOllamaJob(const ChatStart& start, const OllamaRequest& request);

// {"error": message}.
HttpResponse OllamaError(const Error& error);

}  // namespace facet::serve
