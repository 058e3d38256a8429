#include "serve/openai/response_items.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/base64.h"
#include "serve/openai/answer_job.h"

namespace facet::serve {
namespace {

constexpr size_t kMaxTextParts = 1024;
constexpr std::string_view kSeal = "facet-thoughts-1.";

// Tools that hosted services run, by the type of their items without "_call".
constexpr std::string_view kHosted[] = {"web_search", "file_search", "code_interpreter",
                                        "image_generation", "mcp"};

// Items that say nothing to a model.
constexpr std::string_view kRecords[] = {"mcp_list_tools", "mcp_approval_request",
                                         "mcp_approval_response", "additional_tools"};

template <size_t N>
bool IsOneOf(std::string_view word, const std::string_view (&words)[N]) {
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

}  // namespace

std::string SealThoughts(const std::string& thoughts) {
  return Cat(kSeal, EncodeBase64(thoughts));
}

std::optional<std::string> OpenThoughts(const std::string& sealed) {
  if (!sealed.starts_with(kSeal)) return std::nullopt;
  auto text = DecodeBase64(std::string_view(sealed).substr(kSeal.size()));
  if (!text) return std::nullopt;
  return *std::move(text);
}

Result<void> ItemReader::ReadAll(OrderedJson items, const std::string& path) {
  for (size_t i = 0; i < items.size(); ++i)
    FACET_TRY(ReadItem(std::move(items[i]), Cat(path, "[", i, "]")));
  // Thoughts that no message follows belong to nothing.
  return AnswerOpenCalls();
}

// A call without a result would leave the turn open, and the model would go on with the result.
Result<void> ItemReader::AnswerOpenCalls() {
  OrderedJson all = OrderedJson::array();
  std::vector<std::string> open;
  const auto close = [&] {
    for (const std::string& id : open)
      all.push_back({{"role", "tool"}, {"tool_call_id", id}, {"content", "aborted"}});
    open.clear();
  };
  for (OrderedJson& message : messages()) {
    if (message["role"] == "tool") {
      std::erase(open, message["tool_call_id"].get<std::string>());
    } else {
      close();
    }
    if (message.contains("tool_calls")) {
      for (const OrderedJson& call : message["tool_calls"]) open.push_back(call["id"]);
    }
    all.push_back(std::move(message));
  }
  close();
  messages() = std::move(all);
  return Ok();
}

Result<void> ItemReader::ReadItem(OrderedJson item, const std::string& path) {
  if (!item.is_object()) {
    return Error{Cat(path, ": expected an object but got ", ShowJson(item)), ErrorKind::kInvalid,
                 "invalid_type", path};
  }
  JsonFields fields(item, path, ignored_);
  const std::string type = fields.String("type", 64).value_or("message");
  FACET_TRY(fields.status());
  if (type == "message") return ReadMessage(item, path);
  fields.Ignore({"id", "status", "created_by"});
  if (type == "item_reference") return ReadReference(fields, path);
  if (type == "function_call") return ReadCall(fields);
  if (type == "custom_tool_call") return ReadCustomCall(fields);
  if (type == "reasoning") return ReadReasoning(fields);
  if (IsOneOf(type, kRecords)) {
    Note(Cat(path, ".type=", type));
    return Ok();
  }
  if (type == "compaction" || type == "compaction_summary" || type == "context_compaction") {
    // What another server sealed, only that one can open.
    if (const auto text = fields.String("encrypted_content", SIZE_MAX))
      Note(Cat(path, ".encrypted_content"));
    return fields.Done();
  }
  if (type.ends_with("_output")) return ReadOutput(fields, path);
  if (type.ends_with("_call")) {
    const std::string tool = type.substr(0, type.size() - 5);
    return IsOneOf(tool, kHosted) ? ReadHostedCall(tool, item, path)
                                  : ReadOtherCall(tool, item, path);
  }
  fields.Fail("type",
              Cat("expected message, item_reference, reasoning, a call or its output but got ",
                  ShowJson(OrderedJson(type))));
  return fields.status();
}

Result<void> ItemReader::ReadMessage(OrderedJson& message, const std::string& path) {
  const bool assistant = message.value("role", OrderedJson()) == "assistant";
  if (assistant && !reasoning_.empty())
    message["reasoning_content"] = std::exchange(reasoning_, "");
  const bool joins = assistant && OpenTurn() != nullptr;
  FACET_TRY(reader_.Read(std::move(message), path));
  if (joins) JoinLast();
  return Ok();
}

Result<void> ItemReader::ReadReference(JsonFields& fields, const std::string& path) {
  fields.Require("id");
  const std::string id = fields.String("id", 1024).value_or("");
  FACET_TRY(fields.Done());
  auto item = find_ ? find_(id) : std::nullopt;
  if (!item || item->value("type", "") == "item_reference") {
    return Error{Cat(path, ": there is no item ", ShowJson(OrderedJson(id)),
                     "; items are kept for an hour, and only of responses with `store`"),
                 ErrorKind::kNotFound, "item_not_found", path + ".id"};
  }
  return ReadItem(*std::move(item), path);
}

// --- calls and what came of them

Result<void> ItemReader::ReadCall(JsonFields& fields) {
  fields.Require("call_id");
  fields.Require("name");
  const std::string id = fields.String("call_id", 1024).value_or(""),
                    name = fields.String("name", 256).value_or(""),
                    space = fields.String("namespace", 128).value_or("");
  const std::string arguments = fields.String("arguments", SIZE_MAX).value_or("");
  FACET_TRY(fields.Done());
  AddCall({id, ShownName(name, space), CallArguments(arguments)});
  return Ok();
}

Result<void> ItemReader::ReadCustomCall(JsonFields& fields) {
  fields.Require("call_id");
  fields.Require("name");
  const std::string id = fields.String("call_id", 1024).value_or(""),
                    name = fields.String("name", 256).value_or(""),
                    space = fields.String("namespace", 128).value_or("");
  const std::string input = fields.String("input", SIZE_MAX).value_or("");
  FACET_TRY(fields.Done());
  AddCall({id, ShownName(name, space), {{"input", input}}});
  return Ok();
}

Result<void> ItemReader::ReadOtherCall(const std::string& tool, OrderedJson& item,
                                       const std::string& path) {
  JsonFields fields(item, path, ignored_);
  const std::string own = fields.String("id", 1024).value_or("");
  const std::string id = fields.String("call_id", 1024).value_or(own);
  fields.Ignore({"type", "status", "created_by"});
  OrderedJson arguments;
  for (const char* name : {"action", "operation", "arguments"}) {
    OrderedJson* given = fields.Any(name);
    if (given == nullptr || !arguments.is_null()) continue;
    if (given->is_object()) {
      JsonFields inner = fields.Inside(name, *given);
      arguments = ReadAction(inner, *given);
      fields.Adopt(inner.Done());
    }
    if (given->is_string()) arguments = CallArguments(given->get<std::string>());
  }
  if (!arguments.is_null()) {
    FACET_TRY(fields.Done());
    AddCall({id, tool, std::move(arguments)});
    return Ok();
  }
  FACET_TRY(fields.status());
  for (const char* name : {"type", "id", "status", "created_by", "call_id"}) item.erase(name);
  AddCall({id, tool, std::move(item)});
  return Ok();
}

OrderedJson ItemReader::ReadAction(JsonFields& fields, OrderedJson& action) {
  constexpr const char* kMembers[] = {"type",       "query",    "queries",  "url",
                                      "pattern",    "command",  "commands", "env",
                                      "user",       "path",     "diff",     "x",
                                      "y",          "button",   "keys",     "text",
                                      "goal",       "limit",    "paths",    "working_directory",
                                      "timeout_ms", "scroll_x", "scroll_y"};
  OrderedJson out = OrderedJson::object();
  for (const char* name : kMembers) {
    if (OrderedJson* value = fields.Any(name)) out[name] = std::move(*value);
  }
  fields.Ignore({"sources", "max_output_length"});
  // A kind of action that is not known yet is kept whole.
  if (out.empty() || (out.size() == 1 && out.contains("type"))) {
    for (const auto& [name, value] : action.items()) {
      const OrderedJson* kept = out.contains(name) ? nullptr : fields.Any(name);
      if (kept != nullptr) out[name] = *kept;
    }
  }
  return out;
}

Result<void> ItemReader::ReadHostedCall(const std::string& tool, OrderedJson& item,
                                        const std::string& path) {
  JsonFields fields(item, path, ignored_);
  const std::string id = fields.String("id", 1024).value_or(path),
                    status = fields.String("status", 64).value_or("completed");
  const std::string name = fields.String("name", 256).value_or(tool),
                    server = fields.String("server_label", 256).value_or("");
  OrderedJson arguments = OrderedJson::object();
  if (const auto text = fields.String("arguments", SIZE_MAX)) arguments = CallArguments(*text);
  if (OrderedJson* action = fields.Object("action")) {
    JsonFields inner = fields.Inside("action", *action);
    arguments = ReadAction(inner, *action);
    fields.Adopt(inner.Done());
  }
  for (const char* given : {"queries", "code"}) {
    if (const OrderedJson* value = fields.Any(given)) arguments[given] = *value;
  }
  OrderedJson result = status;
  for (const char* given : {"output", "outputs", "results", "error"}) {
    const OrderedJson* value = fields.Any(given);
    if (value != nullptr) result = value->is_string() ? *value : OrderedJson(DumpJson(*value));
  }
  if (const auto picture = fields.MoveString("result", SIZE_MAX)) {
    const OrderedJson part = {{"type", "input_image"},
                              {"image_url", Cat("data:image/png;base64,", *picture)}};
    result = OrderedJson::array({part});
  }
  fields.Ignore({"type", "container_id", "approval_request_id", "revised_prompt"});
  FACET_TRY(fields.Done());
  AddCall({id, ShownName(name, server), std::move(arguments)});
  return AddResult(id, std::move(result), path);
}

Result<void> ItemReader::ReadOutput(JsonFields& fields, const std::string& path) {
  // The older items of shells are found by their own id.
  const std::string own = fields.String("id", 1024).value_or("");
  const std::string id = fields.String("call_id", 1024).value_or(own);
  if (id.empty()) fields.Require("call_id");
  fields.Ignore({"name", "namespace", "max_output_length", "acknowledged_safety_checks"});
  OrderedJson output = "";
  if (OrderedJson* given = fields.Any("output")) output = std::move(*given);
  // What a search for tools found.
  if (OrderedJson* tools = fields.Any("tools")) output = DumpJson(*tools);
  fields.Ignore({"execution"});
  FACET_TRY(fields.Done());
  if (output.is_object() && output.contains("image_url")) {  // a screenshot
    const OrderedJson part = {{"type", "input_image"}, {"image_url", output["image_url"]}};
    output = OrderedJson::array({part});
  }
  const bool parts =
      output.is_array() && std::all_of(output.begin(), output.end(), [](const OrderedJson& part) {
        return part.is_object() && part.contains("type");
      });
  if (!output.is_string() && !parts) output = DumpJson(output);
  return AddResult(id, std::move(output), path);
}

void ItemReader::AddCall(Call call) {
  OrderedJson* turn = OpenTurn();
  if (turn == nullptr) {
    messages().push_back({{"role", "assistant"}, {"content", ""}});
    turn = &messages().back();
  }
  if (!reasoning_.empty()) (*turn)["reasoning_content"] = std::exchange(reasoning_, "");
  (*turn)["tool_calls"].push_back(
      {{"id", call.id},
       {"type", "function"},
       {"function", {{"name", call.name}, {"arguments", std::move(call.arguments)}}}});
}

Result<void> ItemReader::AddResult(const std::string& call_id, OrderedJson content,
                                   const std::string& path) {
  return reader_.Read(
      {{"role", "tool"}, {"tool_call_id", call_id}, {"content", std::move(content)}}, path);
}

// --- thoughts

Result<void> ItemReader::ReadReasoning(JsonFields& fields) {
  std::string text = ReadTexts(fields, "content");
  const std::string summary = ReadTexts(fields, "summary");
  const auto sealed = fields.String("encrypted_content", SIZE_MAX);
  FACET_TRY(fields.Done());
  if (text.empty() && sealed) text = OpenThoughts(*sealed).value_or("");
  reasoning_ += text.empty() ? summary : text;
  return Ok();
}

std::string ItemReader::ReadTexts(JsonFields& fields, const char* name) {
  OrderedJson* parts = fields.Array(name, kMaxTextParts);
  std::string text;
  for (size_t i = 0; parts != nullptr && i < parts->size(); ++i) {
    OrderedJson& part = (*parts)[i];
    const std::string place = Cat(name, "[", i, "]");
    if (!part.is_object()) {
      fields.FailType(place, "an object", part);
      break;
    }
    JsonFields inner = fields.Inside(place, part);
    inner.Ignore({"type"});
    const std::string one = inner.MoveString("text", SIZE_MAX).value_or("");
    fields.Adopt(inner.Done());
    text += Cat(text.empty() || one.empty() ? "" : "\n\n", one);
  }
  return text;
}

// --- turns

OrderedJson* ItemReader::OpenTurn() {
  if (messages().empty() || messages().back()["role"] != "assistant") return nullptr;
  return &messages().back();
}

void ItemReader::JoinLast() {
  const OrderedJson last = std::move(messages().back());
  messages().erase(messages().size() - 1);
  OrderedJson& turn = messages().back();
  turn["content"] = turn["content"].get<std::string>() + last["content"].get<std::string>();
  if (last.contains("reasoning_content")) turn["reasoning_content"] = last["reasoning_content"];
}

// --- lists

namespace {

Error QueryError(const char* name, std::string_view want, std::string_view got) {
  return {Cat(name, ": expected ", want, " but got '", got, "'"), ErrorKind::kInvalid,
          "invalid_value", name};
}

}  // namespace

Result<OrderedJson> ItemPage(const OrderedJson& items, const std::string& query) {
  const std::string order = QueryValue(query, "order").value_or("desc");
  if (order != "asc" && order != "desc") return QueryError("order", "asc or desc", order);
  const std::string limit_text = QueryValue(query, "limit").value_or("20");
  size_t limit = 0;
  const auto [end, code] =
      std::from_chars(limit_text.data(), limit_text.data() + limit_text.size(), limit);
  if (code != std::errc() || end != limit_text.data() + limit_text.size() || limit < 1 ||
      limit > 100)
    return QueryError("limit", "a number from 1 to 100", limit_text);
  std::vector<const OrderedJson*> sorted;
  for (const OrderedJson& item : items) sorted.push_back(&item);
  if (order == "desc") std::reverse(sorted.begin(), sorted.end());
  size_t first = 0;
  if (const auto after = QueryValue(query, "after")) {
    while (first < sorted.size() && sorted[first]->value("id", "") != *after) ++first;
    if (first == sorted.size()) return QueryError("after", "the id of an item", *after);
    ++first;
  }
  OrderedJson data = OrderedJson::array(), first_id, last_id;
  for (size_t i = first; i < sorted.size() && i < first + limit; ++i) data.push_back(*sorted[i]);
  if (!data.empty()) {
    first_id = data.front().value("id", OrderedJson());
    last_id = data.back().value("id", OrderedJson());
  }
  const bool more = first + data.size() < sorted.size();
  return OrderedJson{{"object", "list"},
                     {"data", std::move(data)},
                     {"first_id", first_id},
                     {"last_id", last_id},
                     {"has_more", more}};
}

OrderedJson WithIds(OrderedJson items) {
  constexpr std::pair<std::string_view, std::string_view> kPrefixes[] = {
      {"message", "msg_"},
      {"function_call", "fc_"},
      {"function_call_output", "fco_"},
      {"reasoning", "rs_"},
      {"custom_tool_call", "ctc_"}};
  for (OrderedJson& item : items) {
    if (!item.is_object()) continue;
    if (!item.contains("type")) item["type"] = "message";
    if (item.contains("id") && item["id"].is_string()) continue;
    std::string_view prefix = "item_";
    for (const auto& [type, own] : kPrefixes) {
      if (item["type"] == type) prefix = own;
    }
    item["id"] = RandomId(prefix);
  }
  return items;
}

}  // namespace facet::serve
