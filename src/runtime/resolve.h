// From what is typed for MODEL to the files that it means.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/model_files.h"
#include "hub/short_names.h"
#include "hub/store.h"
#include "runtime/loaded_model.h"

namespace facet {

// What happens to a short name that has not been imported yet: may import it, or say why not.
using ImportOffer = std::function<Result<ModelFiles>(const Store& store, const ShortName& known)>;

// Refuses with the command that imports it (kNotFound).
Result<ModelFiles> SuggestImport(const Store& store, const ShortName& known);

// The name of the model that comes with the program.
inline constexpr std::string_view kEmbeddedModel = "pebble";
// Its files, under that name. kNotFound where it did not come along.
Result<StoredModel> EmbeddedModel();

// Codes of kNotFound errors: what was typed is neither a known name nor a file; kNearName: the
// message suggests a known name that is like it.
constexpr const char *kUnknownName = "unknown_name", *kNearName = "near_name";

// A name of the store, a checkpoint folder, or a GGUF (with the projector and drafter that lie
// beside it); none, or `pebble`: the model that comes with the program, where it does.
Result<ModelFiles> ResolveModel(const std::string& model, const ImportOffer& offer = SuggestImport);

// What is here, by name: the imported models, and pebble where it came along and none of them has
// its name. Without a home folder, pebble alone. Manifests that cannot be read are listed in
// `damaged`.
std::vector<StoredModel> ModelsHere(std::vector<Error>* damaged = nullptr);
std::vector<std::string> ModelNames();

// ResolveModel for a model that is to be loaded; also script:FILE, a scripted model for tests.
Result<ModelSpec> ResolveSpec(const std::string& model, const ImportOffer& offer = SuggestImport);

}  // namespace facet
