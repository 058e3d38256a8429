// facet tokenize, detokenize, render: what a model's vocabulary and template make of a text.
#include <CLI/CLI.hpp>
#include <charconv>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "chat/load_template.h"
#include "cli/commands.h"
#include "cli/terminal/report.h"
#include "cli/terminal/resolve.h"
#include "formats/json.h"
#include "text/tokenizer.h"

namespace facet::cli {
namespace {

using Json = nlohmann::ordered_json;

struct TokenizeOptions {
  std::string model, batch;
  std::optional<std::string> text;
};

struct DetokenizeOptions {
  std::string model;
  std::vector<std::string> ids;
  bool skip_special = false;
};

struct RenderCommandOptions {
  std::string model, conversation;
};

std::string ReadStdin() {
  return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
}

// Exactly, zero bytes included.
Result<void> PrintExactly(std::string_view text) {
  std::cout.write(text.data(), static_cast<std::streamsize>(text.size()));
  return Ok();
}

Result<std::shared_ptr<const Tokenizer>> LoadTokenizer(const std::string& model) {
  FACET_ASSIGN(const ModelFiles files, ResolveModel(model));
  return Tokenizer::Load(files.model);
}

Result<void> Tokenize(const TokenizeOptions& options) {
  FACET_ASSIGN(const auto tokenizer, LoadTokenizer(options.model));
  if (options.batch.empty())
    return PrintExactly(
        Cat(Json(tokenizer->Encode(options.text ? *options.text : ReadStdin())).dump(), "\n"));
  FACET_ASSIGN(const auto batch, ReadJson(options.batch));
  if (!batch.is_array()) return Expected("a list", batch.type_name(), options.batch);
  Json lists = Json::array();
  for (size_t i = 0; i < batch.size(); ++i) {
    const auto& row = batch[i];
    if (!row.is_object() || !row.contains("text") || !row["text"].is_string()) {
      return Expected("an object with a text", row.type_name(), Cat(options.batch, ": [", i, "]"));
    }
    lists.push_back(tokenizer->Encode(row["text"].get_ref<const std::string&>()));
  }
  return PrintExactly(lists.dump() + "\n");
}

// Ids separated by white space, commas or the brackets of a JSON list.
Result<std::vector<TokenId>> ParseIds(std::string_view text) {
  constexpr std::string_view kBetween = " \t\r\n,[]";
  std::vector<TokenId> ids;
  for (size_t at = text.find_first_not_of(kBetween); at != text.npos;) {
    const size_t end = std::min(text.find_first_of(kBetween, at), text.size());
    const std::string_view word = text.substr(at, end - at);
    TokenId id = 0;
    const auto [stop, code] = std::from_chars(word.data(), word.data() + word.size(), id);
    if (code != std::errc() || stop != word.data() + word.size()) {
      return Expected("a token id", word, "ids");
    }
    ids.push_back(id);
    at = text.find_first_not_of(kBetween, end);
  }
  return ids;
}

Result<void> Detokenize(const DetokenizeOptions& options) {
  FACET_ASSIGN(const auto tokenizer, LoadTokenizer(options.model));
  std::string text;
  for (const std::string& word : options.ids) text += word + " ";
  if (options.ids.empty()) text = ReadStdin();
  FACET_ASSIGN(const std::vector<TokenId> ids, ParseIds(text));
  for (const TokenId id : ids) {
    if (id < 0 || id >= tokenizer->size()) {
      return Expected(Cat("an id from 0 to ", tokenizer->size() - 1), id, "ids");
    }
  }
  return PrintExactly(tokenizer->Decode(ids, options.skip_special));
}

Result<bool> ReadFlag(const Json& file, const char* key, bool usual) {
  const auto found = file.find(key);
  if (found == file.end() || found->is_null()) return usual;
  if (!found->is_boolean()) return Expected("true or false", found->type_name(), key);
  return found->get<bool>();
}

Result<void> Render(const RenderCommandOptions& options) {
  FACET_ASSIGN(const ModelFiles files, ResolveModel(options.model));
  FACET_ASSIGN(const auto tokenizer, Tokenizer::Load(files.model));
  FACET_ASSIGN(const auto chat_template, LoadChatTemplate(files.model, *tokenizer));
  if (!chat_template) {
    return Error{Cat(options.model, " has no chat template"), ErrorKind::kNotFound};
  }
  FACET_ASSIGN(const Json file, ReadOrderedJson(options.conversation));
  if (!file.is_object()) return Expected("an object", file.type_name(), options.conversation);
  RenderOptions render;
  FACET_ASSIGN(render.add_generation_prompt, ReadFlag(file, "add_generation_prompt", true));
  if (file.contains("enable_thinking") && !file["enable_thinking"].is_null()) {
    FACET_ASSIGN(render.enable_thinking, ReadFlag(file, "enable_thinking", false));
  }
  render.extra = file.value("chat_template_kwargs", Json::object());
  const Json messages = file.value("messages", Json()), tools = file.value("tools", Json());
  FACET_ASSIGN(const RenderedPrompt prompt, chat_template->Render(messages, tools, render));
  return PrintExactly(prompt.text);
}

constexpr const char* kModelHelp = "Model: a name, a checkpoint folder or a GGUF";

}  // namespace

void AddTokenize(CLI::App& app, int& exit_code) {
  auto tokenize = std::make_shared<TokenizeOptions>();
  CLI::App* command = app.add_subcommand("tokenize", "Print the token ids of a text as JSON");
  command->add_option("model", tokenize->model, kModelHelp)->required();
  command->add_option("text", tokenize->text, "The text; from stdin where there is none");
  command->add_option("--batch", tokenize->batch,
                      "JSON file [{\"text\": ...}]: print a list of id lists");
  command->footer(
      "Examples:\n  facet tokenize gemma4-12b \"Hello\"\n  facet tokenize gemma4-12b < letter.txt");
  command->callback([tokenize, &exit_code] { exit_code = Report(Tokenize(*tokenize)); });

  auto detokenize = std::make_shared<DetokenizeOptions>();
  command = app.add_subcommand("detokenize", "Print the text of token ids, exactly");
  command->add_option("model", detokenize->model, kModelHelp)->required();
  command->add_option("ids", detokenize->ids, "Token ids; from stdin where there are none");
  command->add_flag("--skip-special", detokenize->skip_special, "Leave special tokens out");
  command->footer("Example: facet detokenize gemma4-12b 9259 1902");
  command->callback([detokenize, &exit_code] { exit_code = Report(Detokenize(*detokenize)); });

  auto render = std::make_shared<RenderCommandOptions>();
  command = app.add_subcommand("render", "Print the prompt that a conversation becomes, exactly");
  command->add_option("model", render->model, kModelHelp)->required();
  command
      ->add_option("conversation", render->conversation,
                   "JSON file: messages, tools, enable_thinking, add_generation_prompt")
      ->required();
  command->footer(
      "Example:\n"
      "  echo '{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}' > "
      "conversation.json\n"
      "  facet render gemma4-12b conversation.json");
  command->callback([render, &exit_code] { exit_code = Report(Render(*render)); });
}

}  // namespace facet::cli
