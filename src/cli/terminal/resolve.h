// runtime/resolve.h at a terminal: a model that is not here yet is offered for download.
#pragma once

#include <string>

#include "base/result.h"
#include "formats/model_files.h"
#include "runtime/importer.h"
#include "runtime/loaded_model.h"

namespace facet::cli {

// facet::ResolveModel and facet::ResolveSpec; a short name that has not been imported is asked
// about, and imported with a progress bar.
Result<ModelFiles> ResolveModel(const std::string& model);
Result<ModelSpec> ResolveSpec(const std::string& model);

// facet::ImportModel with a progress bar; `quiet`: without. Ctrl-C ends it with kCancelled.
Result<StoredModel> ImportAtTerminal(const Store& store, ImportRequest request, bool quiet);

}  // namespace facet::cli
