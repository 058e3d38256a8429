#include "serve/reference.h"

#include <algorithm>

#include "serve/anthropic/messages.h"
#include "serve/gemini/gemini.h"
#include "serve/ollama/ollama.h"
#include "serve/openai/embeddings.h"
#include "serve/openai/requests.h"
#include "serve/openai/responses.h"
#include "serve/openai/tokens.h"
#include "serve/openai/transcriptions.h"
#include "serve/router.h"

namespace facet::serve {
namespace {

using Docs = std::vector<FieldDoc>;

std::string Names(const FieldDoc& doc) {
  std::string out;
  for (const std::string& name : doc.names) out += Cat(out.empty() ? "" : ", ", "`", name, "`");
  return out;
}

// A bar would end the cell.
std::string Cell(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '|' ? std::string("\\|") : std::string(1, c);
  return out;
}

void AppendReasons(const Docs& docs, FieldDoc::Use use, const char* title, std::string& out) {
  bool any = false;
  for (const FieldDoc& doc : docs) {
    if (doc.use != use) continue;
    if (!any) out += Cat("\n| ", title, " | Why |\n|---|---|\n");
    any = true;
    out += Cat("| ", Names(doc), " | ", Cell(doc.about), " |\n");
  }
}

std::string FieldTables(const Docs& docs) {
  std::string out = "| Field | Type | Limits | What it does |\n|---|---|---|---|\n";
  for (const FieldDoc& doc : docs) {
    if (doc.use != FieldDoc::Use::kRead) continue;
    out += Cat("| ", Names(doc), " | ", Cell(doc.type), " | ", Cell(doc.limits), " | ",
               doc.required ? "Required. " : "", Cell(doc.about), " |\n");
  }
  AppendReasons(docs, FieldDoc::Use::kIgnored, "Accepted without effect", out);
  AppendReasons(docs, FieldDoc::Use::kRefused, "Refused", out);
  return out;
}

// `docs` without the rows that another section has.
Docs Without(const Docs& docs, const Docs& others) {
  Docs out;
  for (const FieldDoc& doc : docs) {
    if (std::none_of(others.begin(), others.end(),
                     [&](const FieldDoc& other) { return other.names == doc.names; }))
      out.push_back(doc);
  }
  return out;
}

std::string EndpointTable() {
  std::string out = "| Method | Path | What it answers |\n|---|---|---|\n";
  for (const Route& route : Routes())
    out += Cat("| ", route.method, " | `", route.path, "` | ", route.about, " |\n");
  return out;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> ReferenceSections() {
  const Docs& common = CommonFields().docs();
  const Docs& dialogue = DialogueFields().docs();
  return {
      {"endpoints", EndpointTable()},
      {"common", FieldTables(common)},
      {"dialogue", FieldTables(Without(dialogue, common))},
      {"chat", FieldTables(Without(ChatFields().docs(), dialogue))},
      {"completions", FieldTables(Without(CompletionFields().docs(), common))},
      {"responses", FieldTables(Without(ResponsesFields().docs(), dialogue))},
      {"messages", FieldTables(MessagesFields().docs())},
      {"ollama-chat", FieldTables(OllamaChatFields().docs())},
      {"ollama-generate",
       FieldTables(Without(OllamaGenerateFields().docs(), OllamaChatFields().docs()))},
      {"ollama-embed", FieldTables(OllamaEmbedFields().docs())},
      {"gemini", FieldTables(GeminiFields().docs())},
      {"embeddings", FieldTables(EmbeddingFields().docs())},
      {"transcriptions", FieldTables(TranscriptionFields().docs())},
      {"translations", FieldTables(TranslationFields().docs())},
      {"tokenize", FieldTables(TokenizeFields().docs())},
      {"detokenize", FieldTables(DetokenizeFields().docs())},
  };
}

std::string WithReference(std::string document) {
  for (const auto& [name, text] : ReferenceSections()) {
    const std::string begin = Cat("<!-- begin ", name, " -->\n"), end = Cat("<!-- end ", name);
    const size_t from = document.find(begin);
    const size_t to = document.find(end, from);
    if (from == document.npos || to == document.npos) continue;
    document.replace(from + begin.size(), to - from - begin.size(), text);
  }
  return document;
}

}  // namespace facet::serve
