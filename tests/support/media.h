// What the media tests share: files of tests/, and a minimal reader of safetensors that leans on
// nothing under test.
#pragma once

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "media/media.h"
#include "support/paths.h"

namespace facet::media {

inline std::filesystem::path TestFile(const std::string& name) {
  return std::filesystem::path(TestsDir()) / name;
}

inline std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("no file " + path.string());
  return {std::istreambuf_iterator<char>(file), {}};
}

inline std::span<const std::byte> AsBytes(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

inline std::string ReferenceMedia(const std::string& name) {
  return ReadAll(TestFile("reference/tiny/media/" + name));
}

// A number as so many bytes, the lowest first.
inline std::string Little(uint32_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i));
  return text;
}

// The highest byte first.
inline std::string Big(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16),
          static_cast<char>(value >> 8), static_cast<char>(value)};
}

inline std::string PngChunk(const std::string& kind, const std::string& data) {
  uint32_t crc = ~0u;
  for (const char c : kind + data) {
    crc ^= static_cast<unsigned char>(c);
    for (int i = 0; i < 8; ++i) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320 : 0);
  }
  return Big(static_cast<uint32_t>(data.size())) + kind + data + Big(~crc);
}

// A WAV file whose header claims so many bytes of samples.
inline std::string Wav(int channels, uint32_t rate, int bits, uint32_t claimed,
                       const std::string& data) {
  const int block = channels * bits / 8;
  return "RIFF" + Little(claimed, 4) + "WAVEfmt " + Little(16, 4) + Little(1, 2) +
         Little(channels, 2) + Little(rate, 4) + Little(rate * block, 4) + Little(block, 2) +
         Little(bits, 2) + "data" + Little(claimed, 4) + data;
}

// A tensor of a safetensors file.
struct Stored {
  std::vector<int64_t> shape;
  std::string data;
  template <typename T>
  std::vector<T> As() const {
    std::vector<T> values(data.size() / sizeof(T));
    std::memcpy(values.data(), data.data(), values.size() * sizeof(T));
    return values;
  }
};

inline std::map<std::string, Stored> ReadStored(const std::string& name) {
  const std::string file = ReadAll(TestFile(name));
  uint64_t length = 0;
  std::memcpy(&length, file.data(), 8);
  std::map<std::string, Stored> tensors;
  const auto header = nlohmann::json::parse(file.substr(8, length));
  for (const auto& [key, entry] : header.items()) {
    if (key == "__metadata__") continue;
    const size_t begin = entry["data_offsets"][0], end = entry["data_offsets"][1];
    tensors[key] = {entry["shape"], file.substr(8 + length + begin, end - begin)};
  }
  return tensors;
}

}  // namespace facet::media
