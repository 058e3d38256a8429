// What a new drafter starts with of its target. Distilling a token table from nothing takes longer
// than all the rest of a drafter, and the target has one.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "model/weights.h"

namespace facet::tune {

// Values by the checkpoint's names, in place of those that WriteInitialDrafter would draw.
using InitialValues = std::map<std::string, std::vector<float>>;

// For a drafter that is at most as wide as its target:
// - its table is the target's, seen in the `width` directions Q (target width, width) in which the
//   tokens differ most: principal components of a sample of the rows, or all directions as they are
//   where the widths are equal;
// - the final norm starts where logits have the target's scale, or a standard deviation of 1 where
//   that is less, and pre_projection where the layers get an input of norm 1;
// - post_projection is Q, so that the state of a draft is what the target's would be there; where
//   the final norm is smaller than the target's scale asks for, Q is larger by as much.
// Empty where the drafter is wider than its target, or made for another one.
InitialValues StartLikeTarget(const Checkpoint& target, const ModelConfig& drafter, uint64_t seed,
                              ThreadPool& pool);

}  // namespace facet::tune
