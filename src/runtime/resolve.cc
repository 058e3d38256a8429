#include "runtime/resolve.h"

#include <algorithm>

#include "base/space.h"
#include "hub/near_name.h"
#include "runtime/data_folder.h"

namespace facet {
namespace {

namespace fs = std::filesystem;

Result<ModelFiles> EmbeddedFiles() {
  FACET_ASSIGN(StoredModel model, EmbeddedModel());
  return std::move(model.files);
}

// ORG/REPO, as on the hub.
bool LooksLikeRepository(const std::string& model) {
  const size_t slash = model.find('/');
  return slash != std::string::npos && slash > 0 && slash + 1 < model.size() &&
         model.find('/', slash + 1) == std::string::npos && model[0] != '.' && model[0] != '~' &&
         !model.ends_with(".gguf");
}

// Without a home folder there are no names, but paths and the model that comes along.
Result<ModelFiles> ResolveWithoutStore(const std::string& model, const Error& why) {
  std::error_code code;
  if (model == kEmbeddedModel) return EmbeddedFiles();
  if (fs::exists(model, code)) return FilesOfPath(model);
  return why;
}

// Adds the name that was probably meant, if one is near.
Error WithNearName(const Store& store, const std::string& model, Error error) {
  if (LooksLikeRepository(model)) {
    error.message += Cat("; from the hub: facet import ", model);
    return error;
  }
  std::vector<std::string> known = {std::string(kEmbeddedModel)};
  for (const StoredModel& stored : store.List()) known.push_back(stored.files.name);
  for (const ShortName& name : ShortNames()) known.emplace_back(name.name);
  const auto near = NearestName(model, known);
  if (near) error.message += Cat("; did you mean ", *near, "?");
  error.code = near ? kNearName : kUnknownName;
  return error;
}

}  // namespace

Result<StoredModel> EmbeddedModel() {
  const auto folder = FindData(Cat("models/", kEmbeddedModel));
  if (!folder.ok()) {
    return Error{Cat("name a MODEL; the small one that may come with this program is not here: ",
                     folder.error().message),
                 ErrorKind::kNotFound};
  }
  StoredModel model;
  FACET_ASSIGN(model.files, FilesOfPath(*folder));
  model.files.name = kEmbeddedModel;
  std::error_code code;
  for (const auto& path :
       {std::optional(model.files.model), model.files.mmproj, model.files.drafter}) {
    if (path) model.bytes += static_cast<int64_t>(fs::file_size(*path, code));
  }
  return model;
}

Result<ModelFiles> SuggestImport(const Store& /*store*/, const ShortName& known) {
  return Error{Cat("'", known.name, "' is not imported yet: facet import ", known.name,
                   "   (about ", HumanBytes(known.bytes), " from ", known.repo, ")"),
               ErrorKind::kNotFound};
}

Result<ModelFiles> ResolveModel(const std::string& model, const ImportOffer& offer) {
  if (model.empty()) return EmbeddedFiles();
  const auto store = Store::FromEnvironment();
  if (!store.ok()) return ResolveWithoutStore(model, store.error());
  auto found = FindModel(*store, model);
  if (found.ok() || found.error().kind != ErrorKind::kNotFound || store->Has(model)) return found;
  if (model == kEmbeddedModel) return EmbeddedFiles();
  if (const ShortName* known = FindShortName(model)) return offer(*store, *known);
  return WithNearName(*store, model, found.error());
}

std::vector<StoredModel> ModelsHere(std::vector<Error>* damaged) {
  std::vector<StoredModel> models;
  const auto store = Store::FromEnvironment();
  if (store.ok()) models = store->List(damaged);
  const bool taken = std::any_of(models.begin(), models.end(), [](const StoredModel& model) {
    return model.files.name == kEmbeddedModel;
  });
  if (auto embedded = EmbeddedModel(); !taken && embedded.ok())
    models.insert(models.begin(), std::move(*embedded));
  return models;
}

std::vector<std::string> ModelNames() {
  std::vector<std::string> names;
  for (const StoredModel& model : ModelsHere()) names.push_back(model.files.name);
  return names;
}

Result<ModelSpec> ResolveSpec(const std::string& model, const ImportOffer& offer) {
  constexpr std::string_view kScript = "script:";
  ModelSpec spec;
  if (model.starts_with(kScript)) {
    spec.script = model.substr(kScript.size());
    spec.id = spec.script->stem().string();
    std::error_code code;
    if (!std::filesystem::is_regular_file(*spec.script, code)) {
      return Error{Cat(spec.script->string(), ": no such file"), ErrorKind::kNotFound};
    }
    return spec;
  }
  FACET_ASSIGN(spec.files, ResolveModel(model, offer));
  spec.id = spec.files.name;
  return spec;
}

}  // namespace facet
