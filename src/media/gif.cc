// The first frame of a GIF (GIF89a specification), as Pillow shows it: transparent pixels keep
// their colour, what the frame does not cover has colour 0, or the transparent one where there is
// one.
#include <array>
#include <cstring>

#include "media/still.h"

namespace facet::media {
namespace {

class GifReader {
 public:
  explicit GifReader(Bytes bytes) : bytes_(bytes) {}

  bool Has(size_t count) const { return count <= bytes_.size() - at_; }
  int Byte() { return static_cast<uint8_t>(bytes_[at_++]); }
  int Word() {
    const int low = Byte();
    return low | Byte() << 8;
  }
  void Skip(size_t count) { at_ += count; }
  // A chain of sub-blocks: each its length and its bytes, the last one empty.
  bool SubBlock(Bytes* block) {
    if (!Has(1)) return false;
    const size_t length = Byte();
    if (!Has(length)) return false;
    *block = bytes_.subspan(at_, length);
    at_ += length;
    return true;
  }

 private:
  Bytes bytes_;
  size_t at_ = 0;
};

struct Table {
  std::array<uint8_t, 768> colors;
  bool present = false;
};

bool ReadTable(GifReader& reader, int flags, Table* table) {
  if (!(flags & 0x80)) return true;
  const size_t size = size_t{3} << ((flags & 7) + 1);
  if (!reader.Has(size)) return false;
  table->colors.fill(0);  // indices past the table's end are black
  for (size_t i = 0; i < size; ++i) table->colors[i] = static_cast<uint8_t>(reader.Byte());
  table->present = true;
  return true;
}

// Variable-length LZW codes, least significant bit first, out to `pixels`; false when the data end
// or go wrong early.
class Lzw {
 public:
  Lzw(GifReader& reader, int code_bits) : reader_(reader), first_bits_(code_bits) { Clear(); }

  bool Decode(std::vector<uint8_t>& pixels) {
    size_t done = 0;
    int previous = -1;
    uint8_t first = 0;
    while (done < pixels.size()) {
      const int code = NextCode();
      if (code < 0 || code == clear_ + 1) return false;
      if (code == clear_) {
        Clear();
        previous = -1;
        continue;
      }
      if (code > next_ || (previous < 0 && code >= clear_)) return false;
      std::array<uint8_t, 4097> stack;
      int depth = 0, walk = code;
      if (code == next_) {
        if (previous < 0) return false;
        stack[depth++] = first;
        walk = previous;
      }
      while (walk >= clear_) {
        stack[depth++] = suffix_[walk];
        walk = prefix_[walk];
      }
      first = static_cast<uint8_t>(walk);
      stack[depth++] = first;
      while (depth > 0 && done < pixels.size()) pixels[done++] = stack[--depth];
      Remember(previous, first);
      previous = code;
    }
    return true;
  }

 private:
  void Clear() {
    clear_ = 1 << first_bits_;
    next_ = clear_ + 2;
    bits_ = first_bits_ + 1;
  }

  void Remember(int previous, uint8_t first) {
    if (previous < 0 || next_ >= 4096) return;
    prefix_[next_] = static_cast<uint16_t>(previous);
    suffix_[next_] = first;
    if (++next_ == 1 << bits_ && bits_ < 12) ++bits_;
  }

  int NextCode() {
    while (held_bits_ < bits_) {
      while (block_.empty()) {
        if (!reader_.SubBlock(&block_) || block_.empty()) return -1;
      }
      held_ |= static_cast<uint32_t>(block_[0]) << held_bits_;
      block_ = block_.subspan(1);
      held_bits_ += 8;
    }
    const int code = static_cast<int>(held_ & ((1u << bits_) - 1));
    held_ >>= bits_;
    held_bits_ -= bits_;
    return code;
  }

  GifReader& reader_;
  Bytes block_;
  uint32_t held_ = 0;
  int held_bits_ = 0, first_bits_ = 0, bits_ = 0, clear_ = 0, next_ = 0;
  std::array<uint16_t, 4096> prefix_{};
  std::array<uint8_t, 4096> suffix_{};
};

// Skips an extension; a graphic control extension says which index is transparent (-1: none).
bool ReadExtension(GifReader& reader, int* transparent) {
  if (!reader.Has(1)) return false;
  const bool control = reader.Byte() == 0xF9;
  Bytes block;
  for (bool first = true; reader.SubBlock(&block); first = false) {
    if (block.empty()) return true;
    if (control && first && block.size() >= 4) {
      const bool has = (static_cast<uint8_t>(block[0]) & 1) != 0;
      *transparent = has ? static_cast<uint8_t>(block[3]) : -1;
    }
  }
  return false;
}

// Row i of the file in the picture: interlaced files send every eighth row first.
std::vector<int> RowOrder(int height, bool interlaced) {
  std::vector<int> order;
  order.reserve(height);
  if (!interlaced) {
    for (int y = 0; y < height; ++y) order.push_back(y);
    return order;
  }
  constexpr std::array<std::pair<int, int>, 4> kPasses{{{0, 8}, {4, 8}, {2, 4}, {1, 2}}};
  for (const auto& [start, step] : kPasses) {
    for (int y = start; y < height; y += step) order.push_back(y);
  }
  return order;
}

struct Canvas {
  int64_t width, height;
  Table global;
  int transparent = -1;
};

Result<Picture> ReadImage(GifReader& reader, const Canvas& canvas, const Limits& limits) {
  if (!reader.Has(9)) return Error{"the GIF is truncated before its first frame"};
  const int left = reader.Word(), top = reader.Word();
  const int width = reader.Word(), height = reader.Word();
  const int flags = reader.Byte();
  FACET_TRY(CheckSize(width, height, limits, "GIF frame"));
  const int64_t full_width = std::max<int64_t>(canvas.width, left + width);
  const int64_t full_height = std::max<int64_t>(canvas.height, top + height);
  FACET_TRY(CheckSize(full_width, full_height, limits, "GIF"));
  Table table = canvas.global;
  if (!ReadTable(reader, flags, &table) || !reader.Has(1)) {
    return Error{"the GIF is truncated before its first frame"};
  }
  if (!table.present) {
    for (int i = 0; i < 768; ++i) table.colors[i] = static_cast<uint8_t>(i / 3);
  }
  const int code_bits = reader.Byte();
  if (code_bits < 1 || code_bits > 8) return Expected("1 to 8 bits a code", code_bits, "GIF");
  std::vector<uint8_t> indices(size_t(width) * height);
  Lzw lzw(reader, code_bits);
  if (!lzw.Decode(indices)) return Error{"damaged GIF: its first frame ends early"};

  Picture picture{static_cast<int>(full_width), static_cast<int>(full_height),
                  std::vector<uint8_t>(size_t(full_width) * full_height * 3)};
  const uint8_t* ground = &table.colors[std::max(canvas.transparent, 0) * 3];
  for (size_t i = 0; i < picture.rgb.size(); i += 3) std::memcpy(&picture.rgb[i], ground, 3);
  const std::vector<int> order = RowOrder(height, (flags & 0x40) != 0);
  for (int y = 0; y < height; ++y) {
    uint8_t* to = &picture.rgb[((top + order[y]) * full_width + left) * 3];
    const uint8_t* from = &indices[size_t(y) * width];
    for (int x = 0; x < width; ++x, to += 3) std::memcpy(to, &table.colors[from[x] * 3], 3);
  }
  return picture;
}

}  // namespace

Result<Picture> DecodeGif(Bytes bytes, const Limits& limits) {
  if (bytes.size() < 13) return Error{"the GIF is truncated in its header"};
  GifReader reader(bytes);
  reader.Skip(6);
  Canvas canvas{};
  canvas.width = reader.Word();
  canvas.height = reader.Word();
  const int flags = reader.Byte();
  reader.Skip(2);
  FACET_TRY(CheckSize(std::max<int64_t>(canvas.width, 1), std::max<int64_t>(canvas.height, 1),
                      limits, "GIF"));
  if (!ReadTable(reader, flags, &canvas.global))
    return Error{"the GIF is truncated in its palette"};
  while (reader.Has(1)) {
    switch (reader.Byte()) {
      case ',':
        return ReadImage(reader, canvas, limits);
      case '!':
        if (!ReadExtension(reader, &canvas.transparent)) {
          return Error{"the GIF is truncated in an extension"};
        }
        break;
      case ';':
        return Error{"the GIF has no frame"};
      default:
        break;  // padding between blocks, which readers skip
    }
  }
  return Error{"the GIF is truncated before its first frame"};
}

}  // namespace facet::media
