#include "chat/load_template.h"

#include "base/mapped_file.h"
#include "formats/gguf.h"
#include "formats/json.h"

namespace facet {
namespace {

namespace fs = std::filesystem;

bool Exists(const fs::path& path) {
  std::error_code code;
  return fs::exists(path, code);
}

// `chat_template` of a configuration file: a text, or a list of named ones, of which "default" is
// the chat's.
Result<std::optional<std::string>> FromJson(const fs::path& path) {
  FACET_ASSIGN(const nlohmann::json file, ReadJson(path));
  const auto found = file.find("chat_template");
  if (!file.is_object() || found == file.end() || found->is_null())
    return std::optional<std::string>();
  if (found->is_string()) return std::optional(found->get<std::string>());
  const auto wrong = [&] {
    return Expected("a text or a list of named ones", found->type_name(),
                    path.string() + ": chat_template");
  };
  if (!found->is_array() || found->empty()) return wrong();
  const nlohmann::json* chosen = &found->front();
  for (const auto& entry : *found) {
    if (entry.is_object() && entry.value("name", nlohmann::json()) == "default") chosen = &entry;
  }
  if (!chosen->is_object() || !chosen->contains("template") || !(*chosen)["template"].is_string()) {
    return wrong();
  }
  return std::optional((*chosen)["template"].get<std::string>());
}

Result<std::optional<std::string>> FromGguf(const fs::path& path) {
  FACET_ASSIGN(const auto file, Gguf::Open(path));
  if (!file->Has("tokenizer.chat_template")) return std::optional<std::string>();
  FACET_ASSIGN(const std::string_view text, file->String("tokenizer.chat_template"));
  return std::optional<std::string>(text);
}

}  // namespace

Result<std::optional<std::string>> FindChatTemplate(const fs::path& model) {
  std::error_code code;
  if (!fs::is_directory(model, code)) return FromGguf(model);
  if (const fs::path path = model / "chat_template.jinja"; Exists(path)) {
    FACET_ASSIGN(std::string text, ReadFile(path));
    return std::optional(std::move(text));
  }
  for (const char* name : {"chat_template.json", "tokenizer_config.json"}) {
    if (!Exists(model / name)) continue;
    FACET_ASSIGN(auto text, FromJson(model / name));
    if (text) return text;
  }
  return std::optional<std::string>();
}

Result<std::optional<ChatTemplate>> LoadChatTemplate(const fs::path& model,
                                                     const Tokenizer& tokenizer) {
  FACET_ASSIGN(auto source, FindChatTemplate(model));
  if (!source) return std::optional<ChatTemplate>();
  auto created = ChatTemplate::Create(*std::move(source), tokenizer);
  if (!created.ok()) return created.error().In(model.string());
  return std::optional(*std::move(created));
}

}  // namespace facet
