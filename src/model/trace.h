// What a forward step shows of its inside.
#pragma once

#include <functional>
#include <string_view>

#include "base/matrix.h"

namespace facet {

// Receives every named intermediate: "attn_norm", "key", ... (docs/model.md, "A decoder layer").
// `layer` is -1 outside layers; `values` has one row for each token, and is valid during the call.
using Trace = std::function<void(std::string_view name, int layer, ConstMat values)>;

}  // namespace facet
