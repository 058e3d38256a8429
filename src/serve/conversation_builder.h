// Conversations of APIs whose messages are not those of the chat API, in the one spelling that
// templates and the prompt builder take (chat/conversation_reader.h).
#pragma once

#include <string>
#include <vector>

#include "chat/conversation_reader.h"
#include "serve/media/intake.h"

namespace facet::serve {

// The content of a message: texts and media in their order.
class PartList {
 public:
  void Text(std::string text);
  // A text of its own: a line break parts it from the text before, unless there is white space.
  void Block(std::string text);
  // `kind`: "image", "audio" or "video". Errors name `path`.
  // `more`: fields beside the medium, such as image_budget.
  Result<void> Medium(const std::string& kind, MediumSource source, MediaIntake& intake,
                      const std::string& path, const OrderedJson& more = OrderedJson::object());

  bool empty() const { return parts_.empty(); }
  // A string where all parts are texts.
  OrderedJson Take();

 private:
  OrderedJson parts_ = OrderedJson::array();
  bool media_ = false;
};

class ConversationBuilder {
 public:
  explicit ConversationBuilder(const MediaAccess& access) : intake_(access) {}

  // What follows is said by `role`; turns of one role after another are one message.
  void Turn(const std::string& role);
  // The same as a message of its own.
  void NewTurn(const std::string& role);
  PartList& parts() { return parts_; }
  MediaIntake& intake() { return intake_; }
  // Of an assistant's turn.
  void Thoughts(const std::string& text) { thoughts_ += text; }
  bool has_thoughts() const { return !thoughts_.empty(); }
  void Call(std::string id, std::string name, OrderedJson arguments);
  // A tool's result, in front of whatever else its turn says.
  void ToolResult(std::string id, std::string name, OrderedJson content);
  // The id of the earliest call of `name` (empty: of any), of the last turn with calls, that has no
  // result yet; empty where there is none. For APIs whose results name no id.
  std::string OpenCall(const std::string& name) const;

  Conversation Take();

 private:
  void EndTurn();

  MediaIntake intake_;
  OrderedJson messages_ = OrderedJson::array();
  std::string role_, thoughts_;
  PartList parts_;
  OrderedJson calls_ = OrderedJson::array();
  struct OpenResult {
    std::string id, name;
  };
  std::vector<OpenResult> open_;  // calls without a result
  bool results_ = false;          // this turn has brought some
};

}  // namespace facet::serve
