// Several processes that train one model, started by mpirun.
#pragma once

#include <memory>

#include "tune/run.h"

namespace facet::tune {

// Null where this process runs alone. Errors: started by mpirun, but built without FACET_MPI.
Result<std::unique_ptr<Peers>> JoinPeers();

}  // namespace facet::tune
