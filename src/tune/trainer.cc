#include "tune/trainer.h"

namespace facet::tune {
namespace {

class ModelTrainer : public Trainer {
 public:
  ModelTrainer(Checkpoint checkpoint, const TrainerOptions& options, ThreadPool& pool)
      : checkpoint_(std::move(checkpoint)), options_(options), pool_(pool) {}

  Result<LossSum> Accumulate(std::span<const Example* const>, double) override { return Missing(); }
  Result<LossSum> Evaluate(std::span<const Example* const>) override { return Missing(); }
  void ForEachGradient(const std::function<void(const GradientView&)>&) override {}
  double GradientNorm() override { return 0; }
  Result<void> Step(double, double) override { return Missing(); }
  Result<void> SaveState(const std::filesystem::path&) const override { return Missing(); }
  Result<void> LoadState(const std::filesystem::path&) override { return Missing(); }
  Result<void> Export(const std::filesystem::path&) const override { return Missing(); }

 private:
  Error Missing() const {
    return {Cat("training on ", pool_.threads(), " threads is not there yet"),
            ErrorKind::kUnsupported};
  }

  Checkpoint checkpoint_;
  TrainerOptions options_;
  ThreadPool& pool_;
};

}  // namespace

Result<std::unique_ptr<Trainer>> Trainer::Create(Checkpoint checkpoint,
                                                 const TrainerOptions& options, ThreadPool& pool) {
  return std::unique_ptr<Trainer>(
      std::make_unique<ModelTrainer>(std::move(checkpoint), options, pool));
}

}  // namespace facet::tune
