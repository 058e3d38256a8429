// Reads binary data from memory, value after value, in the machine's byte order. Nothing is read
// beyond the end: what does not fit fails and moves nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

namespace facet {

class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  size_t position() const { return position_; }
  uint64_t left() const { return bytes_.size() - position_; }
  // False once anything was asked for that does not fit: one check after many Gets.
  bool ok() const { return ok_; }

  template <typename T>
  requires std::is_trivially_copyable_v<T>
  bool Read(T& value) {
    std::span<const std::byte> bytes;
    if (!Take(sizeof(T), bytes)) return false;
    std::memcpy(&value, bytes.data(), sizeof(T));
    return true;
  }
  bool Take(uint64_t count, std::span<const std::byte>& out) {
    if (!Skip(count)) return false;
    out = bytes_.subspan(position_ - count, count);
    return true;
  }
  bool Skip(uint64_t count) {
    if (left() < count) return ok_ = false;
    position_ += count;
    return true;
  }

  // The next value; T{} where it does not fit.
  template <typename T>
  T Get() {
    T value{};
    Read(value);
    return value;
  }
  // The next bytes; none where they do not fit.
  std::span<const std::byte> GetBytes(uint64_t count) {
    std::span<const std::byte> out;
    Take(count, out);
    return out;
  }

 private:
  std::span<const std::byte> bytes_;
  size_t position_ = 0;
  bool ok_ = true;
};

}  // namespace facet
