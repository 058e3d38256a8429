#include "tune/mpi.h"

#include <algorithm>
#include <cstdlib>

#ifdef FACET_MPI
#include <mpi.h>
#endif

namespace facet::tune {
namespace {

// What the starters of Open MPI and of MPICH tell their processes.
int ProcessesOf(const char* variable) {
  const char* value = std::getenv(variable);
  return value == nullptr ? 1 : std::atoi(value);
}

#ifdef FACET_MPI
class MpiPeers : public Peers {
 public:
  MpiPeers() {
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
  }
  ~MpiPeers() override { MPI_Finalize(); }
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  Result<void> Sum(std::span<float> values) override { return Add(values, MPI_FLOAT); }
  Result<void> Sum(std::span<double> values) override { return Add(values, MPI_DOUBLE); }
  void Abort() override { MPI_Abort(MPI_COMM_WORLD, 1); }

 private:
  template <typename T>
  Result<void> Add(std::span<T> values, MPI_Datatype type) {
    constexpr size_t kPiece = size_t{1} << 28;  // counts are int
    for (size_t at = 0; at < values.size(); at += kPiece) {
      const std::span<T> piece = values.subspan(at, std::min(kPiece, values.size() - at));
      // Summed in one process and sent to all: the same bits everywhere.
      if (MPI_Reduce(rank_ == 0 ? MPI_IN_PLACE : piece.data(), piece.data(),
                     static_cast<int>(piece.size()), type, MPI_SUM, 0,
                     MPI_COMM_WORLD) != MPI_SUCCESS ||
          MPI_Bcast(piece.data(), static_cast<int>(piece.size()), type, 0, MPI_COMM_WORLD) !=
              MPI_SUCCESS) {
        return Error{"the processes of this run cannot reach each other", ErrorKind::kIo};
      }
    }
    return Ok();
  }
  int rank_ = 0, size_ = 1;
};
#endif

}  // namespace

Result<std::unique_ptr<Peers>> JoinPeers() {
  if (ProcessesOf("OMPI_COMM_WORLD_SIZE") <= 1 && ProcessesOf("PMI_SIZE") <= 1)
    return std::unique_ptr<Peers>();
#ifdef FACET_MPI
  // Training threads never call MPI.
  int provided = 0;
  if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS)
    return Error{"MPI does not start", ErrorKind::kIo};
  return std::unique_ptr<Peers>(std::make_unique<MpiPeers>());
#else
  return Error{"this facet trains in one process: build it with -DFACET_MPI=ON for mpirun",
               ErrorKind::kUnsupported};
#endif
}

}  // namespace facet::tune
