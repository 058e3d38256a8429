// `facet tune --show-mask`: an example as the model reads it, with what is learnt of it marked.
#pragma once

#include "cli/options/tune_options.h"

namespace facet::cli {

Result<void> ShowMasks(const TuneFlags& flags);

}  // namespace facet::cli
