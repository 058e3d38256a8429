#include "serve/conversation_builder.h"

#include <algorithm>
#include <cctype>
#include <utility>

namespace facet::serve {
namespace {

bool IsBlank(char c) {
  return std::isspace(static_cast<unsigned char>(c)) != 0;
}

}  // namespace

void PartList::Text(std::string text) {
  if (text.empty()) return;
  if (!parts_.empty() && parts_.back()["type"] == "text") {
    parts_.back()["text"].get_ref<std::string&>() += text;
  } else {
    parts_.push_back({{"type", "text"}, {"text", std::move(text)}});
  }
}

void PartList::Block(std::string text) {
  if (text.empty()) return;
  if (!parts_.empty() && parts_.back()["type"] == "text") {
    std::string& before = parts_.back()["text"].get_ref<std::string&>();
    if (!before.empty() && !IsBlank(before.back()) && !IsBlank(text.front())) before += '\n';
  }
  Text(std::move(text));
}

Result<void> PartList::Medium(const std::string& kind, MediumSource source, MediaIntake& intake,
                              const std::string& path, const OrderedJson& more) {
  // A data URL may stand wherever an address or base64 may.
  if (source.text.starts_with("data:")) {
    const size_t comma = source.text.find(',');
    if (comma != source.text.npos) source.text.erase(0, comma + 1);
    source.kind = MediumSource::Kind::kBase64;
  }
  auto kept = intake.Keep(source);
  if (!kept) {
    Error error = kept.error().In(path);
    error.param = path;
    return error;
  }
  OrderedJson part = {{"type", kind}, {"place", path}};
  part.update(more);
  part.update(*kept);
  parts_.push_back(std::move(part));
  media_ = true;
  return Ok();
}

OrderedJson PartList::Take() {
  OrderedJson parts = std::exchange(parts_, OrderedJson::array());
  if (std::exchange(media_, false)) return parts;
  return parts.empty() ? OrderedJson("") : OrderedJson(std::move(parts[0]["text"]));
}

void ConversationBuilder::Turn(const std::string& role) {
  if (role != role_) NewTurn(role);
}

void ConversationBuilder::NewTurn(const std::string& role) {
  EndTurn();
  role_ = role;
}

void ConversationBuilder::Call(std::string id, std::string name, OrderedJson arguments) {
  // Calls that nobody answered before the next turn of calls stay without a result.
  if (calls_.empty()) open_.clear();
  open_.push_back({id, name});
  calls_.push_back(
      {{"id", std::move(id)},
       {"type", "function"},
       {"function", {{"name", std::move(name)}, {"arguments", std::move(arguments)}}}});
}

void ConversationBuilder::ToolResult(std::string id, std::string name, OrderedJson content) {
  std::erase_if(open_, [&](const OpenResult& call) { return call.id == id; });
  OrderedJson message = {
      {"role", "tool"}, {"tool_call_id", std::move(id)}, {"content", std::move(content)}};
  if (!name.empty()) message["name"] = std::move(name);
  messages_.push_back(std::move(message));
  results_ = true;
}

std::string ConversationBuilder::OpenCall(const std::string& name) const {
  for (const OpenResult& call : open_) {
    if (name.empty() || call.name == name) return call.id;
  }
  return {};
}

void ConversationBuilder::EndTurn() {
  const bool results = std::exchange(results_, false);
  if (role_.empty()) return;
  const bool empty = parts_.empty() && thoughts_.empty() && calls_.empty();
  if (empty && (results || role_ == "assistant")) return;
  OrderedJson message = {{"role", role_}, {"content", parts_.Take()}};
  if (!thoughts_.empty()) message["reasoning_content"] = std::exchange(thoughts_, {});
  if (!calls_.empty()) message["tool_calls"] = std::exchange(calls_, OrderedJson::array());
  messages_.push_back(std::move(message));
}

Conversation ConversationBuilder::Take() {
  EndTurn();
  return {std::move(messages_), std::move(intake_.media())};
}

}  // namespace facet::serve
