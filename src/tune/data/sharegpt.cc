#include "tune/data/sharegpt.h"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace facet::tune {
namespace {

constexpr const char* kMedia[] = {"image", "audio", "video"};

// The role that `from` stands for; empty where it stands for none.
std::string RoleOf(const std::string& from) {
  static constexpr std::pair<const char*, const char*> kRoles[] = {
      {"human", "user"},
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

// The columns `images`, `audios` and `videos`, used up by the placeholders of the texts.
class MediaColumns {
 public:
  void Take(JsonFields& fields) {
    for (const char* kind : kMedia) {
      OrderedJson* list = fields.Array(Cat(kind, "s"), SIZE_MAX);
      if (list == nullptr) continue;
      for (OrderedJson& entry : *list) unused_.emplace_back(kind, std::move(entry));
    }
  }

  // The text with its media as parts; the text itself where it has none.
  Result<OrderedJson> Split(const std::string& text, const std::string& path) {
    OrderedJson parts = OrderedJson::array();
    size_t from = 0;
    for (size_t at = text.find('<'); at != text.npos; at = text.find('<', at + 1)) {
      const std::string kind = PlaceholderAt(text, at);
      if (kind.empty() || unused_.empty()) continue;
      const auto entry = std::find_if(unused_.begin(), unused_.end(),
                                      [&](const auto& e) { return e.first == kind; });
      if (entry == unused_.end()) return Error{Cat(path, ": more <", kind, "> than ", kind, "s")};
      if (at > from) parts.push_back(text.substr(from, at - from));
      parts.push_back({{"type", kind}, {kind, std::move(entry->second)}});
      unused_.erase(entry);
      from = at + kind.size() + 2;
    }
    if (parts.empty()) return OrderedJson(text);
    if (from < text.size()) parts.push_back(text.substr(from));
    return parts;
  }

  Result<void> Done() const {
    if (unused_.empty()) return Ok();
    const std::string& kind = unused_.front().first;
    return Error{Cat(kind, "s: more than the conversation has <", kind, ">")};
  }

 private:
  static std::string PlaceholderAt(const std::string& text, size_t at) {
    for (const std::string kind : kMedia) {
      if (text.compare(at, kind.size() + 2, Cat("<", kind, ">")) == 0) return kind;
    }
    return "";
  }

  std::vector<std::pair<std::string, OrderedJson>> unused_;
};

Result<OrderedJson> MessageOf(OrderedJson& turn, const std::string& path, MediaColumns& columns) {
  if (!turn.is_object()) return Expected("an object", ShowJson(turn), path);
  JsonFields fields(turn, path);
  fields.Require("from");
  fields.Require("value");
  const std::string from = fields.String("from", SIZE_MAX).value_or("");
  const std::string value = fields.MoveString("value", SIZE_MAX).value_or("");
  FACET_TRY(fields.status());
  const std::string role = RoleOf(from);
  if (role.empty()) {
    return Expected("human, gpt, system, function_call or observation", ShowJson(OrderedJson(from)),
                    fields.Path("from"));
  }
  OrderedJson message = {{"role", role}};
  if (role == "function_call") {
    auto calls = ParseJson(value, JsonLimits{});
    if (!calls) return calls.error().In(fields.Path("value"));
    if (!calls->is_array()) calls = OrderedJson::array({*std::move(calls)});
    message = {{"role", "assistant"}, {"content", ""}, {"tool_calls", *std::move(calls)}};
  } else {
    FACET_ASSIGN(message["content"], columns.Split(value, fields.Path("value")));
  }
  for (const char* key : {"weight", "train"}) {
    if (const OrderedJson* given = fields.Any(key)) message[key] = *given;
  }
  FACET_TRY(fields.Done());
  return message;
}

}  // namespace

Result<OrderedJson> MessagesFromShareGpt(JsonFields& fields) {
  OrderedJson* turns = fields.Array("conversations", SIZE_MAX);
  const auto system = fields.String("system", SIZE_MAX);
  MediaColumns columns;
  columns.Take(fields);
  FACET_TRY(fields.status());
  OrderedJson messages = OrderedJson::array();
  if (system && !system->empty()) messages.push_back({{"role", "system"}, {"content", *system}});
  for (size_t i = 0; turns != nullptr && i < turns->size(); ++i) {
    FACET_ASSIGN(OrderedJson message,
                 MessageOf((*turns)[i], Cat("conversations[", i, "]"), columns));
    messages.push_back(std::move(message));
  }
  FACET_TRY(columns.Done());
  return messages;
}

}  // namespace facet::tune
