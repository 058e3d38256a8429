// A Tokenizer's vocabulary: what a file says (VocabSource), and the compiled form that is cached on
// disk and mapped (Vocabulary). Internal to text/.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/mapped_file.h"
#include "base/result.h"

namespace facet {

class Gguf;

enum class TokenKind : uint8_t {
  kNormal,   // made by merges
  kSpecial,  // parsed in template text only, left out by skip_special
  kAdded,    // parsed in every text, before any merge
  kByte,     // "<0xE6>"
};

// Everything that tokenising needs, as the file states it. Views point into `owner`.
struct VocabSource {
  struct Token {
    std::string_view text;
    TokenKind kind = TokenKind::kNormal;
    bool normalized = false;  // an added token that is looked for after spaces became U+2581
  };
  struct Merge {
    uint32_t left, right, rank, result;  // the lowest rank first, the leftmost of equals
  };
  std::shared_ptr<const void> owner;
  std::vector<Token> tokens;  // by id
  std::vector<Merge> merges;
  // Characters that occur in tokens without being one; `merges` call them tokens.size() + i.
  std::vector<char32_t> loose_chars;
  int32_t bos = -1, eos = -1, unk = -1;  // -1: none
  bool add_bos = false, fuse_unk = false, byte_fallback = true;
  bool spaces_to_blocks = true;  // ' ' becomes U+2581
};

// Longest token; anything longer is taken for damage.
constexpr size_t kMaxTokenBytes = 1024;
constexpr char32_t kSpaceBlock = 0x2581;

// The first id of each text.
using TokenIndex = std::unordered_map<std::string_view, uint32_t>;
TokenIndex IndexTokens(const VocabSource& source);
// Appends the next merge of a list in order of rank. Errors: an empty or unknown part, an unknown
// result.
Result<void> AddMerge(std::string_view left, std::string_view right, const TokenIndex& index,
                      VocabSource& source);

// Errors name the field, the token or the merge.
Result<VocabSource> ReadTokenizerJson(const std::filesystem::path& path);
Result<VocabSource> ReadGgufVocabulary(const std::filesystem::path& path);
// Fills `merges` and `loose_chars` of a SentencePiece vocabulary: any split of a token into two
// tokens is a merge, the higher score first (Kudo and Richardson 2018, section 3). `scores` holds
// one for each token.
Result<void> MergesFromScores(std::span<const float> scores, VocabSource& source);

// Checks the source and lays it out as one position-independent block. `stamp` comes back from
// Vocabulary::stamp().
Result<std::string> CompileVocabulary(const VocabSource& source, std::string_view stamp);

struct MergeEntry {
  uint32_t left, right, rank, result;
};

// Prefix tree over the bytes of added tokens.
struct TrieNode {
  uint32_t first_edge;
  uint16_t edges, unused;
  int32_t token;  // -1: no token ends here
};
struct TrieEdge {
  uint32_t byte, child;
};
struct Trie {
  std::span<const TrieNode> nodes;
  std::span<const TrieEdge> edges;
};

// A compiled vocabulary, mapped or in memory. Immutable, so safe to share between
// threads.
class Vocabulary {
 public:
  // Maps a compiled file. Any damage is an error: wrong version, size, checksum or section.
  static Result<Vocabulary> Map(const std::filesystem::path& path);
  static Result<Vocabulary> FromMemory(std::string block);

  std::string_view stamp() const { return stamp_; }
  int64_t size() const { return tokens_; }
  int32_t bos() const { return bos_; }
  int32_t eos() const { return eos_; }
  int32_t unk() const { return unk_; }
  bool add_bos() const { return add_bos_; }
  bool fuse_unk() const { return fuse_unk_; }
  bool spaces_to_blocks() const { return spaces_to_blocks_; }

  std::string_view text(int32_t id) const;   // as the vocabulary spells it
  std::string_view piece(int32_t id) const;  // the bytes that it stands for
  TokenKind kind(int32_t id) const { return kinds_[id]; }
  std::optional<int32_t> Find(std::string_view text) const;

  // Id of a character, or -1; ids from size() on are loose characters.
  int32_t CharId(char32_t code) const {
    return char_pages_[size_t{char_index_[code >> 8]} * 256 + (code & 255)];
  }
  char32_t loose_char(int32_t id) const { return loose_chars_[id - tokens_]; }
  int32_t ByteId(unsigned char byte) const { return byte_ids_[byte]; }  // -1: no such token
  const MergeEntry* FindMerge(uint32_t left, uint32_t right) const;
  // True where no token holds `left` followed by `right`, so that text may be cut between them.
  bool MayCut(char32_t left, char32_t right) const;
  const Trie& added() const { return added_; }
  const Trie& added_normalized() const { return added_normalized_; }

 private:
  Result<void> Bind(std::span<const std::byte> block);

  MappedFile file_;
  std::unique_ptr<std::string> memory_;
  std::string_view stamp_;
  int32_t tokens_ = 0, bos_ = -1, eos_ = -1, unk_ = -1;
  bool add_bos_ = false, fuse_unk_ = false, spaces_to_blocks_ = false, may_cut_ = false;
  std::span<const uint32_t> text_offsets_, piece_offsets_, text_table_;
  std::string_view texts_, pieces_;
  std::span<const TokenKind> kinds_;
  std::span<const uint16_t> char_index_;
  std::span<const int32_t> char_pages_;
  std::span<const char32_t> loose_chars_;
  std::span<const int32_t> byte_ids_;
  std::span<const MergeEntry> merges_;
  std::span<const uint64_t> bigrams_;
  Trie added_, added_normalized_;
};

// Appends the ids of a text that holds no added token. Ends early where there are more than
// `limit`.
void EncodeBpe(const Vocabulary& vocabulary, std::string_view text, size_t limit,
               std::vector<int32_t>& ids);

}  // namespace facet
