// Complete answers through StreamParser, and Gemma 4's tool-call notation written as its template
// does, to compare the parser with:
//   call:NAME{key:<|"|>text<|"|>,n:1,list:[true,null],object:{key:1}}, keys bare and sorted
#pragma once

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/text.h"
#include "chat/stream_parser.h"
#include "text/tokenizer.h"

namespace facet {

// --- reading

struct ToolCall {
  std::string name;
  std::string arguments;  // a JSON object
};

struct ParsedOutput {
  std::string thought, content;
  std::vector<ToolCall> tool_calls;  // complete ones
  bool cut_off = false;              // the output ended inside a tool call
};

inline ParsedOutput CollectOutput(const std::vector<OutputEvent>& events,
                                  const StreamParser& parser) {
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

// A model's answer. In a text every control token is taken for one; among tokens, only special ones
// are.
inline ParsedOutput ParseOutput(std::string_view text) {
  StreamParser parser;
  std::vector<OutputEvent> events;
  parser.Feed(text, events);
  parser.Finish(events);
  return CollectOutput(events, parser);
}

inline ParsedOutput ParseOutput(const std::shared_ptr<const Tokenizer>& tokenizer,
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
  return CollectOutput(events, parser);
}

// --- writing

inline constexpr std::string_view kNotationQuote = "<|\"|>";
inline constexpr int kNotationDepth = 100;

// Jinja's dictsort: by key, upper and lower case alike.
inline std::vector<std::pair<std::string, const nlohmann::json*>> SortedMembers(
    const nlohmann::json& object) {
  std::vector<std::pair<std::string, const nlohmann::json*>> members;
  for (auto it = object.begin(); it != object.end(); ++it) members.emplace_back(it.key(), &*it);
  std::stable_sort(members.begin(), members.end(), [](const auto& a, const auto& b) {
    return ToLower(a.first) < ToLower(b.first);
  });
  return members;
}

// Text that the parser would not give back as it is.
inline Result<void> CheckNotationText(std::string_view text, bool bare) {
  const bool breaks = bare ? text.empty() || text.find_first_of(":{}[],<\"") != text.npos
                           : text.find(kNotationQuote) != text.npos;
  if (breaks) return Error{Cat("\"", text, "\" cannot be written in the tool notation")};
  return Ok();
}

inline Result<void> WriteNotation(const nlohmann::json& value, int depth, std::string& out) {
  if (depth > kNotationDepth)
    return Error{Cat("arguments are nested deeper than ", kNotationDepth)};
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    FACET_TRY(CheckNotationText(text, false));
    out.append(kNotationQuote).append(text).append(kNotationQuote);
  } else if (value.is_object()) {
    out += '{';
    for (const auto& [key, member] : SortedMembers(value)) {
      FACET_TRY(CheckNotationText(key, true));
      if (out.back() != '{') out += ',';
      out.append(key).append(":");
      FACET_TRY(WriteNotation(*member, depth + 1, out));
    }
    out += '}';
  } else if (value.is_array()) {
    out += '[';
    for (size_t i = 0; i < value.size(); ++i) {
      if (i > 0) out += ',';
      FACET_TRY(WriteNotation(value[i], depth + 1, out));
    }
    out += ']';
  } else {
    out += value.dump();
  }
  return Ok();
}

// "<|tool_call>call:NAME{...}<tool_call|>" and
// "<|tool_response>response:NAME{...}<tool_response|>". `arguments` is an object; a `response` that
// is none is written as {value:...}. Errors: nested too deeply; text that holds a control token of
// the notation, which could not be read back.
inline Result<std::string> RenderToolCall(std::string_view name, const nlohmann::json& arguments) {
  if (!arguments.is_object()) return Expected("an object", arguments.type_name(), "arguments");
  FACET_TRY(CheckNotationText(name, true));
  std::string out = Cat("<|tool_call>call:", name);
  FACET_TRY(WriteNotation(arguments, 0, out));
  return out + "<tool_call|>";
}

inline Result<std::string> RenderToolResponse(std::string_view name,
                                              const nlohmann::json& response) {
  FACET_TRY(CheckNotationText(name, true));
  std::string out = Cat("<|tool_response>response:", name);
  FACET_TRY(
      WriteNotation(response.is_object() ? response : nlohmann::json{{"value", response}}, 0, out));
  return out + "<tool_response|>";
}

}  // namespace facet
