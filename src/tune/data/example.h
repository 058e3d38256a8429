// One conversation as the model reads it, and which of its tokens it is to predict.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/prompt.h"

namespace facet::tune {

struct Example {
  std::vector<TokenId> tokens;
  // By token: 1 where it is to be predicted.
  std::vector<uint8_t> labelled;
  // Pictures, frames and sound, sorted by begin. Their soft tokens are among `tokens`.
  std::vector<std::shared_ptr<const SoftItem>> items;
  std::string where;  // file and line, for errors
};

}  // namespace facet::tune
