// What weights look like, whatever they compute: damage that a file's format does not show.
#pragma once

#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "model/weights.h"

namespace facet::cli {

// A sentence for each tensor that is no trained one: a value that is no number, rows of zeros, a
// size (root of the mean square) that is far from that of the same tensor in the other layers.
std::vector<std::string> OddWeights(const Weights& weights, ThreadPool& pool);

}  // namespace facet::cli
