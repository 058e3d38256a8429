// The checkpoint's own Jinja template, rendered by minijinja (text-core) without access to anything
// but its arguments.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "text/tokenizer.h"

namespace facet {

struct RenderedPrompt {
  std::string text;
  // Where a special token written there would be what a user, a tool or a file said: it must stay
  // plain text.
  std::vector<TextSpan> plain;
};

struct RenderOptions {
  bool add_generation_prompt = true;
  std::optional<bool> enable_thinking;  // absent: the template's default
  nlohmann::ordered_json extra = nlohmann::ordered_json::object();  // chat_template_kwargs
};

class ChatTemplate {
 public:
  // The vocabulary's bos and eos reach the template as bos_token and eos_token; its special tokens
  // are what `plain` guards. A template that does not compile is an error here, not at the first
  // request.
  static Result<ChatTemplate> Create(std::string source, const Tokenizer& tokenizer);

  // `messages` in the chat API's shape (roles system, developer, user, assistant, tool; string
  // content or parts; tool_calls with string or object arguments), `tools` null or a list. Shapes
  // of tool results are adapted to what the template expects (docs/model.md); a picture, sound or
  // film among a result's parts is written behind the result. Members keep their
  // order where the JSON has one. The error of a template's raise_exception is passed on.
  Result<RenderedPrompt> Render(nlohmann::ordered_json messages, nlohmann::ordered_json tools,
                                const RenderOptions& options) const;

  // True where the template takes OpenAI tool messages as they are.
  bool takes_tool_messages() const;
  const std::string& source() const;

  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

 private:
  ChatTemplate();
  struct Data;
  std::unique_ptr<Data> data_;
};

}  // namespace facet
