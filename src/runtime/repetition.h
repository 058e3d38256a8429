// Whether a text has begun to go round in a circle.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace facet {

// Small models, and large ones at a temperature of 0, may repeat a word or a paragraph to the end
// of the context. Nothing that a person wants reads like that: the last 1536 bytes are at least 12
// times the same up to 128 bytes, or the last 6144 at least 8 times the same up to 768.
class RepetitionWatch {
 public:
  // Adds a piece of the text; true once it repeats itself.
  bool Add(std::string_view piece);

 private:
  std::string tail_;
  size_t unseen_ = 0;  // bytes since it was looked at
  bool repeats_ = false;
};

}  // namespace facet
