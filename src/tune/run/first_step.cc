#include "tune/run/first_step.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace facet::tune {
namespace {

bool IsZero(const GradientView& gradient) {
  return std::all_of(gradient.values.begin(), gradient.values.end(),
                     [](float v) { return v == 0; });
}

bool Names(const GradientView& gradient, const char* part) {
  return gradient.name.find(part) != std::string::npos;
}

}  // namespace

std::string PlacesOf(std::span<const Example* const> batch) {
  std::string places;
  for (const Example* example : batch) places += (places.empty() ? "" : ", ") + example->where;
  return places;
}

std::string PlacesNotFinite(Trainer& trainer, std::span<const Example* const> batch) {
  std::vector<const Example*> found;
  for (const Example* example : batch) {
    const auto loss = trainer.Evaluate(std::span(&example, 1));
    if (loss.ok() && !std::isfinite(loss->loss)) found.push_back(example);
  }
  return PlacesOf(found.empty() ? batch : std::span<const Example* const>(found));
}

Result<std::optional<std::string>> CheckGradients(Trainer& trainer, bool media) {
  std::vector<std::string> dead, silent;
  trainer.ForEachGradient([&](const GradientView& gradient) {
    if (!IsZero(gradient) || Names(gradient, "lora_A")) return;
    const bool of_media = Names(gradient, "vision") || Names(gradient, "audio");
    (of_media ? silent : dead).push_back(gradient.name);
  });
  if (!dead.empty()) {
    return Error{Cat("nothing reaches ", dead.front(),
                     dead.size() > 1 ? Cat(" and ", dead.size() - 1, " more tensors") : "",
                     ": its gradient is zero at the first step, it would not learn")};
  }
  if (silent.empty()) return std::optional<std::string>();
  return std::optional(
      Cat(silent.front(), silent.size() > 1 ? Cat(" and ", silent.size() - 1, " more") : "",
          media ? " have no gradient from the media of the first step"
                : " learn only from examples with media, and the first step has none"));
}

}  // namespace facet::tune
