#include "runtime/importer.h"

#include <algorithm>
#include <array>

#include "base/space.h"
#include "formats/json.h"
#include "formats/recognise.h"
#include "formats/safetensors.h"
#include "hub/hub.h"
#include "hub/select.h"
#include "model/convert.h"

namespace facet {
namespace {

namespace fs = std::filesystem;

// What --quantize takes, and the bytes that a weight takes then, for the questions before the
// conversion.
struct Quantization {
  std::string_view name;
  DType type;
  double bytes_per_weight;
};
constexpr std::array<Quantization, 3> kQuantizations = {
    {{"q8_0", DType::kQ8_0, 34.0 / 32},
     {"q4_0", DType::kQ4_0, 18.0 / 32 * 1.06},
     {"q4_k", DType::kQ4_K, 144.0 / 256 * 1.08}}};

Result<const Quantization*> FindQuantization(std::string_view name) {
  for (const Quantization& q : kQuantizations) {
    if (q.name == name) return &q;
  }
  return Expected("q8_0, q4_0 or q4_k", name, "--quantize");
}

// Programs need room beside the weights.
constexpr double kUsableMemory = 0.95;

Result<void> CheckMemory(const std::string& what, int64_t weights, const ImportRequest& request) {
  const int64_t memory = MemoryBytes();
  if (request.force || memory == 0 || weights <= memory * kUsableMemory) return Ok();
  std::string hint = "add --force to import it all the same";
  // Published weights take two bytes each.
  const double smallest = weights / 2.0 * kQuantizations[1].bytes_per_weight;
  if (request.quantize.empty() && smallest <= memory * kUsableMemory) {
    hint = Cat("--quantize q4_0 makes it about ", HumanBytes(static_cast<int64_t>(smallest)),
               "; or ", hint);
  }
  return Error{
      Cat(what, " needs ", HumanBytes(weights), " of memory for its weights, and this machine has ",
          HumanBytes(memory), ": ", hint),
      ErrorKind::kResource};
}

int64_t TreeBytes(const fs::path& path) {
  std::error_code code;
  if (!fs::is_directory(path, code)) {
    const uintmax_t bytes = fs::file_size(path, code);
    return code ? 0 : static_cast<int64_t>(bytes);
  }
  int64_t bytes = 0;
  for (fs::directory_iterator it(path, code), end; !code && it != end; it.increment(code)) {
    if (std::error_code ignored; it->is_regular_file(ignored))
      bytes += static_cast<int64_t>(it->file_size(ignored));
  }
  const auto shards = ReadShardIndex(path);
  if (!shards.ok() || !*shards) return bytes;
  for (const auto& [shard, tensors] : **shards) {
    if (shard.find('/') == shard.npos) continue;
    const uintmax_t size = fs::file_size(path / shard, code);
    if (!code) bytes += static_cast<int64_t>(size);
  }
  return bytes;
}

// Every file that a checkpoint's index names is there. A cache that is read offline may hold a part
// of a repository, and so may a folder that was copied by hand.
Result<void> CheckShards(const fs::path& folder) {
  FACET_ASSIGN(const auto shards, ReadShardIndex(folder));
  std::error_code code;
  for (const auto& [shard, tensors] : shards.value_or(ShardMap())) {
    if (fs::exists(folder / shard, code)) continue;
    return Error{Cat((folder / shard).string(), ": named by the index, but not there"),
                 ErrorKind::kNotFound};
  }
  return Ok();
}

// google/gemma-4-12B-it -> gemma-4-12B-it
std::string LastPart(std::string_view text) {
  const size_t slash = text.rfind('/');
  return std::string(text.substr(slash == text.npos ? 0 : slash + 1));
}

class Importer {
 public:
  Importer(const Store& store, const ImportRequest& request) : store_(store), request_(request) {}

  Result<StoredModel> Run() {
    if (!request_.quantize.empty()) {
      FACET_ASSIGN(quantization_, FindQuantization(request_.quantize));
    }
    FACET_TRY(ChooseName());
    if (request_.repo.empty()) {
      FACET_TRY(FromPath());
    } else {
      FACET_TRY(FromHub());
    }
    std::optional<Store::Owned> owned;
    if (quantization_ != nullptr) {
      FACET_ASSIGN(owned, store_.NewOwned(model_.files.name));
      FACET_TRY(Quantize(owned->path));
    }
    FACET_TRY(store_.Put(model_));
    return store_.Get(model_.files.name);
  }

 private:
  Result<void> ChooseName() {
    std::string name = request_.name;
    if (name.empty()) {
      fs::path path = request_.file;
      if (path.filename().empty()) path = path.parent_path();
      name = !request_.file.empty() ? path.stem().string() : LastPart(request_.repo);
    }
    FACET_TRY(CheckModelName(name));
    model_.files.name = name;
    if (!store_.Has(name) || request_.replace) return Ok();
    const auto existing = store_.Get(name);
    const bool again = existing.ok() && !request_.repo.empty() && !existing->sources.empty() &&
                       existing->sources.front().repo == request_.repo;
    if (again) return Ok();  // a newer revision, or another file of the same repository
    return Error{
        Cat("a model is called '", name, "' already: choose another name, or add --replace"),
        ErrorKind::kInvalid};
  }

  Result<void> FromPath() {
    FACET_ASSIGN(ModelFiles files, FilesOfPath(request_.file));
    files.name = model_.files.name;
    std::error_code code;
    for (auto [wish, slot] : {std::pair(&request_.mmproj, &files.mmproj),
                              std::pair(&request_.drafter, &files.drafter)}) {
      if (wish->empty()) continue;
      FACET_TRY(RecogniseModel(*wish));
      *slot = fs::absolute(*wish, code).lexically_normal();
    }
    model_.files = files;
    for (const auto& path : {std::optional(files.model), files.mmproj, files.drafter}) {
      if (path) model_.bytes += TreeBytes(*path);
    }
    FACET_TRY(CheckContent());
    return CheckRoom(TreeBytes(files.model), 0, request_.file);
  }

  Result<void> FromHub() {
    FACET_ASSIGN(HubConfig config, HubConfig::FromEnvironment());
    if (!request_.token.empty()) {
      FACET_ASSIGN(config.token, HubConfig::CleanToken(request_.token));
    }
    const Hub hub(config);
    FACET_ASSIGN(const RepoId repo, RepoId::Parse(request_.repo));
    FACET_ASSIGN(const HubListing listing, hub.List(repo, request_.revision, request_.monitor));
    const bool foreign_drafter = !request_.drafter_repo.empty();
    FACET_ASSIGN(HubSelection selection, SelectFiles(listing,
                                                     {request_.file, request_.mmproj,
                                                      foreign_drafter ? "" : request_.drafter},
                                                     ReaderOf(hub, listing)));
    if (foreign_drafter && selection.drafter) {
      std::erase_if(selection.files,
                    [&](const HubFile& file) { return file.name == *selection.drafter; });
      selection.drafter.reset();
    }
    std::optional<HubListing> drafter_listing;
    std::optional<HubSelection> drafter;
    if (foreign_drafter) {
      FACET_ASSIGN(const RepoId drafter_repo, RepoId::Parse(request_.drafter_repo));
      FACET_ASSIGN(drafter_listing, hub.List(drafter_repo, "main", request_.monitor));
      FACET_ASSIGN(drafter, SelectFiles(*drafter_listing, {request_.drafter, "", ""},
                                        ReaderOf(hub, *drafter_listing)));
    }

    // Everything is known now: ask for room before the first byte.
    FACET_ASSIGN(int64_t missing, hub.MissingBytes(listing, selection.files));
    if (drafter) {
      FACET_ASSIGN(const int64_t more, hub.MissingBytes(*drafter_listing, drafter->files));
      missing += more;
    }
    int64_t weights = 0;
    for (const HubFile& file : selection.files)
      weights += selection.weights.contains(file.name.text()) ? file.bytes : 0;
    FACET_TRY(CheckRoom(weights, missing, request_.repo, config.cache));

    FACET_ASSIGN(const fs::path snapshot, Fetch(hub, listing, selection));
    model_.files.model = selection.checkpoint ? snapshot : selection.model->In(snapshot);
    if (selection.mmproj) model_.files.mmproj = selection.mmproj->In(snapshot);
    if (selection.drafter) model_.files.drafter = selection.drafter->In(snapshot);
    if (drafter) {
      FACET_ASSIGN(const fs::path folder, Fetch(hub, *drafter_listing, *drafter));
      model_.files.drafter = drafter->checkpoint ? folder : drafter->model->In(folder);
    }
    return CheckContent();
  }

  ReadHubFile ReaderOf(const Hub& hub, const HubListing& listing) const {
    constexpr int64_t kMaxIndexBytes = 64 << 20;
    return [&](const HubFile& file) {
      return hub.Read(listing, file, kMaxIndexBytes, request_.monitor);
    };
  }

  Result<fs::path> Fetch(const Hub& hub, const HubListing& listing, const HubSelection& selection) {
    FACET_ASSIGN(const fs::path snapshot, hub.Download(listing, selection.files, request_.monitor));
    StoredModel::Source source{listing.repo.text(), listing.revision.text(), listing.commit, {}};
    for (const HubFile& file : selection.files) {
      source.files.push_back(file.name.text());
      model_.bytes += file.bytes;
    }
    model_.sources.push_back(std::move(source));
    return fs::absolute(snapshot);
  }

  // What came has the digests that the hub promised; this is about what the hub promised.
  Result<void> CheckContent() const {
    for (const auto& path :
         {std::optional(model_.files.model), model_.files.mmproj, model_.files.drafter}) {
      if (!path) continue;
      FACET_TRY(RecogniseModel(*path));
      FACET_TRY(CheckShards(*path));
    }
    return Ok();
  }

  Result<void> CheckRoom(int64_t weights, int64_t missing, const std::string& what,
                         const fs::path& cache = {}) {
    int64_t written = 0;
    if (quantization_ != nullptr) {
      // Two bytes a weight in published checkpoints; a GGUF is never larger than its source.
      written = static_cast<int64_t>(weights / 2.0 * quantization_->bytes_per_weight);
      FACET_ASSIGN(const int64_t room, FreeDiskBytes(store_.folder()));
      if (written + missing > room) {
        return Error{
            Cat(what, " as ", quantization_->name, " needs ", HumanBytes(written + missing),
                " on the disk, where ", HumanBytes(room), " are free"),
            ErrorKind::kResource};
      }
    }
    if (missing > 0) {
      FACET_ASSIGN(const int64_t room, FreeDiskBytes(cache));
      if (missing > room) {
        return Error{Cat(what, " needs ", HumanBytes(missing), " on the disk of ", cache.string(),
                         ", where ", HumanBytes(room), " are free"),
                     ErrorKind::kResource};
      }
    }
    return CheckMemory(what, quantization_ != nullptr ? written : weights, request_);
  }

  // Replaces the files by quantised ones in `folder`.
  Result<void> Quantize(const fs::path& folder) {
    const ModelFiles source = model_.files;
    const std::string type(quantization_->name);
    std::error_code code;
    const bool checkpoint = fs::is_directory(source.model, code);
    FACET_TRY(Convert(ConvertPart::kModel, source.model, folder / Cat("model-", type, ".gguf"),
                      quantization_->type));
    model_.files.model = folder / Cat("model-", type, ".gguf");
    // The projector is small and feeds every soft token: it keeps the precision of the checkpoint.
    if (checkpoint) {
      const fs::path mmproj = folder / "mmproj-bf16.gguf";
      auto converted = Convert(ConvertPart::kProjector, source.model, mmproj, DType::kBF16);
      if (converted.ok()) {
        model_.files.mmproj = mmproj;
      } else if (converted.error().kind !=
                 ErrorKind::kNotFound) {  // a model of text alone has none
        return converted;
      }
    }
    if (source.drafter && fs::is_directory(*source.drafter, code)) {
      const fs::path drafter = folder / "drafter-q8_0.gguf";
      FACET_TRY(
          Convert(ConvertPart::kDrafter, *source.drafter, drafter, DType::kQ8_0, source.model));
      model_.files.drafter = drafter;
    }
    model_.quantized = type;
    model_.owned = folder;
    model_.bytes = TreeBytes(folder);
    for (const auto& path : {model_.files.mmproj, model_.files.drafter}) {
      if (path && path->parent_path() != folder) model_.bytes += TreeBytes(*path);
    }
    return Ok();
  }

  Result<void> Convert(ConvertPart part, const fs::path& source, const fs::path& output, DType type,
                       const fs::path& vocabulary = {}) {
    ConvertOptions options;
    options.source = source;
    options.output = output;
    options.type = type;
    options.part = part;
    options.vocabulary = vocabulary;
    const std::string what = Cat("writing ", output.filename().string());
    options.progress = [&](uint64_t done, uint64_t total) {
      const auto bytes = static_cast<int64_t>(done);
      const HubMonitor& monitor = request_.monitor;
      if (monitor.on_progress)
        monitor.on_progress({bytes, static_cast<int64_t>(total), bytes, what});
      return monitor.cancelled == nullptr || !monitor.cancelled->load();
    };
    return ConvertToGguf(options);
  }

  const Store& store_;
  const ImportRequest& request_;
  const Quantization* quantization_ = nullptr;
  StoredModel model_;
};

}  // namespace

ImportRequest RequestFor(const ShortName& known) {
  ImportRequest request;
  request.name = known.name;
  request.repo = known.repo;
  request.file = known.file;
  request.mmproj = known.mmproj;
  request.drafter_repo = known.drafter_repo;
  request.drafter = known.drafter;
  return request;
}

Result<StoredModel> ImportModel(const Store& store, const ImportRequest& request) {
  return Importer(store, request).Run();
}

}  // namespace facet
