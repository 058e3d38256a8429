// CompileVocabulary: what a file says (VocabSource) laid out as the tables that tokenising reads.
#include <algorithm>
#include <bit>
#include <cstring>
#include <deque>

#include "base/checked.h"
#include "base/math.h"
#include "base/text.h"
#include "base/utf8.h"
#include "text/vocabulary.h"
#include "text/vocabulary_layout.h"

namespace facet {
namespace {

using namespace vocabulary_layout;
using Token = VocabSource::Token;

template <typename T>
std::string_view Bytes(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

// The byte that "<0xE6>" stands for.
std::optional<unsigned char> ByteValue(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return std::nullopt;
  const int value = HexByte(text[3], text[4]);
  if (value < 0) return std::nullopt;
  return static_cast<unsigned char>(value);
}

// The bytes that a token adds to a text.
std::string PieceOf(const Token& token, bool spaces_to_blocks) {
  if (token.kind == TokenKind::kByte) return {static_cast<char>(*ByteValue(token.text))};
  if (!spaces_to_blocks) return std::string(token.text);
  constexpr std::string_view kBlock = "\u2581";
  std::string piece;
  for (size_t at = 0; at < token.text.size();) {
    const bool block = token.text.substr(at).starts_with(kBlock);
    piece += block ? ' ' : token.text[at];
    at += block ? kBlock.size() : 1;
  }
  return piece;
}

struct Strings {
  std::vector<uint32_t> offsets = {0};
  std::string bytes;
  void AddText(std::string_view text) {
    bytes += text;
    offsets.push_back(static_cast<uint32_t>(bytes.size()));
  }
};

// Open addressing; each slot holds id + 1, 0 where it is free.
Result<std::vector<uint32_t>> BuildTextTable(const std::vector<Token>& tokens) {
  std::vector<uint32_t> table(std::bit_ceil(tokens.size() * 2 + 1), 0);
  const size_t mask = table.size() - 1;
  for (size_t id = 0; id < tokens.size(); ++id) {
    size_t slot = HashText(tokens[id].text) & mask;
    for (; table[slot] != 0; slot = (slot + 1) & mask) {
      if (tokens[table[slot] - 1].text == tokens[id].text) {
        return Error{
            Cat("tokens ", table[slot] - 1, " and ", id, " are both \"", tokens[id].text, "\"")};
      }
    }
    table[slot] = static_cast<uint32_t>(id + 1);
  }
  return table;
}

// Two-level table from character to id.
struct CharTable {
  std::vector<uint16_t> index = std::vector<uint16_t>(0x1100, 0);
  std::vector<int32_t> pages = std::vector<int32_t>(256, -1);  // page 0: no such characters
  void SetChar(char32_t code, int32_t id) {
    uint16_t& page = index[code >> 8];
    if (page == 0) {
      page = static_cast<uint16_t>(pages.size() / 256);
      pages.resize(pages.size() + 256, -1);
    }
    pages[size_t{page} * 256 + (code & 255)] = id;
  }
};

CharTable BuildCharTable(const VocabSource& source) {
  CharTable table;
  for (size_t id = 0; id < source.tokens.size(); ++id) {
    const Token& token = source.tokens[id];
    if (token.text.empty() || token.kind == TokenKind::kSpecial || token.kind == TokenKind::kByte) {
      continue;
    }
    const Utf8Char first = DecodeUtf8(token.text, 0);
    if (first.bytes > 0 && static_cast<size_t>(first.bytes) == token.text.size()) {
      table.SetChar(first.code, static_cast<int32_t>(id));
    }
  }
  for (size_t i = 0; i < source.loose_chars.size(); ++i) {
    table.SetChar(source.loose_chars[i], static_cast<int32_t>(source.tokens.size() + i));
  }
  return table;
}

std::vector<MergeEntry> BuildMergeTable(const std::vector<VocabSource::Merge>& merges) {
  std::vector<MergeEntry> table(std::bit_ceil(merges.size() * 3 / 2 + 1),
                                MergeEntry{UINT32_MAX, UINT32_MAX, 0, 0});
  const size_t mask = table.size() - 1;
  for (const auto& merge : merges) {
    size_t slot = HashPair(merge.left, merge.right) & mask;
    while (table[slot].left != UINT32_MAX &&
           (table[slot].left != merge.left || table[slot].right != merge.right)) {
      slot = (slot + 1) & mask;
    }
    table[slot] = {merge.left, merge.right, merge.rank, merge.result};
  }
  return table;
}

std::vector<uint64_t> BuildBigrams(const VocabSource& source) {
  std::vector<uint64_t> bits(kBigramBits / 64, 0);
  for (const auto& merge : source.merges) {
    const std::string_view text = source.tokens[merge.result].text;
    char32_t last = 0;
    for (size_t at = 0; at < text.size();) {
      const Utf8Char next = DecodeUtf8(text, at);
      if (next.bytes == 0) break;  // CheckTokens has seen to it that there is none
      if (at > 0) {
        const size_t bit = BigramBit(last, next.code);
        bits[bit / 64] |= uint64_t{1} << bit % 64;
      }
      last = next.code;
      at += next.bytes;
    }
  }
  return bits;
}

struct TrieOut {
  std::vector<TrieNode> nodes;
  std::vector<TrieEdge> edges;
};

// Breadth first over the sorted texts: a node is a range of texts that share their first `depth`
// bytes.
TrieOut BuildTrie(std::vector<std::pair<std::string_view, int32_t>> texts) {
  std::sort(texts.begin(), texts.end());
  struct Range {
    size_t begin, end, depth;
  };
  TrieOut trie;
  std::deque<Range> open = {{0, texts.size(), 0}};
  uint32_t made = 1;
  while (!open.empty()) {
    auto [begin, end, depth] = open.front();
    open.pop_front();
    TrieNode node{static_cast<uint32_t>(trie.edges.size()), 0, 0, -1};
    if (begin < end && texts[begin].first.size() == depth) node.token = texts[begin++].second;
    while (begin < end) {
      const char byte = texts[begin].first[depth];
      size_t next = begin;
      while (next < end && texts[next].first[depth] == byte) ++next;
      trie.edges.push_back({static_cast<unsigned char>(byte), made++});
      ++node.edges;
      open.push_back({begin, next, depth + 1});
      begin = next;
    }
    trie.nodes.push_back(node);
  }
  return trie;
}

TrieOut AddedTrie(const VocabSource& source, bool normalized) {
  std::vector<std::pair<std::string_view, int32_t>> texts;
  for (size_t id = 0; id < source.tokens.size(); ++id) {
    const Token& token = source.tokens[id];
    const bool added = token.kind == TokenKind::kSpecial || token.kind == TokenKind::kAdded;
    if (added && token.normalized == normalized && !token.text.empty()) {
      texts.emplace_back(token.text, static_cast<int32_t>(id));
    }
  }
  if (texts.empty()) return {};
  return BuildTrie(std::move(texts));
}

Result<void> CheckTokens(const VocabSource& source) {
  if (source.tokens.empty()) return Error{"the vocabulary is empty"};
  if (source.tokens.size() > INT32_MAX / 2) {
    return Error{Cat("the vocabulary has ", source.tokens.size(), " tokens, too many")};
  }
  for (size_t id = 0; id < source.tokens.size(); ++id) {
    const Token& token = source.tokens[id];
    if (token.text.size() > kMaxTokenBytes) {
      return Error{Cat("token ", id, " is ", token.text.size(), " bytes long, at most ",
                       kMaxTokenBytes, " are allowed")};
    }
    if (!IsUtf8(token.text)) return Error{Cat("token ", id, " is not UTF-8")};
    if (token.kind == TokenKind::kByte && !ByteValue(token.text)) {
      return Error{Cat("byte token ", id, ": ",
                       Expected("<0x00> to <0xFF>", token.text, "vocabulary").message)};
    }
  }
  for (const auto& [id, name] :
       {std::pair{source.bos, "bos"}, {source.eos, "eos"}, {source.unk, "unknown"}}) {
    if (id < -1 || id >= static_cast<int64_t>(source.tokens.size())) {
      return Error{Cat("the ", name, " token is ", id, ", outside the vocabulary of ",
                       source.tokens.size())};
    }
  }
  return Ok();
}

Result<std::vector<int32_t>> ByteIds(const VocabSource& source) {
  std::vector<int32_t> ids(256, -1);
  if (source.byte_fallback) {
    for (size_t id = 0; id < source.tokens.size(); ++id) {
      const Token& token = source.tokens[id];
      if (token.kind != TokenKind::kByte) continue;
      int32_t& slot = ids[*ByteValue(token.text)];
      if (slot >= 0) return Error{Cat("tokens ", slot, " and ", id, " are the same byte")};
      slot = static_cast<int32_t>(id);
    }
  }
  const auto missing = std::find(ids.begin(), ids.end(), -1);
  if (missing != ids.end() && source.unk < 0) {
    return Error{Cat("the vocabulary has neither an unknown token nor a token for byte ",
                     missing - ids.begin())};
  }
  return ids;
}

// A cut is exact only if no merge reaches across characters that the bigrams do not see.
bool MayCut(const VocabSource& source, const std::vector<int32_t>& byte_ids) {
  const auto is_byte = [&](uint32_t id) {
    return id < source.tokens.size() && source.tokens[id].kind == TokenKind::kByte;
  };
  return std::none_of(byte_ids.begin(), byte_ids.end(), [](int32_t id) { return id < 0; }) &&
         std::none_of(source.merges.begin(), source.merges.end(),
                      [&](const auto& m) { return is_byte(m.left) || is_byte(m.right); });
}

class BlockWriter {
 public:
  explicit BlockWriter(const Header& header) : header_(header) { block_.resize(sizeof(Header)); }
  void AddSection(Section section, std::string_view bytes) {
    block_.resize(AlignUp(block_.size(), 64));
    header_.sections[section] = {block_.size(), bytes.size()};
    block_ += bytes;
  }
  std::string Finish() && {
    header_.file_bytes = block_.size();
    std::memcpy(block_.data(), &header_, sizeof(header_));
    header_.checksum = BlockChecksum(std::as_bytes(std::span(block_)));
    std::memcpy(block_.data(), &header_, sizeof(header_));
    return std::move(block_);
  }

 private:
  Header header_;
  std::string block_;
};

}  // namespace

TokenIndex IndexTokens(const VocabSource& source) {
  TokenIndex index(source.tokens.size());
  for (size_t id = 0; id < source.tokens.size(); ++id) {
    index.emplace(source.tokens[id].text, static_cast<uint32_t>(id));
  }
  return index;
}

Result<void> AddMerge(std::string_view left, std::string_view right, const TokenIndex& index,
                      VocabSource& source) {
  const auto rank = static_cast<uint32_t>(source.merges.size());
  const auto fail = [&](std::string_view why) {
    return Error{Cat("merge ", rank, " (\"", left, "\", \"", right, "\"): ", why)};
  };
  if (left.empty() || right.empty()) return fail("expected two tokens");
  if (left.size() > kMaxTokenBytes || right.size() > kMaxTokenBytes) {
    return Error{Cat("merge ", rank, " is longer than ", kMaxTokenBytes, " bytes")};
  }
  const auto l = index.find(left), r = index.find(right);
  if (l == index.end()) return fail(Cat("\"", left, "\" is not in the vocabulary"));
  if (r == index.end()) return fail(Cat("\"", right, "\" is not in the vocabulary"));
  const auto result = index.find(std::string(left).append(right));
  if (result == index.end()) return fail("the result is not in the vocabulary");
  const TokenKind kind = source.tokens[result->second].kind;
  // What a user writes must never merge into a token that means something else.
  if (kind == TokenKind::kSpecial || kind == TokenKind::kByte) return Ok();
  source.merges.push_back({l->second, r->second, rank, result->second});
  return Ok();
}

Result<std::string> CompileVocabulary(const VocabSource& source, std::string_view stamp) {
  FACET_TRY(CheckTokens(source));
  FACET_ASSIGN(const auto table, BuildTextTable(source.tokens));
  FACET_ASSIGN(const auto byte_ids, ByteIds(source));
  Strings texts, pieces;
  std::vector<TokenKind> kinds;
  for (const Token& token : source.tokens) {
    texts.AddText(token.text);
    pieces.AddText(PieceOf(token, source.spaces_to_blocks));
    kinds.push_back(token.kind);
  }
  const CharTable chars = BuildCharTable(source);
  const TrieOut added = AddedTrie(source, false), normalized = AddedTrie(source, true);

  Header header{};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.version = kVersion;
  header.header_bytes = sizeof(Header);
  header.tokens = static_cast<int32_t>(source.tokens.size());
  header.bos = source.bos;
  header.eos = source.eos;
  header.unk = source.unk;
  header.add_bos = source.add_bos;
  header.fuse_unk = source.fuse_unk;
  header.spaces_to_blocks = source.spaces_to_blocks;
  header.may_cut = MayCut(source, byte_ids);

  BlockWriter block(header);
  block.AddSection(kStamp, stamp);
  block.AddSection(kTextOffsets, Bytes(texts.offsets));
  block.AddSection(kTexts, texts.bytes);
  block.AddSection(kTextTable, Bytes(table));
  block.AddSection(kPieceOffsets, Bytes(pieces.offsets));
  block.AddSection(kPieces, pieces.bytes);
  block.AddSection(kKinds, Bytes(kinds));
  block.AddSection(kCharIndex, Bytes(chars.index));
  block.AddSection(kCharPages, Bytes(chars.pages));
  block.AddSection(kLooseChars, Bytes(source.loose_chars));
  block.AddSection(kByteIds, Bytes(byte_ids));
  block.AddSection(kMerges, Bytes(BuildMergeTable(source.merges)));
  block.AddSection(kBigrams, Bytes(BuildBigrams(source)));
  block.AddSection(kAddedNodes, Bytes(added.nodes));
  block.AddSection(kAddedEdges, Bytes(added.edges));
  block.AddSection(kNormalizedNodes, Bytes(normalized.nodes));
  block.AddSection(kNormalizedEdges, Bytes(normalized.edges));
  return std::move(block).Finish();
}

Result<void> MergesFromScores(std::span<const float> scores, VocabSource& source) {
  const auto& tokens = source.tokens;
  if (scores.size() != tokens.size()) return Expected(tokens.size(), scores.size(), "scores");
  TokenIndex parts;
  std::vector<float> levels;
  for (size_t id = 0; id < tokens.size(); ++id) {
    if (tokens[id].kind != TokenKind::kNormal) continue;
    if (!(scores[id] == scores[id]))
      return Error{Cat("the score of token ", id, " is not a number")};
    if (tokens[id].text.size() > kMaxTokenBytes) continue;  // CompileVocabulary reports it
    parts.emplace(tokens[id].text, static_cast<uint32_t>(id));
    levels.push_back(scores[id]);
  }
  std::sort(levels.begin(), levels.end(), std::greater<>());
  levels.erase(std::unique(levels.begin(), levels.end()), levels.end());

  // A character that only occurs inside tokens still is a symbol that merges start from.
  for (const Token& token : tokens) {
    if (token.kind != TokenKind::kNormal || token.text.size() > kMaxTokenBytes) continue;
    for (size_t at = 0; at < token.text.size();) {
      const Utf8Char next = DecodeUtf8(token.text, at);
      if (next.bytes == 0) break;
      const auto id = static_cast<uint32_t>(tokens.size() + source.loose_chars.size());
      if (parts.emplace(token.text.substr(at, next.bytes), id).second) {
        source.loose_chars.push_back(next.code);
      }
      at += next.bytes;
    }
  }
  for (size_t id = 0; id < tokens.size(); ++id) {
    const std::string_view text = tokens[id].text;
    if (tokens[id].kind != TokenKind::kNormal || text.size() > kMaxTokenBytes) continue;
    const auto level = std::lower_bound(levels.begin(), levels.end(), scores[id], std::greater<>());
    const auto rank = static_cast<uint32_t>(level - levels.begin());
    for (size_t cut = 1; cut < text.size(); ++cut) {
      if ((text[cut] & 0xC0) == 0x80) continue;
      const auto left = parts.find(text.substr(0, cut));
      if (left == parts.end()) continue;
      const auto right = parts.find(text.substr(cut));
      if (right == parts.end()) continue;
      source.merges.push_back({left->second, right->second, rank, static_cast<uint32_t>(id)});
    }
  }
  return Ok();
}

}  // namespace facet
