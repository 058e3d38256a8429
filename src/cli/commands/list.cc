// `facet list`, `show`, `rename`, `rm`: what is imported.
#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/space.h"
#include "cli/commands.h"
#include "cli/terminal/report.h"
#include "cli/terminal/table.h"
#include "formats/gguf.h"
#include "formats/json.h"
#include "hub/hub.h"
#include "hub/near_name.h"
#include "hub/short_names.h"
#include "hub/store.h"
#include "runtime/cache_files.h"
#include "runtime/resolve.h"

namespace facet::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string FormatName(const StoredModel& model) {
  std::error_code code;
  return fs::is_directory(model.files.model, code) ? "safetensors" : "gguf";
}

bool IsEmbedded(const StoredModel& model) {
  return model.files.name == kEmbeddedModel && model.imported.empty();
}

std::string Origin(const StoredModel& model) {
  if (IsEmbedded(model)) return "comes with facet";
  if (model.sources.empty()) return model.files.model.string();
  const StoredModel::Source& source = model.sources.front();
  return source.repo + "@" + source.commit.substr(0, 8) +
         (model.quantized.empty() ? "" : " as " + model.quantized);
}

Result<void> ListAvailable(bool as_json) {
  if (as_json) {
    json out = json::array();
    for (const ShortName& s : ShortNames()) {
      out.push_back({{"name", s.name},
                     {"description", s.description},
                     {"repo", s.repo},
                     {"file", s.file},
                     {"drafter_repo", s.drafter_repo},
                     {"bytes", s.bytes}});
    }
    std::cout << out.dump(2) << "\n";
    return Ok();
  }
  std::vector<std::vector<std::string>> rows = {{"NAME", "ABOUT", "FROM", "WHAT"}};
  for (const ShortName& s : ShortNames()) {
    rows.push_back({std::string(s.name), HumanBytes(s.bytes), std::string(s.repo),
                    std::string(s.description)});
  }
  PrintTable(rows);
  return Ok();
}

struct ListOptions {
  bool json = false, available = false, names = false;
};

json ListAsJson(const std::vector<StoredModel>& models, const std::vector<Error>& damaged) {
  json out = {{"models", json::array()}, {"caches", json::array()}, {"damaged", json::array()}};
  for (const StoredModel& model : models) {
    json item = ToJson(model);
    item.erase("version");
    item["format"] = FormatName(model);
    item["comes_with_facet"] = IsEmbedded(model);
    item["complete"] = model.Missing().empty();
    out["models"].push_back(std::move(item));
  }
  for (const CacheFile& file : CacheFiles())
    out["caches"].push_back({{"path", file.path.string()}, {"bytes", file.bytes}});
  for (const Error& error : damaged) out["damaged"].push_back(error.message);
  return out;
}

void PrintModels(const std::vector<StoredModel>& models) {
  if (models.empty()) {
    std::cout << "No models yet. facet list --available shows short names; facet import gemma4-12b "
                 "fetches one.\n";
    return;
  }
  std::vector<std::vector<std::string>> rows = {
      {"NAME", "SIZE", "FORMAT", "DRAFTER", "IMPORTED", "FROM"}};
  for (const StoredModel& model : models) {
    const std::vector<fs::path> missing = model.Missing();
    rows.push_back({model.files.name, HumanBytes(model.bytes), FormatName(model),
                    model.files.drafter ? "yes" : "no", model.imported.substr(0, 10),
                    missing.empty() ? Origin(model) : "MISSING " + missing.front().string()});
  }
  PrintTable(rows);
  if (models.size() == 1 && IsEmbedded(models[0])) {
    std::cout << "facet list --available shows what else there is; facet import gemma4-12b fetches "
                 "one.\n";
  }
}

// By folder: a file each would bury the models.
void PrintCaches() {
  struct Held {
    int64_t bytes = 0;
    int files = 0;
  };
  std::map<fs::path, Held> folders;
  Held all;
  for (const CacheFile& file : CacheFiles()) {
    for (Held* held : {&folders[file.path.parent_path()], &all}) {
      held->bytes += file.bytes;
      ++held->files;
    }
  }
  if (all.files == 0) return;
  std::cout << "\nDisposable caches, rebuilt when needed: " << HumanBytes(all.bytes) << "\n";
  std::vector<std::vector<std::string>> rows;
  for (const auto& [folder, held] : folders) {
    rows.push_back({"  " + HumanBytes(held.bytes),
                    Cat(held.files, held.files == 1 ? " file" : " files"), folder.string()});
  }
  PrintTable(rows);
}

Result<void> RunList(const ListOptions& options) {
  if (options.available) return ListAvailable(options.json);
  std::vector<Error> damaged;
  const std::vector<StoredModel> models = ModelsHere(&damaged);
  if (options.names) {
    for (const StoredModel& model : models) std::cout << model.files.name << "\n";
    return Ok();
  }
  if (options.json) {
    std::cout << ListAsJson(models, damaged).dump(2) << "\n";
    return Ok();
  }
  PrintModels(models);
  for (const Error& error : damaged) std::cerr << "facet: " << error.message << "\n";
  PrintCaches();
  return Ok();
}

// What the file itself says, for `show`.
void AddDetails(const StoredModel& model, json& out) {
  std::error_code code;
  if (fs::is_directory(model.files.model, code)) {
    const auto read = ReadJson(model.files.model / "config.json");
    const json config = read.ok() ? *read : json();
    if (config.is_object()) out["architecture"] = config.value("model_type", json());
    return;
  }
  const auto file = Gguf::Open(model.files.model);
  if (!file.ok()) {
    out["problem"] = file.error().message;
    return;
  }
  const Gguf& gguf = **file;
  std::map<std::string, int64_t> types;
  int64_t parameters = 0;
  const auto count = [&](const TensorFile& tensors) {
    for (const Tensor& tensor : tensors.tensors()) {
      parameters += tensor.elements();
      types[std::string(Traits(tensor.type).name)] += tensor.elements();
    }
  };
  count(gguf);
  // With what it sees and hears by, as the model's name and `facet tune` count.
  if (model.files.mmproj) {
    if (const auto projector = Gguf::Open(*model.files.mmproj); projector.ok()) count(**projector);
  }
  if (const auto architecture = gguf.Architecture(); architecture.ok()) {
    out["architecture"] = *architecture;
    if (const auto ctx = gguf.Int(std::string(*architecture) + ".context_length"); ctx.ok()) {
      out["context_length"] = *ctx;
    }
  }
  out["parameters"] = parameters;
  out["weights_by_type"] = types;
}

struct ShowOptions {
  std::string name;
  bool json = false;
};

// An imported model, or the one that comes along.
Result<StoredModel> ModelCalled(const std::string& name) {
  const auto store = Store::FromEnvironment();
  if (name == kEmbeddedModel && !(store.ok() && store->Has(name))) return EmbeddedModel();
  if (!store.ok()) return store.error();
  auto model = store->Get(name);
  if (model.ok() || model.error().kind != ErrorKind::kNotFound) return model;
  Error error = model.error();
  if (const auto near = NearestName(name, ModelNames()))
    error.message += Cat("; did you mean ", *near, "?");
  return error;
}

// To what the program brings, nothing can be done.
Result<void> RefuseEmbedded(const Store& store, const std::string& name) {
  if (name != kEmbeddedModel || store.Has(name)) return Ok();
  return Error{Cat(name, " comes with facet and stays"), ErrorKind::kPermission};
}

Result<void> RunShow(const ShowOptions& options) {
  FACET_ASSIGN(const StoredModel model, ModelCalled(options.name));
  json out = ToJson(model);
  out.erase("version");
  out["format"] = FormatName(model);
  for (const fs::path& path : model.Missing()) out["missing"].push_back(path.string());
  if (model.Missing().empty()) AddDetails(model, out);
  if (options.json) {
    std::cout << out.dump(2) << "\n";
    return Ok();
  }
  std::vector<std::vector<std::string>> rows;
  for (const char* key : {"name", "format", "architecture", "parameters", "context_length",
                          "quantized", "model", "mmproj", "drafter", "imported", "problem"}) {
    if (!out.contains(key) || out[key].is_null()) continue;
    rows.push_back({key, out[key].is_string() ? out[key].get<std::string>() : out[key].dump()});
  }
  rows.push_back({"size", HumanBytes(model.bytes)});
  if (out.contains("weights_by_type")) {
    std::string types;
    for (const auto& [type, count] : out["weights_by_type"].items()) {
      types += Cat(types.empty() ? "" : ", ", type, " ", count.get<int64_t>());
    }
    rows.push_back({"weights", types});
  }
  for (const StoredModel::Source& source : model.sources) {
    rows.push_back({"from", Cat(source.repo, " ", source.revision, " (", source.commit, ")")});
  }
  for (const fs::path& path : model.Missing()) rows.push_back({"MISSING", path.string()});
  PrintTable(rows);
  return Ok();
}

struct RenameOptions {
  std::string from, to;
  bool json = false;
};

Result<void> RunRename(const RenameOptions& options) {
  FACET_ASSIGN(const Store store, Store::FromEnvironment());
  FACET_TRY(RefuseEmbedded(store, options.from));
  FACET_TRY(store.Rename(options.from, options.to));
  if (options.json)
    std::cout << json({{"renamed", options.from}, {"name", options.to}}).dump() << "\n";
  return Ok();
}

struct RmOptions {
  std::string name;
  bool purge = false, json = false;
};

Result<void> RunRm(const RmOptions& options) {
  FACET_ASSIGN(const Store store, Store::FromEnvironment());
  FACET_TRY(RefuseEmbedded(store, options.name));
  const auto model = store.Get(options.name);
  int64_t freed = 0, kept = 0;
  if (model.ok() && !model->sources.empty()) {
    FACET_ASSIGN(const HubConfig config, HubConfig::FromEnvironment());
    for (const StoredModel::Source& source : model->sources) {
      FACET_ASSIGN(const RepoId repo, RepoId::Parse(source.repo));
      const HubCache cache(config.cache, repo);
      const auto files = store.UnsharedFiles(options.name, source);
      const auto bytes = options.purge ? cache.Remove(source.commit, files)
                                       : cache.Removable(source.commit, files);
      if (!bytes.ok() && bytes.error().kind != ErrorKind::kNotFound) return bytes.error();
      (options.purge ? freed : kept) += bytes.ok() ? *bytes : 0;
    }
  }
  FACET_ASSIGN(const int64_t owned, store.Remove(options.name));
  freed += owned;
  if (options.json) {
    std::cout << json({{"removed", options.name},
                       {"freed_bytes", freed},
                       {"kept_in_cache_bytes", kept}})
                     .dump()
              << "\n";
    return Ok();
  }
  std::cout << "Removed " << options.name << ", " << HumanBytes(freed) << " freed.\n";
  if (kept > 0) {
    std::cout << HumanBytes(kept)
              << " stay in the Hugging Face cache, for the next import and for other programs; "
              << "facet rm --purge deletes them along with a name.\n";
  } else if (model.ok() && model->sources.empty() && model->owned.empty()) {
    std::cout << "The files stay where they are: " << model->files.model.string() << "\n";
  }
  return Ok();
}

void AddList(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<ListOptions>();
  CLI::App* command =
      app.add_subcommand("list", "List the imported models and the disposable caches");
  command->alias("ls");
  command->add_flag("--available", options->available, "The short names that can be imported");
  command->add_flag("--names", options->names, "Only the names, one a line");
  command->add_flag("--json", options->json, "Print JSON");
  command->footer("Examples:\n  facet list\n  facet list --available");
  command->callback([options, &exit_code] { exit_code = Report(RunList(*options)); });
}

void AddShow(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<ShowOptions>();
  CLI::App* command =
      app.add_subcommand("show", "What a model is, where its files lie and where they came from");
  command->add_option("NAME", options->name, "Name of the model")->required();
  command->add_flag("--json", options->json, "Print JSON");
  command->footer("Example: facet show gemma4-12b");
  command->callback([options, &exit_code] { exit_code = Report(RunShow(*options)); });
}

void AddRename(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<RenameOptions>();
  CLI::App* command = app.add_subcommand("rename", "Give a model another name");
  command->add_option("OLD", options->from, "Name of the model")->required();
  command->add_option("NEW", options->to, "Its new name")->required();
  command->add_flag("--json", options->json, "Print JSON");
  command->footer("Example: facet rename gemma4-12b gemma");
  command->callback([options, &exit_code] { exit_code = Report(RunRename(*options)); });
}

void AddRm(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<RmOptions>();
  CLI::App* command = app.add_subcommand(
      "rm", "Forget a model's name; with --purge, delete its files from the cache too");
  command->add_option("NAME", options->name, "Name of the model")->required();
  command->add_flag("--purge", options->purge,
                    "Delete what no other model and no other snapshot uses");
  command->add_flag("--json", options->json, "Print JSON");
  command->footer(
      "Files in the Hugging Face cache stay without --purge, and those of a local model always.\n"
      "Example: facet rm gemma4-12b --purge");
  command->callback([options, &exit_code] { exit_code = Report(RunRm(*options)); });
}

}  // namespace

void AddStoreCommands(CLI::App& app, int& exit_code) {
  AddList(app, exit_code);
  AddShow(app, exit_code);
  AddRename(app, exit_code);
  AddRm(app, exit_code);
}

}  // namespace facet::cli
