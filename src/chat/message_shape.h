// From the messages that the chat API takes to those that a checkpoint's template understands.
#pragma once

#include <nlohmann/json.hpp>

#include "base/result.h"

namespace facet {

// What a template has been seen to do with a sample conversation.
struct MessageShape {
  bool tool_messages = true;  // messages of the role "tool" come out as results
  bool system_parts = true;   // a system message may have a list of parts
};

// Checks the messages, parses `arguments` that are strings and adapts what the template does not
// take:
// - results are folded into the calling assistant message as `tool_responses`, and a plain
//   assistant message after them becomes its content;
// - text parts of a system message are joined.
// Errors name the message and the field.
Result<nlohmann::ordered_json> ShapeMessages(nlohmann::ordered_json messages,
                                             const MessageShape& shape);

}  // namespace facet
