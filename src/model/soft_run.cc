#include "model/soft_run.h"

#include <algorithm>

namespace facet {

std::vector<PictureSpan> PicturesOf(std::span<const SoftRun> soft) {
  std::vector<PictureSpan> pictures;
  for (const SoftRun& run : soft) {
    if (run.picture) pictures.push_back({run.begin, run.end()});
  }
  return pictures;
}

int ChunkLength(std::span<const PictureSpan> pictures, int begin, int total, int limit) {
  const int end = std::min(total, begin + std::max(1, limit));
  for (const PictureSpan& picture : pictures) {
    if (picture.begin >= end || picture.end <= end) continue;
    return (picture.begin > begin ? picture.begin : picture.end) - begin;
  }
  return end - begin;
}

}  // namespace facet
