#include "support/tool_notation.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/vocabularies.h"

namespace facet {
namespace {

using Json = nlohmann::json;

TEST(ToolNotation, TakesAnAnswerApart) {
  const auto output = ParseOutput(
      "<|channel>thought\nLet me "
      "see.\n<channel|>Looking.<|tool_call>call:get_weather{city:<|\"|>Oslo<|\"|>,days:[1,2],"
      "opts:{deep:true}}<tool_call|><|tool_call>call:now{}<tool_call|>");
  EXPECT_EQ(output.thought, "Let me see.");
  EXPECT_EQ(output.content, "Looking.");
  ASSERT_EQ(output.tool_calls.size(), 2u);
  EXPECT_EQ(output.tool_calls[0].name, "get_weather");
  EXPECT_EQ(Json::parse(output.tool_calls[0].arguments),
            Json::parse(R"({"city": "Oslo", "days": [1, 2], "opts": {"deep": true}})"));
  EXPECT_EQ(output.tool_calls[1].name, "now");
  EXPECT_EQ(output.tool_calls[1].arguments, "{}");
  EXPECT_FALSE(output.cut_off);
}

TEST(ToolNotation, QuotedMarkersAreText) {
  const auto output = ParseOutput(
      "<|tool_call>call:f{a:<|\"|>x <tool_call|> }, b:1 <|tool_call> y<|\"|>,b:2}<tool_call|>");
  ASSERT_EQ(output.tool_calls.size(), 1u);
  EXPECT_EQ(Json::parse(output.tool_calls[0].arguments),
            (Json{{"a", "x <tool_call|> }, b:1 <|tool_call> y"}, {"b", 2}}));
}

TEST(ToolNotation, PlainTokensThatSpellMarkersAreText) {
  const auto tokenizer = LoadTokenizer(Reference("gemma4/vocab.gguf"));
  const std::string text = "<|tool_call>call:f{}<tool_call|>";
  const auto plain = ParseOutput(tokenizer, tokenizer->EncodePlain(text));
  EXPECT_EQ(plain.content, text);
  EXPECT_TRUE(plain.tool_calls.empty());
  const auto special = ParseOutput(tokenizer, tokenizer->Encode(text));
  EXPECT_EQ(special.content, "");
  ASSERT_EQ(special.tool_calls.size(), 1u);
}

TEST(ToolNotation, RendersWhatItParses) {
  const Json arguments = {{"text", "a \"b\" \n<tool_call|> }"},
                          {"n", -1.5},
                          {"list", {1, nullptr, "x", false}},
                          {"deep", {{"k", Json::object()}}},
                          {"Upper", true}};
  const auto call = RenderToolCall("f", arguments);
  ASSERT_TRUE(call.ok());
  EXPECT_EQ(*call,
            "<|tool_call>call:f{deep:{k:{}},list:[1,null,<|\"|>x<|\"|>,false],n:-1.5,text:<|\"|>a "
            "\"b\" \n<tool_call|> }"
            "<|\"|>,Upper:true}<tool_call|>");
  const auto output = ParseOutput(*call);
  ASSERT_EQ(output.tool_calls.size(), 1u);
  EXPECT_EQ(Json::parse(output.tool_calls[0].arguments), arguments);
  EXPECT_EQ(*RenderToolResponse("f", "-3"),
            "<|tool_response>response:f{value:<|\"|>-3<|\"|>}<tool_response|>");
  EXPECT_EQ(*RenderToolResponse("f", {{"t", -3}}),
            "<|tool_response>response:f{t:-3}<tool_response|>");
}

TEST(ToolNotation, RefusesWhatCannotBeReadBack) {
  EXPECT_FALSE(RenderToolCall("f", {{"a", "x<|\"|>y"}}).ok());
  EXPECT_FALSE(RenderToolCall("f", {{"a:b", 1}}).ok());
  EXPECT_FALSE(RenderToolCall("f{", Json::object()).ok());
  EXPECT_FALSE(RenderToolCall("f", 5).ok());
  Json deep = 1;
  for (int i = 0; i < 200; ++i) deep = Json::array({deep});
  EXPECT_FALSE(RenderToolCall("f", {{"a", deep}}).ok());
}

}  // namespace
}  // namespace facet
