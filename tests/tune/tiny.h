// The tiny checkpoint, and conversations with it as examples.
#pragma once

#include "support/reference.h"
#include "tune/train/trainer.h"

namespace facet::tune {

inline Checkpoint TinyCheckpoint(const TestModel& files = TinyFolder()) {
  std::optional<std::filesystem::path> mmproj;
  if (!files.mmproj.empty()) mmproj = Reference(files.mmproj);
  return Take(LoadCheckpoint(Reference(files.model), mmproj));
}

// A conversation of one question and one answer, all tokens of the answer labelled.
inline Example TinyExample(const nlohmann::json& request, int first_label,
                           const TestModel& files = TinyFolder()) {
  const std::filesystem::path model = Reference(files.model);
  const auto tokenizer = Take(Tokenizer::Load(model));
  const auto chat_template = Take(LoadChatTemplate(model, *tokenizer));
  PromptRequest prompt_request;
  prompt_request.messages = request["messages"];
  prompt_request.render.add_generation_prompt = false;
  prompt_request.media.image_budget = request.value("image_budget", 70);
  prompt_request.load = [](const nlohmann::ordered_json& part) {
    return ReadMediaFile(Reference("tiny/media") / part["path"].get<std::string>());
  };
  Prompt prompt =
      Take(BuildPrompt(TinyCheckpoint(files).config, *tokenizer, *chat_template, prompt_request));
  Example example;
  example.labelled.assign(prompt.ids.size(), 0);
  std::fill(example.labelled.begin() + first_label, example.labelled.end(), uint8_t{1});
  example.tokens = std::move(prompt.ids);
  example.items = std::move(prompt.items);
  example.where = "example";
  return example;
}

// The example that the reference was trained on.
inline Example ReferenceExample(const TestModel& files = TinyFolder()) {
  const auto request = nlohmann::json::parse(Take(ReadFile(Reference("tiny/tuning.json"))));
  return TinyExample(request, request["first_label"], files);
}

// Text alone: tokens made up, labelled from `first` on.
inline Example TextExample(int length, int first, int seed) {
  Example example;
  for (int i = 0; i < length; ++i)
    example.tokens.push_back(300 + (i * 37 + seed * 101 + i * i * 7) % 1500);
  example.labelled.assign(length, 0);
  std::fill(example.labelled.begin() + first, example.labelled.end(), uint8_t{1});
  example.where = Cat("text ", seed);
  return example;
}

inline double Labels(const Example& example) {
  return static_cast<double>(
      std::count(example.labelled.begin(), example.labelled.end(), uint8_t{1}));
}

}  // namespace facet::tune
