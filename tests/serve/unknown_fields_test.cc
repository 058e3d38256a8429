// A key that nobody knows, added anywhere in a request of an agent, changes nothing and is named.
#include <set>

#include "support/http_client.h"

namespace facet::serve {
namespace {

using nlohmann::json;

constexpr const char* kNovel = "facetNovel";

// Members whose insides are the client's own, or are taken as a whole.
bool IsOpaque(const std::string& name) {
  static const std::set<std::string> names = {
      "metadata", "cache_control", "context_management", "input_schema", "input",
      "schema",   "args",          "arguments",          "parameters",   "parametersJsonSchema",
      "response", "safetySettings"};
  return names.contains(name);
}

// Objects of a request that readers look into, by where they stand.
void FindObjects(const json& value, const json::json_pointer& at,
                 std::vector<json::json_pointer>& out) {
  if (value.is_object()) {
    out.push_back(at);
    for (const auto& [name, member] : value.items()) {
      if (!IsOpaque(name)) FindObjects(member, at / name, out);
    }
  } else if (value.is_array()) {
    for (size_t i = 0; i < value.size(); ++i) FindObjects(value[i], at / i, out);
  }
}

class UnknownFieldsTest : public ServerTest {
 protected:
  // `said` takes what may differ between two answers out of one.
  void Check(const std::string& path, const json& request, json (*said)(const json&)) {
    const HttpAnswer plain = Post(path, request);
    ASSERT_EQ(plain.status, 200) << plain.body;
    const json want = said(plain.Json());
    ASSERT_FALSE(want.is_null());
    std::vector<json::json_pointer> places;
    FindObjects(request, json::json_pointer(), places);
    ASSERT_GT(places.size(), 8u);
    for (const auto& place : places) {
      json changed = request;
      changed[place][kNovel] = {{"x", 1}};
      const HttpAnswer answer = Post(path, changed);
      ASSERT_EQ(answer.status, 200) << place.to_string() << answer.body;
      EXPECT_EQ(said(answer.Json()), want) << place.to_string();
      EXPECT_NE(answer.head.find(kNovel), std::string::npos) << place.to_string() << answer.head;
    }
  }
  const char* const call_ =
      "Wait.<|tool_call>call:write_file{path:<|\"|>a<|\"|>,text:<|\"|>b<|\"|>}<tool_call|>";
};

TEST_F(UnknownFieldsTest, OfMessages) {
  StartServer({{{"emit", call_}}});
  const json request = json::parse(R"({
    "model": "gemma-4-12b", "max_tokens": 32000,
    "system": [{"type": "text", "text": "You help.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
      {"role": "user", "content": [{"type": "text", "text": "Note the word."}]},
      {"role": "system", "content": [{"type": "text", "text": "# Environment"}]},
      {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "", "signature": "x"},
        {"type": "tool_use", "id": "t", "name": "write_file", "input": {"path": "a"}}]},
      {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "done"}]}]}],
    "tools": [{"name": "write_file", "description": "Writes", "input_schema": {
      "type": "object", "properties": {"path": {"type": "string"}, "text": {"type": "string"}}}}],
    "tool_choice": {"type": "auto"},
    "metadata": {"user_id": "u"},
    "thinking": {"type": "adaptive", "display": "omitted"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "output_config": {"effort": "high"}})");
  Check("/v1/messages?beta=true", request, [](const json& answer) {
    json content = answer["content"];
    for (json& block : content) block.erase("id");
    return content;
  });
}

TEST_F(UnknownFieldsTest, OfOllamaChats) {
  StartServer({{{"emit", call_}}});
  const json request = json::parse(R"({
    "model": "gemma-4-12b", "stream": false, "keep_alive": "5m", "think": false,
    "options": {"temperature": 0, "num_ctx": 4096},
    "messages": [
      {"role": "system", "content": "You help."},
      {"role": "user", "content": "Note the word."},
      {"role": "assistant", "content": "", "tool_calls": [
        {"function": {"name": "write_file", "arguments": {"path": "a"}}}]},
      {"role": "tool", "tool_name": "write_file", "content": "done"}],
    "tools": [{"type": "function", "function": {"name": "write_file", "description": "Writes",
      "parameters": {"type": "object", "properties": {"path": {"type": "string"}}}}}]})");
  Check("/api/chat", request, [](const json& answer) {
    json message = answer["message"];
    for (json& call : message["tool_calls"]) call.erase("id");
    return message;
  });
}

TEST_F(UnknownFieldsTest, OfGeminisContents) {
  StartServer({{{"emit", call_}}});
  const json request = json::parse(R"({
    "systemInstruction": {"role": "user", "parts": [{"text": "You help."}]},
    "contents": [
      {"role": "user", "parts": [{"text": "Context."}, {"text": "Note the word."}]},
      {"role": "model", "parts": [{"functionCall": {"name": "write_file", "args": {"path": "a"}}}]},
      {"role": "user", "parts": [
        {"functionResponse": {"name": "write_file", "response": {"output": "done"}}}]}],
    "tools": [{"functionDeclarations": [{"name": "write_file", "description": "Writes",
      "parametersJsonSchema": {"type": "object", "properties": {"path": {"type": "string"}}}}]}],
    "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}},
    "safetySettings": [{"category": "x", "threshold": "y"}],
    "generationConfig": {"temperature": 1, "topP": 0.95, "topK": 64,
      "thinkingConfig": {"includeThoughts": true}}})");
  Check("/v1beta/models/gemma-4-12b:generateContent", request, [](const json& answer) {
    json parts = answer["candidates"][0]["content"]["parts"];
    for (json& part : parts) {
      if (part.contains("functionCall")) part["functionCall"].erase("id");
    }
    return parts;
  });
}

}  // namespace
}  // namespace facet::serve
