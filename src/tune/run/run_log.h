// What a run writes down while it goes: log.jsonl, TensorBoard's events, and at the end the curves.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "base/result.h"
#include "tune/run/checkpoints.h"
#include "tune/run/events.h"
#include "tune/run/plot.h"

namespace facet::tune {

class RunLog {
 public:
  // log.jsonl becomes what `state` has logged so far: entries later than its checkpoint go.
  static Result<std::unique_ptr<RunLog>> Open(const std::filesystem::path& out,
                                              const RunState& state);

  // A line of log.jsonl, and for TensorBoard a scalar PREFIX/KEY for each of its numbers.
  Result<void> Add(const nlohmann::ordered_json& entry, std::string_view prefix);

 private:
  explicit RunLog(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
  std::unique_ptr<EventWriter> events_;
};

// The curves of what has been logged.
LossCurves CurvesOf(const RunState& state);

}  // namespace facet::tune
