// The real model as an Executor.
#pragma once

#include <memory>

#include "engine/executor.h"
#include "model/drafter.h"
#include "model/model.h"

namespace facet {

// `model` must outlive the executor. `context` caps the checkpoint's own, 0 leaves it, and so does
// what the model's cache holds of one sequence. `drafter` is one for this model, or null.
std::unique_ptr<Executor> MakeModelExecutor(Model& model, int context = 0,
                                            std::unique_ptr<Drafter> drafter = nullptr);

}  // namespace facet
