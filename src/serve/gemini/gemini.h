// Gemini's API as another spelling of chats and embeddings.
// Source: ai.google.dev/api, and the converters of Google's own clients (google-genai).
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "serve/chat_route.h"
#include "serve/openai/requests.h"

namespace facet::serve {

struct GeminiRequest {
  ChatRequest chat;
  OrderedJson given_contents, given_system;  // as the client wrote them, until they have been read
  OrderedJson given_tools, given_tool_config;
  bool show_thoughts = false;
  std::string mime_type = "text/plain";  // of the answer
  bool logprobs = false;
  std::optional<int> given_logprobs;
  std::optional<int> picture_budget;  // of what has no resolution of its own
  // A stream: server-sent events, or one list.
  bool events = false;
};
const FieldTable<GeminiRequest>& GeminiFields();
Result<GeminiRequest> ReadGemini(OrderedJson body, const MediaAccess& access,
                                 IgnoredFields* ignored);

// Names of fields as the API prefers them: "system_instruction" becomes "systemInstruction". What
// belongs to the client itself, such as arguments and schemas, stays.
OrderedJson CamelFields(OrderedJson value);
// A schema of the API's own kind (types in capitals, nullable, propertyOrdering) as JSON Schema.
OrderedJson JsonSchema(OrderedJson schema);

// Reads the system instruction and the contents into the conversation of a chat.
Result<Conversation> ReadContents(const GeminiRequest& request, OrderedJson system,
                                  OrderedJson contents, const MediaAccess& access,
                                  IgnoredFields* ignored);
// The text of {"parts": [{"text"}]}.
Result<std::string> ReadContentText(OrderedJson& content, const std::string& path,
                                    IgnoredFields* ignored);
// tools and toolConfig into those of the chat.
Result<void> ReadGeminiTools(GeminiRequest& request, IgnoredFields* ignored);

std::shared_ptr<AnswerJob> MakeGeminiJob(const ChatStart& start, const GeminiRequest& request);

// The name that a model is served under: a name that begins with "gemini-" means the model that is
// served, where there is but one.
std::optional<std::string> GeminiModelName(const ModelPool& models, std::string name,
                                           IgnoredFields* ignored = nullptr);

// Whether /v1/models, which the APIs share, is asked by a client of this one.
bool SpeaksGemini(const HttpRequest& request);

// {"error": {"code", "message", "status"}}.
HttpResponse GeminiError(const Error& error);

}  // namespace facet::serve
