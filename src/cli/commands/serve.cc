// facet serve: the OpenAI API on this machine.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <ctime>

#include "base/log.h"
#include "base/space.h"
#include "cli/commands.h"
#include "cli/options/byte_size.h"
#include "cli/options/draft_options.h"
#include "cli/options/media_options.h"
#include "cli/terminal/report.h"
#include "cli/terminal/resolve.h"
#include "runtime/running_servers.h"
#include "serve/server.h"

namespace facet::cli {
namespace {

// Percent of this machine's memory that models may take, unless --memory says otherwise.
constexpr int kMemoryShare = 80;

struct ServeFlags {
  std::vector<std::string> models, names, adapters, keys, key_files;
  std::string mmproj, vocabulary;
  int64_t cache_mb = 2048, body_mb = 128, media_mb = 4096;
  uint64_t memory = 0;
  double memory_wait = 30;
  std::string cache_dir;
  int64_t cache_dir_mb = 4096;
  std::vector<std::string> media_paths;
  double keepalive = 5, drain = 10;
  bool no_prefix_cache = false;
  DraftFlags draft;
  serve::ServerOptions options;
};

Result<void> AddModels(ServeFlags& flags) {
  if (flags.models.empty()) flags.models.emplace_back();  // the embedded one
  if (flags.names.size() > flags.models.size())
    return Error{"--served-model-name: more names than models"};
  for (size_t i = 0; i < flags.models.size(); ++i) {
    FACET_ASSIGN(ModelSpec spec, ResolveSpec(flags.models[i]));
    if (i < flags.names.size()) spec.id = flags.names[i];
    if (i == 0 && !flags.mmproj.empty()) spec.files.mmproj = flags.mmproj;
    if (i == 0) FACET_TRY(ApplyDraftFlags(flags.draft, spec, flags.options.model.engine.draft));
    for (const ModelSpec& other : flags.options.models) {
      if (other.id == spec.id)
        return Error{Cat("two models are called ", spec.id, ": use --served-model-name")};
    }
    flags.options.models.push_back(std::move(spec));
  }
  return Ok();
}

bool IsAdapterName(std::string_view name) {
  return !name.empty() && name.size() <= 64 &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return std::isalnum(c) || c == '-' || c == '_' || c == '.';
         });
}

// [MODEL:]NAME=FOLDER; without MODEL, of the first one.
Result<void> AddAdapters(ServeFlags& flags) {
  for (const std::string& text : flags.adapters) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals + 1 == text.size())
      return Expected("[MODEL:]NAME=FOLDER", text, "--adapter");
    const std::string folder = text.substr(equals + 1);
    std::string name = text.substr(0, equals);
    ModelSpec* spec = &flags.options.models.front();
    if (const size_t colon = name.rfind(':'); colon != std::string::npos) {
      const std::string model = name.substr(0, colon);
      const auto found = std::find_if(flags.options.models.begin(), flags.options.models.end(),
                                      [&](const auto& s) { return s.id == model; });
      if (found == flags.options.models.end())
        return Error{Cat("--adapter: there is no model '", model, "' to adapt")};
      spec = &*found;
      name.erase(0, colon + 1);
    }
    if (!IsAdapterName(name))
      return Expected("a name of letters, digits, '-', '_' and '.'", name, "--adapter");
    for (const AdapterSpec& other : spec->adapters) {
      if (other.name == name)
        return Error{Cat("--adapter: two adapters of ", spec->id, " are called ", name)};
    }
    spec->adapters.push_back({name, folder});
  }
  return Ok();
}

Result<void> AddKeys(ServeFlags& flags) {
  serve::KeyRing& ring = flags.options.http.access.keys;
  for (const std::string& key : flags.keys) FACET_TRY(ring.Add(key));
  for (const std::string& file : flags.key_files) FACET_TRY(ring.AddFile(file));
  if (const char* key = std::getenv("FACET_API_KEY"); key != nullptr && *key != '\0')
    FACET_TRY(ring.Add(key));
  return Ok();
}

// Hosting platforms say with $PORT where they send requests.
Result<void> ReadPort(bool given, uint16_t& port) {
  const char* text = std::getenv("PORT");
  if (given || text == nullptr || *text == '\0') return Ok();
  const std::string_view value(text);
  const auto [end, code] = std::from_chars(value.data(), value.data() + value.size(), port);
  if (code != std::errc() || end != value.data() + value.size())
    return Expected("a port from 0 to 65535", value, "$PORT");
  return Ok();
}

Result<void> Serve(ServeFlags& flags, bool port_given) {
  serve::ServerOptions& o = flags.options;
  FACET_TRY(AddModels(flags));
  FACET_TRY(AddAdapters(flags));
  FACET_TRY(AddKeys(flags));
  FACET_TRY(ReadPort(port_given, o.http.port));
  o.model.cache_budget = static_cast<size_t>(flags.cache_mb) << 20;
  o.memory.bytes = flags.memory > 0 ? flags.memory : MemoryBytes() / 100 * kMemoryShare;
  o.memory.wait = std::chrono::milliseconds(static_cast<int64_t>(flags.memory_wait * 1000));
  o.model.vocabulary = flags.vocabulary;
  if (!flags.cache_dir.empty()) {
    o.model.engine.keep.folder = std::filesystem::absolute(flags.cache_dir) / "prefixes";
    o.model.engine.keep.max_bytes = static_cast<size_t>(flags.cache_dir_mb) << 20;
  }
  for (const std::string& path : flags.media_paths) o.limits.media.folders.emplace_back(path);
  o.model.engine.prefix_cache = !flags.no_prefix_cache;
  o.limits.media_memory = static_cast<size_t>(flags.media_mb) << 20;
  o.http.max_body = static_cast<size_t>(flags.body_mb) << 20;
  o.http.keepalive = std::chrono::milliseconds(static_cast<int64_t>(flags.keepalive * 1000));
  o.http.drain = std::chrono::milliseconds(static_cast<int64_t>(flags.drain * 1000));
  o.http.handle_signals = true;
  const std::string address = o.http.address;
  FACET_ASSIGN(const auto server, serve::Server::Create(std::move(o)));
  const bool six = address.find(':') != std::string::npos;
  const std::string url =
      Cat("http://", six ? "[" : "", address, six ? "]" : "", ":", server->port(), "/v1");
  spdlog::info("{}", url);
  const ServerNote note(
      {getpid(), url, server->models().ids(), static_cast<int64_t>(std::time(nullptr))});
  return server->Run();
}

// The option of the port, for what $PORT says where it is not given.
CLI::Option* AddNetwork(CLI::App& command, ServeFlags& flags) {
  const char* group = "Network";
  serve::HttpOptions& http = flags.options.http;
  command.add_option("--host", http.address, "IP address to listen on")
      ->capture_default_str()
      ->group(group);
  CLI::Option* port =
      command.add_option("-p,--port", http.port, "Port ($PORT where not given; 0: any)")
          ->capture_default_str()
          ->group(group);
  command
      .add_option("--api-key", flags.keys,
                  "Ask for this key (or sha256:DIGEST; $FACET_API_KEY too)")
      ->group(group);
  command.add_option("--api-key-file", flags.key_files, "File with one key or digest a line")
      ->group(group);
  command
      .add_option("--cors-origin,--cors-origins", http.access.origins,
                  "Origin of web pages that may call")
      ->group(group);
  command.add_option("--allowed-host", http.access.hosts, "Host name under which clients may call")
      ->group(group);
  command
      .add_option("--keepalive-seconds", flags.keepalive, "Between comments while a prompt is read")
      ->check(CLI::Range(0.05, 3600.0))
      ->capture_default_str()
      ->group(group);
  command.add_option("--drain-seconds", flags.drain, "For running requests after SIGTERM")
      ->check(CLI::Range(0.0, 86400.0))
      ->capture_default_str()
      ->group(group);
  return port;
}

void AddModelOptions(CLI::App& command, ServeFlags& flags) {
  ModelOptions& model = flags.options.model;
  command.add_option(
      "MODEL", flags.models,
      "Names, folders, GGUFs, or script:FILE; none: the model that comes with the program");
  command
      .add_option("--served-model-name,--alias", flags.names,
                  "Names for the models, in their order")
      ->delimiter(',');
  command.add_option("--adapter,--lora-modules", flags.adapters,
                     "[MODEL:]NAME=FOLDER: serve an adapter as MODEL:NAME");
  command.add_option("--mmproj", flags.mmproj, "Projector GGUF of the first model");
  command.add_option("--vocab", flags.vocabulary, "Vocabulary of scripted models");
  command
      .add_option("-c,--ctx,--ctx-size,--max-model-len", model.context,
                  "Context in tokens (0: the model's)")
      ->check(CLI::Range(0, 1 << 24));
  command.add_option("-t,--threads", model.threads, "Threads (0: all cores)")
      ->check(CLI::Range(0, 1024));
}

void AddCaches(CLI::App& command, ServeFlags& flags) {
  const char* group = "Caches";
  command.add_option("--cache-mb", flags.cache_mb, "MiB for keys, values and prefixes")
      ->check(CLI::Range(1, 1 << 24))
      ->capture_default_str()
      ->group(group);
  command
      .add_option("--cache-dir", flags.cache_dir,
                  "Keep prefixes in this folder, for the next start (they hold prompts in full)")
      ->group(group);
  command.add_option("--cache-dir-mb", flags.cache_dir_mb, "MiB of prefixes in that folder")
      ->check(CLI::Range(1, 1 << 24))
      ->capture_default_str()
      ->group(group);
  command
      .add_flag("--no-prefix-cache", flags.no_prefix_cache, "Read every prompt from its beginning")
      ->group(group);
}

void AddLimits(CLI::App& command, ServeFlags& flags) {
  const char* group = "Limits";
  EngineOptions& engine = flags.options.model.engine;
  AddByteSize(command, "--memory", flags.memory,
              "For all models, e.g. 12GB (default: 80 % of this machine's)")
      ->group(group);
  command
      .add_option("--memory-wait-seconds", flags.memory_wait,
                  "How long a request waits for other models to become idle")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str()
      ->group(group);
  command.add_option("--max-sequences", engine.max_sequences, "Requests that run at the same time")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str()
      ->group(group);
  command.add_option("--max-queue", engine.max_queue, "Requests that may wait")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str()
      ->group(group);
  command.add_option("--max-body-mb", flags.body_mb, "MiB of a request")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str()
      ->group(group);
  command
      .add_flag("--strict", flags.options.limits.strict,
                "Refuse request fields that are not known (else X-Facet-Ignored names them)")
      ->group(group);
}

void AddMedia(CLI::App& command, ServeFlags& flags) {
  const char* group = "Media";
  AddTransparency(command, flags.options.model.transparency);
  command
      .add_option("--allow-media-hosts", flags.options.limits.media.hosts,
                  "Hosts whose http(s) addresses requests may name as media")
      ->delimiter(',')
      ->group(group);
  command
      .add_option("--allow-media-path", flags.media_paths,
                  "Folder whose files requests may name as media (file:///...)")
      ->group(group);
  command
      .add_option("--media-mb", flags.media_mb,
                  "MiB of decoded pictures, films and sounds, of all requests together")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24))
      ->capture_default_str()
      ->group(group);
}

}  // namespace

void AddServe(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<ServeFlags>();
  CLI::App* command =
      app.add_subcommand("serve", "Serve models as OpenAI, Anthropic, Ollama and Gemini do");
  AddModelOptions(*command, *flags);
  CLI::Option* port = AddNetwork(*command, *flags);
  AddLimits(*command, *flags);
  AddCaches(*command, *flags);
  AddMedia(*command, *flags);
  AddDraftFlags(*command, flags->draft);
  command->footer(
      "Examples:\n"
      "  facet serve gemma4-12b\n"
      "  facet serve gemma4-12b ./small.gguf --alias gemma,small --ctx 32768 --memory 12GB\n"
      "  facet serve gemma4-12b --host 0.0.0.0 --api-key-file keys\n"
      "Clients: base URL http://127.0.0.1:9379/v1, any key where none is asked for. SIGTERM "
      "drains.");
  command->callback(
      [flags, port, &exit_code] { exit_code = Report(Serve(*flags, port->count() > 0)); });
}

}  // namespace facet::cli
