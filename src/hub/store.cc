#include "hub/store.h"

#include <fcntl.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <nlohmann/json.hpp>
#include <random>

#include "base/mapped_file.h"
#include "base/os/os.h"
#include "formats/gguf.h"
#include "formats/json.h"
#include "formats/recognise.h"
#include "formats/safetensors.h"
#include "hub/select.h"

namespace facet {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

constexpr int kManifestVersion = 1;
constexpr std::string_view kDrafterSuffix = "-assistant";  // of general.architecture

Error Damaged(const fs::path& path, std::string_view why) {
  return {Cat(path.string(), ": ", why, "; delete this file and import the model again"),
          ErrorKind::kInvalid};
}

Result<StoredModel> FromJson(const json& in, const fs::path& path) {
  const auto text = [&](const json& from, const char* key) {
    return from.is_object() && from.contains(key) && from[key].is_string()
               ? from[key].get<std::string>()
               : "";
  };
  if (!in.is_object() || in.value("version", json()) != kManifestVersion) {
    return Damaged(path, Cat("no manifest of version ", kManifestVersion));
  }
  StoredModel model;
  model.files.name = text(in, "name");
  model.files.model = text(in, "model");
  if (model.files.name != path.stem().string()) return Damaged(path, "the name inside is another");
  if (!model.files.model.is_absolute()) return Damaged(path, "no absolute path 'model'");
  if (const std::string mmproj = text(in, "mmproj"); !mmproj.empty()) model.files.mmproj = mmproj;
  if (const std::string drafter = text(in, "drafter"); !drafter.empty())
    model.files.drafter = drafter;
  model.quantized = text(in, "quantized");
  model.owned = text(in, "owned");
  model.imported = text(in, "imported");
  if (in.contains("bytes") && in["bytes"].is_number_integer())
    model.bytes = in["bytes"].get<int64_t>();
  for (const json& item : in.value("sources", json::array())) {
    StoredModel::Source source{
        text(item, "repo"), text(item, "revision"), text(item, "commit"), {}};
    if (!RepoId::Parse(source.repo).ok() || !IsCommit(source.commit))
      return Damaged(path, "a bad 'sources'");
    for (const json& file : item.value("files", json::array())) {
      if (!file.is_string()) return Damaged(path, "a bad 'files'");
      source.files.push_back(file.get<std::string>());
    }
    model.sources.push_back(std::move(source));
  }
  return model;
}

int64_t TreeBytes(const fs::path& path) {
  int64_t bytes = 0;
  std::error_code code;
  for (fs::recursive_directory_iterator it(path, code), end; !code && it != end;
       it.increment(code)) {
    std::error_code ignored;
    if (it->is_regular_file(ignored)) bytes += static_cast<int64_t>(it->file_size(ignored));
  }
  return bytes;
}

// A lock on a folder; empty where another process holds it, or it cannot be opened.
std::optional<BlobLock> LockOnFolder(const fs::path& path, LockWait wait) {
  Descriptor folder(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid() || LockFile(folder.get(), wait) == LockOutcome::kHeldElsewhere)
    return std::nullopt;
  return BlobLock(std::move(folder));
}

// What a GGUF says that it is; empty where it cannot be read.
struct GgufFacts {
  std::string architecture;
  int64_t width = 0;  // of the model, of the projector's output, of the drafter's target
};

GgufFacts FactsOf(const fs::path& path) {
  const auto file = Gguf::Open(path);
  if (!file.ok()) return {};
  const Gguf& gguf = **file;
  GgufFacts facts;
  facts.architecture = gguf.Architecture().ok() ? std::string(*gguf.Architecture()) : "";
  std::vector<std::string> keys = {facts.architecture + ".embedding_length"};
  if (facts.architecture == "clip")
    keys = {"clip.vision.projection_dim", "clip.audio.projection_dim"};
  if (facts.architecture.ends_with(kDrafterSuffix))
    keys = {facts.architecture + ".embedding_length_out"};
  for (const std::string& key : keys) {
    if (const auto value = gguf.Int(key); value.ok()) {
      facts.width = *value;
      break;
    }
  }
  return facts;
}

// True where the file's metadata do not contradict that it belongs to the model.
bool Fits(GgufRole role, const fs::path& path, const GgufFacts& model) {
  const GgufFacts facts = FactsOf(path);
  if (facts.architecture.empty()) return false;
  if (role == GgufRole::kProjector && facts.architecture != "clip") return false;
  if (role == GgufRole::kDrafter &&
      facts.architecture != model.architecture + std::string(kDrafterSuffix)) {
    return false;
  }
  return facts.width == 0 || model.width == 0 || facts.width == model.width;
}

Result<ModelFiles> FilesOfGguf(const fs::path& path) {
  ModelFiles files{path.stem().string(), path, {}, {}};
  if (RoleOf(path.filename().string()) != GgufRole::kModel) return files;
  std::vector<fs::path> projectors, drafters;
  std::error_code code;
  for (fs::directory_iterator it(path.parent_path(), code), end; !code && it != end;
       it.increment(code)) {
    if (it->path().extension() != ".gguf" || it->path() == path) continue;
    const GgufRole role = RoleOf(it->path().filename().string());
    if (role == GgufRole::kProjector) projectors.push_back(it->path());
    if (role == GgufRole::kDrafter) drafters.push_back(it->path());
  }
  if (projectors.empty() && drafters.empty()) return files;
  const GgufFacts model = FactsOf(path);
  const auto best = [&](GgufRole role, std::vector<fs::path>& among) -> std::optional<fs::path> {
    std::sort(among.begin(), among.end(), [&](const fs::path& a, const fs::path& b) {
      const int left = Preference(role, a.filename().string()),
                right = Preference(role, b.filename().string());
      return left != right ? left < right : a < b;
    });
    const auto found = std::find_if(among.begin(), among.end(),
                                    [&](const fs::path& p) { return Fits(role, p, model); });
    return found == among.end() ? std::nullopt : std::optional(*found);
  };
  files.mmproj = best(GgufRole::kProjector, projectors);
  files.drafter = best(GgufRole::kDrafter, drafters);
  return files;
}

// `NAME-assistant` beside the checkpoint folder NAME, as the hub calls drafters.
std::optional<fs::path> DrafterBeside(const fs::path& folder) {
  const fs::path drafter = folder.parent_path() / Cat(folder.filename().string(), kDrafterSuffix);
  std::error_code code;
  if (!fs::exists(drafter / "config.json", code)) return std::nullopt;
  return drafter;
}

}  // namespace

std::vector<fs::path> StoredModel::Missing() const {
  std::vector<fs::path> missing;
  std::error_code code;
  for (const auto& path : {std::optional(files.model), files.mmproj, files.drafter}) {
    if (path && !fs::exists(*path, code)) missing.push_back(*path);
  }
  return missing;
}

json ToJson(const StoredModel& model) {
  json out = {{"version", kManifestVersion},
              {"name", model.files.name},
              {"model", model.files.model.string()},
              {"bytes", model.bytes},
              {"imported", model.imported}};
  if (model.files.mmproj) out["mmproj"] = model.files.mmproj->string();
  if (model.files.drafter) out["drafter"] = model.files.drafter->string();
  if (!model.quantized.empty()) out["quantized"] = model.quantized;
  if (!model.owned.empty()) out["owned"] = model.owned.string();
  for (const StoredModel::Source& source : model.sources) {
    out["sources"].push_back({{"repo", source.repo},
                              {"revision", source.revision},
                              {"commit", source.commit},
                              {"files", source.files}});
  }
  return out;
}

Result<Store> Store::FromEnvironment() {
  const char* data = std::getenv("XDG_DATA_HOME");
  const char* home = std::getenv("HOME");
  if (data != nullptr && *data == '/') return Store(fs::path(data) / "facet");
  if (home != nullptr && *home != 0) return Store(fs::path(home) / ".local/share/facet");
  return Error{"no folder for the names of models: HOME and XDG_DATA_HOME are unset",
               ErrorKind::kInvalid};
}

fs::path Store::Manifest(std::string_view name) const {
  return folder_ / "models" / (std::string(name) + ".json");
}

bool Store::Has(std::string_view name) const {
  std::error_code code;
  return CheckModelName(name).ok() && fs::exists(Manifest(name), code);
}

Result<StoredModel> Store::Get(std::string_view name) const {
  FACET_TRY(CheckModelName(name));
  if (!Has(name))
    return Error{Cat("no model is called '", name, "' (facet list)"), ErrorKind::kNotFound};
  FACET_ASSIGN(const std::string text, ReadFile(Manifest(name)));
  const auto parsed = ParseJsonAs<json>(text);
  return FromJson(parsed.ok() ? *parsed : json(), Manifest(name));
}

std::vector<StoredModel> Store::List(std::vector<Error>* damaged) const {
  std::vector<StoredModel> models;
  std::error_code code;
  for (fs::directory_iterator it(folder_ / "models", code), end; !code && it != end;
       it.increment(code)) {
    const std::string name = it->path().stem().string();
    if (it->path().extension() != ".json" || !CheckModelName(name).ok()) continue;
    auto model = Get(name);
    if (model.ok()) {
      models.push_back(std::move(*model));
    } else if (damaged != nullptr) {
      damaged->push_back(model.error());
    }
  }
  std::sort(models.begin(), models.end(),
            [](const StoredModel& a, const StoredModel& b) { return a.files.name < b.files.name; });
  return models;
}

Result<void> Store::Put(const StoredModel& model) const {
  FACET_TRY(CheckModelName(model.files.name));
  StoredModel stored = model;
  if (stored.imported.empty()) {
    const std::time_t now = std::time(nullptr);
    char text[32];
    std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&now));
    stored.imported = text;
  }
  FACET_TRY(MakeFolders(folder_ / "models"));
  const auto before = Get(stored.files.name);
  FACET_TRY(WriteFile(Manifest(stored.files.name), ToJson(stored).dump(2) + "\n"));
  if (before.ok()) FACET_TRY(RemoveOwned(before->owned));
  return Ok();
}

Result<void> Store::Rename(std::string_view from, std::string_view to) const {
  FACET_TRY(CheckModelName(to));
  FACET_ASSIGN(StoredModel model, Get(from));
  if (from == to) return Ok();
  if (Has(to)) return Error{Cat("a model is called '", to, "' already"), ErrorKind::kInvalid};
  model.files.name = to;
  FACET_TRY(Put(model));
  std::error_code code;
  fs::remove(Manifest(from), code);
  if (code) return Error{Cat(Manifest(from).string(), ": ", code.message()), ErrorKind::kIo};
  return Ok();
}

Result<int64_t> Store::RemoveOwned(const fs::path& path) const {
  // A manifest edited by hand may name any folder, or another model's: only ours, unused by others,
  // is deleted.
  if (path.empty() || path.parent_path() != folder_ / "files") return 0;
  for (const StoredModel& other : List()) {
    if (other.owned == path) return 0;
  }
  const int64_t bytes = TreeBytes(path);
  std::error_code code;
  fs::remove_all(path, code);
  if (code) return Error{Cat(path.string(), ": ", code.message()), ErrorKind::kIo};
  return bytes;
}

Result<int64_t> Store::Remove(std::string_view name) const {
  FACET_TRY(CheckModelName(name));
  // A damaged manifest can be removed too; what it owned is then an orphan.
  const auto model = Get(name);
  if (!model.ok() && model.error().kind == ErrorKind::kNotFound) return model.error();
  std::error_code code;
  fs::remove(Manifest(name), code);
  if (code) return Error{Cat(Manifest(name).string(), ": ", code.message()), ErrorKind::kIo};
  return model.ok() ? RemoveOwned(model->owned) : 0;
}

std::vector<std::string> Store::UnsharedFiles(std::string_view name,
                                              const StoredModel::Source& source) const {
  std::vector<std::string> files = source.files;
  for (const StoredModel& other : List()) {
    if (other.files.name == name) continue;
    for (const StoredModel::Source& used : other.sources) {
      if (used.repo != source.repo || used.commit != source.commit) continue;
      std::erase_if(files, [&](const std::string& file) {
        return std::find(used.files.begin(), used.files.end(), file) != used.files.end();
      });
    }
  }
  return files;
}

Result<BlobLock> Store::LockFolder() const {
  FACET_TRY(MakeFolders(folder_ / "files"));
  auto lock = LockOnFolder(folder_ / "files", LockWait::kYes);
  if (!lock) return Error{Cat((folder_ / "files").string(), ": cannot be opened"), ErrorKind::kIo};
  return std::move(*lock);
}

void Store::RemoveOrphans() const {
  std::vector<Error> damaged;
  const auto models = List(&damaged);
  if (!damaged.empty()) return;  // what a damaged manifest owns is unknown
  std::error_code code;
  for (fs::directory_iterator it(folder_ / "files", code), end; !code && it != end;
       it.increment(code)) {
    const bool named = std::any_of(models.begin(), models.end(),
                                   [&](const StoredModel& m) { return m.owned == it->path(); });
    std::error_code ignored;
    if (!named && LockOnFolder(it->path(), LockWait::kNo)) fs::remove_all(it->path(), ignored);
  }
}

Result<Store::Owned> Store::NewOwned(std::string_view name) const {
  FACET_TRY(CheckModelName(name));
  FACET_ASSIGN(const BlobLock guard, LockFolder());
  RemoveOrphans();
  char suffix[16];
  std::snprintf(suffix, sizeof(suffix), "-%08x", std::random_device()());
  const fs::path path = folder_ / "files" / (std::string(name) + suffix);
  FACET_TRY(MakeFolders(path));
  auto lock = LockOnFolder(path, LockWait::kNo);
  if (!lock) return Error{Cat(path.string(), ": cannot be created"), ErrorKind::kIo};
  return Owned{path, std::move(*lock)};
}

Result<ModelFiles> FilesOfPath(const fs::path& given) {
  std::error_code code;
  if (!fs::exists(given, code)) {
    return Error{Cat(given.string(), ": no such file or folder"), ErrorKind::kNotFound};
  }
  const fs::path path = fs::absolute(given, code).lexically_normal();
  if (fs::is_directory(path, code)) {
    // A folder with one GGUF model means that model.
    std::vector<fs::path> models;
    bool safetensors = false;
    for (fs::directory_iterator it(path, code), end; !code && it != end; it.increment(code)) {
      safetensors |=
          it->path().extension() == ".safetensors" || it->path().filename() == kShardIndex;
      if (it->path().extension() == ".gguf" &&
          RoleOf(it->path().filename().string()) == GgufRole::kModel) {
        models.push_back(it->path());
      }
    }
    if (!safetensors && models.size() == 1) return FilesOfGguf(models.front());
  }
  if (fs::exists(path / "adapter_config.json", code) && !fs::exists(path / "config.json", code)) {
    return Error{Cat(given.string(),
                     ": an adapter, no model: name the model that it was made for, and --adapter ",
                     given.string()),
                 ErrorKind::kUnsupported};
  }
  FACET_ASSIGN(const ModelFormat format, RecogniseModel(path));
  if (format == ModelFormat::kGguf) return FilesOfGguf(path);
  fs::path folder = path;
  if (folder.filename().empty()) folder = folder.parent_path();
  const bool is_folder = fs::is_directory(path, code);
  return ModelFiles{is_folder ? folder.filename().string() : folder.stem().string(),
                    folder,
                    {},
                    is_folder ? DrafterBeside(folder) : std::nullopt};
}

Result<ModelFiles> FindModel(const Store& store, const std::string& model) {
  std::error_code code;
  const bool like_path = model.find('/') != std::string::npos || model.ends_with(".gguf") ||
                         model.ends_with(".safetensors") || model.ends_with(".litertlm");
  // A name wins over a file of the same name in the current folder; `./name` means the file.
  if (!like_path && store.Has(model)) {
    FACET_ASSIGN(const StoredModel stored, store.Get(model));
    if (const auto missing = stored.Missing(); !missing.empty()) {
      return Error{
          Cat("model '", model, "': ", missing.front().string(), " is gone; import it again"),
          ErrorKind::kNotFound};
    }
    return stored.files;
  }
  if (like_path || fs::exists(model, code)) return FilesOfPath(model);
  return Error{Cat("'", model, "' is neither a file nor the name of a model (facet list)"),
               ErrorKind::kNotFound};
}

}  // namespace facet
