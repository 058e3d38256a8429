// Contents and their parts.
#include <array>

#include "base/base64.h"
#include "base/text.h"
#include "serve/conversation_builder.h"
#include "serve/gemini/gemini.h"
#include "serve/gemini/signature.h"

namespace facet::serve {
namespace {

constexpr size_t kMaxContentParts = 100'000;

Error WrongPart(const OrderedJson& got, std::string_view want, const std::string& path) {
  return {Cat(path, ": expected ", want, " but got ", ShowJson(got)), ErrorKind::kInvalid,
          "invalid_type", path};
}

// Members of a part that say nothing to the model.
void IgnorePartNotes(JsonFields& fields) {
  fields.Ignore({"partMetadata", "audioTranscription", "mediaProcessing", "speechMetadata",
                 "documentMetadata", "spreadsheetMetadata", "audioMetadata"});
}

class ContentReader {
 public:
  ContentReader(const GeminiRequest& request, const MediaAccess& access, IgnoredFields* ignored)
      : request_(request), to_(access), ignored_(ignored) {}

  Result<void> System(OrderedJson& system) {
    to_.Turn("system");
    role_ = "system";
    if (system.is_string()) {
      to_.parts().Text(std::move(system.get_ref<std::string&>()));
      return Ok();
    }
    if (!system.is_object()) return WrongPart(system, "an object", "systemInstruction");
    JsonFields fields(system, "systemInstruction", ignored_);
    fields.Ignore({"role"});
    return Parts(fields);
  }

  Result<void> Content(OrderedJson& content, const std::string& path) {
    if (!content.is_object()) return WrongPart(content, "an object", path);
    JsonFields fields(content, path, ignored_);
    const std::string role =
        fields.Choice("role", {"user", "model", "function", "system"}).value_or("user");
    FACET_TRY(fields.status());
    role_ = role == "model" ? "assistant" : role == "function" ? "user" : role;
    to_.Turn(role_);
    return Parts(fields);
  }

  Conversation Take() { return to_.Take(); }

 private:
  Result<void> Parts(JsonFields& fields) {
    OrderedJson* parts = fields.Any("parts");
    const std::string path = fields.Path("parts");
    FACET_TRY(fields.Done());
    if (parts == nullptr) return Ok();
    // A single part need not be in a list.
    if (parts->is_object()) return Part(*parts, path, to_.parts());
    if (!parts->is_array() || parts->size() > kMaxContentParts)
      return WrongPart(*parts, "a list of parts", path);
    for (size_t i = 0; i < parts->size(); ++i)
      FACET_TRY(Part((*parts)[i], Cat(path, "[", i, "]"), to_.parts()));
    return Ok();
  }

  Result<void> Part(OrderedJson& part, const std::string& path, PartList& parts) {
    if (!part.is_object()) return WrongPart(part, "an object", path);
    JsonFields fields(part, path, ignored_);
    IgnorePartNotes(fields);
    const bool thought = fields.Bool("thought").value_or(false);
    const std::string signature = fields.String("thoughtSignature", SIZE_MAX).value_or("");
    if (role_ == "assistant" && !thought && !to_.has_thoughts())
      to_.Thoughts(ThoughtsOf(signature));
    if (auto text = fields.MoveString("text", SIZE_MAX)) {
      FACET_TRY(fields.Done());
      thought ? to_.Thoughts(*text) : parts.Text(*std::move(text));
      return Ok();
    }
    for (const char* name : {"inlineData", "fileData"}) {
      if (fields.Any(name) != nullptr) return ReadMedium(fields, name, parts);
    }
    if (fields.Any("functionCall") != nullptr) return ReadCall(fields);
    if (fields.Any("functionResponse") != nullptr) return ReadResult(fields);
    FACET_TRY(fields.status());
    return Unknown(part, fields);
  }

  // What a part says may not be left out; one that says nothing may.
  static Result<void> Unknown(const OrderedJson& part, JsonFields& fields) {
    for (const auto& [name, value] : part.items()) {
      if (fields.WasRead(name) || value.is_null()) continue;
      fields.Fail(name,
                  "expected text, inlineData, fileData, functionCall or functionResponse instead",
                  "unsupported", ErrorKind::kUnsupported);
    }
    return fields.status();
  }

  // --- media

  Result<void> ReadMedium(JsonFields& fields, const char* name, PartList& parts) {
    OrderedJson* object = fields.Object(name);
    FACET_TRY(fields.status());
    JsonFields data = fields.Inside(name, *object);
    data.Ignore({"displayName"});
    const std::string type = ToLower(data.String("mimeType", 256).value_or(""));
    const bool inside = std::string_view(name) == "inlineData";
    const char* source = inside ? "data" : "fileUri";
    data.Require(source);
    std::string text = data.MoveString(source, SIZE_MAX).value_or("");
    FACET_TRY(data.Done());
    if (inside && type.starts_with("text/")) {
      FACET_TRY(fields.Done());
      return ReadText(text, data.Path(source), parts);
    }
    const std::string kind = type.substr(0, type.find('/'));
    if (kind != "image" && kind != "audio" && kind != "video") {
      data.Fail(
          "mimeType",
          Cat("expected image/*, audio/*, video/* or text/* but got ", ShowJson(OrderedJson(type))),
          "unsupported", ErrorKind::kUnsupported);
      return data.status();
    }
    OrderedJson more = OrderedJson::object();
    ReadResolution(fields, kind, more);
    ReadVideo(fields, kind, more);
    FACET_TRY(fields.Done());
    const auto how = inside ? MediumSource::Kind::kBase64 : MediumSource::Kind::kAddress;
    return parts.Medium(kind, {how, std::move(text)}, to_.intake(), data.Path(source), more);
  }

  static Result<void> ReadText(const std::string& base64, const std::string& path,
                               PartList& parts) {
    auto text = DecodeBase64(base64);
    if (!text)
      return Error{Cat(path, ": malformed base64"), ErrorKind::kInvalid, "invalid_base64", path};
    parts.Text(*std::move(text));
    return Ok();
  }

  void ReadResolution(JsonFields& fields, const std::string& kind, OrderedJson& more) const {
    std::optional<int> budget = request_.picture_budget;
    if (OrderedJson* object = fields.Object("mediaResolution")) {
      JsonFields resolution = fields.Inside("mediaResolution", *object);
      resolution.Ignore({"numTokens"});
      const auto level = resolution.String("level", 64);
      fields.Adopt(resolution.Done());
      if (level) budget = PictureBudget(*level);
    }
    if (budget && kind != "audio") more[kind + "_budget"] = *budget;
  }

  static void ReadVideo(JsonFields& fields, const std::string& kind, OrderedJson& more) {
    OrderedJson* object = fields.Object("videoMetadata");
    if (object == nullptr) return;
    JsonFields video = fields.Inside("videoMetadata", *object);
    const auto fps = video.Number("fps", 0.001, 60);
    for (const char* name : {"startOffset", "endOffset"}) {
      if (video.Any(name) != nullptr)
        video.Fail(name, "films are watched from their beginning to their end", "unsupported",
                   ErrorKind::kUnsupported);
    }
    fields.Adopt(video.Done());
    if (fps && kind == "video") more["fps"] = *fps;
  }

  // --- tools

  Result<void> ReadCall(JsonFields& fields) {
    OrderedJson* object = fields.Object("functionCall");
    if (role_ != "assistant") fields.Fail("functionCall", "only the model calls functions");
    FACET_TRY(fields.Done());
    JsonFields call = fields.Inside("functionCall", *object);
    call.Require("name");
    const std::string name = call.String("name", 256).value_or("");
    const std::string id = call.String("id", 1024).value_or(Cat("call_", ++calls_));
    OrderedJson* args = call.Object("args");
    call.Ignore({"partialArgs", "willContinue"});
    FACET_TRY(call.Done());
    to_.Call(id, name, args == nullptr ? OrderedJson::object() : std::move(*args));
    return Ok();
  }

  Result<void> ReadResult(JsonFields& fields) {
    OrderedJson* object = fields.Object("functionResponse");
    if (role_ != "user") fields.Fail("functionResponse", "only the user brings results");
    FACET_TRY(fields.Done());
    JsonFields result = fields.Inside("functionResponse", *object);
    result.Require("name");
    const std::string name = result.String("name", 256).value_or("");
    const auto id = result.String("id", 1024);
    OrderedJson* response = result.Object("response");
    OrderedJson* media = result.Array("parts", kMaxContentParts);
    result.Ignore({"willContinue", "scheduling"});
    FACET_TRY(result.Done());
    PartList parts;
    parts.Text(response == nullptr ? "" : ResultText(*response));
    for (size_t i = 0; media != nullptr && i < media->size(); ++i)
      FACET_TRY(Part((*media)[i], Cat(result.Path("parts"), "[", i, "]"), parts));
    to_.ToolResult(id ? *id : to_.OpenCall(name), name, parts.Take());
    return Ok();
  }

  // {"output": text} is what clients wrap a text in.
  static std::string ResultText(const OrderedJson& response) {
    if (response.size() == 1) {
      for (const char* name : {"output", "result", "content", "error"}) {
        if (!response.contains(name) || !response[name].is_string()) continue;
        return response[name].get<std::string>();
      }
    }
    return DumpJson(response);
  }

  const GeminiRequest& request_;
  ConversationBuilder to_;
  IgnoredFields* const ignored_;
  std::string role_;
  int calls_ = 0;
};

}  // namespace

std::optional<int> PictureBudget(std::string_view level) {
  constexpr std::pair<std::string_view, int> kLevels[] = {{"MEDIA_RESOLUTION_LOW", 70},
                                                          {"MEDIA_RESOLUTION_MEDIUM", 280},
                                                          {"MEDIA_RESOLUTION_HIGH", 560},
                                                          {"MEDIA_RESOLUTION_ULTRA_HIGH", 1120}};
  for (const auto& [name, budget] : kLevels) {
    if (level == name) return budget;
  }
  return std::nullopt;
}

Result<Conversation> ReadContents(const GeminiRequest& request, OrderedJson system,
                                  OrderedJson contents, const MediaAccess& access,
                                  IgnoredFields* ignored) {
  ContentReader reader(request, access, ignored);
  if (!system.is_null()) FACET_TRY(reader.System(system));
  for (size_t i = 0; i < contents.size(); ++i)
    FACET_TRY(reader.Content(contents[i], Cat("contents[", i, "]")));
  return reader.Take();
}

Result<std::string> ReadContentText(OrderedJson& content, const std::string& path,
                                    IgnoredFields* ignored) {
  if (!content.is_object()) return WrongPart(content, "an object", path);
  JsonFields fields(content, path, ignored);
  fields.Ignore({"role"});
  fields.Require("parts");
  const OrderedJson* parts = fields.Array("parts", kMaxContentParts);
  FACET_TRY(fields.Done());
  std::string text;
  for (const OrderedJson& part : *parts) {
    if (!part.is_object() || !part.contains("text") || !part["text"].is_string())
      return WrongPart(part, "a text", Cat(path, ".parts"));
    text += part["text"].get<std::string>();
  }
  return text;
}

}  // namespace facet::serve
