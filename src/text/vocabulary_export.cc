#include "text/vocabulary_export.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/utf8.h"
#include "formats/json.h"
#include "text/gguf_token_type.h"
#include "text/vocabulary.h"

namespace facet {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Special tokens that llama.cpp must show in its output: its parsers look for them.
bool IsVisibleSpecial(std::string_view text) {
  constexpr std::string_view kVisible[] = {"<|channel>",   "<channel|>",       "<|tool_call>",
                                           "<tool_call|>", "<|tool_response>", "<tool_response|>",
                                           "<|\"|>"};
  return std::ranges::find(kVisible, text) != std::end(kVisible);
}

GgufTokenType TypeOf(const VocabSource::Token& token) {
  switch (token.kind) {
    case TokenKind::kByte:
      return GgufTokenType::kByte;
    case TokenKind::kSpecial:
      return IsVisibleSpecial(token.text) ? GgufTokenType::kUserDefined : GgufTokenType::kControl;
    case TokenKind::kAdded:
      // The published files call runs of white space normal.
      return token.text.find_first_not_of("\n\r\t ") == token.text.npos
                 ? GgufTokenType::kNormal
                 : GgufTokenType::kUserDefined;
    case TokenKind::kNormal:
      break;
  }
  return GgufTokenType::kNormal;
}

std::string PartText(const VocabSource& source, uint32_t id) {
  if (id < source.tokens.size()) return std::string(source.tokens[id].text);
  std::string out;
  AppendUtf8(out, source.loose_chars[id - source.tokens.size()]);
  return out;
}

void SetTokens(const VocabSource& source, int64_t rows, GgufWriter& writer) {
  std::vector<std::string> texts;
  std::vector<int32_t> types;
  for (const VocabSource::Token& token : source.tokens) {
    texts.emplace_back(token.text);
    types.push_back(static_cast<int32_t>(TypeOf(token)));
  }
  for (int64_t id = static_cast<int64_t>(texts.size()); id < rows; ++id) {
    texts.push_back(Cat("[PAD", id, "]"));
    types.push_back(static_cast<int32_t>(GgufTokenType::kUnused));
  }
  std::vector<std::string> merges;
  merges.reserve(source.merges.size());
  for (const VocabSource::Merge& merge : source.merges) {
    merges.push_back(PartText(source, merge.left) + " " + PartText(source, merge.right));
  }
  writer.Set("tokenizer.ggml.model", "gemma4");
  writer.Set("tokenizer.ggml.tokens", texts);
  writer.Set("tokenizer.ggml.scores", std::vector<float>(texts.size(), -1000.0f));
  writer.Set("tokenizer.ggml.token_type", types);
  writer.Set("tokenizer.ggml.merges", merges);
}

// tokenizer_config.json beside the tokenizer, or an empty object.
Result<json> ReadTokenizerConfig(const fs::path& folder) {
  std::error_code code;
  const fs::path path = folder / "tokenizer_config.json";
  if (!fs::exists(path, code)) return json::object();
  FACET_ASSIGN(json config, ReadJson(path));
  if (!config.is_object()) return Expected("a JSON object", config.type_name(), path.string());
  return config;
}

// The id of the token that `config` names under `key`, or of the usual one; -1 for none.
int64_t NamedId(const VocabSource& source, const json& config, const char* key,
                std::string_view usual) {
  std::string text(usual);
  if (const auto it = config.find(key); it != config.end()) {
    const json& value = it->is_object() && it->contains("content") ? (*it)["content"] : *it;
    if (value.is_string()) text = value.get<std::string>();
  }
  const auto found = std::ranges::find(source.tokens, text, &VocabSource::Token::text);
  return found == source.tokens.end() ? -1 : found - source.tokens.begin();
}

Result<void> SetTemplate(const fs::path& folder, const json& config, GgufWriter& writer) {
  std::error_code code;
  if (const fs::path path = folder / "chat_template.jinja"; fs::exists(path, code)) {
    FACET_ASSIGN(const std::string text, ReadFile(path));
    writer.Set("tokenizer.chat_template", text);
  } else if (const auto it = config.find("chat_template"); it != config.end() && it->is_string()) {
    writer.Set("tokenizer.chat_template", it->get<std::string>());
  }
  return Ok();
}

Result<void> CheckCount(uint64_t tokens, int64_t rows, const fs::path& path) {
  if (std::cmp_less_equal(tokens, rows)) return Ok();
  return Expected(Cat("at most ", rows, " tokens, one for each row of the embedding"), tokens,
                  path.string());
}

Result<void> CopyVocabulary(const VocabularyExport& options, GgufWriter& writer) {
  FACET_ASSIGN(const auto file, Gguf::Open(options.source));
  FACET_ASSIGN(const auto tokens, file->Strings("tokenizer.ggml.tokens"));
  if (std::cmp_not_equal(tokens.size(), options.rows)) {
    return Expected(Cat(options.rows, " tokens"), tokens.size(), options.source.string());
  }
  for (const auto& [key, value] : file->metadata()) {
    if (!key.starts_with("tokenizer.")) continue;
    if (key == "tokenizer.chat_template" && !options.chat_template) continue;
    writer.Copy(key, value);
  }
  return Ok();
}

}  // namespace

Result<void> SetVocabulary(const VocabularyExport& options, GgufWriter& writer) {
  if (options.source.extension() == ".gguf") return CopyVocabulary(options, writer);
  std::error_code code;
  const bool folder = fs::is_directory(options.source, code);
  const fs::path path = folder ? options.source / "tokenizer.json" : options.source;
  FACET_ASSIGN(const VocabSource source, ReadTokenizerJson(path));
  FACET_TRY(CheckCount(source.tokens.size(), options.rows, path));
  FACET_ASSIGN(const json config, ReadTokenizerConfig(path.parent_path()));
  SetTokens(source, options.rows, writer);
  const auto set_id = [&](const char* key, int64_t id) {
    if (id >= 0) writer.Set(Cat("tokenizer.ggml.", key, "_token_id"), static_cast<uint32_t>(id));
  };
  set_id("bos", source.bos);
  set_id("eos", source.eos);
  set_id("unknown", source.unk);
  set_id("padding", NamedId(source, config, "pad_token", "<pad>"));
  set_id("mask", NamedId(source, config, "mask_token", "<mask>"));
  if (options.chat_template) FACET_TRY(SetTemplate(path.parent_path(), config, writer));
  writer.Set("tokenizer.ggml.add_space_prefix", false);
  writer.Set("tokenizer.ggml.add_bos_token", true);
  return Ok();
}

}  // namespace facet
