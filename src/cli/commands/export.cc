// `facet export`: a model with an adapter merged into its weights.
#include <CLI/CLI.hpp>
#include <iostream>

#include "cli/commands.h"
#include "cli/options/dtype_names.h"
#include "cli/terminal/report.h"
#include "cli/terminal/resolve.h"
#include "model/convert.h"
#include "model/merge.h"

namespace facet::cli {
namespace {

namespace fs = std::filesystem;

struct ExportFlags {
  std::string model, type;
  fs::path adapter, output, mmproj;
  int threads = 0;
};

Result<void> ExportGguf(const ExportFlags& flags, const ModelFiles& files) {
  ConvertOptions convert;
  convert.source = files.model;
  convert.output = flags.output;
  convert.threads = flags.threads;
  FACET_ASSIGN(convert.type, ParseDType(flags.type.empty() ? "q8_0" : flags.type, "--type"));
  const bool folder = fs::is_directory(files.model);
  if (!flags.mmproj.empty() && !folder && !files.mmproj)
    return Error{Cat("--mmproj: ", files.model.string(), " has no projector beside it"),
                 ErrorKind::kNotFound};
  FACET_ASSIGN(Checkpoint checkpoint, LoadCheckpoint(files.model, files.mmproj));
  FACET_ASSIGN(const std::unique_ptr<Adapter> adapter,
               Adapter::Load(flags.adapter, checkpoint.weights, checkpoint.config));
  convert.adapter = adapter.get();
  if (flags.mmproj.empty()) {
    // An adapter that reaches into pictures or sound is refused by name, not merged in part.
    checkpoint.weights.vision.reset();
    checkpoint.weights.audio.reset();
    const auto of_text = Adapter::Load(flags.adapter, checkpoint.weights, checkpoint.config);
    if (!of_text.ok()) return of_text.error().In("without --mmproj, which writes the projector");
  }
  FACET_TRY(ConvertToGguf(convert));
  if (flags.mmproj.empty()) return Ok();
  convert.part = ConvertPart::kProjector;
  convert.output = flags.mmproj;
  if (!folder) convert.source = *files.mmproj;
  return ConvertToGguf(convert);
}

Result<void> SayWritten(const ExportFlags& flags) {
  std::cout << flags.output.string() << ": the merged model\n";
  if (!flags.mmproj.empty()) std::cout << flags.mmproj.string() << ": its projector\n";
  std::cout << "try it: facet run " << flags.output.string() << " \"Hello\"\n";
  return Ok();
}

Result<void> Export(const ExportFlags& flags) {
  FACET_ASSIGN(const ModelFiles files, ResolveModel(flags.model));
  if (flags.output.extension() == ".gguf") {
    for (const fs::path& path : {flags.output, flags.mmproj}) {
      std::error_code code;
      if (!path.empty() && fs::exists(path, code))
        return Error{Cat(path.string(), ": is there already; name another file")};
    }
    FACET_TRY(ExportGguf(flags, files));
    return SayWritten(flags);
  }
  if (!flags.type.empty())
    return Error{"--type is for a GGUF: a folder keeps the types of its model"};
  if (!flags.mmproj.empty()) return Error{"--mmproj is for a GGUF: a folder holds the projector"};
  ThreadPool pool(flags.threads);
  FACET_TRY(MergeToFolder(files.model, flags.adapter, flags.output, pool));
  return SayWritten(flags);
}

}  // namespace

void AddExport(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<ExportFlags>();
  CLI::App* command =
      app.add_subcommand("export", "Write a model with a LoRA adapter merged into its weights");
  command->add_option("model", flags->model, "Model: a name, a checkpoint folder or a GGUF")
      ->required();
  command->add_option("out", flags->output, "OUT.gguf, or a folder for safetensors")->required();
  command->add_option("--adapter", flags->adapter, "Folder of a LoRA adapter (PEFT)")->required();
  command->add_option("--type", flags->type,
                      "Type of a GGUF's matrices: f32, f16, bf16, q8_0 (default), q4_0, q4_k");
  command->add_option("--mmproj", flags->mmproj,
                      "Also write the projector of pictures and sound to this GGUF");
  command->add_option("--threads,-t", flags->threads, "Threads; 0 = all cores")
      ->check(CLI::Range(0, 1024));
  command->footer(
      "Examples:\n"
      "  facet export checkpoint merged --adapter my-adapter\n"
      "  facet export checkpoint merged.gguf --adapter my-adapter --type q4_0 --mmproj "
      "mmproj.gguf");
  command->callback([flags, &exit_code] { exit_code = Report(Export(*flags)); });
}

}  // namespace facet::cli
