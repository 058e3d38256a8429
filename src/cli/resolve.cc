#include "cli/resolve.h"

#include <iostream>
#include <vector>

#include "base/os/os.h"
#include "base/space.h"
#include "cli/importer.h"
#include "cli/terminal/interrupt.h"
#include "cli/terminal/progress.h"

namespace facet::cli {
namespace {

// A short name that nobody has imported yet: asks at a terminal, else says how.
Result<ModelFiles> OfferImport(const Store& store, const ShortName& known) {
  if (!CanAsk()) {
    return Error{Cat("'", known.name, "' is not imported yet: facet import ", known.name,
                     "   (about ", HumanBytes(known.bytes), " from ", known.repo, ")"),
                 ErrorKind::kNotFound};
  }
  const std::string question =
      Cat(known.name, " is not here yet: ", known.description, ".\nDownload about ",
          HumanBytes(known.bytes), " from ", known.repo, "?");
  if (!AskYesNo(question)) return Error{"not downloaded", ErrorKind::kCancelled};
  const InterruptFlag interrupt;
  ImportRequest request = RequestFor(known);
  request.cancelled = interrupt.flag();
  FACET_ASSIGN(const StoredModel model, ImportModel(store, request));
  return model.files;
}

constexpr std::string_view kEmbedded = "pebble";

// Beside an installed program, or in the tree that it was built from.
std::vector<std::filesystem::path> EmbeddedPlaces() {
  const std::filesystem::path program = ExecutablePath().parent_path();
  std::vector<std::filesystem::path> out;
  if (!program.empty())
    out.push_back(program.parent_path() / "share" / "facet" / "models" / kEmbedded);
  out.push_back(std::filesystem::path(FACET_SOURCE_DIR) / "models" / kEmbedded);
  return out;
}

Result<ModelFiles> EmbeddedFiles() {
  std::string looked;
  for (const std::filesystem::path& folder : EmbeddedPlaces()) {
    std::error_code code;
    if (!std::filesystem::is_directory(folder, code)) {
      looked += Cat(looked.empty() ? "" : " and ", folder.string());
      continue;
    }
    FACET_ASSIGN(ModelFiles files, FilesOfPath(folder));
    files.name = kEmbedded;
    return files;
  }
  return Error{Cat("name a MODEL; the small one that may come with this program is not here "
                   "(looked in ",
                   looked, ")"),
               ErrorKind::kNotFound};
}

}  // namespace

Result<ModelFiles> ResolveModel(const std::string& model) {
  if (model.empty()) return EmbeddedFiles();
  FACET_ASSIGN(const Store store, Store::FromEnvironment());
  auto found = FindModel(store, model);
  if (found.ok() || found.error().kind != ErrorKind::kNotFound || store.Has(model)) return found;
  if (model == kEmbedded) return EmbeddedFiles();
  if (const ShortName* known = FindShortName(model)) return OfferImport(store, *known);
  return found;
}

Result<ModelSpec> ResolveSpec(const std::string& model) {
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
  FACET_ASSIGN(spec.files, ResolveModel(model));
  spec.id = spec.files.name;
  return spec;
}

}  // namespace facet::cli
