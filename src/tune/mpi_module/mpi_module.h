// What the module that links MPI offers to the program that does not.
#pragma once

#include <cstdint>

namespace facet::tune {

// Each returns 0, or MPI's error code.
struct MpiModule {
  int (*init)(int* rank, int* count);
  int (*sum_floats)(float* values, int64_t n);
  int (*sum_doubles)(double* values, int64_t n);
  int (*barrier)();
  int (*finalize)();
};

constexpr const char* kMpiModuleFile = "facet_mpi.so";
constexpr const char* kMpiModuleSymbol = "facet_mpi_module";

}  // namespace facet::tune
