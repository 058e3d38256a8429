// /v1/embeddings: the mean of the states of a text's tokens after the final norm, scaled to length
// one. The model was trained to write, not to embed: answers say so.
#pragma once

#include "serve/openai/requests.h"

namespace facet::serve {

struct EmbeddingRequest {
  std::optional<std::string> model;
  std::vector<TextOrIds> texts;
  bool base64 = false;
  std::optional<int> dimensions;
};
const FieldTable<EmbeddingRequest>& EmbeddingFields();

// What /v1/embeddings gives, said in its answers and in the list of models.
OrderedJson EmbeddingNote();

}  // namespace facet::serve
