#include "cli/commands/tune_options_file.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "cli/options/json_options.h"
#include "formats/json.h"

namespace facet::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr const char* kOptionsFile = "tune.json";

// A path, or "FILE:WEIGHT"; what names no file stays as it is.
ordered_json Absolute(const ordered_json& value) {
  const std::string text = value;
  std::error_code ignored;
  if (fs::exists(text, ignored)) return fs::absolute(text).string();
  const size_t colon = text.rfind(':');
  if (colon != text.npos && fs::exists(text.substr(0, colon), ignored))
    return fs::absolute(text.substr(0, colon)).string() + text.substr(colon);
  return value;
}

}  // namespace

Result<void> SaveTuneOptions(const TuneFlags& flags, ordered_json options) {
  for (const char* key : {"resume", "dry-run", "quiet", "config"}) options.erase(key);
  for (const char* key : {"model", "out", "from", "init", "tokenizer", "validation"}) {
    if (options.contains(key)) options[key] = Absolute(options[key]);
  }
  options["out"] = fs::absolute(flags.out).string();
  if (options.contains("data")) {
    for (auto& value : options["data"]) value = Absolute(value);
  }
  return WriteFile(fs::path(flags.out) / kOptionsFile, options.dump(2) + "\n");
}

Result<void> ResumeTune(CLI::App& command, const std::string& given, TuneFlags& flags) {
  const fs::path folder = given.empty() ? fs::path(flags.out) : fs::path(given);
  const fs::path file = folder / kOptionsFile;
  flags.resume = true;
  std::error_code code;
  if (!fs::exists(file, code)) {
    if (!flags.model.empty() || !flags.init.empty()) {
      if (!given.empty()) flags.out = given;
      flags.resume = false;
      return Ok();  // nothing to resume: the run begins
    }
    return Error{Cat(folder.string(), ": there is no run to go on with"), ErrorKind::kNotFound};
  }
  FACET_ASSIGN(const nlohmann::json options, ReadJson(file));
  FACET_TRY(ApplyJsonOptions(command, options, file.string()));
  flags.out = folder.string();
  return Ok();
}

}  // namespace facet::cli
