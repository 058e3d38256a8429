// Content blocks of the Messages API.
#include <algorithm>

#include "base/base64.h"
#include "base/text.h"
#include "serve/anthropic/messages.h"
#include "serve/conversation_builder.h"

namespace facet::serve {
namespace {

constexpr std::string_view kThoughtsPrefix = "facet:";
constexpr size_t kMaxBlocks = 100'000;
// A client's note to its hosted service. It differs from request to request, and no prefix of the
// prompt behind it would ever be found in the cache.
constexpr std::string_view kBillingNote = "x-anthropic-billing-header:";

Error WrongBlock(const OrderedJson& got, std::string_view want, const std::string& path) {
  return {Cat(path, ": expected ", want, " but got ", ShowJson(got)), ErrorKind::kInvalid,
          "invalid_type", path};
}

// Fields of a block that say nothing to the model.
void IgnoreBlockNotes(JsonFields& fields) {
  fields.Ignore({"type", "cache_control", "citations", "caller", "transformations"});
}

class BlockReader {
 public:
  BlockReader(const MediaAccess& access, IgnoredFields* ignored) : to_(access), ignored_(ignored) {}

  Result<void> System(OrderedJson& system) {
    to_.Turn("system");
    if (system.is_string()) {
      to_.parts().Block(std::move(system));
      return Ok();
    }
    if (!system.is_array()) return WrongBlock(system, "a string or a list of texts", "system");
    for (size_t i = 0; i < system.size(); ++i)
      FACET_TRY(ReadText(system[i], Cat("system[", i, "]"), to_.parts()));
    return Ok();
  }

  Result<void> Message(OrderedJson& message, const std::string& path) {
    if (!message.is_object()) return WrongBlock(message, "an object", path);
    JsonFields fields(message, path, ignored_);
    fields.Require("role");
    fields.Require("content");
    const std::string role = fields.Choice("role", {"user", "assistant", "system"}).value_or("");
    OrderedJson* content = fields.Any("content");
    fields.Ignore({"id", "type", "model", "stop_reason", "stop_sequence", "usage"});
    FACET_TRY(fields.Done());
    to_.Turn(role);
    role_ = role;
    return Content(*content, fields.Path("content"), to_.parts());
  }

  Conversation Take() { return to_.Take(); }

 private:
  Result<void> Content(OrderedJson& content, const std::string& path, PartList& parts) {
    if (content.is_string()) {
      AddText(std::move(content.get_ref<std::string&>()), parts);
      return Ok();
    }
    if (!content.is_array() || content.size() > kMaxBlocks)
      return WrongBlock(content, "a string or a list of blocks", path);
    for (size_t i = 0; i < content.size(); ++i)
      FACET_TRY(Block(content[i], Cat(path, "[", i, "]"), parts));
    return Ok();
  }

  // What the model itself said goes on where it was cut.
  void AddText(std::string text, PartList& parts) {
    role_ == "assistant" ? parts.Text(std::move(text)) : parts.Block(std::move(text));
  }

  Result<void> Block(OrderedJson& block, const std::string& path, PartList& parts) {
    if (!block.is_object()) return WrongBlock(block, "an object", path);
    JsonFields fields(block, path, ignored_);
    fields.Require("type");
    const std::string type = fields.String("type", 128).value_or("");
    FACET_TRY(fields.status());
    if (type == "text") return ReadText(block, path, parts);
    IgnoreBlockNotes(fields);
    if (type == "image") return ReadImage(fields, parts);
    if (type == "document") return ReadDocument(fields, parts);
    if (type == "search_result") return ReadSearchResult(fields, parts);
    if (type == "thinking") return ReadThinking(fields);
    if (type == "redacted_thinking") {  // another model's, and nobody here can read it
      fields.Ignore({"data"});
      return fields.Done();
    }
    if (type == "tool_use") return ReadCall(fields);
    if (type == "tool_result") return ReadResult(fields, path);
    fields.Fail("type",
                Cat("expected text, image, document, search_result, thinking, redacted_thinking, "
                    "tool_use or tool_result but got ",
                    ShowJson(OrderedJson(type))),
                "unsupported", ErrorKind::kUnsupported);
    return fields.status();
  }

  Result<void> ReadText(OrderedJson& block, const std::string& path, PartList& parts) {
    if (!block.is_object()) return WrongBlock(block, "an object", path);
    JsonFields fields(block, path, ignored_);
    IgnoreBlockNotes(fields);
    fields.Require("text");
    std::string text = fields.MoveString("text", SIZE_MAX).value_or("");
    FACET_TRY(fields.Done());
    if (!text.starts_with(kBillingNote)) {
      AddText(std::move(text), parts);
    } else if (ignored_ != nullptr) {
      ignored_->Add(path);
    }
    return Ok();
  }

  Result<void> ReadImage(JsonFields& fields, PartList& parts) {
    fields.Require("source");
    OrderedJson* object = fields.Object("source");
    FACET_TRY(fields.Done());
    JsonFields source = fields.Inside("source", *object);
    source.Require("type");
    const std::string type = source.Choice("type", {"base64", "url"}).value_or("");
    source.Ignore({"media_type"});  // the bytes themselves tell their format
    const char* name = type == "url" ? "url" : "data";
    source.Require(name);
    std::string text = source.MoveString(name, SIZE_MAX).value_or("");
    FACET_TRY(source.Done());
    const auto kind = type == "url" ? MediumSource::Kind::kAddress : MediumSource::Kind::kBase64;
    return parts.Medium("image", {kind, std::move(text)}, to_.intake(), source.Path(name));
  }

  Result<void> ReadDocument(JsonFields& fields, PartList& parts) {
    fields.Require("source");
    OrderedJson* object = fields.Object("source");
    const std::string title = fields.String("title", SIZE_MAX).value_or(""),
                      context = fields.String("context", SIZE_MAX).value_or("");
    FACET_TRY(fields.Done());
    JsonFields source = fields.Inside("source", *object);
    source.Require("type");
    const std::string type = source.String("type", 64).value_or("");
    FACET_TRY(source.status());
    for (const std::string& text : {title, context}) parts.Block(text);
    if (type == "content") {
      source.Require("content");
      OrderedJson* content = source.Any("content");
      FACET_TRY(source.Done());
      return Content(*content, source.Path("content"), parts);
    }
    if (type != "text") {
      source.Fail("type",
                  Cat("expected text or content but got ", ShowJson(OrderedJson(type)),
                      ": no PDF is read here; send its text, or its pages as pictures"),
                  "unsupported", ErrorKind::kUnsupported);
      return source.status();
    }
    source.Ignore({"media_type"});
    source.Require("data");
    parts.Block(source.MoveString("data", SIZE_MAX).value_or(""));
    return source.Done();
  }

  Result<void> ReadSearchResult(JsonFields& fields, PartList& parts) {
    for (const char* name : {"title", "source"})
      parts.Block(fields.MoveString(name, SIZE_MAX).value_or(""));
    fields.Require("content");
    OrderedJson* content = fields.Array("content", kMaxBlocks);
    FACET_TRY(fields.Done());
    return Content(*content, fields.Path("content"), parts);
  }

  Result<void> ReadThinking(JsonFields& fields) {
    std::string thoughts = fields.MoveString("thinking", SIZE_MAX).value_or("");
    const std::string signature = fields.MoveString("signature", SIZE_MAX).value_or("");
    FACET_TRY(fields.Done());
    to_.Thoughts(thoughts.empty() ? SignedThoughts(signature) : thoughts);
    return Ok();
  }

  Result<void> ReadCall(JsonFields& fields) {
    for (const char* name : {"id", "name"}) fields.Require(name);
    const std::string id = fields.String("id", 1024).value_or(""),
                      name = fields.String("name", 256).value_or("");
    OrderedJson* input = fields.Object("input");
    if (role_ != "assistant") fields.Fail("type", "only an assistant uses tools");
    FACET_TRY(fields.Done());
    to_.Call(id, name, input == nullptr ? OrderedJson::object() : std::move(*input));
    return Ok();
  }

  Result<void> ReadResult(JsonFields& fields, const std::string& path) {
    fields.Require("tool_use_id");
    const std::string id = fields.String("tool_use_id", 1024).value_or("");
    OrderedJson* content = fields.Any("content");
    const bool failed = fields.Bool("is_error").value_or(false);
    if (role_ != "user") fields.Fail("type", "only a user brings the results of tools");
    FACET_TRY(fields.Done());
    PartList parts;
    if (content != nullptr) FACET_TRY(Content(*content, Cat(path, ".content"), parts));
    OrderedJson result = parts.Take();
    if (failed) SayThatItFailed(result);
    to_.ToolResult(id, "", std::move(result));
    return Ok();
  }

  // The template has no place for is_error.
  static void SayThatItFailed(OrderedJson& result) {
    if (!result.is_string()) return;
    const auto& text = result.get_ref<const std::string&>();
    if (ToLower(std::string_view(text).substr(0, 64)).find("error") == std::string::npos)
      result = Cat("Error: ", text);
  }

  ConversationBuilder to_;
  IgnoredFields* const ignored_;
  std::string role_;
};

}  // namespace

std::string SignThoughts(const std::string& thoughts) {
  return Cat(kThoughtsPrefix, EncodeBase64(thoughts));
}

std::string SignedThoughts(const std::string& signature) {
  if (!signature.starts_with(kThoughtsPrefix)) return {};
  return DecodeBase64(std::string_view(signature).substr(kThoughtsPrefix.size())).value_or("");
}

Result<Conversation> ReadMessageTurns(OrderedJson system, OrderedJson messages,
                                      const MediaAccess& access, IgnoredFields* ignored) {
  BlockReader reader(access, ignored);
  if (!system.is_null()) FACET_TRY(reader.System(system));
  for (size_t i = 0; i < messages.size(); ++i)
    FACET_TRY(reader.Message(messages[i], Cat("messages[", i, "]")));
  return reader.Take();
}

}  // namespace facet::serve
