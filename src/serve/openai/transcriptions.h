// /v1/audio/transcriptions: a sound is cut at quiet places into segments of at most half a minute
// (longer ones turn incoherent), each is transcribed as a chat of its own, and the texts are joined
// in order.
#pragma once

#include "serve/http/http.h"
#include "serve/openai/requests.h"

namespace facet::serve {

struct TranscriptionRequest {
  std::optional<std::string> model;
  std::string file, prompt, language, format = "json";
  double temperature = 0;
  bool stream = false;
};
const FieldTable<TranscriptionRequest>& TranscriptionFields();
Result<TranscriptionRequest> ReadTranscription(const HttpRequest& request);

}  // namespace facet::serve
