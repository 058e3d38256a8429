// Built as a module of its own where MPI is there (cmake/mpi.cmake).
#include "tune/mpi_module/mpi_module.h"

#include <mpi.h>

#include <algorithm>

namespace {

// Counts of MPI are ints: large tensors go in pieces.
template <typename T>
int Sum(T* values, int64_t n, MPI_Datatype type) {
  constexpr int64_t kPiece = int64_t{1} << 24;
  for (int64_t begin = 0; begin < n; begin += kPiece) {
    const int count = static_cast<int>(std::min(kPiece, n - begin));
    const int failed =
        MPI_Allreduce(MPI_IN_PLACE, values + begin, count, type, MPI_SUM, MPI_COMM_WORLD);
    if (failed != MPI_SUCCESS) return failed;
  }
  return 0;
}

int Init(int* rank, int* count) {
  int provided = 0;
  if (const int failed = MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided))
    return failed;
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  if (const int failed = MPI_Comm_rank(MPI_COMM_WORLD, rank)) return failed;
  return MPI_Comm_size(MPI_COMM_WORLD, count);
}

int SumFloats(float* values, int64_t n) {
  return Sum(values, n, MPI_FLOAT);
}
int SumDoubles(double* values, int64_t n) {
  return Sum(values, n, MPI_DOUBLE);
}
int Barrier() {
  return MPI_Barrier(MPI_COMM_WORLD);
}
int Finalize() {
  return MPI_Finalize();
}

constexpr facet::tune::MpiModule kModule = {Init, SumFloats, SumDoubles, Barrier, Finalize};

}  // namespace

extern "C" const facet::tune::MpiModule* facet_mpi_module() {
  return &kModule;
}
