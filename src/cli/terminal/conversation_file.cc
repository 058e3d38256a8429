#include "cli/terminal/conversation_file.h"

#include "base/atomic_file.h"
#include "formats/json.h"

namespace facet::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Empty where it is as it should be.
std::string WrongPart(const json& part) {
  const auto text = [&](const char* key) {
    const auto at = part.find(key);
    return at != part.end() && at->is_string() ? at->get<std::string>() : std::string();
  };
  if (!part.is_object()) return "a part is no object";
  const std::string type = text("type");
  if (type == "text") return part.contains("text") && part["text"].is_string() ? "" : "no text";
  if (type != "image" && type != "audio" && type != "video") return "a part of no known type";
  std::error_code code;
  if (!fs::is_regular_file(text("path"), code))
    return Cat("the file ", ShowJson(json(text("path"))), " is gone");
  return "";
}

std::string WrongMessage(const json& message, bool first) {
  if (!message.is_object() || !message.contains("role") || !message["role"].is_string())
    return "no role";
  const std::string role = message["role"];
  if (role != "user" && role != "assistant" && !(role == "system" && first))
    return Cat("a role of ", ShowJson(message["role"]), " at this place");
  const json content = message.value("content", json());
  if (content.is_string()) return "";
  if (!content.is_array()) return "no content";
  for (const json& part : content) {
    if (std::string wrong = WrongPart(part); !wrong.empty()) return wrong;
  }
  return "";
}

}  // namespace

Result<void> SaveConversation(const fs::path& path, const json& messages,
                              const std::string& model) {
  return WriteFile(path,
                   DumpJson(json{{"messages", messages}, {"meta", {{"model", model}}}}) + "\n");
}

Result<json> LoadConversation(const fs::path& path) {
  FACET_ASSIGN(const json file, ReadJson(path));
  if (!file.is_object() || !file.contains("messages") || !file["messages"].is_array()) {
    return Error{Cat(path.string(), ": no conversation: expected an object with \"messages\"")};
  }
  const json& messages = file["messages"];
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string wrong = WrongMessage(messages[i], i == 0);
    if (!wrong.empty()) return Error{Cat(path.string(), ": messages[", i, "]: ", wrong)};
  }
  return messages;
}

}  // namespace facet::cli
