// What /tokenize and /detokenize are asked.
#pragma once

#include "serve/openai/requests.h"

namespace facet::serve {

struct TokenizeRequest {
  std::optional<std::string> model;
  std::string text;
  bool special = true, bos = false, pieces = false, strings = false;
};
const FieldTable<TokenizeRequest>& TokenizeFields();

struct DetokenizeRequest {
  std::optional<std::string> model;
  std::vector<TokenId> ids;
};
const FieldTable<DetokenizeRequest>& DetokenizeFields();

}  // namespace facet::serve
