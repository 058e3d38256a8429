#include "chat/conversation_reader.h"

#include <algorithm>
#include <array>

#include "base/picture_budget.h"
#include "formats/json.h"

namespace facet {
namespace {

constexpr size_t kLongestName = 256, kLongestId = 1024;

Error ExpectedObject(const OrderedJson& got, const std::string& path) {
  return {Cat(path, ": expected an object but got ", ShowJson(got)), ErrorKind::kInvalid,
          "invalid_type", path};
}

// The kind of medium that a part's type names; empty where it names none.
std::string MediumOf(std::string_view type, bool from_file) {
  for (const char* kind : {"image", "audio", "video"}) {
    if (type == Cat(kind, "_url") || type == Cat("input_", kind) || (from_file && type == kind))
      return kind;
  }
  return "";
}

std::string JoinText(const OrderedJson& parts) {
  std::string text;
  for (const OrderedJson& part : parts) text += part["text"].get_ref<const std::string&>();
  return text;
}

// Thoughts that were left inside the content go where the others are.
void SplitThoughts(OrderedJson& message) {
  constexpr std::string_view kOpen = "<|channel>thought\n", kClose = "<channel|>";
  if (!message["content"].is_string() || message.contains("reasoning_content")) return;
  const std::string content = message["content"];
  const size_t close = content.find(kClose);
  if (!content.starts_with(kOpen) || close == content.npos) return;
  message["reasoning_content"] = content.substr(kOpen.size(), close - kOpen.size());
  message["content"] = content.substr(close + kClose.size());
}

// An address, or the base64 inside of a data URL.
Result<MediumSource> FromAddress(std::string address) {
  if (!address.starts_with("data:"))
    return MediumSource{MediumSource::Kind::kAddress, std::move(address)};
  const size_t comma = address.find(',');
  if (comma == address.npos || !std::string_view(address).substr(0, comma).ends_with(";base64"))
    return Error{"expected data:TYPE;base64,...", ErrorKind::kInvalid, "invalid_value"};
  address.erase(0, comma + 1);
  return MediumSource{MediumSource::Kind::kBase64, std::move(address)};
}

// Some clients put a data URL where base64 alone belongs.
MediumSource FromBase64(std::string base64) {
  const size_t comma = base64.starts_with("data:") ? base64.find(',') : base64.npos;
  if (comma != base64.npos) base64.erase(0, comma + 1);
  return {MediumSource::Kind::kBase64, std::move(base64)};
}

// The fields that may hold a medium; the first of them is the one that is asked for.
std::vector<std::string> SourceFields(const std::string& type, const std::string& kind,
                                      bool from_file) {
  if (from_file) return {type, "path", "url", "data", kind, kind + "_url"};
  if (kind == "image") return {"image_url"};
  if (kind == "video") return {"video_url", "input_video"};
  return {type};
}

}  // namespace

OrderedJson CallArguments(const std::string& text) {
  if (text.find_first_not_of(" \t\r\n") == text.npos) return OrderedJson::object();
  constexpr JsonLimits kLimits = {
      .max_depth = 100, .duplicates = DuplicateKeys::kLastWins, .long_integers = true};
  auto parsed = ParseJson(text, kLimits);
  if (!parsed || !parsed->is_object()) return {{"arguments", text}};
  return *std::move(parsed);
}

Result<void> ConversationReader::ReadAll(OrderedJson messages, const std::string& path) {
  for (size_t i = 0; i < messages.size(); ++i)
    FACET_TRY(Read(std::move(messages[i]), Cat(path, "[", i, "]")));
  return Ok();
}

Result<void> ConversationReader::Read(OrderedJson message, const std::string& path) {
  if (!message.is_object()) return ExpectedObject(message, path);
  JsonFields fields(message, path, rules_.ignored);
  fields.Require("role");
  std::vector<std::string_view> roles = {"system", "developer", "user", "assistant", "tool"};
  if (from_file()) roles.push_back("model");
  std::string role = fields.Choice("role", roles).value_or("");
  FACET_TRY(fields.status());
  if (role == "model") role = "assistant";
  OrderedJson to = {{"role", role}};
  FACET_ASSIGN(to["content"], ReadContent(fields, role));
  fields.Ignore(
      {"name", "id", "annotations", "refusal", "audio", "cache_control", "status", "type"});
  if (role == "assistant") {
    FACET_TRY(ReadAssistant(fields, to));
  } else if (role == "tool") {
    if (!from_file()) fields.Require("tool_call_id");
    if (const auto id = fields.String("tool_call_id", kLongestId)) to["tool_call_id"] = *id;
    if (const auto name = fields.String("name", kLongestName)) to["name"] = *name;
  }
  FACET_ASSIGN(const bool trained, ReadTrained(fields, role));
  RefuseWhatWouldBeLost(fields);
  FACET_TRY(fields.Done());
  messages_.push_back(std::move(to));
  trained_.push_back(trained);
  return Ok();
}

// What others say in these members is part of the conversation: taken without being read, it would
// be missing from the prompt.
void ConversationReader::RefuseWhatWouldBeLost(JsonFields& fields) {
  if (rules_.ignored == nullptr) return;  // everything that is not known is refused
  constexpr std::pair<const char*, const char*> kRefused[] = {
      {"function_call", "the older form of calls; use tool_calls"},
      {"images", "give pictures as parts of the content"},
      {"tool_calls", "only messages of the role assistant call tools"}};
  for (const auto& [name, reason] : kRefused) {
    if (fields.WasRead(name)) continue;
    const OrderedJson* value = fields.Any(name);
    if (value == nullptr || (value->is_array() && value->empty())) continue;
    fields.Fail(name, Cat("this field is refused: ", reason), "unknown_parameter",
                ErrorKind::kUnsupported);
  }
}

Result<bool> ConversationReader::ReadTrained(JsonFields& fields, const std::string& role) {
  if (!from_file()) return false;
  const auto weight = fields.Int("weight", 0, 1);
  const auto train = fields.Bool("train");
  if (role != "assistant" && (train == true || weight == 1)) {
    fields.Fail(train == true ? "train" : "weight", "only messages of the assistant are learnt",
                "unsupported", ErrorKind::kUnsupported);
  }
  FACET_TRY(fields.status());
  return role == "assistant" && train.value_or(weight.value_or(1) == 1);
}

// --- content

Result<OrderedJson> ConversationReader::ReadContent(JsonFields& fields, const std::string& role) {
  OrderedJson* content = fields.Any("content");
  if (content == nullptr) {
    // A tool that gives nothing back is answered with null by many clients.
    if (role != "assistant" && (from_file() || role != "tool")) {
      fields.Fail("content", Cat("a message of role ", role, " needs content"),
                  "missing_required_parameter");
    }
    FACET_TRY(fields.status());
    return OrderedJson("");
  }
  if (content->is_string()) return std::move(*content);
  if (from_file() && role == "tool" && content->is_object()) return std::move(*content);
  if (content->is_array() && content->size() <= rules_.max_parts)
    return ReadParts(fields, *content, role);
  fields.Fail("content",
              Cat("expected a string or a list of at most ", rules_.max_parts, " parts but got ",
                  ShowJson(*content)),
              "invalid_type");
  return fields.status().error();
}

Result<OrderedJson> ConversationReader::ReadParts(JsonFields& fields, OrderedJson& content,
                                                  const std::string& role) {
  OrderedJson parts = OrderedJson::array();
  std::string medium;  // the first part that is one
  for (size_t i = 0; i < content.size(); ++i) {
    const std::string name = Cat("content[", i, "]");
    FACET_ASSIGN(OrderedJson part, ReadPart(content[i], fields.Path(name)));
    if (medium.empty() && part["type"] != "text") medium = name;
    parts.push_back(std::move(part));
  }
  // Templates render a list of texts and their concatenation alike, except for trimming: one string
  // is the safe form.
  if (medium.empty()) return OrderedJson(JoinText(parts));
  if (role != "user" && (from_file() || role != "tool")) {
    fields.Fail(medium, Cat("a message of role ", role, " takes text only"), "unsupported",
                ErrorKind::kUnsupported);
  }
  FACET_TRY(fields.status());
  return parts;
}

Result<OrderedJson> ConversationReader::ReadPart(OrderedJson& part, const std::string& path) {
  if (part.is_string()) return OrderedJson{{"type", "text"}, {"text", std::move(part)}};
  if (!part.is_object()) return ExpectedObject(part, path);
  JsonFields fields(part, path, rules_.ignored);
  fields.Require("type");
  const std::string type = fields.String("type", 64).value_or("");
  FACET_TRY(fields.status());
  fields.Ignore({"cache_control"});
  OrderedJson to;
  if (type == "text" || type == "input_text" || type == "output_text") {
    fields.Require("text");
    to = {{"type", "text"}, {"text", fields.MoveString("text", SIZE_MAX).value_or("")}};
    fields.Ignore({"annotations", "logprobs"});
  } else if (type == "refusal") {
    to = {{"type", "text"}, {"text", fields.MoveString("refusal", SIZE_MAX).value_or("")}};
  } else if (!MediumOf(type, from_file()).empty()) {
    FACET_ASSIGN(to, ReadMedium(fields, type));
  } else {
    fields.Fail("type",
                Cat("expected text, image_url, input_audio, video_url or input_video but got ",
                    ShowJson(OrderedJson(type))));
  }
  FACET_TRY(fields.Done());
  return to;
}

// --- media

Result<OrderedJson> ConversationReader::ReadMedium(JsonFields& fields, const std::string& type) {
  const std::string kind = MediumOf(type, from_file());
  OrderedJson to = {{"type", kind}};
  if (kind != "audio") {
    for (const char* name : {"image_budget", "video_budget"}) {
      const auto budget = fields.Int(name, 1, *std::rbegin(kPictureBudgets));
      if (!budget) continue;
      if (!IsPictureBudget(*budget))
        fields.Fail(name, Cat("expected ", kPictureBudgetNames, " but got ", *budget));
      to[kind + "_budget"] = *budget;
    }
  }
  if (kind == "video") {
    if (const auto fps = fields.Number("fps", 0.001, 60)) to["fps"] = *fps;
    if (const auto sound = fields.Bool("audio")) to["audio"] = *sound;
  }
  if (kind == "image") fields.Ignore({"detail"});
  std::string name;
  const auto names = SourceFields(type, kind, from_file());
  for (const std::string& field : names) {
    if (name.empty() && fields.Any(field) != nullptr) name = field;
  }
  if (name.empty()) fields.Require(names.front());
  FACET_TRY(fields.status());
  FACET_TRY(ReadSource(fields, name, to));
  return to;
}

// {"NAME": address}, {"NAME": {"url": address}} or {"NAME": {"data": base64, "format": ...}}.
Result<void> ConversationReader::ReadSource(JsonFields& fields, const std::string& name,
                                            OrderedJson& to) {
  OrderedJson& value = *fields.Any(name);
  std::string field = name;
  Result<MediumSource> source = MediumSource{};
  if (value.is_string()) {
    std::string text = std::move(value.get_ref<std::string&>());
    source = name == "data" ? FromBase64(std::move(text)) : FromAddress(std::move(text));
  } else if (value.is_object()) {
    JsonFields inner = fields.Inside(name, value);
    auto address = inner.MoveString("url", SIZE_MAX);
    auto data = inner.MoveString("data", SIZE_MAX);
    if (from_file() && !address) address = inner.MoveString("path", SIZE_MAX);
    inner.Ignore({"detail", "format"});  // the bytes themselves tell their format
    FACET_TRY(inner.Done());
    if (!address && !data) {
      fields.Fail(name, "expected 'url' or 'data'", "missing_required_parameter");
      return fields.status();
    }
    field += address ? ".url" : ".data";
    source = address ? FromAddress(*std::move(address)) : FromBase64(*std::move(data));
  } else {
    fields.FailType(name, "an object", value);
    return fields.status();
  }
  const auto kept = source ? rules_.keep_medium(*source) : source.error();
  if (!kept) {
    fields.Fail(field, kept.error());
    return fields.status();
  }
  to.update(*kept);
  return Ok();
}

// --- what an assistant said

Result<void> ConversationReader::ReadAssistant(JsonFields& fields, OrderedJson& to) {
  std::vector<const char*> names = {"reasoning_content", "reasoning"};
  const OrderedJson* thinking = fields.Any("thinking");
  if (from_file() || (thinking != nullptr && thinking->is_string())) {
    names.push_back("thinking");
  } else {
    fields.IgnoreAndNote("thinking");  // settings, or blocks that repeat reasoning_content
  }
  std::optional<std::string> thoughts;
  for (const char* name : names) {
    auto given = fields.MoveString(name, SIZE_MAX);
    if (!thoughts) thoughts = std::move(given);
  }
  fields.Ignore({"reasoning_details"});
  if (thoughts && !(from_file() && thoughts->empty()))
    to["reasoning_content"] = *std::move(thoughts);
  if (from_file()) SplitThoughts(to);
  OrderedJson* calls = fields.Array("tool_calls", rules_.max_calls);
  FACET_TRY(fields.status());
  if (calls == nullptr || calls->empty()) return Ok();
  OrderedJson out = OrderedJson::array();
  for (size_t i = 0; i < calls->size(); ++i) {
    FACET_ASSIGN(OrderedJson call,
                 ReadCall((*calls)[i], Cat(fields.Path("tool_calls"), "[", i, "]")));
    out.push_back(std::move(call));
  }
  to["tool_calls"] = std::move(out);
  return Ok();
}

Result<OrderedJson> ConversationReader::ReadCall(OrderedJson& call, const std::string& path) {
  if (!call.is_object()) return ExpectedObject(call, path);
  JsonFields fields(call, path, rules_.ignored);
  const std::string type = fields.Choice("type", {"function", "custom"}).value_or("function");
  fields.Ignore({"index", "extra_content"});
  const auto id = fields.String("id", kLongestId);
  if (type == "custom") return ReadCustomCall(fields, id.value_or(""));
  OrderedJson* function = fields.Object("function");
  // {"name": ..., "arguments": ...} without `function` around it is common in exported data.
  const bool bare = from_file() && function == nullptr && call.contains("name");
  if (!bare) fields.Require("function");
  FACET_TRY(fields.status());
  JsonFields named(bare ? call : *function, bare ? path : path + ".function", rules_.ignored);
  if (bare) {
    fields.Ignore({"name", "arguments"});
    named.Ignore({"type", "index", "extra_content", "id"});
  }
  named.Require("name");
  const std::string name = named.String("name", kLongestName).value_or("");
  if (from_file() && named.ok() && name.empty())
    named.Fail("name", "this field is required", "missing_required_parameter");
  FACET_ASSIGN(OrderedJson arguments, ReadArguments(named));
  FACET_TRY(named.Done());
  FACET_TRY(fields.Done());
  OrderedJson to = OrderedJson::object();
  if (id || !from_file()) to["id"] = id.value_or("");
  to["type"] = "function";
  to["function"] = {{"name", name}, {"arguments", std::move(arguments)}};
  return to;
}

// A call of a tool that takes a text: of a function with one string.
Result<OrderedJson> ConversationReader::ReadCustomCall(JsonFields& fields, const std::string& id) {
  fields.Require("custom");
  OrderedJson* custom = fields.Object("custom");
  FACET_TRY(fields.status());
  JsonFields inner = fields.Inside("custom", *custom);
  inner.Require("name");
  const std::string name = inner.String("name", kLongestName).value_or("");
  const std::string input = inner.MoveString("input", SIZE_MAX).value_or("");
  FACET_TRY(inner.Done());
  FACET_TRY(fields.Done());
  return OrderedJson{{"id", id},
                     {"type", "function"},
                     {"function", {{"name", name}, {"arguments", {{"input", input}}}}}};
}

Result<OrderedJson> ConversationReader::ReadArguments(JsonFields& function) {
  OrderedJson* given = function.Any("arguments");
  FACET_TRY(function.status());
  if (given == nullptr) return OrderedJson::object();
  if (given->is_object()) return std::move(*given);
  if (given->is_string()) {
    const auto& text = given->get_ref<const std::string&>();
    if (!from_file()) return CallArguments(text);
    auto parsed = ParseJson(text, JsonLimits{.long_integers = true});
    if (!parsed) {
      function.Fail("arguments", parsed.error());
      return function.status().error();
    }
    if (parsed->is_object()) return parsed;
  }
  function.FailType("arguments", "a JSON object", *given);
  return function.status().error();
}

}  // namespace facet
