#include "text/vocabulary.h"

#include <bit>

#include "text/vocabulary_layout.h"

namespace facet {
namespace {

using namespace vocabulary_layout;

// A section as elements of T; the range is checked by the caller.
template <typename T>
std::span<const T> View(std::span<const std::byte> block, const Range& range) {
  return {reinterpret_cast<const T*>(block.data() + range.offset), range.bytes / sizeof(T)};
}

std::string_view Text(std::span<const std::byte> block, const Range& range) {
  return {reinterpret_cast<const char*>(block.data() + range.offset), range.bytes};
}

Result<Header> ReadHeader(std::span<const std::byte> block) {
  Header header;
  if (block.size() < sizeof(header)) return Error{"too short for a compiled vocabulary"};
  std::memcpy(&header, block.data(), sizeof(header));
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0)
    return Error{"not a compiled vocabulary"};
  if (header.version != kVersion || header.header_bytes != sizeof(header)) {
    return Expected(kVersion, header.version, "version");
  }
  if (header.file_bytes != block.size()) return Expected(header.file_bytes, block.size(), "bytes");
  if (header.checksum != BlockChecksum(block)) return Error{"wrong checksum"};
  for (const Range& range : header.sections) {
    if (range.offset % 8 != 0 || range.offset > block.size() ||
        range.bytes > block.size() - range.offset) {
      return Error{"a section lies outside the file"};
    }
  }
  return header;
}

}  // namespace

Result<Vocabulary> Vocabulary::Map(const std::filesystem::path& path) {
  Vocabulary vocabulary;
  FACET_ASSIGN(vocabulary.file_, MappedFile::Open(path));
  FACET_TRY(vocabulary.Bind(vocabulary.file_.bytes()));
  return vocabulary;
}

Result<Vocabulary> Vocabulary::FromMemory(std::string block) {
  Vocabulary vocabulary;
  vocabulary.memory_ = std::make_unique<std::string>(std::move(block));
  FACET_TRY(vocabulary.Bind(std::as_bytes(std::span(*vocabulary.memory_))));
  return vocabulary;
}

Result<void> Vocabulary::Bind(std::span<const std::byte> block) {
  FACET_ASSIGN(const Header header, ReadHeader(block));
  const auto& at = header.sections;
  tokens_ = header.tokens;
  bos_ = header.bos;
  eos_ = header.eos;
  unk_ = header.unk;
  add_bos_ = header.add_bos != 0;
  fuse_unk_ = header.fuse_unk != 0;
  spaces_to_blocks_ = header.spaces_to_blocks != 0;
  may_cut_ = header.may_cut != 0;
  stamp_ = Text(block, at[kStamp]);
  text_offsets_ = View<uint32_t>(block, at[kTextOffsets]);
  texts_ = Text(block, at[kTexts]);
  text_table_ = View<uint32_t>(block, at[kTextTable]);
  piece_offsets_ = View<uint32_t>(block, at[kPieceOffsets]);
  pieces_ = Text(block, at[kPieces]);
  kinds_ = View<TokenKind>(block, at[kKinds]);
  char_index_ = View<uint16_t>(block, at[kCharIndex]);
  char_pages_ = View<int32_t>(block, at[kCharPages]);
  loose_chars_ = View<char32_t>(block, at[kLooseChars]);
  byte_ids_ = View<int32_t>(block, at[kByteIds]);
  merges_ = View<MergeEntry>(block, at[kMerges]);
  bigrams_ = View<uint64_t>(block, at[kBigrams]);
  added_ = {View<TrieNode>(block, at[kAddedNodes]), View<TrieEdge>(block, at[kAddedEdges])};
  added_normalized_ = {View<TrieNode>(block, at[kNormalizedNodes]),
                       View<TrieEdge>(block, at[kNormalizedEdges])};
  const size_t tokens = static_cast<size_t>(tokens_);
  if (tokens_ <= 0 || text_offsets_.size() != tokens + 1 || piece_offsets_.size() != tokens + 1 ||
      kinds_.size() != tokens || char_index_.size() != 0x1100 || byte_ids_.size() != 256 ||
      bigrams_.size() != kBigramBits / 64 || !std::has_single_bit(text_table_.size()) ||
      !std::has_single_bit(merges_.size())) {
    return Error{"a section has the wrong size"};
  }
  return Ok();
}

std::string_view Vocabulary::text(int32_t id) const {
  return texts_.substr(text_offsets_[id], text_offsets_[id + 1] - text_offsets_[id]);
}

std::string_view Vocabulary::piece(int32_t id) const {
  return pieces_.substr(piece_offsets_[id], piece_offsets_[id + 1] - piece_offsets_[id]);
}

std::optional<int32_t> Vocabulary::Find(std::string_view wanted) const {
  const size_t mask = text_table_.size() - 1;
  for (size_t slot = HashText(wanted) & mask; text_table_[slot] != 0; slot = (slot + 1) & mask) {
    const int32_t id = static_cast<int32_t>(text_table_[slot] - 1);
    if (text(id) == wanted) return id;
  }
  return std::nullopt;
}

const MergeEntry* Vocabulary::FindMerge(uint32_t left, uint32_t right) const {
  const size_t mask = merges_.size() - 1;
  for (size_t slot = HashPair(left, right) & mask; merges_[slot].left != UINT32_MAX;
       slot = (slot + 1) & mask) {
    if (merges_[slot].left == left && merges_[slot].right == right) return &merges_[slot];
  }
  return nullptr;
}

bool Vocabulary::MayCut(char32_t left, char32_t right) const {
  if (!may_cut_) return false;
  const size_t bit = BigramBit(left, right);
  return (bigrams_[bit / 64] >> bit % 64 & 1) == 0;
}

}  // namespace facet
