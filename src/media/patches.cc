// Sizes, patches and frames: what the model reads of a picture or a sound (docs/model.md).
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "base/picture_budget.h"
#include "media/media.h"

namespace facet::media {

Result<PictureSize> TargetSize(int width, int height, int budget) {
  if (width <= 0 || height <= 0) {
    return Expected("a picture of at least 1x1", Cat(width, "x", height), "size");
  }
  if (!IsPictureBudget(budget)) return Expected(kPictureBudgetNames, budget, "image budget");
  const double h = height, w = width;
  const double factor = std::sqrt(budget * double{kPatchSide} * kPatchSide / (h * w));
  int64_t rows = static_cast<int64_t>(std::floor(factor * h / kPatchSide));
  int64_t columns = static_cast<int64_t>(std::floor(factor * w / kPatchSide));
  // A side too thin for one patch gets one; the other then follows the shape as far as the budget
  // goes.
  const int64_t ratio = std::max(width, height) / std::min(width, height);
  if (rows == 0 && columns == 0) {
    return Error{
        Cat("a picture of ", width, "x", height, " has no patch within a budget of ", budget)};
  }
  if (rows == 0) {
    rows = 1;
    columns = std::min<int64_t>(ratio, budget);
  } else if (columns == 0) {
    columns = 1;
    rows = std::min<int64_t>(ratio, budget);
  }
  return PictureSize{static_cast<int>(columns) * kPatchSide, static_cast<int>(rows) * kPatchSide};
}

Result<Patches> ToPatches(const Picture& picture, int budget) {
  FACET_ASSIGN(const PictureSize size, TargetSize(picture.width, picture.height, budget));
  if (size.width == picture.width && size.height == picture.height) return CutPatches(picture);
  return CutPatches(Resize(picture, size));
}

Result<Patches> CutPatches(const Picture& picture) {
  if (picture.width <= 0 || picture.height <= 0 || picture.width % kPatchSide != 0 ||
      picture.height % kPatchSide != 0) {
    return Expected(Cat("sides that are multiples of ", kPatchSide),
                    Cat(picture.width, "x", picture.height), "picture to cut into patches");
  }
  Patches patches;
  patches.columns = picture.width / kPatchSide;
  patches.rows = picture.height / kPatchSide;
  patches.pixels.resize(picture.rgb.size());
  constexpr size_t kRun = kPatchSide * 3;
  const size_t stride = size_t(picture.width) * 3;
  uint8_t* to = patches.pixels.data();
  for (int row = 0; row < patches.rows; ++row) {
    for (int column = 0; column < patches.columns; ++column) {
      const uint8_t* from = picture.rgb.data() + row * kPatchSide * stride + column * kRun;
      for (int y = 0; y < kPatchSide; ++y, from += stride, to += kRun) std::memcpy(to, from, kRun);
    }
  }
  return patches;
}

std::vector<float> ToAudioFrames(const Sound& sound) {
  const size_t frames = (sound.samples.size() + kFrameSamples - 1) / kFrameSamples;
  std::vector<float> padded(sound.samples);
  padded.resize(frames * kFrameSamples, 0.0f);
  return padded;
}

std::string TimeLabel(double seconds) {
  const int64_t whole = static_cast<int64_t>(std::floor(std::max(seconds, 0.0)));
  char text[32];
  std::snprintf(text, sizeof text, "%02lld:%02lld", static_cast<long long>(whole / 60),
                static_cast<long long>(whole % 60));
  return text;
}

}  // namespace facet::media
