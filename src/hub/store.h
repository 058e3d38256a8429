// The names of imported models. One JSON file a name under $XDG_DATA_HOME/facet/models
// (~/.local/share/facet/models): where the files lie and where they came from. The files themselves
// stay in the Hugging Face cache, or where the user has them; only what this program wrote itself
// (quantised models) lies under $XDG_DATA_HOME/facet/files.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "formats/model_files.h"
#include "hub/cache.h"

namespace facet {

struct StoredModel {
  // Files of one repository that the model uses; they may be deleted with it.
  struct Source {
    std::string repo, revision, commit;
    std::vector<std::string> files;
  };

  ModelFiles files;             // its `name` is the name
  std::vector<Source> sources;  // empty for local files
  std::string quantized;  // "q4_0" where this program wrote the files; then their folder is `owned`
  std::filesystem::path owned;
  int64_t bytes = 0;     // of all files
  std::string imported;  // UTC, ISO 8601

  // The paths that are gone.
  std::vector<std::filesystem::path> Missing() const;
};

nlohmann::json ToJson(const StoredModel& model);

class Store {
 public:
  // `folder` holds models/ and files/; neither need exist.
  explicit Store(std::filesystem::path folder) : folder_(std::move(folder)) {}
  static Result<Store> FromEnvironment();

  const std::filesystem::path& folder() const { return folder_; }

  // Errors: no such name (kNotFound), a damaged manifest.
  Result<StoredModel> Get(std::string_view name) const;
  bool Has(std::string_view name) const;
  // By name. Manifests that cannot be read are listed in `damaged` as errors.
  std::vector<StoredModel> List(std::vector<Error>* damaged = nullptr) const;
  // Writes or replaces, at once; what this program wrote for the model that had the name is
  // deleted.
  Result<void> Put(const StoredModel& model) const;
  Result<void> Rename(std::string_view from, std::string_view to) const;
  // The name, and the files that this program wrote for it. Bytes freed.
  Result<int64_t> Remove(std::string_view name) const;

  // The files of a source of the model `name` that no other model uses.
  std::vector<std::string> UnsharedFiles(std::string_view name,
                                         const StoredModel::Source& source) const;

  // A folder for files that are being written for `name`, locked until the result is destroyed.
  // Folders that no manifest names and nobody holds (of an import that was killed) are deleted
  // here.
  struct Owned {
    std::filesystem::path path;
    BlobLock lock;
  };
  Result<Owned> NewOwned(std::string_view name) const;

 private:
  std::filesystem::path Manifest(std::string_view name) const;
  Result<BlobLock> LockFolder() const;
  void RemoveOrphans() const;
  Result<int64_t> RemoveOwned(const std::filesystem::path& path) const;

  std::filesystem::path folder_;
};

// A checkpoint folder with the drafter beside it (NAME-assistant), or a GGUF with the projector
// (mmproj*.gguf) and the drafter (assistant, draft, mtp) beside it; a folder with one GGUF model.
// What lies beside a GGUF is taken only where its metadata fit the model.
Result<ModelFiles> FilesOfPath(const std::filesystem::path& path);

// A path where there is a file, else a name of the store. kNotFound: neither.
Result<ModelFiles> FindModel(const Store& store, const std::string& model);

}  // namespace facet
