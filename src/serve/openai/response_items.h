// Items of the responses API: what a request says came before, to messages.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "chat/conversation_reader.h"
#include "serve/openai/requests.h"

namespace facet::serve {

// Items of one assistant turn (text, thoughts, calls) become one message. Calls of tools that a
// hosted service ran, whose results stand in the item, become a call and its result.
class ItemReader {
 public:
  // An item that was kept, by its id.
  using Find = std::function<std::optional<OrderedJson>(const std::string& id)>;

  ItemReader(MediaIntake& intake, IgnoredFields* ignored, Find find)
      : reader_(RequestRules(intake, ignored)), ignored_(ignored), find_(std::move(find)) {}

  // `path` leads to the list in errors.
  Result<void> ReadAll(OrderedJson items, const std::string& path);
  OrderedJson& messages() { return reader_.messages(); }

 private:
  struct Call {
    std::string id, name;
    OrderedJson arguments;
  };

  Result<void> AnswerOpenCalls();
  Result<void> ReadItem(OrderedJson item, const std::string& path);
  Result<void> ReadMessage(OrderedJson& message, const std::string& path);
  Result<void> ReadReference(JsonFields& fields, const std::string& path);
  Result<void> ReadCall(JsonFields& fields);
  Result<void> ReadCustomCall(JsonFields& fields);
  // A call whose arguments stand in members of its own.
  Result<void> ReadOtherCall(const std::string& tool, OrderedJson& item, const std::string& path);
  // A call that was run where it was made.
  Result<void> ReadHostedCall(const std::string& tool, OrderedJson& item, const std::string& path);
  Result<void> ReadOutput(JsonFields& fields, const std::string& path);
  Result<void> ReadReasoning(JsonFields& fields);

  // {"type": "search", "query": ...}: what a call of a tool with a type of its own does.
  static OrderedJson ReadAction(JsonFields& fields, OrderedJson& action);
  // {"type", "text"} parts of a member, joined.
  static std::string ReadTexts(JsonFields& fields, const char* name);

  void AddCall(Call call);
  Result<void> AddResult(const std::string& call_id, OrderedJson content, const std::string& path);
  // The assistant message that further items of the same turn go to; null where there is none.
  OrderedJson* OpenTurn();
  void JoinLast();
  void Note(const std::string& path) {
    if (ignored_ != nullptr) ignored_->Add(path);
  }

  ConversationReader reader_;
  IgnoredFields* ignored_;
  Find find_;
  std::string reasoning_;  // of the turn that goes on
};

// Thoughts as the `encrypted_content` of a reasoning item, for clients that keep everything
// themselves; and back, nothing where it is none of ours. The client may see what is inside: it has
// the thoughts anyway.
std::string SealThoughts(const std::string& thoughts);
std::optional<std::string> OpenThoughts(const std::string& sealed);

// A list as the API gives it, of the part that the query asks for (`order`, `limit`, `after`).
// Errors name the parameter.
Result<OrderedJson> ItemPage(const OrderedJson& items, const std::string& query);

// Gives each item an id that has none, and messages their type.
OrderedJson WithIds(OrderedJson items);

}  // namespace facet::serve
