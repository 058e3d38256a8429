// `facet import`: brings a model under a name.
#include <CLI/CLI.hpp>
#include <array>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/space.h"
#include "cli/commands.h"
#include "cli/terminal/report.h"
#include "cli/terminal/resolve.h"

namespace facet::cli {
namespace {

struct ImportOptions {
  ImportRequest request;
  std::array<std::string, 3> words;  // [FILE] [NAME], or REPO [FILE] [NAME]
  bool quiet = false, json = false;
};

constexpr const char* kExamples =
    "Examples:\n"
    "  facet import gemma4-12b                                   a short name (facet list "
    "--available)\n"
    "  facet import google/gemma-4-12B-it gemma\n"
    "  facet import unsloth/gemma-4-12b-it-GGUF Q8_0 gemma-q8\n"
    "  facet import google/gemma-4-12B-it --quantize q4_0 gemma-small\n"
    "  facet import https://huggingface.co/google/gemma-4-12B-it\n"
    "  facet import ./checkpoint my-model                        a folder or file that stays where "
    "it is\n"
    "Downloads go to the Hugging Face cache (HF_HOME, HF_HUB_CACHE); HF_TOKEN, HF_ENDPOINT and "
    "HF_HUB_OFFLINE work as\n"
    "in its own client. An interrupted import goes on when it is started again.";

// ORG/REPO, or an address of the hub's pages: .../ORG/REPO, .../ORG/REPO/tree/REVISION,
// .../ORG/REPO/blob/REVISION/FILE.
struct HubAddress {
  std::string repo, revision, file;
};

std::optional<HubAddress> ParseHubAddress(std::string text) {
  bool address = false;
  for (const std::string_view prefix :
       {"https://", "http://", "www.", "huggingface.co/", "hf.co/", "hf://"}) {
    if (!text.starts_with(prefix)) continue;
    text.erase(0, prefix.size());
    address |= prefix != "www.";
  }
  if (const size_t query = text.find_first_of("?#"); address && query != text.npos)
    text.resize(query);
  while (text.ends_with('/')) text.pop_back();
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == '/') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  if (parts.size() < 2 || (!address && parts.size() > 2)) return std::nullopt;
  for (const std::string& part : parts) {
    if (part.empty() || part == "." || part == ".." || part == "~") return std::nullopt;
  }
  HubAddress out{parts[0] + "/" + parts[1], parts.size() > 3 ? parts[3] : "", ""};
  for (size_t i = 4; i < parts.size(); ++i) out.file += (i > 4 ? "/" : "") + parts[i];
  return out;
}

// What the words mean depends on where the model comes from.
Result<ImportRequest> Interpret(ImportOptions options) {
  std::error_code code;
  if (const auto hub = ParseHubAddress(options.words[0]);
      options.request.repo.empty() && hub && !std::filesystem::exists(options.words[0], code) &&
      !options.words[0].ends_with(".gguf")) {
    options.request.repo = hub->repo;
    if (!hub->revision.empty()) options.request.revision = hub->revision;
    options.words = {options.words[1], options.words[2], ""};
    if (!hub->file.empty()) options.words = {hub->file, options.words[0], ""};
    // A file of an address needs no name after it.
    if (!hub->file.empty() && options.words[1].empty()) {
      options.request.file = hub->file;
      return options.request;
    }
  }
  ImportRequest request = options.request;
  const auto& [first, second, third] = options.words;
  if (!third.empty()) return Error{Cat("not expected: ", third)};
  if (!request.repo.empty()) {
    request.name = second.empty() ? first : second;
    request.file = second.empty() ? "" : first;
    return request;
  }
  if (first.empty())
    return Error{"name a file, a folder or a repository to import (facet import --help)"};
  const ShortName* known = FindShortName(first);
  if (known == nullptr || std::filesystem::exists(first, code)) {
    request.file = first;
    request.name = second;
    return request;
  }
  const ImportRequest table = RequestFor(*known);
  request.repo = table.repo;
  request.file = table.file;
  request.name = second.empty() ? table.name : second;
  if (request.mmproj.empty()) request.mmproj = table.mmproj;
  if (request.drafter.empty() && request.drafter_repo.empty()) {
    request.drafter_repo = table.drafter_repo;
    request.drafter = table.drafter;
  }
  return request;
}

Result<void> RunImport(const ImportOptions& options) {
  FACET_ASSIGN(const Store store, Store::FromEnvironment());
  FACET_ASSIGN(ImportRequest request, Interpret(options));
  auto imported = ImportAtTerminal(store, std::move(request), options.quiet);
  if (!imported.ok()) {
    if (imported.error().kind != ErrorKind::kCancelled) return imported.error();
    return Error{"interrupted; the same command goes on from here", ErrorKind::kCancelled};
  }
  const StoredModel& model = *imported;
  if (options.json) {
    std::cout << ToJson(model).dump(2) << "\n";
    return Ok();
  }
  std::cout << model.files.name << ": " << HumanBytes(model.bytes) << ", "
            << model.files.model.string() << "\n";
  if (model.files.mmproj) std::cout << "  projector " << model.files.mmproj->string() << "\n";
  if (model.files.drafter) std::cout << "  drafter " << model.files.drafter->string() << "\n";
  std::cout << "Try it: facet run " << model.files.name << " \"Hello\"\n";
  return Ok();
}

}  // namespace

void AddImport(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<ImportOptions>();
  ImportRequest& request = options->request;
  CLI::App* command =
      app.add_subcommand("import", "Bring a model under a name: from a hub, a folder or a file");
  command->add_option("WHAT", options->words[0],
                      "A short name, a path, or a repository of the hub: ORG/REPO or its address");
  command->add_option("FILE", options->words[1],
                      "Of a repository: the file, or a part of its name that no other has");
  command->add_option("NAME", options->words[2],
                      "The name to give (a single word after WHAT is the name)");
  command->add_option("--from-huggingface-repo", request.repo, "Repository on the hub, ORG/REPO");
  command->add_option("--revision", request.revision, "Branch, tag or commit")
      ->capture_default_str();
  command->add_option("--token,--huggingface-token", request.token,
                      "Access token (else HF_TOKEN, else the token file)");
  command
      ->add_option("--quantize", request.quantize, "Write a GGUF of this type: q8_0, q4_0 or q4_k")
      ->check(CLI::IsMember({"q8_0", "q4_0", "q4_k"}));
  command->add_option("--mmproj", request.mmproj,
                      "Projector of a GGUF: a file of the repository, or a path");
  command->add_option("--drafter", request.drafter, "Drafter: a file of the repository, or a path");
  command->add_option("--drafter-repo", request.drafter_repo,
                      "Repository of the drafter, where it is another");
  command->add_flag("--force", request.force,
                    "Import it although it does not fit into this machine's memory");
  command->add_flag("--replace", request.replace, "Take the name from the model that has it");
  command->add_flag("--quiet,-q", options->quiet, "No progress");
  command->add_flag("--json", options->json, "Print the result as JSON");
  command->footer(kExamples);
  command->callback([options, &exit_code] { exit_code = Report(RunImport(*options)); });
}

}  // namespace facet::cli
