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
// transcriptions.cc
Result<void> Transcriptions(Service& service, Call& call);
Result<void> Translations(Service& service, Call& call);
// models.cc
Result<void> ListModels(Service& service, Call& call);
Result<void> GetModel(Service& service, Call& call);
// tokens.cc
Result<void> Tokenize(Service& service, Call& call);
Result<void> Detokenize(Service& service, Call& call);
// state/health.cc
Result<void> Health(Service& service, Call& call);
// state/metrics.cc
Result<void> Metrics(Service& service, Call& call);

}  // namespace facet::serve
