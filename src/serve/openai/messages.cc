// Messages and content parts of requests.
#include <algorithm>

#include "base/base64.h"
#include "base/picture_budget.h"
#include "serve/openai/requests.h"

namespace facet::serve {
namespace {

std::string JoinText(const Json& parts) {
  std::string text;
  for (const Json& part : parts) text += part.value("text", "");
  return text;
}

// --- content parts

class PartReader {
 public:
  PartReader(const ApiLimits& limits, Conversation& out) : limits_(limits), out_(out) {}

  // A part in the shape that the template and the prompt builder take.
  std::optional<ApiError> Read(const Json& part, const std::string& path, Json& to) {
    if (!part.is_object())
      return ApiError{400, Cat(path, ": expected an object but got ", Show(part)), "invalid_type",
                      path};
    Fields fields(part, path);
    fields.Require("type");
    const std::string type = fields.String("type", 64).value_or("");
    if (fields.error()) return fields.error();
    if (type == "text" || type == "input_text" || type == "output_text") {
      fields.Require("text");
      to = {{"type", "text"}, {"text", fields.String("text", SIZE_MAX).value_or("")}};
      fields.Ignore({"annotations", "logprobs", "cache_control"});
    } else if (type == "refusal") {
      to = {{"type", "text"}, {"text", fields.String("refusal", SIZE_MAX).value_or("")}};
    } else if (type == "image_url" || type == "input_image") {
      Media(fields, "image", "image_url", to);
      fields.Ignore({"detail", "cache_control"});
    } else if (type == "video_url" || type == "input_video") {
      Media(fields, "video", part.contains("input_video") ? "input_video" : "video_url", to);
    } else if (type == "input_audio" || type == "audio_url") {
      Media(fields, "audio", type == "audio_url" ? "audio_url" : "input_audio", to);
    } else {
      fields.Fail("type",
                  Cat("expected text, image_url, input_audio, video_url or input_video but got ",
                      Show(type)));
    }
    fields.Done();
    return fields.error();
  }

 private:
  // {"KEY": {"url": ...}} or {"KEY": url} or {"KEY": {"data": base64, "format": ...}}.
  void Media(Fields& fields, const char* kind, const char* key, Json& to) {
    to = {{"type", kind}};
    for (const char* name : {"image_budget", "video_budget"}) {
      if (std::string_view(kind) == "audio") break;
      const auto budget = fields.Int(name, 1, 1120);
      if (!budget) continue;
      if (!IsPictureBudget(*budget))
        return fields.Fail(name, Cat("expected ", kPictureBudgetNames, " but got ", *budget));
      to[std::string_view(kind) == "video" ? "video_budget" : "image_budget"] = *budget;
    }
    if (std::string_view(kind) == "video") {
      if (const auto fps = fields.Number("fps", 0.001, 60)) to["fps"] = *fps;
      if (const auto sound = fields.Bool("audio")) to["audio"] = *sound;
    }
    fields.Require(key);
    const Json* value = fields.Any(key);
    if (value == nullptr) return;
    if (value->is_string()) return Url(fields, key, value->get_ref<const std::string&>(), to);
    if (!value->is_object())
      return fields.Fail(key, Cat("expected an object but got ", Show(*value)), "invalid_type");
    Fields inner(*value, fields.Path(key));
    const auto url = inner.String("url", SIZE_MAX);
    const auto data = inner.String("data", SIZE_MAX);
    inner.Ignore({"detail", "format"});  // the bytes themselves tell their format
    inner.Done();
    if (!inner.ok()) return fields.Adopt(inner);
    if (url) return Url(fields, Cat(key, ".url"), *url, to);
    if (data) return Bytes(fields, Cat(key, ".data"), *data, to);
    fields.Fail(key, "expected 'url' or 'data'", "missing_required_parameter");
  }

  void Url(Fields& fields, const std::string& key, const std::string& url, Json& to) {
    if (!url.starts_with("data:")) return Address(fields, key, url, to);
    const size_t comma = url.find(',');
    if (comma == std::string::npos ||
        !std::string_view(url).substr(0, comma).ends_with(";base64")) {
      return fields.Fail(key, "expected data:TYPE;base64,...");
    }
    Bytes(fields, key, std::string_view(url).substr(comma + 1), to);
  }

  void Bytes(Fields& fields, const std::string& key, std::string_view base64, Json& to) {
    if (base64.starts_with("data:")) {
      const size_t comma = base64.find(',');
      base64.remove_prefix(comma == std::string_view::npos ? 0 : comma + 1);
    }
    auto bytes = DecodeBase64(base64);
    if (!bytes) return fields.Fail(key, "malformed base64", "invalid_base64");
    if (HasRoom(fields, key)) Keep(std::move(*bytes), to);
  }

  // Opened for the client, where the operator allows it.
  void Address(Fields& fields, const std::string& key, const std::string& url, Json& to) {
    if (!HasRoom(fields, key)) return;
    if (out_.fetching > limits_.max_fetching)
      return fields.Fail(key, "fetching the media before took too long", "media_unavailable");
    const auto begin = std::chrono::steady_clock::now();
    auto bytes = ReadMedia(limits_.media, url);
    out_.fetching += std::chrono::steady_clock::now() - begin;
    if (!bytes) {
      const ErrorKind kind = bytes.error().kind;
      return fields.Fail(key, bytes.error().message,
                         kind == ErrorKind::kPermission ? "url_not_allowed"
                         : kind == ErrorKind::kIo       ? "media_unavailable"
                                                        : "unsupported_url");
    }
    out_.fetched += bytes->size();
    if (out_.fetched > limits_.max_fetched_bytes) {
      return fields.Fail(
          key, Cat("expected at most ", limits_.max_fetched_bytes, " bytes behind all addresses"),
          "too_many_media");
    }
    Keep(std::move(*bytes), to);
  }

  bool HasRoom(Fields& fields, const std::string& key) {
    if (out_.media.size() < static_cast<size_t>(limits_.max_media)) return true;
    fields.Fail(key, Cat("expected at most ", limits_.max_media, " pictures, sounds and films"),
                "too_many_media");
    return false;
  }
  void Keep(std::string bytes, Json& to) {
    to["index"] = out_.media.size();
    out_.media.push_back(std::move(bytes));
  }

  const ApiLimits& limits_;
  Conversation& out_;
};

// --- messages

class MessageReader {
 public:
  MessageReader(const ApiLimits& limits, Conversation& out)
      : limits_(limits), out_(out), parts_(limits, out) {}

  std::optional<ApiError> Read(const Json& message, const std::string& path) {
    if (!message.is_object()) {
      return ApiError{400, Cat(path, ": expected an object but got ", Show(message)),
                      "invalid_type", path};
    }
    Fields fields(message, path);
    fields.Require("role");
    const auto role = fields.Choice("role", {"system", "developer", "user", "assistant", "tool"});
    if (fields.error()) return fields.error();
    Json to = {{"role", *role}};
    if (auto error = Content(fields, message, path, to)) return error;
    fields.Ignore(
        {"name", "id", "annotations", "refusal", "audio", "cache_control", "status", "type"});
    if (*role == "assistant") {
      ReadAssistant(fields, path, to);
    } else if (*role == "tool") {
      fields.Require("tool_call_id");
      to["tool_call_id"] = fields.String("tool_call_id", 1024).value_or("");
      if (const auto name = fields.String("name", 256)) to["name"] = *name;
    }
    fields.Done();
    if (fields.error()) return fields.error();
    out_.messages.push_back(std::move(to));
    return std::nullopt;
  }

 private:
  std::optional<ApiError> Content(Fields& fields, const Json& message, const std::string& path,
                                  Json& to) {
    const Json* content = fields.Any("content");
    const std::string& role = to["role"].get_ref<const std::string&>();
    to["content"] = "";
    if (content == nullptr) {
      if (role == "assistant") return std::nullopt;
      fields.Fail("content", Cat("a message of role ", role, " needs content"),
                  "missing_required_parameter");
      return fields.error();
    }
    if (content->is_string()) {
      to["content"] = *content;
      return std::nullopt;
    }
    if (!content->is_array() || content->size() > static_cast<size_t>(limits_.max_parts)) {
      fields.Fail("content",
                  Cat("expected a string or a list of at most ", limits_.max_parts,
                      " parts but got ", Show(message["content"])),
                  "invalid_type");
      return fields.error();
    }
    Json parts = Json::array();
    bool media = false;
    for (size_t i = 0; i < content->size(); ++i) {
      Json part;
      if (auto error = parts_.Read((*content)[i], Cat(path, ".content[", i, "]"), part))
        return error;
      media |= part["type"] != "text";
      parts.push_back(std::move(part));
    }
    if (media && (role == "system" || role == "developer" || role == "assistant")) {
      fields.Fail("content", Cat("a message of role ", role, " takes text only"), "unsupported");
      return fields.error();
    }
    // Templates render a list of texts and their concatenation alike, except for trimming: one
    // string is the safe form.
    to["content"] = media ? parts : Json(JoinText(parts));
    return std::nullopt;
  }

  void ReadAssistant(Fields& fields, const std::string& path, Json& to) {
    const auto reasoning = fields.String("reasoning_content", SIZE_MAX);
    const auto other = fields.String("reasoning", SIZE_MAX);
    fields.Ignore({"reasoning_details"});
    if (reasoning || other) to["reasoning_content"] = reasoning ? *reasoning : *other;
    const Json* calls = fields.Array("tool_calls", 1024);
    if (calls == nullptr || calls->empty()) return;
    Json out = Json::array();
    for (size_t i = 0; i < calls->size(); ++i) {
      const std::string where = Cat(path, ".tool_calls[", i, "]");
      const std::string name = Cat("tool_calls[", i, "]");
      const Json& call = (*calls)[i];
      if (!call.is_object()) return fields.Fail(name, "expected an object", "invalid_type");
      Fields inner(call, where);
      inner.Choice("type", {"function"});
      inner.Ignore({"index", "extra_content"});
      const std::string id = inner.String("id", 1024).value_or("");
      inner.Require("function");
      const Json* function = inner.Object("function");
      if (!inner.ok()) return fields.Adopt(inner);
      Fields f(*function, where + ".function");
      f.Require("name");
      const std::string function_name = f.String("name", 256).value_or("");
      const Json* arguments = f.Any("arguments");
      f.Done();
      inner.Done();
      if (!f.ok()) return fields.Adopt(f);
      if (!inner.ok()) return fields.Adopt(inner);
      Json value = Json::object();
      if (arguments != nullptr && arguments->is_object()) value = *arguments;
      if (arguments != nullptr && arguments->is_string() &&
          !Parse(arguments->get_ref<const std::string&>(), value)) {
        return fields.Fail(name + ".function.arguments", "expected a JSON object");
      }
      out.push_back({{"id", id},
                     {"type", "function"},
                     {"function", {{"name", function_name}, {"arguments", value}}}});
    }
    to["tool_calls"] = std::move(out);
  }

  // An answer that was cut off carries half an object: it goes back as the text that it was.
  static bool Parse(const std::string& text, Json& out) {
    if (text.find_first_not_of(" \t\r\n") == std::string::npos) return true;
    Json parsed;
    if (ParseBody(text, parsed)) {
      out = {{"arguments", text}};
      return true;
    }
    out = std::move(parsed);
    return true;
  }

  const ApiLimits& limits_;
  Conversation& out_;
  PartReader parts_;
};

}  // namespace

std::optional<ApiError> ReadMessages(const Json& messages, const std::string& path,
                                     const ApiLimits& limits, Conversation& out) {
  for (size_t i = 0; i < messages.size(); ++i) {
    if (auto error = ReadMessage(messages[i], Cat(path, "[", i, "]"), limits, out)) return error;
  }
  return std::nullopt;
}

std::optional<ApiError> ReadMessage(const Json& message, const std::string& path,
                                    const ApiLimits& limits, Conversation& out) {
  return MessageReader(limits, out).Read(message, path);
}

}  // namespace facet::serve
