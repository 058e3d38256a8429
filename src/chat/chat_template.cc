#include "chat/chat_template.h"

#include <text_core.h>

#include <algorithm>
#include <span>

#include "chat/message_shape.h"
#include "chat/provenance.h"
#include "formats/json.h"

namespace facet {
namespace {

using Json = nlohmann::ordered_json;

// Steps of the engine, about 20 million a second. Templates look back from each message over those
// before it.
constexpr uint64_t kBaseFuel = 20'000'000, kFuelPerPair = 20, kMaxFuel = 400'000'000;

uint64_t FuelFor(size_t messages) {
  const uint64_t pairs =
      std::min<uint64_t>(messages, 10'000) * std::min<uint64_t>(messages, 10'000);
  return std::min(kBaseFuel + kFuelPerPair * pairs, kMaxFuel);
}

// What a rendering may hold: room for templates that build up text, and many copies of long
// conversations.
constexpr size_t kBaseMemory = size_t{64} << 20, kMemoryPerByte = 64;

struct TemplateDeleter {
  void operator()(tc_template* t) const { tc_template_free(t); }
};

// The text of a call, freed with it.
std::string TakeText(tc_text text) {
  std::string copy(text.data == nullptr ? "" : text.data, text.size);
  tc_text_free(text);
  return copy;
}

Error ErrorOf(int32_t status, tc_text text) {
  const std::string message = TakeText(text);
  switch (status) {
    case TC_RAISED:
      return {message, ErrorKind::kInvalid};
    case TC_LIMIT:
      return Error{message, ErrorKind::kResource}.In("chat template");
    default:
      return Error{message, ErrorKind::kInvalid}.In("chat template");
  }
}

Result<std::string> DumpContext(const Json& context) {
  auto text = DumpStrictJson(context);
  if (!text) return Error{Cat("messages or tools hold ", text.error().message)};
  return text;
}

// An assistant's content is cut at thoughts by templates; everything else in a message is marked
// alike.
Result<void> MarkMessage(const SpecialTokenGuard& guard, const Marks& marks, Json& message) {
  Json said;
  const auto content = message.find("content");
  const bool assistant = message["role"] == "assistant" && content != message.end();
  if (assistant) std::swap(said, *content);
  FACET_TRY(MarkStrings(guard, marks, message));
  if (!assistant) return Ok();
  const auto mark = [&](Json& text) {
    text = MarkAssistantText(guard, marks, text.get_ref<const std::string&>());
  };
  if (said.is_string()) {
    mark(said);
  } else if (said.is_array()) {
    for (Json& part : said) {
      Json text;
      const bool is_text = part.is_object() && part.contains("text") && part["text"].is_string();
      if (is_text) std::swap(text, part["text"]);
      FACET_TRY(MarkStrings(guard, marks, part));
      if (!is_text) continue;
      mark(text);
      std::swap(text, part["text"]);
    }
  } else {
    FACET_TRY(MarkStrings(guard, marks, said));
  }
  message["content"] = std::move(said);
  return Ok();
}

// Media inside of results: templates write the text of a result alone. Each is marked in that text,
// and written behind the result where the mark has come to lie.
constexpr std::string_view kMediaTypes[] = {"image", "audio", "video"};
constexpr std::string_view kResultEnd = "<tool_response|>";

std::string_view TypeOf(const Json& part) {
  const auto type = part.is_object() ? part.find("type") : part.end();
  if (!part.is_object() || type == part.end() || !type->is_string()) return {};
  return type->get_ref<const std::string&>();
}

// The texts of a result's parts, with a mark for each medium.
std::string MarkedResult(const Json& parts, const Marks& marks) {
  std::string text;
  for (const Json& part : parts) {
    const std::string_view type = TypeOf(part);
    const auto kind = std::find(std::begin(kMediaTypes), std::end(kMediaTypes), type);
    if (kind != std::end(kMediaTypes)) {
      text += Cat(marks.medium, kind - std::begin(kMediaTypes));
    } else if (type == "text" && part.contains("text") && part["text"].is_string()) {
      text += part["text"].get_ref<const std::string&>();
    }
  }
  return text;
}

void MarkResultMedia(const Marks& marks, Json& messages) {
  if (!messages.is_array()) return;
  for (Json& message : messages) {
    if (!message.is_object() || message.value("role", Json()) != "tool") continue;
    const auto content = message.find("content");
    if (content == message.end() || !content->is_array()) continue;
    std::string text = MarkedResult(*content, marks);
    if (text.find(marks.medium) != text.npos) *content = std::move(text);
  }
}

// Takes the marks out of a rendered text. `written`: what the template writes for each type.
std::string PlaceResultMedia(std::string text, const Marks& marks,
                             std::span<const std::string> written) {
  size_t last = 0, placed = 0;  // the end of the last result that had media, and of its media
  for (size_t at = 0; (at = text.find(marks.medium, at)) != text.npos;) {
    const auto kind = static_cast<size_t>(text[at + marks.medium.size()] - '0');
    const bool whole = kind < written.size();  // a template may have cut the text
    const size_t mark = marks.medium.size() + (whole ? 1 : 0);
    text.erase(at, mark);
    if (!whole) continue;
    if (last > at) last -= mark, placed -= mark;
    size_t end = text.find(kResultEnd, at);
    end = end == text.npos ? at : end + kResultEnd.size();
    if (end != last) last = placed = end;
    text.insert(placed, written[kind]);
    placed += written[kind].size();
  }
  return text;
}

Json Message(const char* role, Json content) {
  return {{"role", role}, {"content", std::move(content)}};
}

}  // namespace

struct ChatTemplate::Data {
  Data(std::string text, const Tokenizer& tokenizer)
      : source(std::move(text)), guard(tokenizer.SpecialTokens(), source) {
    // Vocabulary spelling: the template writes the token, not what it decodes to.
    if (tokenizer.bos()) bos = tokenizer.Piece(*tokenizer.bos());
    if (tokenizer.eos()) eos = tokenizer.Piece(*tokenizer.eos());
  }

  Result<Json> Context(Json messages, Json tools, const RenderOptions& options) const {
    if (tools.is_array() && tools.empty()) tools = nullptr;
    Json context = {{"documents", nullptr},
                    {"add_generation_prompt", options.add_generation_prompt}};
    context["messages"] = std::move(messages);
    context["tools"] = std::move(tools);
    if (options.enable_thinking) context["enable_thinking"] = *options.enable_thinking;
    if (!options.extra.is_object() && !options.extra.is_null()) {
      return Expected("an object", options.extra.type_name(), "chat_template_kwargs");
    }
    for (const auto& [key, value] : options.extra.items()) {
      for (const char* reserved :
           {"messages", "tools", "add_generation_prompt", "bos_token", "eos_token"}) {
        if (key == reserved) return Error{Cat("chat_template_kwargs must not set ", key)};
      }
      context[key] = value;
    }
    return context;
  }

  // Calls text-core; bos and eos are added here, after any marking.
  Result<std::string> Run(Json context) const {
    if (!bos.empty()) context["bos_token"] = bos;
    if (!eos.empty()) context["eos_token"] = eos;
    FACET_ASSIGN(const std::string text, DumpContext(context));
    tc_text out{};
    const tc_limits limits{FuelFor(context["messages"].size()),
                           kBaseMemory + kMemoryPerByte * text.size()};
    const int32_t status =
        tc_template_render(compiled.get(), text.data(), text.size(), limits, &out);
    if (status != TC_OK) return ErrorOf(status, out);
    return TakeText(out);
  }

  // Renders a sample; the text is empty where the template does not take it.
  std::string Probe(Json messages) const {
    auto context = Context(std::move(messages), nullptr, {});
    if (!context.ok()) return "";
    auto text = Run(*std::move(context));
    return text.ok() ? *std::move(text) : "";
  }

  // docs/model.md, "Tool results": an OpenAI exchange shows whether results come out as results.
  bool TakesToolMessages() const {
    constexpr std::string_view kOpen = "<|tool_response>", kResult = "PROBED RESULT";
    if (source.find(kOpen) == source.npos) return true;  // no notation to fold results into
    Json call = Message("assistant", "");
    call["tool_calls"] = {{{"id", "call_0"},
                           {"type", "function"},
                           {"function", {{"name", "probe"}, {"arguments", {{"key", "value"}}}}}}};
    Json result = Message("tool", kResult);
    result["tool_call_id"] = "call_0";
    const std::string text = Probe({Message("user", "Question"), call, result});
    const size_t open = text.find(kOpen), close = text.find("<tool_response|>");
    const size_t found = text.find(kResult);
    return open != text.npos && open < found && found < close && close != text.npos;
  }

  // What the template writes for a medium between two texts.
  std::string MediumText(std::string_view type) const {
    constexpr std::string_view kBefore = "PROBED BEFORE", kAfter = "PROBED AFTER";
    const Json parts = {{{"type", "text"}, {"text", kBefore}},
                        {{"type", type}},
                        {{"type", "text"}, {"text", kAfter}}};
    const std::string text = Probe({Message("user", parts)});
    const size_t begin = text.find(kBefore), end = text.find(kAfter);
    if (begin == text.npos || end == text.npos || end < begin + kBefore.size()) return "";
    return text.substr(begin + kBefore.size(), end - begin - kBefore.size());
  }

  bool TakesSystemParts() const {
    const Json parts = {{{"type", "text"}, {"text", "PROBED SYSTEM"}}};
    const std::string text = Probe({Message("system", parts), Message("user", "Question")});
    return text.find("PROBED SYSTEM") != text.npos && text.find("'type'") == text.npos &&
           text.find("\"type\"") == text.npos;
  }

  std::string source, bos, eos;
  SpecialTokenGuard guard;
  std::unique_ptr<tc_template, TemplateDeleter> compiled;
  MessageShape shape;
  std::vector<std::string> media;  // by kMediaTypes
};

ChatTemplate::ChatTemplate() = default;
ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;

Result<ChatTemplate> ChatTemplate::Create(std::string source, const Tokenizer& tokenizer) {
  ChatTemplate result;
  result.data_ = std::make_unique<Data>(std::move(source), tokenizer);
  Data& data = *result.data_;
  tc_template* compiled = nullptr;
  tc_text error{};
  const int32_t status = tc_template_new(data.source.data(), data.source.size(), &compiled, &error);
  if (status != TC_OK) return ErrorOf(status, error);
  data.compiled.reset(compiled);
  data.shape.tool_messages = data.TakesToolMessages();
  data.shape.system_parts = data.TakesSystemParts();
  for (const std::string_view type : kMediaTypes) data.media.push_back(data.MediumText(type));
  return result;
}

Result<RenderedPrompt> ChatTemplate::Render(Json messages, Json tools,
                                            const RenderOptions& options) const {
  if (!tools.is_null() && !tools.is_array()) return Expected("a list", tools.type_name(), "tools");
  FACET_ASSIGN(const std::string said, DumpContext(Json::array({messages, tools, options.extra})));
  FACET_ASSIGN(const Marks marks, Marks::Choose(said, data_->source));
  MarkResultMedia(marks, messages);
  FACET_ASSIGN(Json shaped, ShapeMessages(std::move(messages), data_->shape));
  FACET_ASSIGN(Json context, data_->Context(std::move(shaped), std::move(tools), options));
  for (auto& [key, value] : context.get_ref<Json::object_t&>()) {
    if (key != "messages") {
      FACET_TRY(MarkStrings(data_->guard, marks, value));
      continue;
    }
    for (Json& message : value) FACET_TRY(MarkMessage(data_->guard, marks, message));
  }
  FACET_ASSIGN(std::string marked, data_->Run(std::move(context)));
  marked = PlaceResultMedia(std::move(marked), marks, data_->media);
  RenderedPrompt prompt;
  prompt.text = TakeMarks(marks, marked, prompt.plain);
  return prompt;
}

bool ChatTemplate::takes_tool_messages() const {
  return data_->shape.tool_messages;
}
const std::string& ChatTemplate::source() const {
  return data_->source;
}

}  // namespace facet
