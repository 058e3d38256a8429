// Calls that must be made, of tools whose schemas are hard to enforce.
#include "support/http_client.h"

namespace facet::serve {
namespace {

using nlohmann::json;

class ForcedCalls : public ServerTest {
 protected:
  static json Tool(const std::string& name, json properties, bool strict = false) {
    return {{"type", "function"},
            {"function",
             {{"name", name},
              {"strict", strict},
              {"parameters", {{"type", "object"}, {"properties", std::move(properties)}}}}}};
  }
  HttpAnswer Force(json tools, const json& more = json::object()) {
    json request = {{"tool_choice", "required"}, {"tools", std::move(tools)}, {"max_tokens", 300}};
    request.update(more);
    return Chat(request);
  }
};

TEST_F(ForcedCalls, APatternThatCannotBeEnforcedIsLeftOutForItsToolAlone) {
  StartServer({{{"emit", "<|tool_call>call:ok{a:<|\"|>x<|\"|>}<tool_call|>"}}});
  const json ok = Tool("ok", {{"a", {{"type", "string"}}}});
  const json pattern = {{"type", "string"}, {"pattern", "^(?!\\.)[a-z.]+@[a-z.]+$"}};
  const HttpAnswer answer = Force({ok, Tool("mail", {{"to", pattern}})});
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.Json()["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"],
            "{\"a\":\"x\"}");
  const HttpAnswer strict = Force({ok, Tool("mail", {{"to", pattern}}, true)});
  EXPECT_EQ(strict.status, 400);
  EXPECT_EQ(strict.Json()["error"]["code"], "unsupported_schema");
  EXPECT_NE(strict.body.find("pattern"), std::string::npos) << strict.body;
}

TEST_F(ForcedCalls, WideEnumsAndManyOptionalPropertiesWork) {
  json values = json::array(), properties = json::object();
  for (int i = 0; i < 2000; ++i) values.push_back(Cat("v", i));
  for (int i = 0; i < 300; ++i) properties[Cat("p", i)] = {{"type", "integer"}};
  StartServer(
      {{{"match", "v1999"}, {"emit", "<|tool_call>call:f{a:<|\"|>v1999<|\"|>}<tool_call|>"}},
       {{"emit", "<|tool_call>call:f{p250:7}<tool_call|>"}}});
  const HttpAnswer wide =
      Force(json::array({Tool("f", {{"a", {{"type", "string"}, {"enum", values}}}})}));
  ASSERT_EQ(wide.status, 200) << wide.body;
  EXPECT_EQ(wide.Json()["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"],
            "{\"a\":\"v1999\"}");
  const HttpAnswer many = Force(json::array({Tool("f", properties)}), {{"stream", true}});
  ASSERT_EQ(many.status, 200) << many.body;
  EXPECT_EQ(many.body.find("\"error\""), std::string::npos);
}

}  // namespace
}  // namespace facet::serve
