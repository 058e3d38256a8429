// What can be wrong with a run shows in its first losses and gradients: these name the cause.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "tune/train/trainer.h"

namespace facet::tune {

// "chat.jsonl:1, chat.jsonl:7".
std::string PlacesOf(std::span<const Example* const> batch);

// The places of those examples of a batch whose own loss is not finite; of all, where none is.
std::string PlacesNotFinite(Trainer& trainer, std::span<const Example* const> batch);

// Every trained tensor needs a gradient at the first step: a run that learns nothing is worse than
// one that fails. Exempt are a LoRA's A, whose B is still zero, and tensors of media, which have
// none where the step's examples have no media (`media` false): the value is a warning about these.
// Error: names a tensor without a gradient.
Result<std::optional<std::string>> CheckGradients(Trainer& trainer, bool media);

}  // namespace facet::tune
