// Conversations in the chat API's shape, in every spelling that clients and data files use, to the
// one spelling that templates and the prompt builder take. What would be lost is refused by name;
// what is not known besides is noted, or refused as well.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/json_fields.h"

namespace facet {

// Where a message says that the bytes of a picture, a sound or a film are.
struct MediumSource {
  enum class Kind { kAddress, kBase64 } kind = Kind::kAddress;
  std::string text;  // an address or a path; or base64, without "data:TYPE;base64,"
};

struct ConversationRules {
  // A data file may also hold what exports of conversations have: the role "model", texts as parts,
  // calls without `function` around them, results of tools that are objects, media as `path`, and
  // `train` or `weight` (0 or 1) of an answer. Its arguments of calls must be JSON, and its media
  // are the user's alone.
  enum class Source { kRequest, kDataFile } source = Source::kRequest;
  size_t max_parts = 1024;  // of one message
  size_t max_calls = 1024;  // of one message
  // Notes members of messages and parts that nobody reads; null: they are refused.
  IgnoredFields* ignored = nullptr;
  // Sets a medium aside and returns the fields by which the prompt builder's caller finds it again,
  // such as {"index": 3} or {"path": "/a/b.png"}. Its errors get the field's place in front.
  std::function<Result<OrderedJson>(const MediumSource&)> keep_medium;
};

class ConversationReader {
 public:
  explicit ConversationReader(ConversationRules rules) : rules_(std::move(rules)) {}

  // Appends one message, or a list of them. `path` leads there in errors, which name the field as
  // `param`.
  Result<void> Read(OrderedJson message, const std::string& path);
  Result<void> ReadAll(OrderedJson messages, const std::string& path);

  // Roles are system, developer, user, assistant and tool. Content is a string, or a list of
  // {"type": "text", "text"} and {"type": "image" | "audio" | "video", ...} with the fields of
  // keep_medium and image_budget, video_budget, fps, audio where they were given. Thoughts are in
  // reasoning_content; the arguments of tool_calls are objects.
  OrderedJson& messages() { return messages_; }
  // By message: an answer that is to be learnt.
  const std::vector<bool>& trained() const { return trained_; }

 private:
  bool from_file() const { return rules_.source == ConversationRules::Source::kDataFile; }
  Result<OrderedJson> ReadContent(JsonFields& fields, const std::string& role);
  Result<OrderedJson> ReadParts(JsonFields& fields, OrderedJson& content, const std::string& role);
  Result<OrderedJson> ReadPart(OrderedJson& part, const std::string& path);
  Result<OrderedJson> ReadMedium(JsonFields& fields, const std::string& type);
  Result<void> ReadSource(JsonFields& fields, const std::string& name, OrderedJson& to);
  Result<void> ReadAssistant(JsonFields& fields, OrderedJson& to);
  Result<OrderedJson> ReadCall(OrderedJson& call, const std::string& path);
  Result<OrderedJson> ReadCustomCall(JsonFields& fields, const std::string& id);
  Result<OrderedJson> ReadArguments(JsonFields& function);
  void RefuseWhatWouldBeLost(JsonFields& fields);
  Result<bool> ReadTrained(JsonFields& fields, const std::string& role);

  const ConversationRules rules_;
  OrderedJson messages_ = OrderedJson::array();
  std::vector<bool> trained_;
};

// Arguments of a call as an object. Text that is no JSON object is kept as {"arguments": text}: an
// answer that was cut off carries half an object, and goes back to the model as the text that it
// was.
OrderedJson CallArguments(const std::string& text);

}  // namespace facet
