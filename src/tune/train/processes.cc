#include "tune/train/processes.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>

#include "base/os/os.h"
#include "tune/mpi_module/mpi_module.h"

namespace facet::tune {
namespace {

// How many processes the launchers of Open MPI, MPICH and Slurm say they have started.
int StartedTogether() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_SIZE"}) {
    const char* value = std::getenv(name);
    if (value != nullptr && std::atoi(value) > 1) return std::atoi(value);
  }
  return 1;
}

// The module beside the program, or where it is installed.
void* OpenModule() {
  const std::filesystem::path program = ExecutablePath();
  for (const char* place : {".", "../lib/facet", ".."}) {
    const std::filesystem::path path = program.parent_path() / place / kMpiModuleFile;
    if (void* module = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL)) return module;
  }
  return nullptr;
}

Result<void> Check(int failed, const char* what) {
  if (failed == 0) return Ok();
  return Error{Cat("MPI: ", what, " failed (code ", failed, ")"), ErrorKind::kIo};
}

}  // namespace

struct Processes::Module {
  const MpiModule* calls = nullptr;
};

Result<std::unique_ptr<Processes>> Processes::Join() {
  std::unique_ptr<Processes> processes(new Processes);
  if (StartedTogether() > 1) FACET_TRY(processes->Load());
  return processes;
}

Result<void> Processes::Load() {
  void* library = OpenModule();
  const auto get = library == nullptr
                       ? nullptr
                       : reinterpret_cast<const MpiModule* (*)()>(dlsym(library, kMpiModuleSymbol));
  if (get == nullptr)
    return Error{Cat("mpirun started ", StartedTogether(), " processes, but this build has no ",
                     kMpiModuleFile, ": install an MPI (libopenmpi-dev) and build again"),
                 ErrorKind::kUnsupported};
  const MpiModule* calls = get();
  FACET_TRY(Check(calls->init(&rank_, &count_), "starting"));
  module_ = std::make_unique<Module>(Module{calls});
  return Ok();
}

Processes::~Processes() {
  if (module_) module_->calls->finalize();
}

Result<void> Processes::Sum(std::span<float> values) {
  if (!module_) return Ok();
  return Check(module_->calls->sum_floats(values.data(), static_cast<int64_t>(values.size())),
               "summing gradients");
}

Result<void> Processes::Sum(std::span<double> values) {
  if (!module_) return Ok();
  return Check(module_->calls->sum_doubles(values.data(), static_cast<int64_t>(values.size())),
               "summing");
}

Result<void> Processes::Wait() {
  if (!module_) return Ok();
  return Check(module_->calls->barrier(), "waiting");
}

}  // namespace facet::tune
