// Alone, and under mpirun (ctest runs it with two processes where MPI is there).
#include "tune/train/processes.h"

#include <cmath>

#include "tune/tiny.h"

namespace facet::tune {
namespace {

// MPI can be started once a process.
Processes& Joined() {
  static const std::unique_ptr<Processes> processes = Take(Processes::Join());
  return *processes;
}

TEST(Processes, SumsAreTheSameEverywhere) {
  Processes& all = Joined();
  std::vector<float> floats = {1, static_cast<float>(all.rank())};
  std::vector<double> doubles = {0.5};
  ASSERT_TRUE(all.Sum(std::span(floats)).ok());
  ASSERT_TRUE(all.Sum(std::span(doubles)).ok());
  const auto count = static_cast<float>(all.count());
  EXPECT_EQ(floats[0], count);
  EXPECT_EQ(floats[1], count * (count - 1) / 2);
  EXPECT_EQ(doubles[0], 0.5 * all.count());
  EXPECT_TRUE(all.Wait().ok());
}

// One process with text, another with a picture and sound: the joint batch's gradients, and the
// same weights after the step.
TEST(Processes, GradientsEqualThoseOfTheJointBatch) {
  Processes& all = Joined();
  ThreadPool pool(1);
  const Example text = TextExample(40, 20, 1), mixed = ReferenceExample();
  const Example* batch[] = {&text, &mixed};
  const auto joint = Take(Trainer::Create(TinyCheckpoint(), {.full = true}, pool));
  const auto shared = Take(Trainer::Create(TinyCheckpoint(), {.full = true}, pool));
  Take(joint->Accumulate(batch, 0.1));
  for (int i = all.rank(); i < 2; i += all.count())
    Take(shared->Accumulate(std::span(&batch[i], 1), 0.1));
  ASSERT_TRUE(shared->SumGradients(all).ok());
  const double want = joint->GradientNorm();
  EXPECT_NEAR(shared->GradientNorm(), want, 1e-4 * want);
  std::vector<std::vector<float>> gradients;
  joint->ForEachGradient(
      [&](const GradientView& g) { gradients.emplace_back(g.values.begin(), g.values.end()); });
  size_t at = 0;
  shared->ForEachGradient([&](const GradientView& g) {
    double error = 0, norm = 0;
    for (size_t i = 0; i < g.values.size(); ++i) {
      error += std::pow(double{g.values[i]} - gradients[at][i], 2);
      norm += std::pow(double{gradients[at][i]}, 2);
    }
    EXPECT_LT(std::sqrt(error), 2e-4 * std::sqrt(norm)) << g.name;
    ++at;
  });
  ASSERT_TRUE(joint->Step(1e-3, 1).ok());
  ASSERT_TRUE(shared->Step(1e-3, 1).ok());
  const double one = Take(joint->Evaluate(batch)).loss, other = Take(shared->Evaluate(batch)).loss;
  EXPECT_NEAR(other, one, 2e-3 * one);
}

}  // namespace
}  // namespace facet::tune
