#include "cli/terminal/resolve.h"

#include "base/space.h"
#include "cli/terminal/interrupt.h"
#include "cli/terminal/progress.h"
#include "runtime/resolve.h"

namespace facet::cli {
namespace {

Result<ModelFiles> AskToImport(const Store& store, const ShortName& known) {
  if (!CanAsk()) return SuggestImport(store, known);
  const std::string question =
      Cat(known.name, " is not here yet: ", known.description, ".\nDownload about ",
          HumanBytes(known.bytes), " from ", known.repo, "?");
  if (!AskYesNo(question)) return Error{"not downloaded", ErrorKind::kCancelled};
  FACET_ASSIGN(const StoredModel model, ImportAtTerminal(store, RequestFor(known), false));
  return model.files;
}

}  // namespace

Result<ModelFiles> ResolveModel(const std::string& model) {
  return facet::ResolveModel(model, AskToImport);
}

Result<ModelSpec> ResolveSpec(const std::string& model) {
  return facet::ResolveSpec(model, AskToImport);
}

Result<StoredModel> ImportAtTerminal(const Store& store, ImportRequest request, bool quiet) {
  const InterruptFlag interrupt;
  ProgressBar bar(quiet);
  request.monitor.cancelled = interrupt.flag();
  request.monitor.on_note = [&](const std::string& text) { bar.Note(text); };
  request.monitor.on_progress = [&](const HubMonitor::Progress& p) {
    bar.Update(p.done, p.total, p.fetched, p.file);
  };
  return ImportModel(store, request);
}

}  // namespace facet::cli
