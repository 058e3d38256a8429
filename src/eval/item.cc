#include "eval/item.h"

#include <map>

#include "base/mapped_file.h"
#include "formats/json.h"

namespace facet::eval {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const std::map<std::string, Check>& CheckNames() {
  static const std::map<std::string, Check> kNames = {
      {"words", Check::kWords}, {"letters", Check::kLetters},   {"labels", Check::kLabels},
      {"text", Check::kText},   {"sentence", Check::kSentence}, {"tools", Check::kTools},
      {"plot", Check::kPlot},   {"code", Check::kCode}};
  return kNames;
}

Result<std::string> TextField(const json& object, const char* key, bool required = true) {
  if (!object.contains(key)) {
    if (!required) return std::string();
    return Error{Cat(key, ": missing")};
  }
  if (!object[key].is_string()) return Expected("a string", object[key].type_name(), key);
  return object[key].get<std::string>();
}

// Media paths are relative to the file's folder.
void MakeAbsolute(json& message, const fs::path& folder) {
  if (!message.contains("content") || !message["content"].is_array()) return;
  for (json& part : message["content"]) {
    if (part.is_object() && part.contains("path") && part["path"].is_string())
      part["path"] = (folder / part["path"].get<std::string>()).string();
  }
}

Result<void> ReadMessages(const json& row, const fs::path& folder, Item& item) {
  if (!row.contains("messages") || !row["messages"].is_array())
    return Expected("a list", row.contains("messages") ? row["messages"].type_name() : "none",
                    "messages");
  item.messages = row["messages"];
  for (size_t i = 0; i < item.messages.size(); ++i) {
    json& message = item.messages[i];
    if (!message.is_object())
      return Expected("an object", message.type_name(), Cat("messages[", i, "]"));
    FACET_ASSIGN(const std::string role, TextField(message, "role"));
    if (role == "assistant") item.wanted.push_back(i);
    MakeAbsolute(message, folder);
  }
  if (item.wanted.empty()) return Error{"messages: no assistant's answer to compare with"};
  return Ok();
}

Result<Item> ReadItem(const json& row, const fs::path& folder) {
  if (!row.is_object()) return Expected("an object", row.type_name(), "line");
  Item item;
  FACET_ASSIGN(item.id, TextField(row, "id"));
  FACET_TRY(ReadMessages(row, folder, item));
  if (row.contains("tools")) item.tools = row["tools"];
  if (!row.contains("meta") || !row["meta"].is_object())
    return Error{"meta: missing; this is no file of held-out examples"};
  const json& meta = row["meta"];
  FACET_ASSIGN(item.skill, TextField(meta, "skill"));
  FACET_ASSIGN(item.group, TextField(meta, "group", false));
  FACET_ASSIGN(const std::string check, TextField(meta, "check"));
  const auto found = CheckNames().find(check);
  if (found == CheckNames().end()) return Expected("a kind of check", check, "meta.check");
  item.check = found->second;
  if (item.check == Check::kCode) {
    FACET_ASSIGN(item.function, TextField(meta, "function"));
    if (!meta.contains("tests") || !meta["tests"].is_array() || meta["tests"].empty())
      return Error{"meta.tests: expected at least one"};
    item.tests = meta["tests"];
  }
  return item;
}

// Calls `f` with each line's JSON; errors get the file and the line.
template <typename F>
Result<void> ForEachLine(const fs::path& file, F f) {
  FACET_ASSIGN(const std::string text, ReadFile(file));
  int number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == line.npos) continue;
    const std::string where = Cat(file.string(), ": line ", number);
    FACET_ASSIGN(const json row, ParseJson(line, where));
    const Result<void> done = f(row);
    if (!done.ok()) return done.error().In(where);
  }
  return Ok();
}

Result<Answer> ReadAnswer(const json& value) {
  Answer answer;
  if (value.is_string()) {
    answer.content = value.get<std::string>();
    return answer;
  }
  if (!value.is_object()) return Expected("a text or an object", value.type_name(), "answers");
  FACET_ASSIGN(answer.content, TextField(value, "content", false));
  if (value.contains("tool_calls")) {
    if (!value["tool_calls"].is_array())
      return Expected("a list", value["tool_calls"].type_name(), "tool_calls");
    for (const json& call : value["tool_calls"]) {
      if (!call.is_object()) return Expected("an object", call.type_name(), "tool_calls");
      FACET_ASSIGN(const std::string name, TextField(call, "name"));
      FACET_ASSIGN(const std::string arguments, TextField(call, "arguments"));
      answer.tool_calls.push_back({{"name", name}, {"arguments", arguments}});
    }
  }
  return answer;
}

}  // namespace

json Item::History(size_t turn) const {
  return json(std::vector<json>(messages.begin(), messages.begin() + wanted[turn]));
}

Result<std::vector<Item>> ReadItems(const fs::path& file) {
  std::vector<Item> items;
  const fs::path folder = fs::absolute(file).parent_path();
  FACET_TRY(ForEachLine(file, [&](const json& row) -> Result<void> {
    FACET_ASSIGN(Item item, ReadItem(row, folder));
    items.push_back(std::move(item));
    return Ok();
  }));
  return items;
}

Result<std::vector<std::pair<std::string, std::vector<Answer>>>> ReadAnswers(const fs::path& file) {
  std::vector<std::pair<std::string, std::vector<Answer>>> all;
  FACET_TRY(ForEachLine(file, [&](const json& row) -> Result<void> {
    if (!row.is_object()) return Expected("an object", row.type_name(), "line");
    FACET_ASSIGN(const std::string id, TextField(row, "id"));
    if (!row.contains("answers") || !row["answers"].is_array())
      return Error{"answers: expected a list"};
    std::vector<Answer> answers;
    for (const json& value : row["answers"]) {
      FACET_ASSIGN(Answer answer, ReadAnswer(value));
      answers.push_back(std::move(answer));
    }
    all.emplace_back(id, std::move(answers));
    return Ok();
  }));
  return all;
}

json ToJson(const Answer& answer) {
  json out = {{"content", answer.content}};
  if (!answer.tool_calls.empty()) out["tool_calls"] = answer.tool_calls;
  return out;
}

}  // namespace facet::eval
