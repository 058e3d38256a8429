// The compiled vocabulary as bytes: shared by its writer and its reader.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace facet::vocabulary_layout {

// Raised whenever a section or the meaning of one changes; older files are then rebuilt.
constexpr uint32_t kVersion = 1;
constexpr char kMagic[8] = {'f', 'a', 'c', 'e', 't', 'T', 'O', 'K'};

enum Section : int {
  kStamp,
  kTextOffsets,
  kTexts,
  kTextTable,
  kPieceOffsets,
  kPieces,
  kKinds,
  kCharIndex,
  kCharPages,
  kLooseChars,
  kByteIds,
  kMerges,
  kBigrams,
  kAddedNodes,
  kAddedEdges,
  kNormalizedNodes,
  kNormalizedEdges,
  kSections,
};

struct Range {
  uint64_t offset, bytes;
};

struct Header {
  char magic[8];
  uint32_t version, header_bytes;
  uint64_t file_bytes;
  uint64_t checksum;  // of the whole file with this field 0
  int32_t tokens, bos, eos, unk;
  uint8_t add_bos, fuse_unk, spaces_to_blocks, may_cut;
  uint32_t unused;
  Range sections[kSections];
};
static_assert(sizeof(Header) % 8 == 0);

constexpr uint64_t kMix = 0x9E3779B97F4A7C15u;
constexpr size_t kBigramBits = size_t{1} << 21;

inline uint64_t HashText(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return (hash ^ hash >> 29) * kMix >> 20;
}

inline uint64_t HashPair(uint32_t left, uint32_t right) {
  const uint64_t key = (uint64_t{left} << 32 | right) * kMix;
  return (key ^ key >> 31) * 0xBF58476D1CE4E5B9u >> 24;
}

inline size_t BigramBit(char32_t left, char32_t right) {
  return HashPair(left, right) % kBigramBits;
}

// A checksum against accidents, at memory speed: four lanes of multiply and rotate.
inline uint64_t Checksum(std::span<const std::byte> bytes, uint64_t seed) {
  uint64_t lanes[4] = {seed, seed + kMix, seed ^ 0xA5A5A5A5u, ~seed};
  const auto add = [](uint64_t lane, uint64_t word) { return std::rotl((lane ^ word) * kMix, 29); };
  size_t at = 0;
  for (; at + 32 <= bytes.size(); at += 32) {
    uint64_t words[4];
    std::memcpy(words, bytes.data() + at, 32);
    for (int i = 0; i < 4; ++i) lanes[i] = add(lanes[i], words[i]);
  }
  for (; at < bytes.size(); ++at) {
    lanes[0] = add(lanes[0], static_cast<uint64_t>(bytes[at]) + 1);
  }
  uint64_t sum = bytes.size();
  for (const uint64_t lane : lanes) sum = add(sum, lane);
  return sum ^ sum >> 32;
}

inline uint64_t BlockChecksum(std::span<const std::byte> block) {
  Header header;
  std::memcpy(&header, block.data(), sizeof(header));
  header.checksum = 0;
  const uint64_t head = Checksum(std::as_bytes(std::span(&header, 1)), 1);
  return Checksum(block.subspan(sizeof(header)), head);
}

}  // namespace facet::vocabulary_layout
