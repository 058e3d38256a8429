#include "hub/select.h"

#include <algorithm>
#include <array>
#include <regex>

#include "base/space.h"
#include "base/text.h"
#include "formats/recognise.h"
#include "formats/safetensors.h"

namespace facet {
namespace {

constexpr std::string_view kSafetensors = ".safetensors";

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

const HubFile* FindExact(const HubListing& listing, std::string_view name) {
  const auto at = std::ranges::find_if(
      listing.files, [&](const HubFile& file) { return file.name.text() == name; });
  return at == listing.files.end() ? nullptr : &*at;
}

constexpr std::string_view kWholeFile = "model.safetensors";

// The files that the index names; nullopt where the index is out of date and the weights stand in
// one file beside it.
Result<std::optional<std::set<std::string>>> ShardNames(const HubListing& listing,
                                                        const HubFile& index,
                                                        const ReadHubFile& read) {
  const std::string where = Cat(listing.repo.text(), "/", index.name.text());
  FACET_ASSIGN(const std::string text, read(index));
  FACET_ASSIGN(const ShardMap shards, ParseShardIndex(text, where));
  std::set<std::string> names;
  for (const auto& [shard, tensors] : shards) {
    FACET_ASSIGN(const PathUnder name, PathUnder::Parse(shard, where));
    // A cache may hold a part of the repository; what lacks is named where the files are checked.
    if (!listing.from_cache && FindExact(listing, name.text()) == nullptr) {
      if (FindExact(listing, kWholeFile) != nullptr) return std::optional<std::set<std::string>>();
      return Error{Cat(where, ": names ", Printable(shard), ", which the repository does not have"),
                   ErrorKind::kNotFound};
    }
    names.insert(name.text());
  }
  return std::optional(std::move(names));
}

// The files that hold the tensors: those that the index names, or the usual one, or the only one.
// A repository may hold the weights once more under other names.
Result<std::set<std::string>> WeightNames(const HubListing& listing, const ReadHubFile& read) {
  if (const HubFile* index = FindExact(listing, kShardIndex)) {
    FACET_ASSIGN(const auto names, ShardNames(listing, *index, read));
    if (names) return *names;
  }
  if (FindExact(listing, kWholeFile) != nullptr)
    return std::set<std::string>{std::string(kWholeFile)};
  std::vector<const HubFile*> all;
  for (const HubFile& file : listing.files) {
    if (file.name.depth() == 0 && file.name.text().ends_with(kSafetensors)) all.push_back(&file);
  }
  if (all.size() == 1) return std::set<std::string>{all.front()->name.text()};
  return Error{Cat(listing.repo.text(), ": several safetensors files and no ", kShardIndex,
                   " that says what is where:", Choices(all)),
               ErrorKind::kUnsupported};
}

// Configuration, vocabulary, template, licence of the top folder, and the weights.
Result<HubSelection> SelectCheckpoint(const HubListing& listing, const ReadHubFile& read) {
  if (FindExact(listing, "config.json") == nullptr) {
    return Error{Cat(listing.repo.text(), ": safetensors without a config.json are no checkpoint"),
                 ErrorKind::kUnsupported};
  }
  static constexpr std::array kKept = {".json", ".jinja", ".txt", ".md", ".model"};
  HubSelection selection;
  selection.checkpoint = true;
  FACET_ASSIGN(selection.weights, WeightNames(listing, read));
  const bool whole = selection.weights.contains(std::string(kWholeFile));
  for (const HubFile& file : listing.files) {
    const std::string& name = file.name.text();
    const bool described =
        name.starts_with("LICENSE") || name.starts_with("NOTICE") ||
        std::ranges::any_of(kKept, [&](const char* end) { return name.ends_with(end); });
    // An index that was not followed would be missed by whoever reads the folder.
    const bool stale = name == kShardIndex && whole && selection.weights.size() == 1;
    const bool top = file.name.depth() == 0 && described && !stale;
    if (top || selection.weights.contains(name)) selection.files.push_back(file);
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

Result<HubSelection> SelectFiles(const HubListing& listing, const HubQuery& query,
                                 const ReadHubFile& read) {
  std::vector<std::string> names;
  bool safetensors = false;
  for (const HubFile& file : listing.files) {
    names.push_back(file.name.text());
    const std::string& name = file.name.text();
    safetensors |= name == kShardIndex || (file.name.depth() == 0 && name.ends_with(kSafetensors));
  }
  if (ToLower(query.file).ends_with(".litertlm")) {
    FACET_TRY(CheckRepository(listing.repo.text(), {std::string(query.file)}));
  }
  FACET_TRY(CheckRepository(listing.repo.text(), names));
  if (query.file.empty() && safetensors) return SelectCheckpoint(listing, read);

  const GgufFiles files(listing);
  FACET_ASSIGN(const HubFile* const model, SelectModel(listing, files, query.file));
  HubSelection selection;
  const auto take = [&](const HubFile& file) {
    selection.files.push_back(file);
    selection.weights.insert(file.name.text());
    return file.name;
  };
  selection.model = take(*model);
  if (RoleOf(model->name.name()) != GgufRole::kModel) return selection;
  FACET_ASSIGN(const HubFile* const projector,
               SelectCompanion(listing, files.projectors, GgufRole::kProjector, query.mmproj));
  FACET_ASSIGN(const HubFile* const drafter,
               SelectCompanion(listing, files.drafters, GgufRole::kDrafter, query.drafter));
  if (projector != nullptr) selection.mmproj = take(*projector);
  if (drafter != nullptr) selection.drafter = take(*drafter);
  return selection;
}

}  // namespace facet
