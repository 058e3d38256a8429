// What decoding one file may still cost. Decoders ask between packets, frames and scans, so that
// neither a file made to take long nor a client that has left holds a thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stop_token>

#include "base/clock.h"
#include "base/result.h"
#include "media/media.h"

namespace facet::media {

class DecodeBudget {
 public:
  DecodeBudget(const Limits& limits, size_t file_bytes, std::stop_token stop)
      : stop_(std::move(stop)),
        max_seconds_(limits.max_decode_seconds),
        max_pixels_(std::min(limits.max_decoded_pixels,
                             kFreePixels + static_cast<int64_t>(file_bytes) * kPixelsPerByte)) {}

  // Cheap: an interrupt callback may ask.
  bool Exhausted() const { return stop_.stop_requested() || TimeIsOver(); }

  // Errors: kCancelled where the caller asked to stop, kResource where the time is over.
  Result<void> Check() const {
    if (stop_.stop_requested()) return Error{"decoding was cancelled", ErrorKind::kCancelled};
    if (!TimeIsOver()) return Ok();
    return Error{Cat("expected to be decoded within ", max_seconds_, " s but takes longer"),
                 ErrorKind::kResource};
  }

  // Counts what a decoder has just produced. Error: kResource.
  Result<void> SpendPixels(int64_t pixels) {
    pixels_ += pixels;
    if (pixels_ <= max_pixels_) return Ok();
    return Error{Cat("expected at most ", max_pixels_,
                     " pixels in all decoded frames of a file of this size but got more"),
                 ErrorKind::kResource};
  }

 private:
  // 500 frames of 1080p are free, and every byte pays for more than films that nothing moves in
  // need. A GIF whose frames of one pixel fill a canvas of 4000 x 4000 needs 700,000 a byte.
  static constexpr int64_t kFreePixels = 1'000'000'000;
  static constexpr int64_t kPixelsPerByte = 32768;

  bool TimeIsOver() const { return max_seconds_ > 0 && SecondsSince(start_) > max_seconds_; }

  const std::stop_token stop_;
  const Clock::time_point start_ = Clock::now();
  const double max_seconds_;
  const int64_t max_pixels_;
  int64_t pixels_ = 0;
};

}  // namespace facet::media
