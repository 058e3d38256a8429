// What `facet tune` says about a run: before its first step, and when it has ended.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cli/options/tune_options.h"
#include "tune/run/output.h"
#include "tune/run/run.h"
#include "tune/run/session.h"

namespace facet::cli {

// "1,234,567".
std::string GroupedDigits(int64_t number);

// What will be trained on what, and what it takes: a line for each. `trained`: parameters.
std::string DescribeRun(const TuneFlags& flags, const tune::Session& session,
                        const tune::TuneOptions& run, int64_t trained,
                        const tune::TuneMemory& memory);

// On stderr: where the results are, how good they are, and how to try them.
void ReportResults(const TuneFlags& flags, const tune::Session& session,
                   const tune::ModelCard& card);

}  // namespace facet::cli
