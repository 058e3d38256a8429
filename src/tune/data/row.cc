#include "tune/data/row.h"

#include <algorithm>
#include <set>

#include "base/base64.h"
#include "base/mapped_file.h"
#include "base/picture_budget.h"
#include "formats/json.h"

namespace facet::tune {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Columns that people keep beside a conversation and that say nothing to a model.
const std::set<std::string> kNotes = {"id",      "source",   "meta",    "metadata", "category",
                                      "dataset", "language", "license", "comment",  "split"};

std::string Show(const json& value) {
  constexpr size_t kLongest = 60;
  std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() > kLongest) text = text.substr(0, kLongest) + "...";
  return text;
}

// The fields of one object: each is taken by name, and what nobody took is an error.
class Fields {
 public:
  Fields(const json& object, std::string path) : object_(object), path_(std::move(path)) {}

  // Null where the field is absent or null.
  const json* Take(const std::string& name) {
    taken_.insert(name);
    const auto found = object_.find(name);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }
  Result<std::optional<std::string>> String(const std::string& name) {
    const json* value = Take(name);
    if (value == nullptr) return std::optional<std::string>();
    if (!value->is_string()) return Wrong(name, "a string", *value);
    return std::optional(value->get<std::string>());
  }
  Result<std::optional<bool>> Bool(const std::string& name) {
    const json* value = Take(name);
    if (value == nullptr) return std::optional<bool>();
    if (!value->is_boolean()) return Wrong(name, "true or false", *value);
    return std::optional(value->get<bool>());
  }
  Result<const json*> List(const std::string& name) {
    const json* value = Take(name);
    if (value != nullptr && !value->is_array()) return Wrong(name, "a list", *value);
    return value;
  }
  void Ignore(std::initializer_list<const char*> names) {
    for (const char* name : names) taken_.insert(name);
  }
  Result<void> Done() const {
    for (const auto& [key, value] : object_.items()) {
      if (!taken_.contains(key) && !value.is_null()) {
        return Error{Cat(Path(key), ": unknown field"), ErrorKind::kUnsupported};
      }
    }
    return Ok();
  }
  std::string Path(const std::string& name) const {
    return path_.empty() ? name : path_ + "." + name;
  }
  Error Wrong(const std::string& name, std::string_view want, const json& got) const {
    return Expected(want, Show(got), Path(name));
  }

 private:
  const json& object_;
  std::string path_;
  std::set<std::string> taken_;
};

// --- media parts

// Where a media part has its bytes: a data URL, a path, or base64.
Result<void> SetSource(const std::string& given, const fs::path& folder, const std::string& path,
                       json& part) {
  if (given.starts_with("data:")) {
    const size_t comma = given.find(',');
    if (comma == given.npos || !std::string_view(given).substr(0, comma).ends_with(";base64"))
      return Expected("data:TYPE;base64,...", given.substr(0, 40), path);
    part["data"] = given.substr(comma + 1);
    return Ok();
  }
  if (given.starts_with("http://") || given.starts_with("https://")) {
    return Error{Cat(path, ": ", given, " would have to be downloaded; save it beside the data"),
                 ErrorKind::kUnsupported};
  }
  constexpr std::string_view kFile = "file://";
  const fs::path named = given.starts_with(kFile) ? given.substr(kFile.size()) : given;
  const fs::path full = named.is_absolute() ? named : folder / named;
  std::error_code code;
  if (!fs::is_regular_file(full, code))
    return Error{Cat(path, ": ", full.string(), ": no such file"), ErrorKind::kNotFound};
  part["path"] = full.string();
  return Ok();
}

// Value of a media field: an address or path, or an object with `url`, `path` or `data`.
Result<void> ReadSource(const json& value, const fs::path& folder, const std::string& path,
                        json& part) {
  if (value.is_string()) return SetSource(value.get<std::string>(), folder, path, part);
  if (!value.is_object()) return Expected("a path or an object", Show(value), path);
  Fields inner(value, path);
  inner.Ignore({"detail", "format"});  // the bytes themselves tell their format
  for (const char* name : {"url", "path"}) {
    FACET_ASSIGN(const auto given, inner.String(name));
    if (!given) continue;
    FACET_TRY(inner.Done());
    return SetSource(*given, folder, inner.Path(name), part);
  }
  FACET_ASSIGN(auto data, inner.String("data"));
  FACET_TRY(inner.Done());
  if (!data) return Error{Cat(path, ": expected 'url', 'path' or 'data'")};
  if (!DecodeBase64(*data)) return Error{Cat(path, ".data: malformed base64")};
  part["data"] = std::move(*data);
  return Ok();
}

// image, image_url, input_image and so on: the kind of medium; empty where it is none.
std::string MediumOf(const std::string& type) {
  for (const char* kind : {"image", "audio", "video"}) {
    for (const std::string& name : {std::string(kind), Cat(kind, "_url"), Cat("input_", kind)}) {
      if (type == name) return kind;
    }
  }
  return "";
}

Result<json> ReadPart(const json& given, const fs::path& folder, const std::string& path) {
  if (given.is_string()) return json{{"type", "text"}, {"text", given}};
  if (!given.is_object()) return Expected("a text or an object", Show(given), path);
  Fields fields(given, path);
  fields.Ignore({"cache_control"});
  FACET_ASSIGN(const auto type, fields.String("type"));
  if (!type) return Error{Cat(path, ".type: missing")};
  if (*type == "text" || *type == "input_text" || *type == "output_text") {
    FACET_ASSIGN(const auto text, fields.String("text"));
    if (!text) return Error{Cat(path, ".text: missing")};
    FACET_TRY(fields.Done());
    return json{{"type", "text"}, {"text", *text}};
  }
  const std::string kind = MediumOf(*type);
  if (kind.empty()) {
    return Expected("text, image_url, input_audio or video_url", Show(*type), fields.Path("type"));
  }
  json part = {{"type", kind}};
  for (const char* option : {"image_budget", "video_budget", "fps", "audio"}) {
    const bool is_source = option == *type;
    if (is_source || kind == "audio") continue;
    const json* value = fields.Take(option);
    if (value != nullptr) part[option] = *value;
  }
  const json* source = nullptr;
  std::string name;
  for (const std::string& key : {*type, std::string("path"), std::string("url"),
                                 std::string("data"), kind, Cat(kind, "_url")}) {
    const json* value = source == nullptr ? fields.Take(key) : nullptr;
    if (value == nullptr || part.contains(key)) continue;
    source = value;
    name = key;
  }
  if (source == nullptr) return Error{Cat(path, ": expected '", *type, "' or 'path'")};
  FACET_TRY(fields.Done());
  if (name == "data") {
    FACET_TRY(ReadSource(json{{"data", *source}}, folder, path, part));
  } else {
    FACET_TRY(ReadSource(*source, folder, fields.Path(name), part));
  }
  return part;
}

// A string, or parts; parts that are all text become one string, which every template takes.
Result<json> ReadContent(const json& content, const fs::path& folder, const std::string& role,
                         const std::string& path) {
  if (content.is_string()) return content;
  if (content.is_object() && role == "tool") return content;
  if (!content.is_array()) return Expected("a text or a list of parts", Show(content), path);
  json parts = json::array();
  std::string text;
  bool media = false;
  for (size_t i = 0; i < content.size(); ++i) {
    const std::string where = Cat(path, "[", i, "]");
    FACET_ASSIGN(json part, ReadPart(content[i], folder, where));
    const bool is_text = part["type"] == "text";
    if (!is_text && role != "user") {
      return Error{Cat(where, ": a message of role ", role, " takes text only"),
                   ErrorKind::kUnsupported};
    }
    if (is_text) text += part["text"].get<std::string>();
    media |= !is_text;
    parts.push_back(std::move(part));
  }
  return media ? parts : json(text);
}

// --- messages

Result<json> ReadCalls(const json& calls, const std::string& path) {
  json out = json::array();
  for (size_t i = 0; i < calls.size(); ++i) {
    const std::string where = Cat(path, "[", i, "]");
    if (!calls[i].is_object()) return Expected("an object", Show(calls[i]), where);
    Fields call(calls[i], where);
    call.Ignore({"type", "index"});
    FACET_ASSIGN(const auto id, call.String("id"));
    const json* function = call.Take("function");
    // {"name": ..., "arguments": ...} without the wrapping is common in exported data.
    const bool bare = function == nullptr && calls[i].contains("name");
    if (bare) {
      call.Ignore({"name", "arguments"});
      function = &calls[i];
    }
    if (function == nullptr || !function->is_object())
      return Error{Cat(where, ".function: missing")};
    FACET_TRY(call.Done());
    Fields inner(*function, bare ? where : where + ".function");
    if (bare) inner.Ignore({"type", "index", "id"});
    FACET_ASSIGN(const auto name, inner.String("name"));
    const json* arguments = inner.Take("arguments");
    FACET_TRY(inner.Done());
    if (!name || name->empty()) return Error{Cat(inner.Path("name"), ": missing")};
    json value = arguments == nullptr ? json::object() : *arguments;
    if (value.is_string()) {
      FACET_ASSIGN(value, ParseJson(value.get<std::string>(), inner.Path("arguments")));
    }
    if (!value.is_object()) return inner.Wrong("arguments", "a JSON object", value);
    json made = {{"type", "function"}, {"function", {{"name", *name}, {"arguments", value}}}};
    if (id) made["id"] = *id;
    out.push_back(std::move(made));
  }
  return out;
}

// Thoughts that were left inside the content go where the others are.
void SplitThoughts(json& message) {
  constexpr std::string_view kOpen = "<|channel>thought\n", kClose = "<channel|>";
  if (!message["content"].is_string() || message.contains("reasoning_content")) return;
  const std::string content = message["content"];
  const size_t close = content.find(kClose);
  if (!content.starts_with(kOpen) || close == content.npos) return;
  message["reasoning_content"] = content.substr(kOpen.size(), close - kOpen.size());
  message["content"] = content.substr(close + kClose.size());
}

Result<void> ReadAssistant(Fields& fields, json& to) {
  for (const char* name : {"reasoning_content", "reasoning", "thinking"}) {
    FACET_ASSIGN(const auto text, fields.String(name));
    if (text && !text->empty()) to["reasoning_content"] = *text;
  }
  SplitThoughts(to);
  FACET_ASSIGN(const json* calls, fields.List("tool_calls"));
  if (calls == nullptr || calls->empty()) return Ok();
  FACET_ASSIGN(to["tool_calls"], ReadCalls(*calls, fields.Path("tool_calls")));
  return Ok();
}

// `weight` 0 or 1 as in OpenAI's files, or `train`.
Result<bool> IsTrained(Fields& fields, const std::string& role) {
  const json* weight = fields.Take("weight");
  FACET_ASSIGN(const auto train, fields.Bool("train"));
  if (weight != nullptr && *weight != 0 && *weight != 1)
    return fields.Wrong("weight", "0 or 1", *weight);
  const bool asked = train.value_or(weight == nullptr || *weight == 1);
  if (role != "assistant" && (train.value_or(false) || (weight != nullptr && *weight == 1))) {
    return Error{
        Cat(fields.Path(train ? "train" : "weight"), ": only messages of the assistant are learnt"),
        ErrorKind::kUnsupported};
  }
  return asked && role == "assistant";
}

Result<void> ReadMessage(const json& given, const fs::path& folder, const std::string& path,
                         Row& row) {
  if (!given.is_object()) return Expected("an object", Show(given), path);
  Fields fields(given, path);
  fields.Ignore({"refusal", "annotations", "audio", "cache_control"});
  FACET_ASSIGN(const auto named, fields.String("role"));
  static const std::set<std::string> kRoles = {"system", "developer", "user", "assistant", "tool"};
  const std::string role = named && *named == "model" ? "assistant" : named.value_or("");
  if (!kRoles.contains(role)) {
    return Expected("system, developer, user, assistant or tool", named ? Show(*named) : "nothing",
                    fields.Path("role"));
  }
  json to = {{"role", role}, {"content", ""}};
  if (const json* content = fields.Take("content"); content != nullptr) {
    FACET_ASSIGN(to["content"], ReadContent(*content, folder, role, fields.Path("content")));
  } else if (role != "assistant") {
    return Error{Cat(fields.Path("content"), ": missing")};
  }
  FACET_ASSIGN(const auto name, fields.String("name"));
  FACET_ASSIGN(const auto call, fields.String("tool_call_id"));
  if (role == "tool" && name) to["name"] = *name;
  if (role == "tool" && call) to["tool_call_id"] = *call;
  if (role == "assistant") FACET_TRY(ReadAssistant(fields, to));
  FACET_ASSIGN(const bool trained, IsTrained(fields, role));
  FACET_TRY(fields.Done());
  row.messages.push_back(std::move(to));
  row.trained.push_back(trained);
  return Ok();
}

Result<void> ReadMessages(const json& messages, const fs::path& folder, const std::string& path,
                          Row& row) {
  for (size_t i = 0; i < messages.size(); ++i)
    FACET_TRY(ReadMessage(messages[i], folder, Cat(path, "[", i, "]"), row));
  return Ok();
}

// --- ShareGPT

std::string ShareGptRole(const std::string& from) {
  static const std::pair<const char*, const char*> kRoles[] = {{"human", "user"},
                                                               {"user", "user"},
                                                               {"gpt", "assistant"},
                                                               {"chatgpt", "assistant"},
                                                               {"assistant", "assistant"},
                                                               {"model", "assistant"},
                                                               {"bard", "assistant"},
                                                               {"bing", "assistant"},
                                                               {"system", "system"},
                                                               {"tool", "tool"},
                                                               {"observation", "tool"},
                                                               {"function_response", "tool"},
                                                               {"function_call", "function_call"}};
  for (const auto& [name, role] : kRoles) {
    if (from == name) return role;
  }
  return "";
}

// The media that `<image>`, `<audio>` and `<video>` of the texts stand for, in order.
class Columns {
 public:
  Result<void> Take(Fields& fields) {
    for (const char* kind : {"image", "audio", "video"}) {
      const std::string plural = Cat(kind, "s");
      FACET_ASSIGN(const json* list, fields.List(plural));
      if (list == nullptr) continue;
      for (const json& entry : *list) waiting_.push_back({kind, entry});
    }
    return Ok();
  }
  // The text with its media as parts; the text itself where it has none.
  Result<json> Split(const std::string& text, const std::string& path) {
    json parts = json::array();
    size_t from = 0;
    for (size_t at = text.find('<'); at != text.npos; at = text.find('<', at + 1)) {
      std::string kind;
      for (const char* name : {"image", "audio", "video"}) {
        if (text.compare(at, std::string(name).size() + 2, Cat("<", name, ">")) == 0) kind = name;
      }
      if (kind.empty() || waiting_.empty()) continue;
      const auto entry = std::find_if(waiting_.begin(), waiting_.end(),
                                      [&](const auto& e) { return e.first == kind; });
      if (entry == waiting_.end()) return Error{Cat(path, ": more <", kind, "> than ", kind, "s")};
      if (at > from) parts.push_back(text.substr(from, at - from));
      parts.push_back({{"type", kind}, {kind, entry->second}});
      waiting_.erase(entry);
      from = at + kind.size() + 2;
    }
    if (parts.empty()) return json(text);
    if (from < text.size()) parts.push_back(text.substr(from));
    return parts;
  }
  Result<void> Done() const {
    if (waiting_.empty()) return Ok();
    const std::string& kind = waiting_.front().first;
    return Error{Cat(kind, "s: more than the conversation has <", kind, ">")};
  }

 private:
  std::vector<std::pair<std::string, json>> waiting_;
};

Result<json> FromShareGpt(const json& turns, Columns& columns) {
  json messages = json::array();
  for (size_t i = 0; i < turns.size(); ++i) {
    const std::string path = Cat("conversations[", i, "]");
    if (!turns[i].is_object()) return Expected("an object", Show(turns[i]), path);
    Fields fields(turns[i], path);
    FACET_ASSIGN(const auto from, fields.String("from"));
    FACET_ASSIGN(const auto value, fields.String("value"));
    if (!from) return Error{Cat(path, ".from: missing")};
    if (!value) return Error{Cat(path, ".value: missing")};
    const std::string role = ShareGptRole(*from);
    if (role.empty())
      return Expected("human, gpt, system, function_call or observation", Show(*from),
                      path + ".from");
    json message = {{"role", role}};
    if (role == "function_call") {
      FACET_ASSIGN(json calls, ParseJson(*value, path + ".value"));
      if (!calls.is_array()) calls = json::array({calls});
      message = {{"role", "assistant"}, {"content", ""}, {"tool_calls", std::move(calls)}};
    } else {
      FACET_ASSIGN(message["content"], columns.Split(*value, path + ".value"));
    }
    for (const char* key : {"weight", "train"}) {
      if (const json* given = fields.Take(key)) message[key] = *given;
    }
    FACET_TRY(fields.Done());
    messages.push_back(std::move(message));
  }
  return messages;
}

// --- rows

Result<void> ReadTools(Fields& fields, Row& row) {
  const json* tools = fields.Take("tools");
  if (tools == nullptr) return Ok();
  json list = *tools;
  if (list.is_string()) {  // columns of tables cannot hold lists of unlike objects
    FACET_ASSIGN(list, ParseJson(list.get<std::string>(), fields.Path("tools")));
  }
  if (!list.is_array()) return fields.Wrong("tools", "a list", list);
  for (size_t i = 0; i < list.size(); ++i) {
    json& tool = list[i];
    if (tool.is_object() && tool.contains("name") && !tool.contains("function"))
      tool = {{"type", "function"}, {"function", tool}};
    const bool named = tool.is_object() && tool.contains("function") &&
                       tool["function"].is_object() && tool["function"].contains("name") &&
                       tool["function"]["name"].is_string();
    if (!named) return Expected("a function with a name", Show(tool), Cat("tools[", i, "]"));
  }
  if (!list.empty()) row.tools = std::move(list);
  return Ok();
}

Result<void> ReadRendering(Fields& fields, Row& row) {
  FACET_ASSIGN(row.render.enable_thinking, fields.Bool("enable_thinking"));
  FACET_ASSIGN(const auto spell, fields.Bool("spell"));
  row.spell = spell.value_or(false);
  if (const json* extra = fields.Take("chat_template_kwargs")) {
    if (!extra->is_object()) return fields.Wrong("chat_template_kwargs", "an object", *extra);
    row.render.extra = *extra;
    if (extra->contains("enable_thinking") && (*extra)["enable_thinking"].is_boolean()) {
      row.render.enable_thinking = (*extra)["enable_thinking"].get<bool>();
      row.render.extra.erase("enable_thinking");
    }
  }
  for (const auto& [name, budget] : {std::pair("image_budget", &row.media.image_budget),
                                     std::pair("video_budget", &row.media.video_budget)}) {
    const json* value = fields.Take(name);
    if (value == nullptr) continue;
    if (!value->is_number_integer()) return fields.Wrong(name, kPictureBudgetNames, *value);
    *budget = value->get<int>();
  }
  if (const json* fps = fields.Take("fps")) {
    if (!fps->is_number()) return fields.Wrong("fps", "a number", *fps);
    row.media.frames_per_second = fps->get<double>();
  }
  return Ok();
}

Result<void> ReadPromptAndCompletion(Fields& fields, const fs::path& folder, bool plain, Row& row) {
  const json* prompt = fields.Take("prompt");
  const json* completion = fields.Take("completion");
  if (prompt == nullptr || completion == nullptr)
    return Error{Cat(prompt == nullptr ? "prompt" : "completion", ": missing")};
  if (prompt->is_string() && completion->is_string() && plain) {
    row.plain = Row::Plain{*prompt, *completion};
    return Ok();
  }
  if (plain) return fields.Wrong("prompt", "a text", *prompt);
  const auto turns = [](const json& given, const char* role) {
    return given.is_string() ? json::array({{{"role", role}, {"content", given}}}) : given;
  };
  const json asked = turns(*prompt, "user"), said = turns(*completion, "assistant");
  if (!asked.is_array()) return fields.Wrong("prompt", "a text or messages", *prompt);
  if (!said.is_array()) return fields.Wrong("completion", "a text or messages", *completion);
  FACET_TRY(ReadMessages(asked, folder, "prompt", row));
  row.trained.assign(row.messages.size(), false);  // only the completion is learnt
  return ReadMessages(said, folder, "completion", row);
}

Result<void> ReadConversation(Fields& fields, const fs::path& folder, Row& row) {
  FACET_ASSIGN(const json* messages, fields.List("messages"));
  if (messages != nullptr) return ReadMessages(*messages, folder, "messages", row);
  FACET_ASSIGN(const json* turns, fields.List("conversations"));
  FACET_ASSIGN(const auto system, fields.String("system"));
  Columns columns;
  FACET_TRY(columns.Take(fields));
  FACET_ASSIGN(json made, FromShareGpt(*turns, columns));
  FACET_TRY(columns.Done());
  if (system && !system->empty())
    made.insert(made.begin(), {{"role", "system"}, {"content", *system}});
  return ReadMessages(made, folder, "conversations", row);
}

// Thoughts are only ever written where thinking is on.
Result<void> CheckConversation(Row& row) {
  if (row.messages.empty()) return Expected("at least one message", "none", "messages");
  if (row.messages[0]["role"] == "assistant")
    return Error{"messages[0]: an assistant's message answers nothing"};
  bool any = false, thinks = false;
  for (size_t i = 0; i < row.trained.size(); ++i) {
    any |= row.trained[i];
    if (!row.trained[i] || !row.messages[i].contains("reasoning_content")) continue;
    thinks = true;
    if (row.render.enable_thinking == false) {
      return Error{Cat("messages[", i, "].reasoning_content: there are no thoughts where ",
                       "enable_thinking is false")};
    }
  }
  if (!any) return Error{"nothing to learn: no message of the assistant is trained"};
  if (thinks) row.render.enable_thinking = true;
  return Ok();
}

}  // namespace

Result<Row> ReadRow(std::string_view line, const fs::path& folder, const RowOptions& options) {
  auto parsed = ParseJson(line, "");
  if (!parsed) return Error{parsed.error().message.substr(2), parsed.error().kind};
  if (!parsed->is_object()) return Expected("an object", Show(*parsed), "the line");
  Fields fields(*parsed, "");
  for (const std::string& note : kNotes) fields.Ignore({note.c_str()});
  Row row;
  row.media = options.media;
  FACET_TRY(ReadRendering(fields, row));
  FACET_TRY(ReadTools(fields, row));
  if (parsed->contains("messages") || parsed->contains("conversations")) {
    FACET_TRY(ReadConversation(fields, folder, row));
  } else if (parsed->contains("prompt") || parsed->contains("completion")) {
    FACET_TRY(ReadPromptAndCompletion(fields, folder, options.plain, row));
  } else if (parsed->contains("text")) {
    FACET_ASSIGN(const auto text, fields.String("text"));
    row.plain = Row::Plain{"", text.value_or("")};
  } else {
    return Error{"expected messages, conversations, prompt and completion, or text"};
  }
  FACET_TRY(fields.Done());
  if (!row.plain) FACET_TRY(CheckConversation(row));
  return row;
}

Result<std::string> LoadPart(const json& part) {
  if (part.contains("path")) return ReadFile(part["path"].get<std::string>());
  auto bytes = DecodeBase64(part["data"].get<std::string>());
  if (!bytes) return Error{"malformed base64"};
  return *std::move(bytes);
}

}  // namespace facet::tune
