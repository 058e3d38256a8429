#include "tune/run/run_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/mapped_file.h"

namespace facet::tune {
namespace {

using Json = nlohmann::ordered_json;

// One write: a killed process leaves a whole line or none.
Result<void> AppendLine(const std::filesystem::path& path, const std::string& line) {
  FACET_TRY(CheckIsFile(path));
  const int fd = open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  const bool written =
      fd >= 0 && write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  if (fd >= 0) close(fd);
  if (!written) return Error{Cat(path.string(), ": cannot be written"), ErrorKind::kIo};
  return Ok();
}

}  // namespace

Result<std::unique_ptr<RunLog>> RunLog::Open(const std::filesystem::path& out,
                                             const RunState& state) {
  auto log = std::unique_ptr<RunLog>(new RunLog(out / "log.jsonl"));
  std::string lines;
  for (const Json& entry : state.log) lines += entry.dump() + "\n";
  FACET_TRY(WriteFile(log->path_, lines));
  FACET_ASSIGN(log->events_, EventWriter::Create(out / "runs", state.step));
  return log;
}

Result<void> RunLog::Add(const Json& entry, std::string_view prefix) {
  FACET_TRY(AppendLine(path_, entry.dump() + "\n"));
  for (const auto& [key, value] : entry.items()) {
    if (key == "step" || !value.is_number()) continue;
    const std::string_view name = std::string_view(key).substr(key.starts_with("eval_") ? 5 : 0);
    FACET_TRY(events_->Add(entry["step"], Cat(prefix, "/", name), value.get<double>()));
  }
  return events_->Flush();
}

LossCurves CurvesOf(const RunState& state) {
  LossCurves curves;
  for (const Json& entry : state.log) {
    const double step = entry["step"];
    if (entry.contains("eval_loss")) curves.validation.push_back({step, entry["eval_loss"]});
    if (entry.contains("loss")) curves.train.push_back({step, entry["loss"]});
  }
  return curves;
}

}  // namespace facet::tune
