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
  std::array<std::string, 2> words;  // [FILE] [NAME]
  bool quiet = false, json = false;
};

constexpr const char* kExamples =
    "Examples:\n"
    "  facet import gemma4-12b                                   a short name (facet list "
    "--available)\n"
    "  facet import --from-huggingface-repo=google/gemma-4-12B-it gemma\n"
    "  facet import --from-huggingface-repo=unsloth/gemma-4-12b-it-GGUF Q8_0 gemma-q8\n"
    "  facet import --from-huggingface-repo=google/gemma-4-12B-it --quantize q4_0 gemma-small\n"
    "  facet import ./checkpoint my-model                        a folder or file that stays where "
    "it is\n"
    "Downloads go to the Hugging Face cache (HF_HOME, HF_HUB_CACHE); HF_TOKEN, HF_ENDPOINT and "
    "HF_HUB_OFFLINE work as\n"
    "in its own client. An interrupted import goes on when it is started again.";

// What one or two words mean depends on where the model comes from.
Result<ImportRequest> Interpret(const ImportOptions& options) {
  ImportRequest request = options.request;
  const auto& [first, second] = options.words;
  if (!request.repo.empty()) {
    request.name = second.empty() ? first : second;
    request.file = second.empty() ? "" : first;
    return request;
  }
  if (first.empty())
    return Error{"name a file, a folder or a repository to import (facet import --help)"};
  std::error_code code;
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
  command->add_option("FILE", options->words[0],
                      "A file of the repository, or a part of its name that no other has; without "
                      "a repository, a path "
                      "or a short name");
  command->add_option("NAME", options->words[1],
                      "The name to give (a single word after a repository is the name)");
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
