// From what a person types for MODEL to the files that it means.
#pragma once

#include <string>

#include "base/result.h"
#include "formats/model_files.h"
#include "runtime/model_pool.h"

namespace facet::cli {

// A name of the store, a checkpoint folder, or a GGUF (with the projector and drafter that lie
// beside it); none, or `pebble`: the model that comes with the program, where it does.
Result<ModelFiles> ResolveModel(const std::string& model);

// The same for a model that is to be loaded; also script:FILE, a scripted model for tests.
Result<ModelSpec> ResolveSpec(const std::string& model);

}  // namespace facet::cli
