// /v1/audio/transcriptions and /v1/audio/translations: a sound is cut at quiet places into segments
// of at most half a minute (longer ones turn incoherent), each is transcribed as a chat of its own,
// and the texts are joined in order.
#pragma once

#include "serve/http/http.h"
#include "serve/openai/requests.h"

namespace facet::serve {

struct TranscriptionRequest {
  bool translate = false;  // into English
  std::optional<std::string> model;
  std::string file, prompt, language, format = "json";
  std::vector<std::string> keywords, languages;
  double temperature = 0;
  bool stream = false;
  bool words = false, segments = true;  // that have their times in verbose_json
  bool logprobs = false;
};
const FieldTable<TranscriptionRequest>& TranscriptionFields();
const FieldTable<TranscriptionRequest>& TranslationFields();
Result<TranscriptionRequest> ReadTranscription(const HttpRequest& request, bool translate,
                                               IgnoredFields* ignored);

}  // namespace facet::serve
