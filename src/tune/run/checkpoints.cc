#include "tune/run/checkpoints.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/mapped_file.h"
#include "formats/json.h"

namespace facet::tune {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char *kStateFile = "trainer_state.json", *kTrainerFile = "trainer.safetensors";
constexpr std::string_view kPrefix = "checkpoint-", kHalf = ".part";

// So that a folder that has its name also has its content, whatever happens to the machine.
Result<void> SyncFolder(const fs::path& folder) {
  const auto sync = [](const fs::path& path) -> Result<void> {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    const bool synced = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) close(fd);
    if (!synced) return Error{Cat(path.string(), ": cannot be written to disk"), ErrorKind::kIo};
    return Ok();
  };
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(folder, code)) FACET_TRY(sync(entry.path()));
  return sync(folder);
}

std::optional<int64_t> StepOf(const std::string& name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  int64_t step = 0;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + kPrefix.size(), end, step);
  if (error != std::errc() || stop != end || step < 0) return std::nullopt;
  return step;
}

Result<void> WriteCheckpoint(const fs::path& folder, const RunState& state,
                             const Trainer& trainer) {
  std::error_code code;
  fs::create_directories(folder, code);
  if (code) return Error{Cat(folder.string(), ": ", code.message()), ErrorKind::kIo};
  FACET_TRY(trainer.SaveState(folder / kTrainerFile));
  FACET_TRY(trainer.Export(folder));
  FACET_TRY(WriteFile(folder / kStateFile, ToJson(state).dump(1) + "\n"));
  return SyncFolder(folder);
}

}  // namespace

Json ToJson(const RunState& state) {
  Json out;
  out["best_global_step"] = state.best_loss ? Json(state.best_step) : Json();
  out["best_metric"] = state.best_loss ? Json(*state.best_loss) : Json();
  out["best_model_checkpoint"] = state.best_loss ? Json(Cat(kPrefix, state.best_step)) : Json();
  out["epoch"] = state.epoch;
  out["global_step"] = state.step;
  out["is_local_process_zero"] = true;
  out["is_world_process_zero"] = true;
  out["log_history"] = state.log;
  out["max_steps"] = state.steps;
  out["num_train_epochs"] = state.epochs;
  out["facet"] = {
      {"open_loss", state.open_loss}, {"open_tokens", state.open_tokens}, {"run", state.run}};
  return out;
}

Result<RunState> ReadRunState(const fs::path& file) {
  FACET_ASSIGN(const Json in, ReadOrderedJson(file));
  RunState state;
  try {
    state.step = in.at("global_step");
    state.steps = in.at("max_steps");
    state.epoch = in.at("epoch");
    state.epochs = in.at("num_train_epochs");
    if (!in.at("best_metric").is_null()) {
      state.best_loss = in.at("best_metric").get<double>();
      state.best_step = in.at("best_global_step");
    }
    state.log = in.at("log_history");
    state.open_loss = in.at("facet").at("open_loss");
    state.open_tokens = in.at("facet").at("open_tokens");
    state.run = in.at("facet").at("run");
  } catch (const Json::exception& error) {
    return Error{
        Cat(file.string(), ": not the state of a run of this program (", error.what(), ")")};
  }
  return state;
}

fs::path CheckpointPath(const fs::path& out, int64_t step) {
  return out / Cat(kPrefix, step);
}

std::vector<int64_t> ListCheckpoints(const fs::path& out) {
  std::vector<int64_t> steps;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(out, code)) {
    const std::string name = entry.path().filename().string();
    if (const auto step = StepOf(name); step && fs::exists(entry.path() / kStateFile, code))
      steps.push_back(*step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

void RemoveHalves(const fs::path& out) {
  std::vector<fs::path> halves;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(out, code)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kPrefix) && name.ends_with(kHalf)) halves.push_back(entry.path());
  }
  for (const fs::path& half : halves) fs::remove_all(half, code);
}

Result<void> SaveCheckpoint(const fs::path& out, const RunState& state, const Trainer& trainer) {
  const fs::path whole = CheckpointPath(out, state.step);
  const fs::path half = whole.string() + std::string(kHalf);
  std::error_code code;
  fs::remove_all(half, code);
  Result<void> written = WriteCheckpoint(half, state, trainer);
  if (written.ok()) {
    fs::remove_all(whole, code);
    fs::rename(half, whole, code);
    if (code) written = Error{Cat(whole.string(), ": ", code.message()), ErrorKind::kIo};
  }
  if (!written.ok()) {
    fs::remove_all(half, code);
    const auto left = ListCheckpoints(out);
    const std::string kept =
        left.empty() ? "no checkpoint is there"
                     : Cat("the last checkpoint is ", CheckpointPath(out, left.back()).string());
    return Error{Cat(written.error().message, "; ", kept), written.error().kind};
  }
  return SyncFolder(out);
}

Result<RunState> LoadCheckpointState(const fs::path& checkpoint, Trainer& trainer) {
  FACET_ASSIGN(RunState state, ReadRunState(checkpoint / kStateFile));
  FACET_TRY(trainer.LoadState(checkpoint / kTrainerFile));
  return state;
}

void RemoveOldCheckpoints(const fs::path& out, int keep, std::optional<int64_t> best_step) {
  std::vector<int64_t> steps = ListCheckpoints(out);
  if (steps.size() <= static_cast<size_t>(keep)) return;
  steps.resize(steps.size() - static_cast<size_t>(keep));
  std::error_code code;
  for (const int64_t step : steps) {
    if (step != best_step) fs::remove_all(CheckpointPath(out, step), code);
  }
}

}  // namespace facet::tune
