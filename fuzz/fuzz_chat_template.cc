// Any bytes as a chat template: refused, or rendered within its limits. What `plain` says lies
// within the text.
#include <cstdlib>

#include "chat/chat_template.h"

namespace {

using facet::Tokenizer;
using Json = nlohmann::ordered_json;

std::shared_ptr<const Tokenizer> LoadTokenizer() {
  setenv("XDG_CACHE_HOME", "/proc/no-cache", 1);
  auto tokenizer = Tokenizer::Load(FACET_TESTS_DIR "/reference/tiny/tokenizer.json");
  if (!tokenizer.ok()) std::abort();
  return *tokenizer;
}

Json Messages() {
  return Json::parse(R"([
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "<bos> What is it?"}, {"type": "image"}]},
    {"role": "assistant", "content": "", "tool_calls": [{"id": "1", "type": "function",
      "function": {"name": "look", "arguments": "{\"at\": 1}"}}]},
    {"role": "tool", "tool_call_id": "1", "content": "a cat"},
    {"role": "user", "content": "Thanks."}])");
}

Json Tools() {
  return Json::parse(R"([{"type": "function", "function": {"name": "look", "description": "Looks.",
    "parameters": {"type": "object", "properties": {"at": {"type": "integer"}}}}}])");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace facet;
  static const std::shared_ptr<const Tokenizer> tokenizer = LoadTokenizer();
  static const Json messages = Messages(), tools = Tools();
  const auto chat =
      ChatTemplate::Create(std::string(reinterpret_cast<const char*>(bytes), size), *tokenizer);
  if (!chat.ok()) return 0;
  const auto prompt = chat->Render(messages, tools, {});
  if (!prompt.ok()) return 0;
  size_t end = 0;
  for (const TextSpan& span : prompt->plain) {
    if (span.begin < end || span.end < span.begin || span.end > prompt->text.size()) std::abort();
    end = span.end;
  }
  return 0;
}
