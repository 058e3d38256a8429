#include "cli/commands/tune_show_mask.h"
#include "base/mapped_file.h"
#include "cli/terminal/streams.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "cli/commands/tune_session.h"
#include "cli/commands/tune_summary.h"
#include "tune/data/show_mask.h"

namespace facet::cli {
namespace {

namespace fs = std::filesystem;

// "FILE" or "FILE:LINE".
std::pair<std::string, int64_t> FileAndLine(const std::string& argument) {
  const size_t colon = argument.rfind(':');
  std::error_code code;
  if (fs::exists(argument, code) || colon == argument.npos) return {argument, 0};
  const std::string number = argument.substr(colon + 1);
  const bool digits = !number.empty() && number.find_first_not_of("0123456789") == number.npos;
  if (!digits || number.size() > 9) return {argument, 0};
  return {argument.substr(0, colon), std::stoll(number)};
}

}  // namespace

Result<void> ShowMasks(const TuneFlags& flags) {
  TuneSession session;
  FACET_ASSIGN(const std::unique_ptr<tune::Processes> processes, tune::Processes::Join());
  FACET_TRY(LoadModel(flags, *processes, session));
  const auto [path, wanted] = FileAndLine(flags.show_mask);
  FACET_TRY(OpenFile(path));
  std::ifstream in(path);
  if (!in) return Error{Cat(path, ": cannot be read"), ErrorKind::kNotFound};
  int64_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    const bool blank = line.find_first_not_of(" \t\r") == line.npos;
    if (wanted > 0 ? number != wanted : blank) continue;
    const std::string where = Cat(path, ":", number);
    tune::RowOptions options{flags.plain, flags.media};
    const auto row = tune::ReadRow(line, fs::path(path).parent_path(), options);
    if (!row.ok()) return row.error().In(where);
    const auto examples = session.renderer->Examples(*row);
    if (!examples.ok()) return examples.error().In(where);
    const bool color = isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr;
    for (size_t i = 0; i < examples->size(); ++i) {
      const tune::Example& example = (*examples)[i];
      Print("%s, example %zu of %zu: %s of %s tokens are learnt\n", where.c_str(), i + 1,
            examples->size(),
            GroupedDigits(std::count(example.labelled.begin(), example.labelled.end(), 1)).c_str(),
            GroupedDigits(static_cast<int64_t>(example.tokens.size())).c_str());
      PrintColoured(tune::ShowMask(example, *session.tokenizer, color) + "\n\n");
    }
    return Ok();
  }
  return Error{Cat(path, wanted > 0 ? Cat(":", wanted, ": no such line") : ": has no examples"),
               ErrorKind::kNotFound};
}

}  // namespace facet::cli
