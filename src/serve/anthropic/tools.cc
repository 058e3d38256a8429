// Tools of the Messages API: those of the client, those that Anthropic has described and the client
// runs, and those that a hosted service runs itself.
#include <algorithm>
#include <array>

#include "serve/anthropic/messages.h"

namespace facet::serve {
namespace {

// Run by Anthropic's service and by nobody else.
constexpr std::array<std::string_view, 6> kHostedTools = {
    "web_search_", "web_fetch_", "code_execution_", "tool_search_tool_", "mcp_toolset", "advisor_"};

bool IsHostedTool(std::string_view type) {
  return std::any_of(kHostedTools.begin(), kHostedTools.end(),
                     [&](std::string_view prefix) { return type.starts_with(prefix); });
}

// Tools whose schema Anthropic's models know, so that requests do not carry it.
struct DescribedTool {
  const char *prefix, *description, *schema;
};
constexpr DescribedTool kDescribedTools[] = {
    {"bash_", "Runs a command in a shell that stays open between calls.",
     R"({"type": "object", "properties": {
          "command": {"type": "string", "description": "The command to run."},
          "restart": {"type": "boolean", "description": "True: starts the shell again instead."}}})"},
    {"text_editor_", "Shows, creates and edits text files.",
     R"({"type": "object", "properties": {
          "command": {"type": "string", "enum": ["view", "create", "str_replace", "insert"]},
          "path": {"type": "string", "description": "The file or folder."},
          "file_text": {"type": "string", "description": "create: the file's content."},
          "old_str": {"type": "string", "description": "str_replace: what stands there, once."},
          "new_str": {"type": "string", "description": "str_replace: what takes its place."},
          "insert_line": {"type": "integer", "description": "insert: the line to insert behind."},
          "insert_text": {"type": "string", "description": "insert: what is inserted."},
          "view_range": {"type": "array", "items": {"type": "integer"},
                         "description": "view: the first and the last line."}},
        "required": ["command", "path"]})"},
    {"memory_", "Keeps notes in files below /memories between conversations.",
     R"({"type": "object", "properties": {
          "command": {"type": "string",
                      "enum": ["view", "create", "str_replace", "insert", "delete", "rename"]},
          "path": {"type": "string", "description": "The file or folder."},
          "file_text": {"type": "string", "description": "create: the file's content."},
          "old_str": {"type": "string", "description": "str_replace: what stands there, once."},
          "new_str": {"type": "string", "description": "str_replace: what takes its place."},
          "insert_line": {"type": "integer", "description": "insert: the line to insert behind."},
          "insert_text": {"type": "string", "description": "insert: what is inserted."},
          "view_range": {"type": "array", "items": {"type": "integer"},
                         "description": "view: the first and the last line."},
          "old_path": {"type": "string", "description": "rename: the old name."},
          "new_path": {"type": "string", "description": "rename: the new name."}},
        "required": ["command"]})"},
};

const DescribedTool* FindDescribedTool(std::string_view type) {
  for (const DescribedTool& tool : kDescribedTools) {
    if (type.starts_with(tool.prefix)) return &tool;
  }
  return nullptr;
}

Result<OrderedJson> ReadMessageTool(OrderedJson& tool, const std::string& path,
                                    IgnoredFields* ignored) {
  JsonFields fields(tool, path, ignored);
  const std::string type = fields.String("type", 128).value_or("custom");
  const DescribedTool* described = FindDescribedTool(type);
  if (type != "custom" && described == nullptr) {
    fields.Fail("type",
                Cat("expected custom, bash_*, text_editor_* or memory_* but got ",
                    ShowJson(OrderedJson(type))),
                "unsupported", ErrorKind::kUnsupported);
  }
  fields.Require("name");
  const std::string name = fields.String("name", 256).value_or("");
  if (fields.ok() && !IsToolName(name)) {
    fields.Fail("name",
                Cat("expected letters, digits, _ - . : / but got ", ShowJson(OrderedJson(name))));
  }
  std::string description = fields.String("description", 1 << 20).value_or("");
  if (described == nullptr) fields.Require("input_schema");
  OrderedJson* schema = fields.Object("input_schema");
  const bool strict = fields.Bool("strict").value_or(false);
  fields.Ignore({"cache_control", "defer_loading", "input_examples", "allowed_callers",
                 "eager_input_streaming", "max_characters"});
  FACET_TRY(fields.Done());
  if (described != nullptr && description.empty()) description = described->description;
  OrderedJson function = {{"name", name}, {"description", std::move(description)}};
  function["parameters"] =
      schema != nullptr ? std::move(*schema) : OrderedJson::parse(described->schema);
  if (strict) function["strict"] = true;
  return OrderedJson{{"type", "function"}, {"function", std::move(function)}};
}

}  // namespace

Result<OrderedJson> ReadMessageTools(OrderedJson& tools, IgnoredFields* ignored) {
  OrderedJson read = OrderedJson::array();
  for (size_t i = 0; i < tools.size(); ++i) {
    const std::string path = Cat("tools[", i, "]");
    if (!tools[i].is_object())
      return Error{Cat(path, ": expected an object"), ErrorKind::kInvalid, "invalid_type", path};
    const OrderedJson type = tools[i].value("type", OrderedJson("custom"));
    if (type.is_string() && IsHostedTool(type.get_ref<const std::string&>())) {
      if (ignored != nullptr) ignored->Add(path);
      continue;
    }
    FACET_ASSIGN(OrderedJson tool, ReadMessageTool(tools[i], path, ignored));
    read.push_back(std::move(tool));
  }
  return read.empty() ? OrderedJson(nullptr) : std::move(read);
}

}  // namespace facet::serve
