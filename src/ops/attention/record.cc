// Records of the cache to and from float32: f32, f16, or 8-bit codes with a scale for every 16.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "ops/attention/attention.h"
#include "ops/quant/quant.h"

namespace facet {
namespace {

size_t ElementBytes(CacheType type) {
  switch (type) {
    case CacheType::kF32:
      return 4;
    case CacheType::kF16:
      return 2;
    case CacheType::kQ8_0:
      return 1;
  }
  return 0;
}

// Where the codes and (q8_0) the scales of a position lie within a kv head's part of a tile.
struct Place {
  size_t codes, scales;
};

Place PlaceOf(const KvShape& shape, int head, int slot) {
  const size_t base = head * shape.head_bytes();
  const size_t codes = ElementBytes(shape.type) * shape.record_dim();
  return {base + slot * codes,
          base + kTile * codes + slot * shape.record_scales() * sizeof(uint16_t)};
}

// Symmetric: the largest magnitude of a block becomes 127; the scale is stored as float16 and
// used as stored.
void WriteQ8(const float* x, int n, std::byte* codes, std::byte* scales) {
  for (int begin = 0; begin < n; begin += kScaleBlock) {
    const int count = std::min(kScaleBlock, n - begin);
    float largest = 0;
    for (int i = 0; i < count; ++i) largest = std::max(largest, std::fabs(x[begin + i]));
    const uint16_t half = FloatToHalf(largest / 127.0f);
    const float scale = HalfToFloat(half);
    const float inverse = scale > 0 ? 1.0f / scale : 0.0f;
    for (int i = 0; i < count; ++i) {
      const float code = std::nearbyint(x[begin + i] * inverse);
      const auto clamped = static_cast<int8_t>(std::clamp(code, -127.0f, 127.0f));
      std::memcpy(codes + begin + i, &clamped, 1);
    }
    std::memcpy(scales + begin / kScaleBlock * sizeof(half), &half, sizeof(half));
  }
}

void ReadQ8(const std::byte* codes, const std::byte* scales, int n, float* x) {
  for (int i = 0; i < n; ++i) {
    uint16_t half;
    std::memcpy(&half, scales + i / kScaleBlock * sizeof(half), sizeof(half));
    x[i] = HalfToFloat(half) * static_cast<float>(static_cast<int8_t>(codes[i]));
  }
}

}  // namespace

size_t KvShape::head_bytes() const {
  const size_t codes = ElementBytes(type) * kTile * record_dim();
  return type == CacheType::kQ8_0 ? codes + sizeof(uint16_t) * kTile * record_scales() : codes;
}

void WriteRecord(const KvShape& shape, std::byte* tile, int slot, const float* record) {
  const int n = shape.record_dim();
  for (int h = 0; h < shape.kv_heads; ++h, record += n) {
    const Place place = PlaceOf(shape, h, slot);
    std::byte* codes = tile + place.codes;
    if (shape.type == CacheType::kF32) {
      std::memcpy(codes, record, n * sizeof(float));
    } else if (shape.type == CacheType::kF16) {
      for (int i = 0; i < n; ++i) {
        const uint16_t half = FloatToHalf(record[i]);
        std::memcpy(codes + i * sizeof(half), &half, sizeof(half));
      }
    } else {
      WriteQ8(record, n, codes, tile + place.scales);
    }
  }
}

void ReadRecord(const KvShape& shape, const std::byte* tile, int slot, float* record) {
  const int n = shape.record_dim();
  for (int h = 0; h < shape.kv_heads; ++h, record += n) {
    const Place place = PlaceOf(shape, h, slot);
    const std::byte* codes = tile + place.codes;
    if (shape.type == CacheType::kF32) {
      std::memcpy(record, codes, n * sizeof(float));
    } else if (shape.type == CacheType::kF16) {
      for (int i = 0; i < n; ++i) {
        uint16_t half;
        std::memcpy(&half, codes + i * sizeof(half), sizeof(half));
        record[i] = HalfToFloat(half);
      }
    } else {
      ReadQ8(codes, tile + place.scales, n, record);
    }
  }
}

}  // namespace facet
