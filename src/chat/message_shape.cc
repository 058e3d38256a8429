#include "chat/message_shape.h"

#include <map>
#include <nlohmann/json.hpp>

#include "formats/json.h"

namespace facet {
namespace {

using Json = nlohmann::ordered_json;

// Deeper arguments stay the text that they are.
constexpr int kMaxArgumentDepth = 60;

const Json& At(const Json& object, const char* key) {
  static const Json kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

std::string_view RoleOf(const Json& message) {
  return At(message, "role").get_ref<const std::string&>();
}

// Text of a content: itself, its text parts, or nothing.
std::string TextOf(const Json& content) {
  if (content.is_string()) return content.get<std::string>();
  std::string text;
  if (!content.is_array()) return text;
  for (const Json& part : content) {
    if (part.is_object() && At(part, "text").is_string())
      text += At(part, "text").get<std::string>();
  }
  return text;
}

bool IsEmpty(const Json& content) {
  return content.is_null() || content == "" || (content.is_array() && content.empty());
}

bool CallsTools(const Json& message) {
  const Json& calls = At(message, "tool_calls");
  return RoleOf(message) == "assistant" && calls.is_array() && !calls.empty();
}

Result<void> CheckMessages(const Json& messages) {
  if (!messages.is_array()) return Expected("a list", messages.type_name(), "messages");
  if (messages.empty()) return Expected("at least one message", "none", "messages");
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string where = Cat("messages[", i, "]");
    const Json& message = messages[i];
    if (!message.is_object()) return Expected("an object", message.type_name(), where);
    const Json& role = At(message, "role");
    if (!role.is_string()) return Expected("a string", role.type_name(), where + ".role");
    const Json& calls = At(message, "tool_calls");
    if (calls.is_null()) continue;
    if (!calls.is_array()) return Expected("a list", calls.type_name(), where + ".tool_calls");
    for (const Json& call : calls) {
      const bool named = call.is_object() && At(call, "function").is_object() &&
                         At(At(call, "function"), "name").is_string();
      if (!named)
        return Expected("a function with a name",
                        call.dump(-1, ' ', false, Json::error_handler_t::replace),
                        where + ".tool_calls");
    }
  }
  return Ok();
}

bool IsTooDeep(std::string_view text) {
  int depth = 0;
  for (const char c : text) {
    if (c == '[' || c == '{') ++depth;
    if (c == ']' || c == '}') --depth;
    if (depth > kMaxArgumentDepth) return true;
  }
  return false;
}

// Clients send arguments as JSON text; what is no object is left for the template to print.
void ParseArguments(Json& message) {
  if (!message.contains("tool_calls") || !message["tool_calls"].is_array()) return;
  for (Json& call : message["tool_calls"]) {
    Json& function = call["function"];
    const Json& given = At(function, "arguments");
    if (given.is_null() || given == "") {
      function["arguments"] = Json::object();
    } else if (given.is_string()) {
      const auto& text = given.get_ref<const std::string&>();
      if (IsTooDeep(text)) continue;
      constexpr JsonLimits kLimits = {.max_depth = kMaxArgumentDepth,
                                      .duplicates = DuplicateKeys::kLastWins,
                                      .long_integers = true};
      auto parsed = ParseJson(text, kLimits);
      if (parsed && parsed->is_object()) function["arguments"] = *std::move(parsed);
    }
  }
}

void JoinSystemParts(Json& message) {
  const std::string_view role = RoleOf(message);
  const Json& content = At(message, "content");
  if ((role != "system" && role != "developer") || !content.is_array()) return;
  for (const Json& part : content) {
    if (!part.is_object() || At(part, "type") != "text") return;
  }
  message["content"] = TextOf(content);
}

// The name of the function that a result answers: by call id, else the only one, else what the
// message says.
Json NameOfResult(const Json& call_message, const Json& result, size_t index) {
  const Json& calls = At(call_message, "tool_calls");
  const Json& id = At(result, "tool_call_id");
  for (const Json& call : calls) {
    if (!id.is_null() && At(call, "id") == id) return At(At(call, "function"), "name");
  }
  if (At(result, "name").is_string()) return At(result, "name");
  if (id.is_null() && index < calls.size()) return At(At(calls[index], "function"), "name");
  return "unknown";
}

void AppendContent(Json& message, const Json& more) {
  if (IsEmpty(more)) return;
  Json& content = message["content"];
  if (IsEmpty(content)) {
    content = more;
  } else {
    content = TextOf(content) + "\n\n" + TextOf(more);
  }
}

Json FoldToolResults(Json messages) {
  Json folded = Json::array();
  for (size_t i = 0; i < messages.size(); ++i) {
    Json message = std::move(messages[i]);
    if (!CallsTools(message)) {
      folded.push_back(std::move(message));
      continue;
    }
    Json responses = Json::array();
    for (; i + 1 < messages.size() && RoleOf(messages[i + 1]) == "tool"; ++i) {
      const Json& result = messages[i + 1];
      const Json& content = At(result, "content");
      responses.push_back({{"name", NameOfResult(message, result, responses.size())},
                           {"response", content.is_object() ? content : Json(TextOf(content))}});
    }
    if (!responses.empty()) {
      message["tool_responses"] = std::move(responses);
      const bool answered = i + 1 < messages.size() && RoleOf(messages[i + 1]) == "assistant" &&
                            !CallsTools(messages[i + 1]);
      if (answered) AppendContent(message, At(messages[++i], "content"));
    }
    folded.push_back(std::move(message));
  }
  return folded;
}

}  // namespace

Result<Json> ShapeMessages(Json messages, const MessageShape& shape) {
  FACET_TRY(CheckMessages(messages));
  if (!shape.tool_messages) messages = FoldToolResults(std::move(messages));
  for (Json& message : messages) {
    ParseArguments(message);
    if (!shape.system_parts) JoinSystemParts(message);
  }
  return messages;
}

}  // namespace facet
