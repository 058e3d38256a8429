// What `facet bench` measures: kinds of work that a model does, each repeated, beside the limits of
// the machine.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "model/drafter.h"
#include "model/model.h"

namespace facet::cli {

struct BenchOptions {
  std::string model, drafter, cache = "f16", fill = "computed";
  int prompt = 512, gen = 64, context = 0, threads = 0, repeat = 3;
  std::vector<int> rows;
  int image = 0, film = 0;
  double audio = 0;  // seconds
  bool draft = false, as_json = false, wait_for_packed = false, no_limits = false;
};

// What one repetition took, and the machine's limits measured right before it.
struct BenchSample {
  double seconds = 0, bandwidth = 0, int8_peak = 0;
};

// One line of the report: `count` units of work in each sample.
struct Measurement {
  std::string name, unit;
  double count = 0;
  double bytes = 0;       // that have to be read, where memory is the limit
  double operations = 0;  // 8-bit ones, where arithmetic is
  std::vector<BenchSample> samples = {};

  // Medians of the samples. Shares of a limit are 0 where it does not apply or was not measured.
  double Seconds() const;
  double ShareOfBandwidth() const;
  double ShareOfInt8Peak() const;
};

// Everything that the options ask for. `drafter` may be null.
Result<std::vector<Measurement>> RunBenchmarks(Model& model, Drafter* drafter,
                                               const BenchOptions& options);

}  // namespace facet::cli
