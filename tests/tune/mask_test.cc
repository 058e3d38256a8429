// Which tokens are learnt: written out by hand for each kind of conversation.
#include "tune/data/mask.h"

#include <gtest/gtest.h>

#include "support/paths.h"
#include "tune/models.h"

namespace facet::tune {
namespace {

using Shown = std::vector<std::string>;

constexpr const char* kGreeting =
    R"({"messages": [{"role": "user", "content": "Hi"},
                     {"role": "assistant", "content": "Hello there."}]})";

TEST(Mask, LabelsTheAnswerAndTheEndOfItsTurn) {
  EXPECT_EQ(Masks(*TinyModel(), kGreeting),
            Shown{"<bos><|turn>user\nHi<turn|>\n<|turn>model\n<|channel>thought\n<channel|>"
                  "⟦Hello there.<turn|>⟧"});
  EXPECT_EQ(Masks(*Gemma4Model(), kGreeting),
            Shown{"<bos><|turn>user\nHi<turn|>\n<|turn>model\n<|channel>thought\n<channel|>"
                  "⟦Hello there.<turn|>⟧"});
}

TEST(Mask, PromptIsTheOneOfInference) {
  const auto model = Gemma4Model();
  const auto row = ReadRow(kGreeting, "", {});
  ASSERT_TRUE(row.ok());
  const auto examples = model->renderer->Examples(*row);
  ASSERT_TRUE(examples.ok());
  PromptRequest request;
  request.messages = {{{"role", "user"}, {"content", "Hi"}}};
  const auto prompt = BuildPrompt(model->config, *model->tokenizer, *model->chat_template, request);
  const Example& example = examples->front();
  const std::vector<TokenId> begin(example.tokens.begin(),
                                   example.tokens.begin() + prompt->ids.size());
  EXPECT_EQ(begin, prompt->ids);
  for (size_t i = 0; i < example.tokens.size(); ++i)
    EXPECT_EQ(example.labelled[i], i >= prompt->ids.size()) << i;
}

TEST(Mask, TurnsShareAnExampleWhereHistoryContinuesThePrompt) {
  const auto model = MakeModel(Reference("tiny/checkpoint"), kOpenTemplate);
  EXPECT_EQ(Masks(*model, R"({"messages": [{"role": "system", "content": "S"},
      {"role": "user", "content": "one"}, {"role": "assistant", "content": "two"},
      {"role": "user", "content": "three"}, {"role": "assistant", "content": "four"}]})"),
            Shown{"<bos><|turn>system\nS<turn|>\n<|turn>user\none<turn|>\n<|turn>model\n"
                  "⟦two<turn|>⟧\n<|turn>user\nthree<turn|>\n<|turn>model\n⟦four<turn|>⟧"});
}

TEST(Mask, TurnsStandApartWhereHistoryLooksDifferent) {
  EXPECT_EQ(Masks(*Gemma4Model(), R"({"messages": [{"role": "user", "content": "one"},
      {"role": "assistant", "content": "two"}, {"role": "user", "content": "three"},
      {"role": "assistant", "content": "four"}]})"),
            (Shown{"<bos><|turn>user\none<turn|>\n<|turn>model\n<|channel>thought\n<channel|>"
                   "⟦two<turn|>⟧",
                   "<bos><|turn>user\none<turn|>\n<|turn>model\ntwo<turn|>\n<|turn>user\n"
                   "three<turn|>\n<|turn>model\n<|channel>thought\n<channel|>⟦four<turn|>⟧"}));
}

TEST(Mask, LeavesOutWhatIsNotToBeLearnt) {
  for (const char* off : {R"("weight": 0)", R"("train": false)"}) {
    EXPECT_EQ(Masks(*Gemma4Model(), Cat(R"({"messages": [{"role": "user", "content": "one"},
        {"role": "assistant", "content": "two", )",
                                        off, R"(}, {"role": "user", "content": "three"},
        {"role": "assistant", "content": "four", "weight": 1}]})")),
              Shown{"<bos><|turn>user\none<turn|>\n<|turn>model\ntwo<turn|>\n<|turn>user\n"
                    "three<turn|>\n<|turn>model\n<|channel>thought\n<channel|>⟦four<turn|>⟧"});
  }
}

constexpr const char* kToolDialogue = R"({"messages": [{"role": "user", "content": "Weather?"},
    {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function",
        "function": {"name": "look", "arguments": "{\"city\": \"Oslo\"}"}}]},
    {"role": "tool", "tool_call_id": "c1", "name": "look", "content": "rain"},
    {"role": "assistant", "content": "It rains."}]})";

TEST(Mask, CallsAndAnswersOfOneModelTurn) {
  EXPECT_EQ(Masks(*TinyModel(), kToolDialogue),
            (Shown{"<bos><|turn>user\nWeather?<turn|>\n<|turn>model\n<|channel>thought\n<channel|>"
                   "⟦<|tool_call>call:look{city:<|\"|>Oslo<|\"|>}<tool_call|><|tool_response>⟧",
                   "<bos><|turn>user\nWeather?<turn|>\n<|turn>model\n"
                   "<|tool_call>call:look{city:<|\"|>Oslo<|\"|>}<tool_call|>"
                   "<|tool_response>response:look{value:<|\"|>rain<|\"|>}<tool_response|>"
                   "<|channel>thought\n<channel|>⟦It rains.<turn|>⟧"}));
  EXPECT_EQ(Masks(*Gemma4Model(), kToolDialogue), Masks(*TinyModel(), kToolDialogue));
}

TEST(Mask, ACallThatWaitsForItsResultEndsTheAnswer) {
  const std::string line = R"({"messages": [{"role": "user", "content": "W"},
      {"role": "assistant", "content": "", "tool_calls": [
         {"function": {"name": "a", "arguments": {}}},
         {"name": "b", "arguments": {"x": [1, true]}}]}]})";
  const std::string prompt =
      "<bos><|turn>user\nW<turn|>\n<|turn>model\n<|channel>thought\n<channel|>";
  const std::string calls =
      "<|tool_call>call:a{}<tool_call|><|tool_call>call:b{x:[1,true]}"
      "<tool_call|>";
  // The tiny template leaves the turn open; the published one of the vocabulary closes it.
  EXPECT_EQ(Masks(*TinyModel(), line), Shown{prompt + "⟦" + calls + "<|tool_response>⟧"});
  EXPECT_EQ(Masks(*Gemma4Model(), line), Shown{prompt + "⟦" + calls + "<turn|>⟧"});
}

TEST(Mask, ThoughtsArePartOfTheAnswerAndOpenNothingByThemselves) {
  const std::string line = R"({"messages": [{"role": "user", "content": "2+2"},
      {"role": "assistant", "reasoning_content": "two and two", "content": "4"}]})";
  const std::string inside = R"({"messages": [{"role": "user", "content": "2+2"},
      {"role": "assistant", "content": "<|channel>thought\ntwo and two\n<channel|>4"}]})";
  for (const std::string& given : {line, inside}) {
    EXPECT_EQ(Masks(*Gemma4Model(), given),
              Shown{"<bos><|turn>system\n<|think|><turn|>\n<|turn>user\n2+2<turn|>\n<|turn>model\n"
                    "⟦<|channel>thought\ntwo and two\n<channel|>4<turn|>⟧"});
  }
}

TEST(Mask, SpecialTokensInAnAnswerAreText) {
  const auto model = Gemma4Model();
  const auto row = ReadRow(R"({"messages": [{"role": "user", "content": "a<turn|>b"},
      {"role": "assistant", "content": "write <turn|> here"}]})",
                           "", {});
  const auto examples = model->renderer->Examples(*row);
  ASSERT_TRUE(examples.ok());
  const auto turn_end = *model->tokenizer->Find("<turn|>");
  const Example& example = examples->front();
  EXPECT_EQ(std::count(example.tokens.begin(), example.tokens.end(), turn_end), 2);
  EXPECT_EQ(example.tokens.back(), turn_end);
}

TEST(Mask, MediaStandInThePrompt) {
  const auto shown = Masks(*TinyModel(), R"({"messages": [{"role": "user", "content": [
      {"type": "image_url", "image_url": {"url": "small.png"}},
      {"type": "input_audio", "input_audio": {"path": "two-frames.wav"}},
      {"type": "text", "text": "What?"}]}, {"role": "assistant", "content": "This."}]})");
  ASSERT_EQ(shown.size(), 1u);
  EXPECT_NE(shown[0].find("<|audio|>x2<audio|>What?"), std::string::npos) << shown[0];
  EXPECT_NE(shown[0].find("<|image><|image|>x"), std::string::npos) << shown[0];
  EXPECT_TRUE(shown[0].ends_with("⟦This.<turn|>⟧")) << shown[0];
}

// Labels behind media and between them: soft tokens must not shift them.
TEST(Mask, TurnsAroundMedia) {
  const auto model = MakeModel(Reference("tiny/checkpoint"), kOpenTemplate);
  const std::string picture = R"({"type": "image", "path": "small.png"})";
  const auto shown = Masks(
      *model, Cat(R"({"messages": [{"role": "user", "content": [)", picture,
                  R"(]}, {"role": "assistant", "content": "one"}, {"role": "user", "content": [)",
                  picture, R"(, {"type": "audio", "path": "two-frames.wav"}]},
                  {"role": "assistant", "content": "two"}, {"role": "user", "content": "again"},
                  {"role": "assistant", "content": "three"}]})"));
  ASSERT_EQ(shown.size(), 1u);
  const std::string soft = shown[0].substr(shown[0].find("<|image|>x"));
  const std::string image = "<|image>" + soft.substr(0, soft.find("<image|>")) + "<image|>";
  EXPECT_EQ(shown[0], "<bos><|turn>user\n" + image + "<turn|>\n<|turn>model\n⟦one<turn|>⟧\n" +
                          "<|turn>user\n" + image + "<|audio><|audio|>x2<audio|><turn|>\n" +
                          "<|turn>model\n⟦two<turn|>⟧\n<|turn>user\nagain<turn|>\n" +
                          "<|turn>model\n⟦three<turn|>⟧");
}

// Data sets count tokens before anything is trained: without pixels, and the same.
TEST(Mask, MeasuringGivesTheSameTokensAndLabels) {
  const auto model = TinyModel();
  const char* line = R"({"image_budget": 70, "messages": [{"role": "user", "content": [
      {"type": "image", "path": "photo.png"}, {"type": "image", "path": "small.png"},
      {"type": "audio", "path": "speech.wav"}, {"type": "audio", "path": "two-frames.wav"},
      {"type": "video", "path": "clip.mkv"}, {"type": "text", "text": "What?"}]},
      {"role": "assistant", "content": "This."}, {"role": "user", "content": "And?"},
      {"role": "assistant", "content": "That."}]})";
  const auto row = ReadRow(line, Reference("tiny/media"), {});
  ASSERT_TRUE(row.ok()) << row.error().message;
  const auto decoded = model->renderer->Examples(*row);
  const auto measured = model->renderer->Examples(*row, MediaUse::kMeasure);
  ASSERT_TRUE(decoded.ok()) << decoded.error().message;
  ASSERT_TRUE(measured.ok()) << measured.error().message;
  ASSERT_EQ(measured->size(), 2u);
  ASSERT_EQ(decoded->size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    const Example &full = (*decoded)[i], &shape = (*measured)[i];
    EXPECT_EQ(shape.tokens, full.tokens);
    EXPECT_EQ(shape.labelled, full.labelled);
    ASSERT_EQ(shape.items.size(), full.items.size());
    for (size_t k = 0; k < full.items.size(); ++k) {
      const SoftItem &item = *full.items[k], &same = *shape.items[k];
      EXPECT_EQ(same.begin, item.begin);
      EXPECT_EQ(same.count, item.count);
      EXPECT_TRUE(same.patches.pixels.empty() && same.frames.empty());
      EXPECT_EQ(item.frames.size() / 640 + item.patches.pixels.size() / 6912,
                static_cast<size_t>(item.count));
    }
  }
}

TEST(Mask, PlainTextIsContinued) {
  const char* completion = R"({"prompt": "Once ", "completion": "upon a time"})";
  EXPECT_EQ(Masks(*Gemma4Model(), completion, true), Shown{"<bos>Once ⟦upon a time<eos>⟧"});
  EXPECT_EQ(Masks(*Gemma4Model(), R"({"text": "Once upon"})"), Shown{"<bos>⟦Once upon<eos>⟧"});
  // A tokenizer that puts no <bos> in front of plain text: its first token follows nothing.
  EXPECT_EQ(Masks(*TinyModel(), R"({"text": "Once upon"})"), Shown{"O⟦nce upon<eos>⟧"});
  EXPECT_EQ(Masks(*TinyModel(), R"({"prompt": "Hi", "completion": "Hello there."})"),
            Masks(*TinyModel(), kGreeting));
}

TEST(Mask, SpellsWhatIsLearnt) {
  const auto model = Gemma4Model();
  const auto examples_of = [&](const char* line) {
    const auto row = ReadRow(line, "", {});
    EXPECT_TRUE(row.ok()) << row.error().message;
    auto examples = model->renderer->Examples(*row);
    EXPECT_TRUE(examples.ok());
    return *std::move(examples);
  };
  const auto whole = examples_of(kGreeting);
  const auto spelled = examples_of(R"({"spell": true, "messages": [
      {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello there."}]})");
  const auto labelled = [](const Example& e) {
    return std::count(e.labelled.begin(), e.labelled.end(), 1);
  };
  EXPECT_EQ(labelled(spelled[0]), 13);  // 12 characters and the end of the turn
  EXPECT_LT(labelled(whole[0]), 6);
  EXPECT_EQ(model->tokenizer->Decode(spelled[0].tokens), model->tokenizer->Decode(whole[0].tokens));
  // The prompt is the one of inference all the same.
  const size_t prompt = spelled[0].tokens.size() - 13;
  EXPECT_TRUE(std::equal(spelled[0].tokens.begin(), spelled[0].tokens.begin() + prompt,
                         whole[0].tokens.begin()));
}

TEST(Mask, ShareGptIsTheSameConversation) {
  EXPECT_EQ(Masks(*TinyModel(), R"({"conversations": [{"from": "human", "value": "Hi"},
                                     {"from": "gpt", "value": "Hello there."}]})"),
            Masks(*TinyModel(), kGreeting));
  EXPECT_EQ(Masks(*TinyModel(), R"({"conversations": [{"from": "human", "value": "Weather?"},
      {"from": "function_call", "value": "{\"name\": \"look\", \"arguments\": {\"city\": \"Oslo\"}}"},
      {"from": "observation", "value": "rain"}, {"from": "gpt", "value": "It rains."}]})")
                .size(),
            2u);
  const auto picture = Masks(*TinyModel(), R"({"conversations": [
      {"from": "human", "value": "<image>What?"}, {"from": "gpt", "value": "This."}],
      "images": ["small.png"]})");
  EXPECT_NE(picture[0].find("<|image|>x"), std::string::npos) << picture[0];
}

TEST(Mask, ReadsToolsAsAColumn) {
  const auto shown = Masks(*TinyModel(), R"({"tools": [{"name": "look", "description": "Sees",
      "parameters": {"type": "object", "properties": {}}}],
      "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]})");
  EXPECT_NE(shown[0].find("<|tool>declaration:look"), std::string::npos) << shown[0];
}

struct Refusal {
  std::string line, message;
};

TEST(Mask, RefusesWhatWouldNotLearn) {
  const Refusal refusals[] = {
      {R"({"messages": [)", "not valid JSON"},
      {R"([1])", "expected an object but got [1] (the line)"},
      {R"({"message": []})", "expected messages, conversations, prompt and completion, or text"},
      {R"({"messages": null})", "expected messages, conversations, prompt and completion, or text"},
      {R"({"messages": null, "conversations": null, "text": null})",
       "expected messages, conversations, prompt and completion, or text"},
      {R"({"messages": []})", "expected at least one message but got none (messages)"},
      {R"({"messages": [{"role": "user", "content": "Hi"}]})",
       "nothing to learn: no message of the assistant is trained"},
      {R"({"messages": [{"role": "user", "content": "Hi"},
           {"role": "assistant", "content": "x", "weight": 0}]})",
       "nothing to learn: no message of the assistant is trained"},
      {R"({"messages": [{"role": "user", "content": "Hi"},
           {"role": "assistant", "content": "x", "weight": 0.5}]})",
       "messages[1].weight: expected an integer from 0 to 1 but got 0.5"},
      {R"({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": " "}]})",
       "messages[1]: content: the answer is empty"},
      {R"({"messages": [{"role": "user"}, {"role": "assistant", "content": "x"}]})",
       "messages[0].content: a message of role user needs content"},
      {R"({"messages": [{"role": "bot", "content": "x"}]})",
       "messages[0].role: expected one of 'system', 'developer', 'user', 'assistant', 'tool', "
       "'model' but got \"bot\""},
      {R"({"messages": [{"role": "user", "content": "x", "tool": 1}]})",
       "messages[0].tool: unknown field"},
      {R"({"tool": [], "messages": [{"role": "user", "content": "x"},
           {"role": "assistant", "content": "x"}]})",
       "tool: unknown field"},
      {R"({"messages": [{"role": "assistant", "content": "x"}]})",
       "messages[0]: an assistant's message answers nothing"},
      {R"({"messages": [{"role": "user", "content": [{"type": "image", "path": "none.png"}]},
           {"role": "assistant", "content": "x"}]})",
       "messages[0].content[0].path: " + TestsDir() +
           "/reference/tiny/media/none.png: no such file"},
      {R"({"messages": [{"role": "user", "content": [
             {"type": "image_url", "image_url": {"url": "https://x/y.png"}}]},
           {"role": "assistant", "content": "x"}]})",
       "messages[0].content[0].image_url.url: https://x/y.png would have to be downloaded; save it "
       "beside the data"},
      {R"({"messages": [{"role": "user", "content": [{"type": "image", "path": "speech.wav"}]},
           {"role": "assistant", "content": "x"}]})",
       "messages[0].content[0]: "},
      {R"({"messages": [{"role": "user", "content": "x"},
           {"role": "assistant", "content": [{"type": "image", "path": "small.png"}]}]})",
       "messages[1].content[0]: a message of role assistant takes text only"},
      {R"({"enable_thinking": false, "messages": [{"role": "user", "content": "x"},
           {"role": "assistant", "content": "y", "reasoning_content": "z"}]})",
       "messages[1].reasoning_content: there are no thoughts where enable_thinking is false"},
      {R"({"prompt": "x"})", "completion: this field is required"},
      {R"({"conversations": [{"from": "alien", "value": "x"}]})", "(conversations[0].from)"},
  };
  const auto model = TinyModel();
  for (const Refusal& refusal : refusals) {
    const auto shown = Masks(*model, refusal.line);
    EXPECT_NE(shown[0].find(refusal.message), std::string::npos) << refusal.line << "\n"
                                                                 << shown[0];
    EXPECT_TRUE(shown[0].starts_with("error: ")) << refusal.line;
  }
}

TEST(Mask, RefusesMediaThatTheModelCannotTake) {
  const auto model = TinyModel();
  model->config.vision.reset();
  model->config.audio.reset();
  for (const auto& [type, file, message] :
       {std::tuple("image", "small.png", "this model cannot see"),
        std::tuple("audio", "speech.wav", "this model cannot hear")}) {
    const auto shown = Masks(
        *model, Cat(R"({"messages": [{"role": "user", "content": [{"type": ")", type,
                    R"(", "path": ")", file, R"("}]}, {"role": "assistant", "content": "x"}]})"));
    EXPECT_EQ(shown[0], Cat("error: messages[0].content[0]: ", message));
  }
}

}  // namespace
}  // namespace facet::tune
