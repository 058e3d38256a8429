#include "tune/run/checkpoints.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/atomic_file.h"
#include "base/checksums.h"
#include "base/mapped_file.h"
#include "formats/json.h"

namespace facet::tune {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char *kStateFile = "trainer_state.json", *kTrainerFile = "trainer.safetensors";
constexpr std::string_view kPrefix = "checkpoint-", kPartial = ".part";

std::optional<int64_t> StepOf(const std::string& name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  int64_t step = 0;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + kPrefix.size(), end, step);
  if (error != std::errc() || stop != end || step < 0) return std::nullopt;
  return step;
}

// Flushed, so that a folder that has its name has its content too, whatever happens to the machine.
Result<void> WriteCheckpoint(const fs::path& folder, const RunState& state,
                             const Trainer& trainer) {
  FACET_TRY(MakeFolders(folder));
  FACET_TRY(trainer.SaveState(folder / kTrainerFile));
  FACET_TRY(trainer.Export(folder));
  FACET_TRY(WriteFile(folder / kStateFile, ToJson(state).dump(1) + "\n"));
  FACET_TRY(WriteChecksums(folder, {kStateFile, kTrainerFile}));
  return FlushTree(folder);
}

// The values of one object of trainer_state.json. Errors name the file and the key.
class StateReader {
 public:
  // `path` is the object's own key, empty for the whole file. Both outlive this.
  StateReader(const fs::path& file, const Json& object, std::string path = "")
      : file_(file), object_(object), path_(std::move(path)) {}

  Result<const Json*> Get(const char* key) const {
    const auto found = object_.find(key);
    if (found == object_.end()) return Error{Cat(Where(key), ": missing")};
    return &*found;
  }
  Result<const Json*> Object(const char* key) const {
    FACET_ASSIGN(const Json* value, Get(key));
    if (!value->is_object()) return Wrong(key, "an object", *value);
    return value;
  }
  Result<const Json*> List(const char* key) const {
    FACET_ASSIGN(const Json* value, Get(key));
    if (!value->is_array()) return Wrong(key, "a list", *value);
    return value;
  }
  Result<double> Number(const char* key) const {
    FACET_ASSIGN(const Json* value, Get(key));
    if (!value->is_number()) return Wrong(key, "a number", *value);
    return value->get<double>();
  }
  Result<int64_t> Count(const char* key) const {
    FACET_ASSIGN(const Json* value, Get(key));
    const bool counts = value->is_number_unsigned() &&
                        value->get<uint64_t>() <= uint64_t{std::numeric_limits<int64_t>::max()};
    if (!counts) return Wrong(key, "a whole number from 0 on", *value);
    return value->get<int64_t>();
  }

  Error Wrong(const char* key, std::string_view want, const Json& got) const {
    return Expected(want, ShowJson(got), Where(key));
  }

 private:
  std::string Where(const char* key) const {
    return Cat(file_.string(), ": ", path_, path_.empty() ? "" : ".", key);
  }

  const fs::path& file_;
  const Json& object_;
  std::string path_;
};

// Entries are of steps or of evaluations; the plot and a resumed run read both.
Result<void> CheckLog(const fs::path& file, const Json& log) {
  for (size_t i = 0; i < log.size(); ++i) {
    const std::string path = Cat("log_history[", i, "]");
    if (!log[i].is_object())
      return Expected("an object", log[i].type_name(), Cat(file.string(), ": ", path));
    const StateReader entry(file, log[i], path);
    FACET_TRY(entry.Count("step"));
    // A loss that is no number is null in JSON.
    for (const char* key : {"loss", "eval_loss"}) {
      if (log[i].contains(key) && !log[i][key].is_null()) FACET_TRY(entry.Number(key));
    }
  }
  return Ok();
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
  FACET_ASSIGN(const Json json, ReadOrderedJson(file));
  if (!json.is_object()) return Expected("an object", json.type_name(), file.string());
  const StateReader in(file, json);
  RunState state;
  FACET_ASSIGN(state.step, in.Count("global_step"));
  FACET_ASSIGN(state.steps, in.Count("max_steps"));
  if (state.step > state.steps)
    return in.Wrong("global_step", Cat("at most ", state.steps), json["global_step"]);
  FACET_ASSIGN(state.epoch, in.Number("epoch"));
  FACET_ASSIGN(state.epochs, in.Number("num_train_epochs"));
  FACET_ASSIGN(const Json* best, in.Get("best_metric"));
  if (!best->is_null()) {
    FACET_ASSIGN(state.best_loss, in.Number("best_metric"));
    FACET_ASSIGN(state.best_step, in.Count("best_global_step"));
  }
  FACET_ASSIGN(const Json* log, in.List("log_history"));
  FACET_TRY(CheckLog(file, *log));
  state.log = *log;
  FACET_ASSIGN(const Json* own, in.Object("facet"));
  const StateReader facet(file, *own, "facet");
  FACET_ASSIGN(state.open_loss, facet.Number("open_loss"));
  FACET_ASSIGN(state.open_tokens, facet.Count("open_tokens"));
  FACET_ASSIGN(const Json* run, facet.Object("run"));
  state.run = *run;
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

void RemovePartialCheckpoints(const fs::path& out) {
  std::vector<fs::path> partial;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(out, code)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kPrefix) && name.ends_with(kPartial)) partial.push_back(entry.path());
  }
  for (const fs::path& folder : partial) fs::remove_all(folder, code);
}

Result<void> SaveCheckpoint(const fs::path& out, const RunState& state, const Trainer& trainer) {
  const fs::path whole = CheckpointPath(out, state.step);
  const fs::path partial = whole.string() + std::string(kPartial);
  std::error_code code;
  fs::remove_all(partial, code);
  Result<void> written = WriteCheckpoint(partial, state, trainer);
  if (written.ok()) {
    fs::remove_all(whole, code);
    written = RenameAndFlush(partial, whole);
  }
  if (written.ok()) return Ok();
  fs::remove_all(partial, code);
  const auto left = ListCheckpoints(out);
  const std::string kept =
      left.empty() ? "no checkpoint is there"
                   : Cat("the last checkpoint is ", CheckpointPath(out, left.back()).string());
  return Error{Cat(written.error().message, "; ", kept), written.error().kind};
}

Result<RunState> LoadCheckpointState(const fs::path& checkpoint, Trainer& trainer) {
  const fs::path file = checkpoint / kStateFile;
  FACET_ASSIGN(RunState state, ReadRunState(file));
  const auto named = StepOf(checkpoint.filename().string());
  if (named && *named != state.step) {
    return Expected(Cat(*named, ", as the folder's name says,"), state.step,
                    Cat(file.string(), ": global_step"));
  }
  FACET_TRY(VerifyChecksum(checkpoint, kTrainerFile));
  FACET_TRY(trainer.LoadState(checkpoint / kTrainerFile));
  return state;
}

Result<void> VerifyState(const fs::path& checkpoint) {
  return VerifyChecksum(checkpoint, kStateFile);
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
