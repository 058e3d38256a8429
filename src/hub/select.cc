#include "hub/select.h"

#include <algorithm>
#include <array>
#include <regex>

#include "base/space.h"
#include "base/text.h"
#include "formats/recognise.h"

namespace facet {
namespace {

bool IsGguf(const HubFile& file) {
  return ToLower(file.name.text()).ends_with(".gguf");
}

// model-00001-of-00003.gguf
bool IsSplit(std::string_view name) {
  static const std::regex pattern(R"(-\d{5}-of-\d{5}\.gguf$)", std::regex::icase);
  return std::regex_search(name.begin(), name.end(), pattern);
}

std::string Choices(const std::vector<const HubFile*>& files) {
  std::string out;
  for (const HubFile* file : files) {
    out += "\n    " + file->name.text();
    if (file->bytes >= 0) out += "  (" + HumanBytes(file->bytes) + ")";
  }
  return out;
}

// The file called `wanted`, or the only one whose name contains it.
Result<const HubFile*> FindFile(const HubListing& listing, const std::vector<const HubFile*>& among,
                                std::string_view wanted) {
  for (const HubFile* file : among) {
    if (file->name.text() == wanted) return file;
  }
  std::vector<const HubFile*> matches;
  const std::string part = ToLower(wanted);
  std::copy_if(among.begin(), among.end(), std::back_inserter(matches), [&](const HubFile* file) {
    return ToLower(file->name.text()).find(part) != std::string::npos;
  });
  if (matches.size() == 1) return matches.front();
  const auto& shown = matches.empty() ? among : matches;
  return Error{
      Cat(listing.repo.text(), ": ", matches.empty() ? "no" : "more than one", " file is called '",
          wanted, "'", shown.empty() ? "" : "; there are:", Choices(shown)),
      ErrorKind::kNotFound};
}

const HubFile* BestFile(const std::vector<const HubFile*>& files, GgufRole role) {
  const auto best =
      std::min_element(files.begin(), files.end(), [&](const HubFile* a, const HubFile* b) {
        return Preference(role, a->name.name()) < Preference(role, b->name.name());
      });
  return best == files.end() ? nullptr : *best;
}

bool HasFile(const HubListing& listing, std::string_view name) {
  return std::any_of(listing.files.begin(), listing.files.end(),
                     [&](const HubFile& file) { return file.name.text() == name; });
}

// Configuration, vocabulary, template, licence and weights of the top folder. Where a repository
// holds the weights twice, those that the index or the usual name says.
Result<HubSelection> SelectCheckpoint(const HubListing& listing) {
  if (!HasFile(listing, "config.json")) {
    return Error{Cat(listing.repo.text(), ": safetensors without a config.json are no checkpoint"),
                 ErrorKind::kUnsupported};
  }
  static constexpr std::array kKept = {".json", ".jinja", ".txt", ".md", ".model"};
  static const std::regex shard(R"(^model-\d{5}-of-\d{5}\.safetensors$)");
  const bool sharded = HasFile(listing, "model.safetensors.index.json");
  const bool single = HasFile(listing, "model.safetensors");
  HubSelection selection;
  selection.checkpoint = true;
  for (const HubFile& file : listing.files) {
    const std::string& name = file.name.text();
    if (file.name.depth() > 0) continue;
    bool wanted = name.starts_with("LICENSE") || name.starts_with("NOTICE") ||
                  std::any_of(kKept.begin(), kKept.end(),
                              [&](const char* end) { return name.ends_with(end); });
    if (name.ends_with(".safetensors")) {
      wanted = sharded ? std::regex_match(name, shard) : !single || name == "model.safetensors";
    }
    if (wanted) selection.files.push_back(file);
  }
  return selection;
}

// The GGUF files of a repository, by role.
struct GgufFiles {
  explicit GgufFiles(const HubListing& listing) {
    for (const HubFile& file : listing.files) {
      if (!IsGguf(file)) continue;
      all.push_back(&file);
      const GgufRole role = RoleOf(file.name.name());
      (role == GgufRole::kModel       ? models
       : role == GgufRole::kProjector ? projectors
                                      : drafters)
          .push_back(&file);
    }
  }
  std::vector<const HubFile*> all, models, projectors, drafters;
};

// The file that `wanted` names, or the only one that there is.
Result<const HubFile*> FindModelFile(const HubListing& listing, const GgufFiles& files,
                                     std::string_view wanted) {
  if (!wanted.empty()) {
    // An exact name may be of any role: a projector or drafter is imported on its own when asked
    // for by name.
    const bool exact = std::any_of(files.all.begin(), files.all.end(), [&](const HubFile* file) {
      return file->name.text() == wanted;
    });
    return FindFile(listing, exact || files.models.empty() ? files.all : files.models, wanted);
  }
  if (files.models.size() == 1) return files.models.front();
  if (files.models.empty() && files.all.size() == 1) {
    return files.all.front();  // a repository of only a drafter
  }
  if (files.models.empty()) {
    return Error{Cat(listing.repo.text(), ": no safetensors and no GGUF model in this repository"),
                 ErrorKind::kUnsupported};
  }
  return Error{Cat(listing.repo.text(),
                   " has several models; name one of these files:", Choices(files.models)),
               ErrorKind::kInvalid};
}

Result<const HubFile*> SelectModel(const HubListing& listing, const GgufFiles& files,
                                   std::string_view wanted) {
  FACET_ASSIGN(const HubFile* const model, FindModelFile(listing, files, wanted));
  if (!IsSplit(model->name.text())) return model;
  return Error{Cat(model->name.text(),
                   ": a GGUF split over several files is not supported; take another file, or "
                   "join it with llama-gguf-split --merge and import the result"),
               ErrorKind::kUnsupported};
}

// The projector or drafter that `wanted` names, else the best one; null where there is none.
Result<const HubFile*> SelectCompanion(const HubListing& listing,
                                       const std::vector<const HubFile*>& among, GgufRole role,
                                       std::string_view wanted) {
  if (!wanted.empty()) return FindFile(listing, among, wanted);
  return BestFile(among, role);
}

}  // namespace

GgufRole RoleOf(std::string_view file_name) {
  const std::string name = ToLower(file_name);
  const auto has = [&](std::string_view part) { return name.find(part) != std::string::npos; };
  if (has("mmproj")) return GgufRole::kProjector;
  if (has("assistant") || has("draft") || name.starts_with("mtp") || has("-mtp"))
    return GgufRole::kDrafter;
  return GgufRole::kModel;
}

int Preference(GgufRole role, std::string_view file_name) {
  static constexpr std::array<std::string_view, 4> kProjectors = {"bf16", "f16", "f32", "q8_0"};
  static constexpr std::array<std::string_view, 4> kDrafters = {"q8_0", "q4_0", "bf16", "f16"};
  const std::string name = ToLower(file_name);
  const auto& order = role == GgufRole::kProjector ? kProjectors : kDrafters;
  for (size_t i = 0; i < order.size(); ++i) {
    if (name.find(order[i]) != std::string::npos) return static_cast<int>(i);
  }
  return static_cast<int>(order.size());
}

Result<HubSelection> SelectFiles(const HubListing& listing, const HubQuery& query) {
  std::vector<std::string> names;
  bool safetensors = false;
  for (const HubFile& file : listing.files) {
    names.push_back(file.name.text());
    safetensors |= file.name.depth() == 0 && file.name.text().ends_with(".safetensors");
  }
  if (ToLower(query.file).ends_with(".litertlm")) {
    FACET_TRY(CheckRepository(listing.repo.text(), {std::string(query.file)}));
  }
  FACET_TRY(CheckRepository(listing.repo.text(), names));
  if (query.file.empty() && safetensors) return SelectCheckpoint(listing);

  const GgufFiles files(listing);
  FACET_ASSIGN(const HubFile* const model, SelectModel(listing, files, query.file));
  HubSelection selection;
  selection.files.push_back(*model);
  selection.model = model->name;
  if (RoleOf(model->name.name()) != GgufRole::kModel) return selection;
  FACET_ASSIGN(const HubFile* const projector,
               SelectCompanion(listing, files.projectors, GgufRole::kProjector, query.mmproj));
  FACET_ASSIGN(const HubFile* const drafter,
               SelectCompanion(listing, files.drafters, GgufRole::kDrafter, query.drafter));
  if (projector != nullptr) {
    selection.files.push_back(*projector);
    selection.mmproj = projector->name;
  }
  if (drafter != nullptr) {
    selection.files.push_back(*drafter);
    selection.drafter = drafter->name;
  }
  return selection;
}

}  // namespace facet
