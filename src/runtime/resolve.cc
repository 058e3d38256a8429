#include "runtime/resolve.h"

#include "base/space.h"
#include "hub/near_name.h"
#include "runtime/data_folder.h"

namespace facet {
namespace {

constexpr std::string_view kEmbedded = "pebble";

Result<ModelFiles> EmbeddedFiles() {
  const auto folder = FindData(Cat("models/", kEmbedded));
  if (!folder.ok()) {
    return Error{Cat("name a MODEL; the small one that may come with this program is not here: ",
                     folder.error().message),
                 ErrorKind::kNotFound};
  }
  FACET_ASSIGN(ModelFiles files, FilesOfPath(*folder));
  files.name = kEmbedded;
  return files;
}

// Adds the name that was probably meant, if one is near.
Error WithNearName(const Store& store, const std::string& model, Error error) {
  std::vector<std::string> known = {std::string(kEmbedded)};
  for (const StoredModel& stored : store.List()) known.push_back(stored.files.name);
  for (const ShortName& name : ShortNames()) known.emplace_back(name.name);
  const auto near = NearestName(model, known);
  if (near) error.message += Cat("; did you mean ", *near, "?");
  error.code = near ? kNearName : kUnknownName;
  return error;
}

}  // namespace

Result<ModelFiles> SuggestImport(const Store& /*store*/, const ShortName& known) {
  return Error{Cat("'", known.name, "' is not imported yet: facet import ", known.name,
                   "   (about ", HumanBytes(known.bytes), " from ", known.repo, ")"),
               ErrorKind::kNotFound};
}

Result<ModelFiles> ResolveModel(const std::string& model, const ImportOffer& offer) {
  if (model.empty()) return EmbeddedFiles();
  FACET_ASSIGN(const Store store, Store::FromEnvironment());
  auto found = FindModel(store, model);
  if (found.ok() || found.error().kind != ErrorKind::kNotFound || store.Has(model)) return found;
  if (model == kEmbedded) return EmbeddedFiles();
  if (const ShortName* known = FindShortName(model)) return offer(store, *known);
  return WithNearName(store, model, found.error());
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
