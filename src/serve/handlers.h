// The routes' handlers, one file a subject.
#pragma once

#include "serve/service.h"

namespace facet::serve {

// chat.cc
Result<void> Chat(Service& service, Call& call);
Result<void> ApplyTemplate(Service& service, Call& call);
// completions.cc
Result<void> Completions(Service& service, Call& call);
// embeddings.cc
Result<void> Embeddings(Service& service, Call& call);
// responses.cc
Result<void> Responses(Service& service, Call& call);
Result<void> GetResponse(Service& service, Call& call);
Result<void> DeleteResponse(Service& service, Call& call);
Result<void> CountInputTokens(Service& service, Call& call);
// conversations.cc
Result<void> CreateConversation(Service& service, Call& call);
Result<void> GetConversation(Service& service, Call& call);
Result<void> ChangeConversation(Service& service, Call& call);
Result<void> DeleteConversation(Service& service, Call& call);
// transcriptions.cc
Result<void> Transcriptions(Service& service, Call& call);
Result<void> Translations(Service& service, Call& call);
// models.cc
Result<void> ListModels(Service& service, Call& call);
Result<void> GetModel(Service& service, Call& call);
// tokens.cc
Result<void> Tokenize(Service& service, Call& call);
Result<void> Detokenize(Service& service, Call& call);
Result<void> TokenizerInfo(Service& service, Call& call);
// anthropic/messages.cc
Result<void> Messages(Service& service, Call& call);
Result<void> CountMessageTokens(Service& service, Call& call);
// ollama/answers.cc
Result<void> OllamaChat(Service& service, Call& call);
Result<void> OllamaGenerate(Service& service, Call& call);
// ollama/embed.cc
Result<void> OllamaEmbed(Service& service, Call& call);
Result<void> OllamaEmbeddings(Service& service, Call& call);
// ollama/models.cc
Result<void> OllamaTags(Service& service, Call& call);
Result<void> OllamaRunning(Service& service, Call& call);
Result<void> OllamaShow(Service& service, Call& call);
Result<void> OllamaPull(Service& service, Call& call);
Result<void> OllamaVersion(Service& service, Call& call);
Result<void> OllamaGreeting(Service& service, Call& call);
// gemini/generate.cc
Result<void> Gemini(Service& service, Call& call);
// gemini/models.cc
Result<void> ListGeminiModels(Service& service, Call& call);
Result<void> GetGeminiModel(Service& service, Call& call);
// state/health.cc
Result<void> Health(Service& service, Call& call);
// state/metrics.cc
Result<void> Metrics(Service& service, Call& call);

}  // namespace facet::serve
