// Steps of LoRA on one made-up sequence: tokens a second and peak memory, for bench/versus_tune.py.
//
//   tune_bench MODEL [--tokens N] [--labelled N] [--steps N] [--bf16] [--keep-mb N] [--threads N]
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tune/train/trainer.h"

namespace {

using namespace facet;

struct Flags {
  std::string model;
  int tokens = 512, labelled = 512, steps = 3, threads = 2, keep_mb = 512;
  bool bf16 = false;
};

Flags Parse(int argc, char** argv) {
  Flags flags;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    const auto number = [&] { return i + 1 < argc ? std::atoi(argv[++i]) : 0; };
    if (arg == "--tokens") {
      flags.tokens = number();
    } else if (arg == "--labelled") {
      flags.labelled = number();
    } else if (arg == "--steps") {
      flags.steps = number();
    } else if (arg == "--threads") {
      flags.threads = number();
    } else if (arg == "--keep-mb") {
      flags.keep_mb = number();
    } else if (arg == "--bf16") {
      flags.bf16 = true;
    } else {
      flags.model = arg;
    }
  }
  return flags;
}

Result<void> Run(const Flags& flags) {
  ThreadPool pool(flags.threads);
  FACET_ASSIGN(Checkpoint checkpoint, LoadCheckpoint(flags.model, std::nullopt));
  tune::Example example;
  example.where = "made up";
  for (int i = 0; i < flags.tokens; ++i) {
    example.tokens.push_back(100 + i * 7919 % (checkpoint.config.text.vocab - 200));
    example.labelled.push_back(i >= flags.tokens - flags.labelled);
  }
  tune::TrainerOptions options;
  options.compute = flags.bf16 ? Compute::kBf16 : Compute::kF32;
  options.keep_bytes = static_cast<size_t>(flags.keep_mb) << 20;
  FACET_ASSIGN(const std::unique_ptr<tune::Trainer> trainer,
               tune::Trainer::Create(std::move(checkpoint), options, pool));
  const tune::Example* batch[] = {&example};
  for (int step = 0; step < flags.steps; ++step) {
    const auto start = std::chrono::steady_clock::now();
    FACET_ASSIGN(const tune::LossSum loss, trainer->Accumulate(batch, 1.0 / flags.labelled));
    FACET_TRY(trainer->Step(1e-4, 1.0));
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    std::printf("step %d  loss %.4f  %.3f s  %.1f tok/s  peak %.2f GB\n", step,
                loss.loss / static_cast<double>(loss.tokens), seconds.count(),
                flags.tokens / seconds.count(), usage.ru_maxrss * 1024e-9);
    std::fflush(stdout);
  }
  return Ok();
}

}  // namespace

int main(int argc, char** argv) {
  const auto done = Run(Parse(argc, argv));
  if (done.ok()) return 0;
  std::fprintf(stderr, "tune_bench: %s\n", done.error().message.c_str());
  return 1;
}
