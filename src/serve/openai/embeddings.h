// /v1/embeddings: the mean of the states of a text's tokens after the final norm, scaled to length
// one. The model was trained to write, not to embed: answers say so.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "serve/http/http.h"
#include "serve/openai/requests.h"

namespace facet::serve {

struct EmbeddingRequest {
  std::optional<std::string> model;
  std::vector<TextOrIds> texts;
  bool base64 = false;
  std::optional<int> dimensions;
};
const FieldTable<EmbeddingRequest>& EmbeddingFields();

// Vectors of texts, in their order, and the tokens of all texts together.
struct Embedded {
  std::vector<std::vector<float>> vectors;
  int64_t tokens = 0;
};
using EmbeddingWriter = std::function<void(Exchange&, const LoadedModel&, const Embedded&)>;

// Embeds the texts and lets `write` answer. Errors name `param`.
Result<void> StartEmbedding(const std::shared_ptr<Exchange>& exchange,
                            const std::shared_ptr<LoadedModel>& model,
                            const std::vector<TextOrIds>& texts, const std::string& param,
                            const std::string& tenant, EmbeddingWriter write);
// Refuses another width than the model's own: its states were not trained to be cut.
Result<void> CheckDimensions(const LoadedModel& model, std::optional<int> dimensions,
                             const std::string& param);

// What /v1/embeddings gives, said in its answers and in the list of models.
OrderedJson EmbeddingNote();

}  // namespace facet::serve
