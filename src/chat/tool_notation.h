// Gemma 4's tool-call notation and thinking channel, for complete texts. StreamParser does the work
// piece by piece.
//   call:NAME{key:<|"|>text<|"|>,n:1,list:[true,null],object:{key:1}}, keys bare and sorted
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/tokenizer.h"

namespace facet {

struct ToolCall {
  std::string name;
  std::string arguments;  // a JSON object
};

struct ParsedOutput {
  std::string thought, content;
  std::vector<ToolCall> tool_calls;  // complete ones
  bool cut_off = false;              // the output ended inside a tool call
};

// A model's answer. In a text every control token is taken for one; among tokens, only special ones
// are.
ParsedOutput ParseOutput(std::string_view text);
ParsedOutput ParseOutput(const std::shared_ptr<const Tokenizer>& tokenizer,
                         std::span<const TokenId> ids);

// "<|tool_call>call:NAME{...}<tool_call|>" and
// "<|tool_response>response:NAME{...}<tool_response|>". `arguments` is an object; a `response` that
// is none is written as {value:...}. Errors: nested too deeply; text that holds a control token of
// the notation, which could not be read back.
Result<std::string> RenderToolCall(std::string_view name, const nlohmann::json& arguments);
Result<std::string> RenderToolResponse(std::string_view name, const nlohmann::json& response);

}  // namespace facet
