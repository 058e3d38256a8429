// Several processes that train one model together, started by mpirun. MPI is not linked: where it
// was there at build time, a small module beside the program is loaded, and only under mpirun.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"

namespace facet::tune {

class Processes {
 public:
  // One process alone, or all that mpirun started. Error: mpirun started several, but this build
  // has no module for MPI, or MPI refuses.
  static Result<std::unique_ptr<Processes>> Join();
  ~Processes();
  Processes(const Processes&) = delete;
  Processes& operator=(const Processes&) = delete;

  int rank() const { return rank_; }  // 0 writes files and shows progress
  int count() const { return count_; }
  bool alone() const { return count_ == 1; }

  // Every process's values become the sum over all. The same bits everywhere.
  Result<void> Sum(std::span<float> values);
  Result<void> Sum(std::span<double> values);
  // Returns when all have called it.
  Result<void> Wait();

 private:
  Processes() = default;
  struct Module;
  Result<void> Load();

  std::unique_ptr<Module> module_;
  int rank_ = 0, count_ = 1;
};

}  // namespace facet::tune
