#include "chat/tool_notation.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "chat/stream_parser.h"

namespace facet {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kQuote = "<|\"|>";
constexpr int kMaxDepth = 100;

ParsedOutput Collect(const std::vector<OutputEvent>& events, const StreamParser& parser) {
  using Kind = OutputEvent::Kind;
  ParsedOutput output;
  std::vector<bool> complete;
  for (const OutputEvent& event : events) {
    switch (event.kind) {
      case Kind::kReasoning:
        output.thought += event.text;
        break;
      case Kind::kContent:
        output.content += event.text;
        break;
      case Kind::kCallBegin:
        output.tool_calls.push_back({event.text, ""});
        complete.push_back(false);
        break;
      case Kind::kCallArguments:
        output.tool_calls.back().arguments += event.text;
        break;
      case Kind::kCallEnd:
        complete.back() = true;
        break;
    }
  }
  output.cut_off = parser.in_call();
  for (size_t i = complete.size(); i-- > 0;) {
    if (complete[i]) continue;
    output.cut_off = true;
    output.tool_calls.erase(output.tool_calls.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return output;
}

// Jinja's dictsort: by key, upper and lower case alike.
std::vector<std::pair<std::string, const Json*>> Sorted(const Json& object) {
  const auto lower = [](std::string text) {
    for (char& c : text) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    return text;
  };
  std::vector<std::pair<std::string, const Json*>> members;
  for (auto it = object.begin(); it != object.end(); ++it) members.emplace_back(it.key(), &*it);
  std::stable_sort(members.begin(), members.end(),
                   [&](const auto& a, const auto& b) { return lower(a.first) < lower(b.first); });
  return members;
}

// Text that the parser would not give back as it is.
Result<void> CheckText(std::string_view text, bool bare) {
  const bool breaks = bare ? text.empty() || text.find_first_of(":{}[],<\"") != text.npos
                           : text.find(kQuote) != text.npos;
  if (breaks) return Error{Cat("\"", text, "\" cannot be written in the tool notation")};
  return Ok();
}

Result<void> Write(const Json& value, int depth, std::string& out) {
  if (depth > kMaxDepth) return Error{Cat("arguments are nested deeper than ", kMaxDepth)};
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    FACET_TRY(CheckText(text, false));
    out.append(kQuote).append(text).append(kQuote);
  } else if (value.is_object()) {
    out += '{';
    for (const auto& [key, member] : Sorted(value)) {
      FACET_TRY(CheckText(key, true));
      if (out.back() != '{') out += ',';
      out.append(key).append(":");
      FACET_TRY(Write(*member, depth + 1, out));
    }
    out += '}';
  } else if (value.is_array()) {
    out += '[';
    for (size_t i = 0; i < value.size(); ++i) {
      if (i > 0) out += ',';
      FACET_TRY(Write(value[i], depth + 1, out));
    }
    out += ']';
  } else {
    out += value.dump();
  }
  return Ok();
}

}  // namespace

ParsedOutput ParseOutput(std::string_view text) {
  StreamParser parser;
  std::vector<OutputEvent> events;
  parser.Feed(text, events);
  parser.Finish(events);
  return Collect(events, parser);
}

ParsedOutput ParseOutput(const std::shared_ptr<const Tokenizer>& tokenizer,
                         std::span<const TokenId> ids) {
  StreamParser parser;
  StreamDecoder decoder(tokenizer);
  std::vector<OutputEvent> events;
  for (const TokenId id : ids) {
    if (tokenizer->IsSpecial(id)) {
      parser.Plain(decoder.Finish(), events);
      parser.Control(tokenizer->Piece(id), events);
    } else {
      parser.Plain(decoder.Add(id), events);
    }
  }
  parser.Plain(decoder.Finish(), events);
  parser.Finish(events);
  return Collect(events, parser);
}

Result<std::string> RenderToolCall(std::string_view name, const Json& arguments) {
  if (!arguments.is_object()) return Expected("an object", arguments.type_name(), "arguments");
  FACET_TRY(CheckText(name, true));
  std::string out = Cat("<|tool_call>call:", name);
  FACET_TRY(Write(arguments, 0, out));
  return out + "<tool_call|>";
}

Result<std::string> RenderToolResponse(std::string_view name, const Json& response) {
  FACET_TRY(CheckText(name, true));
  std::string out = Cat("<|tool_response>response:", name);
  FACET_TRY(Write(response.is_object() ? response : Json{{"value", response}}, 0, out));
  return out + "<tool_response|>";
}

}  // namespace facet
