#include "tune/data/row.h"

#include <algorithm>
#include <cstdint>

#include "base/base64.h"
#include "base/mapped_file.h"
#include "base/picture_budget.h"
#include "chat/conversation_reader.h"
#include "formats/json_fields.h"
#include "tune/data/sharegpt.h"

namespace facet::tune {
namespace {

namespace fs = std::filesystem;

// Sets a medium aside: as base64, or as the path of a file that is there.
Result<OrderedJson> KeepMedium(const MediumSource& source, const fs::path& folder) {
  if (source.kind == MediumSource::Kind::kBase64) {
    if (!DecodeBase64(source.text)) return Error{"malformed base64"};
    return OrderedJson{{"data", source.text}};
  }
  const std::string& given = source.text;
  if (given.starts_with("http://") || given.starts_with("https://")) {
    return Error{Cat(given, " would have to be downloaded; save it beside the data"),
                 ErrorKind::kUnsupported};
  }
  constexpr std::string_view kFile = "file://";
  const fs::path named = given.starts_with(kFile) ? given.substr(kFile.size()) : given;
  const fs::path full = named.is_absolute() ? named : folder / named;
  std::error_code code;
  if (!fs::is_regular_file(full, code))
    return Error{Cat(full.string(), ": no such file"), ErrorKind::kNotFound};
  return OrderedJson{{"path", full.string()}};
}

// Reads one line's object. Every field is taken by name; the others are an error.
class RowReader {
 public:
  RowReader(OrderedJson& line, const fs::path& folder, const RowOptions& options)
      : line_(line),
        fields_(line, ""),
        plain_(options.plain),
        conversation_({.source = ConversationRules::Source::kDataFile,
                       .max_parts = SIZE_MAX,
                       .max_calls = SIZE_MAX,
                       .keep_medium = [folder](const MediumSource& source) {
                         return KeepMedium(source, folder);
                       }}) {
    row_.media = options.media;
  }

  Result<Row> Read() {
    // Notes that people keep beside a conversation; they say nothing to a model.
    fields_.Ignore({"id", "source", "meta", "metadata", "category", "dataset", "language",
                    "license", "comment", "split"});
    FACET_TRY(ReadRendering());
    FACET_TRY(ReadTools());
    FACET_TRY(ReadText());
    FACET_TRY(fields_.Done());
    if (row_.plain) return std::move(row_);
    row_.messages = std::move(conversation_.messages());
    FACET_TRY(CheckConversation());
    return std::move(row_);
  }

 private:
  bool Has(const char* name) const {
    const auto found = line_.find(name);
    return found != line_.end() && !found->is_null();
  }

  // How the template and the media decoders treat this row.
  Result<void> ReadRendering() {
    row_.render.enable_thinking = fields_.Bool("enable_thinking");
    row_.spell = fields_.Bool("spell").value_or(false);
    if (const OrderedJson* extra = fields_.Object("chat_template_kwargs")) {
      row_.render.extra = *extra;
      const auto thinking = extra->find("enable_thinking");
      if (thinking != extra->end() && thinking->is_boolean()) {
        row_.render.enable_thinking = thinking->get<bool>();
        row_.render.extra.erase("enable_thinking");
      }
    }
    for (const auto& [name, budget] : {std::pair("image_budget", &row_.media.image_budget),
                                       std::pair("video_budget", &row_.media.video_budget)}) {
      const OrderedJson* value = fields_.Any(name);
      if (value == nullptr) continue;
      if (!value->is_number_integer()) {
        fields_.FailType(name, kPictureBudgetNames, *value);
      } else {
        *budget = value->get<int>();
      }
    }
    if (const OrderedJson* fps = fields_.Any("fps")) {
      if (!fps->is_number()) {
        fields_.FailType("fps", "a number", *fps);
      } else {
        row_.media.frames_per_second = fps->get<double>();
      }
    }
    return fields_.status();
  }

  Result<void> ReadTools() {
    const OrderedJson* tools = fields_.Any("tools");
    if (tools == nullptr) return fields_.status();
    OrderedJson list = *tools;
    if (list.is_string()) {  // columns of tables cannot hold lists of unlike objects
      auto parsed = ParseJson(list.get_ref<const std::string&>(), JsonLimits{});
      if (!parsed) return parsed.error().In("tools");
      list = *std::move(parsed);
    }
    if (!list.is_array()) {
      fields_.FailType("tools", "a list", list);
      return fields_.status();
    }
    for (size_t i = 0; i < list.size(); ++i) {
      OrderedJson& tool = list[i];
      if (tool.is_object() && tool.contains("name") && !tool.contains("function"))
        tool = {{"type", "function"}, {"function", std::move(tool)}};
      const bool named = tool.is_object() && tool.contains("function") &&
                         tool["function"].is_object() && tool["function"].contains("name") &&
                         tool["function"]["name"].is_string();
      if (!named) return Expected("a function with a name", ShowJson(tool), Cat("tools[", i, "]"));
    }
    if (!list.empty()) row_.tools = std::move(list);
    return Ok();
  }

  // What is learnt, in whichever form the line has it.
  Result<void> ReadText() {
    if (Has("messages")) {
      OrderedJson* messages = fields_.Array("messages", SIZE_MAX);
      FACET_TRY(fields_.status());
      return ReadMessages(std::move(*messages), "messages");
    }
    if (Has("conversations")) {
      FACET_ASSIGN(OrderedJson messages, MessagesFromShareGpt(fields_));
      return ReadMessages(std::move(messages), "conversations");
    }
    if (Has("prompt") || Has("completion")) return ReadPromptAndCompletion();
    if (!Has("text"))
      return Error{"expected messages, conversations, prompt and completion, or text"};
    row_.plain = Row::Plain{"", fields_.MoveString("text", SIZE_MAX).value_or("")};
    return fields_.status();
  }

  Result<void> ReadMessages(OrderedJson messages, const char* path) {
    FACET_TRY(conversation_.ReadAll(std::move(messages), path));
    row_.trained = conversation_.trained();
    return Ok();
  }

  Result<void> ReadPromptAndCompletion() {
    fields_.Require("prompt");
    fields_.Require("completion");
    FACET_TRY(fields_.status());
    OrderedJson prompt = std::move(*fields_.Any("prompt"));
    OrderedJson completion = std::move(*fields_.Any("completion"));
    if (plain_) {
      if (!prompt.is_string()) return WrongType("prompt", "a text", prompt);
      if (!completion.is_string()) return WrongType("completion", "a text", completion);
      row_.plain = Row::Plain{prompt, completion};
      return Ok();
    }
    FACET_TRY(ReadTurns("prompt", "user", std::move(prompt)));
    const size_t asked = row_.trained.size();
    FACET_TRY(ReadTurns("completion", "assistant", std::move(completion)));
    // Only the completion is learnt.
    std::fill_n(row_.trained.begin(), asked, false);
    return Ok();
  }

  // A text is one message of `role`; a list is messages.
  Result<void> ReadTurns(const char* name, const char* role, OrderedJson turns) {
    if (turns.is_string())
      turns = OrderedJson::array({{{"role", role}, {"content", std::move(turns)}}});
    if (!turns.is_array()) return WrongType(name, "a text or messages", turns);
    return ReadMessages(std::move(turns), name);
  }

  Result<void> WrongType(const char* name, const char* want, const OrderedJson& got) {
    fields_.FailType(name, want, got);
    return fields_.status();
  }

  // Thoughts are only ever written where thinking is on.
  Result<void> CheckConversation() {
    const OrderedJson& messages = row_.messages;
    if (messages.empty()) return Expected("at least one message", "none", "messages");
    if (messages[0]["role"] == "assistant")
      return Error{"messages[0]: an assistant's message answers nothing"};
    bool any = false, thinks = false;
    for (size_t i = 0; i < row_.trained.size(); ++i) {
      any |= row_.trained[i];
      if (!row_.trained[i] || !messages[i].contains("reasoning_content")) continue;
      thinks = true;
      if (row_.render.enable_thinking == false) {
        return Error{Cat("messages[", i, "].reasoning_content: there are no thoughts where ",
                         "enable_thinking is false")};
      }
    }
    if (!any) return Error{"nothing to learn: no message of the assistant is trained"};
    if (thinks) row_.render.enable_thinking = true;
    return Ok();
  }

  OrderedJson& line_;
  JsonFields fields_;
  bool plain_;
  ConversationReader conversation_;
  Row row_;
};

}  // namespace

Result<Row> ReadRow(std::string_view line, const fs::path& folder, const RowOptions& options) {
  FACET_ASSIGN(OrderedJson parsed, ParseJson(line, JsonLimits{}));
  if (!parsed.is_object()) return Expected("an object", ShowJson(parsed), "the line");
  return RowReader(parsed, folder, options).Read();
}

Result<std::string> LoadPart(const OrderedJson& part) {
  if (part.contains("path")) return ReadFile(part["path"].get<std::string>());
  auto bytes = DecodeBase64(part["data"].get<std::string>());
  if (!bytes) return Error{"malformed base64"};
  return *std::move(bytes);
}

}  // namespace facet::tune
