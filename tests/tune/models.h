// The models that tests of tuning render for.
#pragma once

#include <fstream>
#include <memory>
#include <optional>

#include "chat/load_template.h"
#include "formats/json.h"
#include "support/temp_folder.h"
#include "support/vocabularies.h"
#include "tune/data/data.h"
#include "tune/data/mask.h"
#include "tune/data/show_mask.h"

namespace facet::tune {

// A vocabulary with a template and a configuration, without weights.
struct RenderedModel {
  ModelConfig config;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::optional<ChatTemplate> chat_template;
  std::unique_ptr<Renderer> renderer;
};

inline std::unique_ptr<RenderedModel> MakeModel(const std::filesystem::path& path,
                                                std::optional<std::string> source = {}) {
  auto model = std::make_unique<RenderedModel>();
  model->tokenizer = LoadTokenizer(path);
  const auto id = [&](const char* name) { return model->tokenizer->Find(name).value_or(-1); };
  ModelConfig& config = model->config;
  config.text.context = 8192;
  config.vision = VisionConfig{};
  config.audio = AudioConfig{};
  config.tokens.image = id("<|image|>");
  config.tokens.video = id("<|video|>");
  config.tokens.audio = id("<|audio|>");
  config.generation.eos = {id("<eos>"), id("<turn|>"), id("<|tool_response>")};
  if (source) {
    model->chat_template = *ChatTemplate::Create(*source, *model->tokenizer);
  } else {
    model->chat_template = *LoadChatTemplate(path, *model->tokenizer);
  }
  model->renderer = std::make_unique<Renderer>(config, *model->tokenizer, &*model->chat_template);
  return model;
}

inline std::unique_ptr<RenderedModel> TinyModel() {
  return MakeModel(Reference("tiny/checkpoint"));
}
inline std::unique_ptr<RenderedModel> Gemma4Model() {
  return MakeModel(Reference("gemma4/vocab.gguf"));
}

// Turns as Gemma 3 writes them: nothing in the generation prompt that the history lacks.
inline constexpr const char* kOpenTemplate =
    "{{ bos_token }}{% for m in messages %}<|turn>{{ 'model' if m.role == 'assistant' else m.role "
    "}}\n{% if m.content is string %}{{ m.content | trim }}{% else %}{% for part in m.content %}"
    "{{ part.text if part.type == 'text' else '<|' ~ part.type ~ '|>' }}{% endfor %}{% endif %}"
    "<turn|>\n{% endfor %}{% if add_generation_prompt %}<|turn>model\n{% endif %}";

// The examples of one line, shown with their masks; errors as "error: ...".
inline std::vector<std::string> Masks(const RenderedModel& model, const std::string& line,
                                      bool plain = false) {
  RowOptions options;
  options.plain = plain;
  options.media.image_budget = 70;
  const auto row = ReadRow(line, Reference("tiny/media"), options);
  if (!row.ok()) return {"error: " + row.error().message};
  const auto examples = model.renderer->Examples(*row);
  if (!examples.ok()) return {"error: " + examples.error().message};
  std::vector<std::string> shown;
  for (const Example& example : *examples)
    shown.push_back(ShowMask(example, *model.tokenizer, false));
  return shown;
}

}  // namespace facet::tune
