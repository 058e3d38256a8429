// `facet list`, `show`, `rename`, `rm`: what is imported.
#include <CLI/CLI.hpp>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "base/space.h"
#include "cli/commands.h"
#include "cli/terminal/progress.h"
#include "cli/terminal/report.h"
#include "formats/gguf.h"
#include "hub/hub.h"
#include "hub/short_names.h"
#include "hub/store.h"

namespace facet::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Files that this program keeps to start faster; deleting them costs nothing but time.
struct Disposable {
  fs::path path;
  int64_t bytes = 0;
};

std::vector<Disposable> Disposables() {
  const char* xdg = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  std::vector<Disposable> out;
  if ((xdg == nullptr || *xdg == 0) && home == nullptr) return out;
  const fs::path folder =
      xdg != nullptr && *xdg != 0 ? fs::path(xdg) / "facet" : fs::path(home) / ".cache/facet";
  std::error_code code;
  for (fs::recursive_directory_iterator it(folder, code), end; !code && it != end;
       it.increment(code)) {
    std::error_code ignored;
    if (it->is_regular_file(ignored) && !it->is_symlink(ignored)) {
      out.push_back({it->path(), static_cast<int64_t>(it->file_size(ignored))});
    }
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return out;
}

std::string Format(const StoredModel& model) {
  std::error_code code;
  return fs::is_directory(model.files.model, code) ? "safetensors" : "gguf";
}

std::string Origin(const StoredModel& model) {
  if (model.sources.empty()) return model.files.model.string();
  const StoredModel::Source& source = model.sources.front();
  return source.repo + "@" + source.commit.substr(0, 8) +
         (model.quantized.empty() ? "" : " as " + model.quantized);
}

// Columns as wide as their widest cell; the last as it is.
void PrintTable(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      if (i + 1 == row.size()) {
        std::cout << row[i] << "\n";
      } else {
        std::cout << std::left << std::setw(static_cast<int>(widths[i]) + 2) << row[i];
      }
    }
  }
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

Result<void> RunList(const ListOptions& options) {
  if (options.available) return ListAvailable(options.json);
  FACET_ASSIGN(const Store store, Store::FromEnvironment());
  std::vector<Error> damaged;
  const auto models = store.List(&damaged);
  if (options.names) {
    for (const StoredModel& model : models) std::cout << model.files.name << "\n";
    return Ok();
  }
  const auto disposables = Disposables();
  if (options.json) {
    json out = {{"models", json::array()}, {"caches", json::array()}, {"damaged", json::array()}};
    for (const StoredModel& model : models) {
      json item = ToJson(model);
      item.erase("version");
      item["format"] = Format(model);
      item["complete"] = model.Missing().empty();
      out["models"].push_back(std::move(item));
    }
    for (const Disposable& d : disposables)
      out["caches"].push_back({{"path", d.path.string()}, {"bytes", d.bytes}});
    for (const Error& error : damaged) out["damaged"].push_back(error.message);
    std::cout << out.dump(2) << "\n";
    return Ok();
  }
  if (models.empty()) {
    std::cout << "No models yet. facet list --available shows short names; facet import gemma4-12b "
                 "fetches one.\n";
  } else {
    std::vector<std::vector<std::string>> rows = {
        {"NAME", "SIZE", "FORMAT", "DRAFTER", "IMPORTED", "FROM"}};
    for (const StoredModel& model : models) {
      rows.push_back({model.files.name, HumanBytes(model.bytes), Format(model),
                      model.files.drafter ? "yes" : "no", model.imported.substr(0, 10),
                      model.Missing().empty() ? Origin(model)
                                              : "MISSING " + model.Missing().front().string()});
    }
    PrintTable(rows);
  }
  for (const Error& error : damaged) std::cerr << "facet: " << error.message << "\n";
  if (!disposables.empty()) {
    int64_t total = 0;
    std::vector<std::vector<std::string>> rows;
    for (const Disposable& d : disposables) {
      total += d.bytes;
      rows.push_back({"  " + HumanBytes(d.bytes), d.path.string()});
    }
    std::cout << "\nDisposable caches, rebuilt when needed: " << HumanBytes(total) << "\n";
    PrintTable(rows);
  }
  return Ok();
}

// What the file itself says, for `show`.
void AddDetails(const StoredModel& model, json& out) {
  std::error_code code;
  if (fs::is_directory(model.files.model, code)) {
    const auto text = ReadFile(model.files.model / "config.json");
    const json config = text.ok() ? json::parse(*text, nullptr, false) : json();
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
  for (const Tensor& tensor : gguf.tensors()) {
    parameters += tensor.elements();
    types[std::string(Traits(tensor.type).name)] += tensor.elements();
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

Result<void> RunShow(const std::string& name, bool as_json) {
  FACET_ASSIGN(const Store store, Store::FromEnvironment());
  FACET_ASSIGN(const StoredModel model, store.Get(name));
  json out = ToJson(model);
  out.erase("version");
  out["format"] = Format(model);
  for (const fs::path& path : model.Missing()) out["missing"].push_back(path.string());
  if (model.Missing().empty()) AddDetails(model, out);
  if (as_json) {
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

Result<void> RunRename(const std::string& from, const std::string& to, bool as_json) {
  FACET_ASSIGN(const Store store, Store::FromEnvironment());
  FACET_TRY(store.Rename(from, to));
  if (as_json) std::cout << json({{"renamed", from}, {"name", to}}).dump() << "\n";
  return Ok();
}

// The files of a source that no other name uses.
std::vector<std::string> OwnFiles(const Store& store, const std::string& name,
                                  const StoredModel::Source& source) {
  std::vector<std::string> files = source.files;
  for (const StoredModel& other : store.List()) {
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

struct RmOptions {
  std::string name;
  bool purge = false, json = false;
};

Result<void> RunRm(const RmOptions& options) {
  FACET_ASSIGN(const Store store, Store::FromEnvironment());
  const auto model = store.Get(options.name);
  int64_t freed = 0, kept = 0;
  if (model.ok() && !model->sources.empty()) {
    FACET_ASSIGN(const HubConfig config, HubConfig::FromEnvironment());
    for (const StoredModel::Source& source : model->sources) {
      FACET_ASSIGN(const RepoId repo, RepoId::Parse(source.repo));
      const HubCache cache(config.cache, repo);
      const auto files = OwnFiles(store, options.name, source);
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

}  // namespace

void AddStoreCommands(CLI::App& app, int& exit_code) {
  auto list = std::make_shared<ListOptions>();
  CLI::App* command =
      app.add_subcommand("list", "List the imported models and the disposable caches");
  command->alias("ls");
  command->add_flag("--available", list->available, "The short names that can be imported");
  command->add_flag("--names", list->names, "Names alone, one a line");
  command->add_flag("--json", list->json, "Print JSON");
  command->footer("Examples:\n  facet list\n  facet list --available");
  command->callback([list, &exit_code] { exit_code = Report(RunList(*list)); });

  auto show = std::make_shared<RmOptions>();
  command =
      app.add_subcommand("show", "What a model is, where its files lie and where they came from");
  command->add_option("NAME", show->name, "Name of the model")->required();
  command->add_flag("--json", show->json, "Print JSON");
  command->footer("Example: facet show gemma4-12b");
  command->callback([show, &exit_code] { exit_code = Report(RunShow(show->name, show->json)); });

  auto rename = std::make_shared<std::pair<std::string, std::string>>();
  auto rename_json = std::make_shared<bool>(false);
  command = app.add_subcommand("rename", "Give a model another name");
  command->add_option("OLD", rename->first, "Name of the model")->required();
  command->add_option("NEW", rename->second, "Its new name")->required();
  command->footer("Example: facet rename gemma4-12b gemma");
  command->add_flag("--json", *rename_json, "Print JSON");
  command->callback([rename, rename_json, &exit_code] {
    exit_code = Report(RunRename(rename->first, rename->second, *rename_json));
  });

  auto rm = std::make_shared<RmOptions>();
  command = app.add_subcommand(
      "rm", "Forget a model's name; with --purge, delete its files from the cache too");
  command->add_option("NAME", rm->name, "Name of the model")->required();
  command->add_flag("--purge", rm->purge, "Delete what no other model and no other snapshot uses");
  command->add_flag("--json", rm->json, "Print JSON");
  command->footer(
      "Files in the Hugging Face cache stay without --purge, and those of a local model always.\n"
      "Example: facet rm gemma4-12b --purge");
  command->callback([rm, &exit_code] { exit_code = Report(RunRm(*rm)); });
}

}  // namespace facet::cli
