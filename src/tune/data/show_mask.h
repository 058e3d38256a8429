// An example as text, so that a reader sees which tokens are labelled.
#pragma once

#include <string>

#include "text/tokenizer.h"
#include "tune/data/example.h"

namespace facet::tune {

// Labelled runs stand between U+27E6 and U+27E7 (mathematical white square brackets), in green and
// the rest dimmed where `color` is set. Runs of soft tokens become one with their count.
std::string ShowMask(const Example& example, const Tokenizer& tokenizer, bool color);

}  // namespace facet::tune
