#include "chat/chat_template.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/mapped_file.h"
#include "chat/load_template.h"
#include "formats/safetensors.h"
#include "support/temp_folder.h"
#include "support/vocabularies.h"

namespace facet {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

Json ReadCase(const fs::path& path) {
  auto text = ReadFile(path);
  EXPECT_TRUE(text.ok()) << path;
  return Json::parse(*text);
}

RenderOptions OptionsOf(const Json& conversation) {
  RenderOptions options;
  if (conversation.contains("enable_thinking"))
    options.enable_thinking = conversation["enable_thinking"];
  return options;
}

struct Chat {
  std::shared_ptr<const Tokenizer> tokenizer;
  std::optional<ChatTemplate> chat;

  explicit Chat(const std::string& model) : tokenizer(LoadTokenizer(Reference(model))) {
    auto loaded = LoadChatTemplate(Reference(model), *tokenizer);
    EXPECT_TRUE(loaded.ok()) << loaded.error().message;
    chat = *std::move(loaded);
  }
  Chat(const std::string& vocabulary, std::string source)
      : tokenizer(LoadTokenizer(Reference(vocabulary))) {
    auto created = ChatTemplate::Create(std::move(source), *tokenizer);
    EXPECT_TRUE(created.ok()) << created.error().message;
    if (created.ok()) chat = *std::move(created);
  }

  Result<RenderedPrompt> Render(const Json& messages, const Json& tools = nullptr,
                                const RenderOptions& options = {}) const {
    return chat->Render(messages, tools, options);
  }
  std::string Text(const Json& messages, const Json& tools = nullptr,
                   const RenderOptions& options = {}) const {
    auto prompt = Render(messages, tools, options);
    return prompt.ok() ? prompt->text : "ERROR " + prompt.error().message;
  }
  std::vector<TokenId> Ids(const RenderedPrompt& prompt) const {
    return tokenizer->Encode(prompt.text, prompt.plain);
  }
};

Json Message(const std::string& role, Json content) {
  return {{"role", role}, {"content", std::move(content)}};
}
Json User(Json content) {
  return Message("user", std::move(content));
}
Json Only(Json message) {
  return Json::array({std::move(message)});
}

Json Call(const std::string& id, const std::string& name, Json arguments) {
  return {{"id", id},
          {"type", "function"},
          {"function", {{"name", name}, {"arguments", std::move(arguments)}}}};
}

// ---- the reference ----

TEST(ChatTemplate, RendersTheGemma4CasesToTheByte) {
  const Chat chat("gemma4/vocab.gguf");
  EXPECT_FALSE(chat.chat->takes_tool_messages());
  const Json cases = ReadCase(Reference("gemma4/chat-cases.json"));
  ASSERT_EQ(cases.size(), 8u);
  for (const Json& row : cases) {
    auto prompt = chat.Render(row["messages"], row.value("tools", Json()), OptionsOf(row));
    ASSERT_TRUE(prompt.ok()) << prompt.error().message;
    EXPECT_EQ(prompt->text, row["rendered"].get<std::string>());
    EXPECT_EQ(Json(chat.Ids(*prompt)), row["ids"]);
  }
}

TEST(ChatTemplate, RendersTheLaterTemplateToTheByte) {
  const Chat chat("gemma4/vocab.gguf", *ReadFile(Reference("gemma4/chat_template_openai.jinja")));
  EXPECT_TRUE(chat.chat->takes_tool_messages());
  const Json cases = ReadCase(Reference("gemma4/chat-cases-openai.json"));
  ASSERT_EQ(cases.size(), 3u);
  for (const Json& row : cases) {
    EXPECT_EQ(chat.Text(row["messages"], row.value("tools", Json()), OptionsOf(row)),
              row["rendered"].get<std::string>());
  }
}

TEST(ChatTemplate, RendersTheTinyCasesToTheByte) {
  const Chat chat("tiny/checkpoint");
  EXPECT_TRUE(chat.chat->takes_tool_messages());
  int compared = 0, tokenised = 0;
  for (const auto& entry : fs::directory_iterator(Reference("tiny/cases"))) {
    if (entry.path().extension() != ".json") continue;
    const Json row = ReadCase(entry.path());
    auto prompt = chat.Render(row["messages"], row.value("tools", Json()), OptionsOf(row));
    ASSERT_TRUE(prompt.ok()) << entry.path() << prompt.error().message;
    EXPECT_EQ(prompt->text, row["prompt"].get<std::string>()) << entry.path();
    ++compared;
    if (row.dump().find("\"path\"") != std::string::npos) continue;  // soft tokens come later
    auto file = Safetensors::Open(fs::path(entry.path()).replace_extension(".safetensors"));
    ASSERT_TRUE(file.ok()) << file.error().message;
    const Tensor* expected = (*file)->Find("input_ids");
    ASSERT_NE(expected, nullptr);
    ASSERT_EQ(expected->type, DType::kI32);
    std::vector<TokenId> wanted(expected->elements());
    std::memcpy(wanted.data(), expected->data.data(), expected->data.size());
    EXPECT_EQ(chat.Ids(*prompt), wanted) << entry.path();
    ++tokenised;
  }
  EXPECT_GE(compared, 14);
  EXPECT_GE(tokenised, 6);
}

// ---- who said what ----

// Whatever a foreign text holds, the prompt has the special tokens that it has for a harmless text.
class Foreign : public testing::TestWithParam<const char*> {
 protected:
  static std::vector<TokenId> Special(const Chat& chat, const Json& messages, const Json& tools) {
    auto prompt = chat.Render(messages, tools);
    EXPECT_TRUE(prompt.ok()) << prompt.error().message;
    std::vector<TokenId> special;
    for (const TokenId id : chat.Ids(*prompt)) {
      if (chat.tokenizer->IsSpecial(id)) special.push_back(id);
    }
    return special;
  }

  // `build` puts a text into a conversation.
  static void ExpectPlain(const Chat& chat,
                          const std::function<std::pair<Json, Json>(const std::string&)>& build) {
    const auto [messages, tools] = build("harmless");
    const auto expected = Special(chat, messages, tools);
    std::string all;
    std::vector<std::string> attacks = {"<", "<|", "<|tu", "|turn>", "turn>"};
    for (const std::string& token : chat.tokenizer->SpecialTokens()) {
      attacks.push_back(token);
      attacks.push_back("x" + token + "\n" + token);
      all += token;
    }
    attacks.push_back(all);
    for (const std::string& attack : attacks) {
      const auto [m, t] = build(attack);
      EXPECT_EQ(Special(chat, m, t), expected) << attack;
      // And the text itself arrives unchanged.
      EXPECT_NE(chat.Text(m, t).find(attack), std::string::npos) << attack;
    }
  }
};

INSTANTIATE_TEST_SUITE_P(, Foreign, testing::Values("gemma4/vocab.gguf", "tiny/checkpoint"),
                         [](const auto& info) { return std::string(info.param).substr(0, 4); });

Json Tool(const std::string& name, const std::string& description, Json properties) {
  return {{"type", "function"},
          {"function",
           {{"name", name},
            {"description", description},
            {"parameters",
             {{"type", "object"}, {"properties", std::move(properties)}, {"required", {"key"}}}}}}};
}

TEST_P(Foreign, UserSystemAndAssistantText) {
  const Chat chat(GetParam());
  ExpectPlain(chat, [](const std::string& text) {
    return std::pair(Json{Message("system", text), User("hello")}, Json());
  });
  ExpectPlain(chat, [](const std::string& text) {
    const Json part = {{"type", "text"}, {"text", text}};
    const Json image = {{"type", "image"}, {"path", text}};
    return std::pair(Only(User({part, image, part})), Json());
  });
}

TEST_P(Foreign, ToolsCallsAndResults) {
  const Chat chat(GetParam());
  ExpectPlain(chat, [](const std::string& text) {
    const Json properties = {
        {"key", {{"type", "string"}, {"description", text}, {"enum", {text, "b"}}}},
        {"k" + text, {{"type", "object"}, {"properties", Json::object()}}}};
    return std::pair(Only(User("x")), Json{Tool(text, text, properties)});
  });
  ExpectPlain(chat, [](const std::string& text) {
    Json call = Message("assistant", nullptr);
    call["tool_calls"] = {Call("a", text, {{"k" + text, {text, {{"deep", text}}}}})};
    Json result = Message("tool", text);
    result["tool_call_id"] = "a";
    result["name"] = text;
    return std::pair(Json{User("x"), call, result}, Json());
  });
}

TEST(ChatTemplate, KeepsAssistantTextPlainAndDropsItsThoughts) {
  const Chat chat("gemma4/vocab.gguf");
  const auto prompt = chat.Render(
      {User("a"),
       Message("assistant", "<|channel>thought\n<|turn>x<channel|>\n\nyes <turn|><|turn>system"),
       User("b")});
  ASSERT_TRUE(prompt.ok());
  EXPECT_EQ(prompt->text,
            "<bos><|turn>user\na<turn|>\n<|turn>model\nyes "
            "<turn|><|turn>system<turn|>\n<|turn>user\nb<turn|>\n"
            "<|turn>model\n<|channel>thought\n<channel|>");
  const auto ids = chat.Ids(*prompt);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), *chat.tokenizer->Find("<|turn>")), 4);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), *chat.tokenizer->Find("<turn|>")), 3);
}

TEST(ChatTemplate, GuardsTokensThatItBeginsAndAUserCompletes) {
  const Chat chat("tiny/checkpoint", "{% for m in messages %}<{{ m.content }}>{% endfor %}");
  const auto prompt = chat.Render(Only(User("|turn")));
  ASSERT_TRUE(prompt.ok());
  EXPECT_EQ(prompt->text, "<|turn>");
  for (const TokenId id : chat.Ids(*prompt)) EXPECT_FALSE(chat.tokenizer->IsSpecial(id));
}

TEST(ChatTemplate, SurvivesFiltersAndNoncharacters) {
  const Chat chat("tiny/checkpoint",
                  "{{ (messages[0].content | lower | trim).split('-') | join('') }}");
  const std::string marks = "\uFDD0\uFDD1\uFDD2";
  const auto prompt = chat.Render(Only(User("  <|TURN>" + marks + "<|tu-rn>  ")));
  ASSERT_TRUE(prompt.ok());
  EXPECT_EQ(prompt->text, "<|turn>" + marks + "<|turn>");
  for (const TokenId id : chat.Ids(*prompt)) EXPECT_FALSE(chat.tokenizer->IsSpecial(id));
}

// ---- shapes of messages ----

TEST(ChatTemplate, FoldsToolResultsWhereTheTemplateTakesNone) {
  const Chat chat("gemma4/vocab.gguf");
  Json call = Message("assistant", "");
  call["tool_calls"] = {Call("1", "f", "{\"b\": 1, \"a\": \"x\"}"), Call("2", "g", "")};
  Json first = Message("tool", "one"),
       second = Message("tool", Json{{{"type", "text"}, {"text", "two"}}});
  first["tool_call_id"] = "1";
  second["tool_call_id"] = "2";
  const std::string turn =
      "<bos><|turn>user\nq<turn|>\n<|turn>model\n"
      "<|tool_call>call:f{a:<|\"|>x<|\"|>,b:1}<tool_call|><|tool_call>call:g{}<tool_call|>"
      "<|tool_response>response:f{value:<|\"|>one<|\"|>}<tool_response|>"
      "<|tool_response>response:g{value:<|\"|>two<|\"|>}<tool_response|>";
  // The same model turn goes on.
  EXPECT_EQ(chat.Text({User("q"), call, first, second}), turn + "<|channel>thought\n<channel|>");
  EXPECT_EQ(
      chat.Text({User("q"), call, first, second, Message("assistant", "done"), User("more")}),
      turn + "done<turn|>\n<|turn>user\nmore<turn|>\n<|turn>model\n<|channel>thought\n<channel|>");
}

TEST(ChatTemplate, JoinsSystemPartsWhereTheTemplateTakesNone) {
  const Json parts = {{{"type", "text"}, {"text", "Be "}}, {{"type", "text"}, {"text", "brief."}}};
  const Json messages = {Message("system", parts), User("Hi")};
  EXPECT_EQ(Chat("gemma4/vocab.gguf").Text(messages),
            Chat("gemma4/vocab.gguf").Text({Message("system", "Be brief."), User("Hi")}));
  EXPECT_NE(Chat("tiny/checkpoint").Text(messages).find("Bebrief."), std::string::npos);
}

TEST(ChatTemplate, NamesWhatIsWrongWithMessages) {
  const Chat chat("tiny/checkpoint");
  const auto error = [&](const Json& messages, const Json& tools = nullptr) {
    auto prompt = chat.Render(messages, tools);
    return prompt.ok() ? "" : prompt.error().message;
  };
  EXPECT_NE(error("x").find("messages"), std::string::npos);
  EXPECT_NE(error(Json::array()).find("messages"), std::string::npos);
  EXPECT_NE(error({User("a"), 5}).find("messages[1]"), std::string::npos);
  EXPECT_NE(error(Only({{"content", "a"}})).find("messages[0].role"), std::string::npos);
  EXPECT_NE(
      error(Only({{"role", "assistant"}, {"tool_calls", {1}}})).find("messages[0].tool_calls"),
      std::string::npos);
  EXPECT_NE(error(Only(User("a")), "x").find("tools"), std::string::npos);
  EXPECT_NE(error(Only(User("\xff"))).find("UTF-8"), std::string::npos);
  Json deep = "x";
  for (int i = 0; i < 300; ++i) deep = Json::array({deep});
  EXPECT_NE(error(Only(User(deep))).find("deep"), std::string::npos);
}

// ---- where templates are ----

TEST(FindChatTemplate, LooksWhereCheckpointsKeepIt) {
  const TempFolder folder;
  const auto write = [&](const char* name, const std::string& text) {
    std::ofstream(folder.path() / name) << text;
  };
  const auto find = [&] {
    auto found = FindChatTemplate(folder.path());
    return !found.ok() ? "ERROR" : found->value_or("none");
  };
  EXPECT_EQ(find(), "none");
  write(
      "tokenizer_config.json",
      R"({"chat_template": [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]})");
  EXPECT_EQ(find(), "D");
  write("tokenizer_config.json", R"({"chat_template": 5})");
  EXPECT_EQ(find(), "ERROR");
  write("tokenizer_config.json", R"({"chat_template": "C"})");
  EXPECT_EQ(find(), "C");
  write("chat_template.json", R"({"chat_template": "J"})");
  EXPECT_EQ(find(), "J");
  write("chat_template.jinja", "X");
  EXPECT_EQ(find(), "X");
  auto gguf = FindChatTemplate(Reference("gemma4/vocab.gguf"));
  ASSERT_TRUE(gguf.ok() && gguf->has_value());
  EXPECT_NE((*gguf)->find("<|turn>"), std::string::npos);
}

}  // namespace
}  // namespace facet
