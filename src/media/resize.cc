// torch's antialiased bicubic resize of uint8 pictures, to the byte
// (aten/src/ATen/native/cpu/UpSampleKernel.cpp): weights in double, rounded to int16 at one
// precision a pass, a horizontal pass and then a vertical one.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "media/media.h"

namespace facet::media {
namespace {

// For output i, the inputs [first[i], first[i] + count[i]) weighted by weights[i * taps ...] /
// 2^precision.
struct Kernel {
  int taps = 0;
  int precision = 0;
  std::vector<int> first, count;
  std::vector<int16_t> weights;
};

// Keys' cubic convolution with a = -0.5.
double Cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}

// The largest precision at which the largest weight still rounds to an int16.
int WeightPrecision(double largest) {
  int precision = 0;
  while (precision < 22 &&
         static_cast<int64_t>(0.5 + largest * (1 << (precision + 1))) < (1 << 15)) {
    ++precision;
  }
  return precision;
}

Kernel MakeKernel(int from, int to) {
  const double scale = static_cast<double>(from) / to;
  const double stretch = std::max(scale, 1.0);  // the filter grows when shrinking
  const double support = 2.0 * stretch;
  const double inverse = scale >= 1.0 ? 1.0 / scale : 1.0;
  Kernel kernel;
  kernel.taps = static_cast<int>(std::ceil(support)) * 2 + 1;
  kernel.first.resize(to);
  kernel.count.resize(to);
  std::vector<double> exact(size_t(to) * kernel.taps, 0.0);
  double largest = 0;
  for (int i = 0; i < to; ++i) {
    const double center = scale * (i + 0.5);
    const int first = std::max(static_cast<int>(center - support + 0.5), 0);
    const int count = std::clamp(std::min(static_cast<int>(center + support + 0.5), from) - first,
                                 0, kernel.taps);
    double* w = &exact[size_t(i) * kernel.taps];
    double total = 0;
    for (int j = 0; j < count; ++j) total += w[j] = Cubic((j + first - center + 0.5) * inverse);
    for (int j = 0; j < count && total != 0; ++j) largest = std::max(largest, w[j] /= total);
    kernel.first[i] = first;
    kernel.count[i] = count;
  }
  kernel.precision = WeightPrecision(largest);
  kernel.weights.resize(exact.size());
  for (size_t i = 0; i < exact.size(); ++i) {
    const double scaled = exact[i] * (1 << kernel.precision);
    kernel.weights[i] = static_cast<int16_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
  }
  return kernel;
}

uint8_t Round(int sum, int precision) {
  return static_cast<uint8_t>(std::clamp(sum >> precision, 0, 255));
}

Picture ResizeRows(const Picture& picture, int width) {
  const Kernel kernel = MakeKernel(picture.width, width);
  Picture out{width, picture.height, std::vector<uint8_t>(size_t(width) * picture.height * 3)};
  const int half = kernel.precision > 0 ? 1 << (kernel.precision - 1) : 0;
  uint8_t* to = out.rgb.data();
  for (int y = 0; y < picture.height; ++y) {
    const uint8_t* row = picture.rgb.data() + size_t(y) * picture.width * 3;
    for (int x = 0; x < width; ++x, to += 3) {
      const uint8_t* from = row + size_t(kernel.first[x]) * 3;
      const int16_t* w = &kernel.weights[size_t(x) * kernel.taps];
      int r = half, g = half, b = half;
      for (int j = 0; j < kernel.count[x]; ++j, from += 3) {
        r += w[j] * from[0];
        g += w[j] * from[1];
        b += w[j] * from[2];
      }
      to[0] = Round(r, kernel.precision);
      to[1] = Round(g, kernel.precision);
      to[2] = Round(b, kernel.precision);
    }
  }
  return out;
}

Picture ResizeColumns(const Picture& picture, int height) {
  const Kernel kernel = MakeKernel(picture.height, height);
  const size_t stride = size_t(picture.width) * 3;
  Picture out{picture.width, height, std::vector<uint8_t>(stride * height)};
  const int half = kernel.precision > 0 ? 1 << (kernel.precision - 1) : 0;
  std::vector<int> sums(stride);
  for (int y = 0; y < height; ++y) {
    std::fill(sums.begin(), sums.end(), half);
    for (int j = 0; j < kernel.count[y]; ++j) {
      const uint8_t* from = picture.rgb.data() + (kernel.first[y] + j) * stride;
      const int w = kernel.weights[size_t(y) * kernel.taps + j];
      for (size_t x = 0; x < stride; ++x) sums[x] += w * from[x];
    }
    uint8_t* to = out.rgb.data() + y * stride;
    for (size_t x = 0; x < stride; ++x) to[x] = Round(sums[x], kernel.precision);
  }
  return out;
}

}  // namespace

Picture Resize(const Picture& picture, PictureSize size) {
  assert(picture.width > 0 && picture.height > 0 && size.width > 0 && size.height > 0);
  if (size.width == picture.width && size.height == picture.height) return picture;
  if (size.height == picture.height) return ResizeRows(picture, size.width);
  if (size.width == picture.width) return ResizeColumns(picture, size.height);
  return ResizeColumns(ResizeRows(picture, size.width), size.height);
}

}  // namespace facet::media
