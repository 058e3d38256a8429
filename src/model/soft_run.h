// Soft tokens inside a sequence: rows that pictures, film frames and sounds become, in the place of
// their placeholders' embeddings.
#pragma once

#include <span>
#include <vector>

#include "base/matrix.h"

namespace facet {

// One picture, film frame or sound.
struct SoftRun {
  int begin = 0;         // absolute position of the first soft token
  ConstMat rows;         // (count, width)
  bool picture = false;  // pictures and film frames see themselves whole in sliding layers
  int end() const { return begin + static_cast<int>(rows.rows()); }
};

// Positions [begin, end) of a picture or film frame. A chunk holds all of them or none.
struct PictureSpan {
  int begin = 0, end = 0;
};
std::vector<PictureSpan> PicturesOf(std::span<const SoftRun> soft);

// How many tokens of a prompt of `total` to take from `begin` on, at most `limit` where pictures
// (sorted) allow: one that would be cut is taken whole where it comes first, and else left for the
// next chunk. At least 1.
int ChunkLength(std::span<const PictureSpan> pictures, int begin, int total, int limit);

}  // namespace facet
