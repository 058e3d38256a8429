// Anthropic's Messages API as another spelling of a chat.
// Source: platform.claude.com/docs/en/api/messages and the types of Anthropic's own clients.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "serve/chat_route.h"
#include "serve/openai/requests.h"

namespace facet::serve {

struct MessagesRequest {
  ChatRequest chat;
  OrderedJson given_system, given_messages;  // as the client wrote them, until they have been read
  // How thoughts are given. Clients that did not ask for them take the first block for the answer.
  enum class Thoughts { kLeftOut, kShown, kSigned } thoughts = Thoughts::kLeftOut;
  std::optional<std::string> effort;
  bool manages_context = false;  // the answer says what was done about it
};

// Of /v1/messages; /v1/messages/count_tokens takes the same, and none of them is required there but
// the messages. What is taken without effect is noted in `ignored`; null: it is refused where it is
// not known.
const FieldTable<MessagesRequest>& MessagesFields();
Result<MessagesRequest> ReadMessages(OrderedJson body, const ModelPool& models,
                                     const MediaAccess& access, bool counting,
                                     IgnoredFields* ignored);

// Reads system and messages into the conversation of a chat.
Result<Conversation> ReadMessageTurns(OrderedJson system, OrderedJson messages,
                                      const MediaAccess& access, IgnoredFields* ignored);
// `tools` into the chat's own; what a hosted service would run itself is left out.
Result<OrderedJson> ReadMessageTools(OrderedJson& tools, IgnoredFields* ignored);

// Thoughts as a signature that the client sends back, and what such a signature holds: nothing
// where it is another server's.
std::string SignThoughts(const std::string& thoughts);
std::string SignedThoughts(const std::string& signature);

std::shared_ptr<AnswerJob> MakeMessagesJob(const ChatStart& start, const MessagesRequest& request);

// Whether /v1/models, which the APIs share, is asked by a client of this one; and what it gets.
bool SpeaksAnthropic(const HttpRequest& request);
OrderedJson AnthropicModelList(const ModelPool& models);
OrderedJson AnthropicModel(const ModelPool& models, const std::string& id);

// {"type": "error", "error": {"type", "message"}, "request_id"}.
HttpResponse AnthropicError(const Error& error);

}  // namespace facet::serve
