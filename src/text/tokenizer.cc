#include "text/tokenizer.h"

#include <algorithm>
#include <bitset>

#include "base/utf8.h"
#include "text/vocabulary.h"
#include "text/vocabulary_cache.h"

namespace facet {
namespace {

constexpr std::string_view kReplacement = "\uFFFD";

// No token stands for more bytes; SIZE_MAX where one may stand for any number.
size_t LongestToken(const Vocabulary& vocabulary) {
  size_t longest = 1;
  for (int32_t id = 0; id < vocabulary.size(); ++id)
    longest = std::max(longest, vocabulary.piece(id).size());
  for (int byte = 0; byte < 256; ++byte) {
    const bool spelled = vocabulary.ByteId(static_cast<unsigned char>(byte)) >= 0;
    if (!spelled && vocabulary.fuse_unk()) return SIZE_MAX;  // one <unk> for a run of them
  }
  return std::max(longest, size_t{4});  // a character that has no token
}

// Bytes that begin some token of a trie, so that most positions are passed over at once.
std::bitset<256> FirstBytes(const Trie& trie) {
  std::bitset<256> bytes;
  if (trie.nodes.empty()) return bytes;
  for (const TrieEdge& edge : trie.edges.subspan(0, trie.nodes[0].edges)) bytes.set(edge.byte);
  return bytes;
}

const TrieNode* Step(const Trie& trie, const TrieNode& node, unsigned char byte) {
  const auto edges = trie.edges.subspan(node.first_edge, node.edges);
  const auto edge = std::lower_bound(edges.begin(), edges.end(), byte,
                                     [](const TrieEdge& e, unsigned char b) { return e.byte < b; });
  return edge != edges.end() && edge->byte == byte ? &trie.nodes[edge->child] : nullptr;
}

struct Match {
  TokenId token = -1;
  size_t bytes = 0;
};

// A run of byte tokens as text: what it spells, or one U+FFFD a byte where the whole run is not
// UTF-8.
std::string TextOfBytes(std::string_view bytes) {
  if (IsUtf8(bytes)) return std::string(bytes);
  std::string text;
  for (size_t i = 0; i < bytes.size(); ++i) text += kReplacement;
  return text;
}

}  // namespace

struct Tokenizer::Data {
  explicit Data(Vocabulary v)
      : vocabulary(std::move(v)),
        longest(LongestToken(vocabulary)),
        first(FirstBytes(vocabulary.added())),
        first_normalized(FirstBytes(vocabulary.added_normalized())) {}

  // The longest token of the trie at text[at] that may stand there. `plain` starts with the first
  // span that ends behind `at`.
  Match Longest(const Trie& trie, std::string_view text, size_t at,
                std::span<const TextSpan> plain) const {
    Match best;
    const TrieNode* node = &trie.nodes[0];
    for (size_t i = at; i < text.size(); ++i) {
      node = Step(trie, *node, static_cast<unsigned char>(text[i]));
      if (node == nullptr) break;
      if (node->token < 0) continue;
      const bool special = vocabulary.kind(node->token) == TokenKind::kSpecial;
      if (special && !plain.empty() && plain.front().begin <= i) break;  // longer ones touch it too
      best = {node->token, i + 1 - at};
    }
    return best;
  }

  // Text between added tokens goes to `rest`, added tokens to `ids`. Ends early where there are
  // more than `limit` ids.
  template <typename Rest>
  void Split(const Trie& trie, const std::bitset<256>& starts, std::string_view text,
             std::span<const TextSpan> plain, size_t limit, std::vector<TokenId>& ids,
             Rest rest) const {
    size_t begin = 0;
    for (size_t at = 0; at < text.size();) {
      if (ids.size() > limit) return;
      if (!starts[static_cast<unsigned char>(text[at])]) {
        ++at;
        continue;
      }
      while (!plain.empty() && plain.front().end <= at) plain = plain.subspan(1);
      const Match match = Longest(trie, text, at, plain);
      if (match.bytes == 0) {
        ++at;
        continue;
      }
      if (begin < at) rest(begin, at);
      ids.push_back(match.token);
      begin = at += match.bytes;
    }
    if (begin < text.size()) rest(begin, text.size());
  }

  // A part without unnormalised added tokens.
  void EncodePart(std::string_view text, std::span<const TextSpan> plain, size_t offset,
                  size_t limit, std::vector<TokenId>& ids) const;

  Vocabulary vocabulary;
  size_t longest;  // bytes of one token
  std::bitset<256> first, first_normalized;
};

void Tokenizer::Data::EncodePart(std::string_view text, std::span<const TextSpan> plain,
                                 size_t offset, size_t limit, std::vector<TokenId>& ids) const {
  const std::string_view part = text;
  if (vocabulary.added_normalized().nodes.empty()) return EncodeBpe(vocabulary, part, limit, ids);
  // Normalising moves bytes, so the spans move with them.
  std::string normalized;
  std::vector<size_t> moved;  // original byte -> normalised byte
  for (const char c : part) {
    moved.push_back(normalized.size());
    if (c == ' ' && vocabulary.spaces_to_blocks()) {
      AppendUtf8(normalized, kSpaceBlock);
    } else {
      normalized += c;
    }
  }
  moved.push_back(normalized.size());
  std::vector<TextSpan> spans;
  for (const TextSpan& span : plain) {
    const size_t begin = std::clamp(span.begin, offset, offset + part.size()) - offset;
    const size_t end = std::clamp(span.end, offset, offset + part.size()) - offset;
    if (begin < end) spans.push_back({moved[begin], moved[end]});
  }
  Split(vocabulary.added_normalized(), first_normalized, normalized, spans, limit, ids,
        [&](size_t begin, size_t end) {
          EncodeBpe(vocabulary, std::string_view(normalized).substr(begin, end - begin), limit,
                    ids);
        });
}

Tokenizer::Tokenizer() = default;
Tokenizer::~Tokenizer() = default;

Result<std::shared_ptr<const Tokenizer>> Tokenizer::Load(const std::filesystem::path& path) {
  FACET_ASSIGN(Vocabulary vocabulary, LoadVocabulary(path));
  std::shared_ptr<Tokenizer> tokenizer(new Tokenizer);
  tokenizer->data_ = std::make_unique<Data>(std::move(vocabulary));
  return std::shared_ptr<const Tokenizer>(std::move(tokenizer));
}

std::vector<TokenId> Tokenizer::Encode(std::string_view text,
                                       std::span<const TextSpan> plain) const {
  return *EncodeAtMost(SIZE_MAX, text, plain);
}

std::optional<std::vector<TokenId>> Tokenizer::EncodeAtMost(size_t limit, std::string_view text,
                                                            std::span<const TextSpan> plain) const {
  if (text.size() / data_->longest > limit) return std::nullopt;
  std::vector<TokenId> ids;
  const Trie& added = data_->vocabulary.added();
  if (added.nodes.empty()) {
    data_->EncodePart(text, plain, 0, limit, ids);
  } else {
    data_->Split(added, data_->first, text, plain, limit, ids, [&](size_t begin, size_t end) {
      data_->EncodePart(text.substr(begin, end - begin), plain, begin, limit, ids);
    });
  }
  if (ids.size() > limit) return std::nullopt;
  return ids;
}

std::vector<TokenId> Tokenizer::EncodePlain(std::string_view text) const {
  const TextSpan all{0, text.size()};
  return Encode(text, {&all, 1});
}

std::string Tokenizer::Decode(std::span<const TokenId> ids, bool skip_special) const {
  std::string text, bytes;
  const auto flush = [&] {
    if (!bytes.empty()) text += TextOfBytes(bytes);
    bytes.clear();
  };
  for (const TokenId id : ids) {
    if (id < 0 || id >= size() || (skip_special && IsSpecial(id))) continue;
    if (data_->vocabulary.kind(id) == TokenKind::kByte) {
      bytes += Piece(id);
    } else {
      flush();
      text += Piece(id);
    }
  }
  flush();
  return text;
}

std::string_view Tokenizer::Piece(TokenId id) const {
  if (id < 0 || id >= size()) return {};
  return data_->vocabulary.piece(id);
}

int64_t Tokenizer::size() const {
  return data_->vocabulary.size();
}

std::optional<TokenId> Tokenizer::Find(std::string_view token) const {
  return data_->vocabulary.Find(token);
}

bool Tokenizer::IsSpecial(TokenId id) const {
  return id >= 0 && id < size() && data_->vocabulary.kind(id) == TokenKind::kSpecial;
}

bool Tokenizer::IsByte(TokenId id) const {
  return id >= 0 && id < size() && data_->vocabulary.kind(id) == TokenKind::kByte;
}

std::vector<std::string> Tokenizer::SpecialTokens() const {
  std::vector<std::string> tokens;
  for (TokenId id = 0; id < size(); ++id) {
    if (IsSpecial(id)) tokens.emplace_back(data_->vocabulary.text(id));
  }
  return tokens;
}

std::optional<TokenId> Tokenizer::bos() const {
  return data_->vocabulary.bos() < 0 ? std::nullopt : std::optional(data_->vocabulary.bos());
}

std::optional<TokenId> Tokenizer::eos() const {
  return data_->vocabulary.eos() < 0 ? std::nullopt : std::optional(data_->vocabulary.eos());
}

bool Tokenizer::add_bos() const {
  return data_->vocabulary.add_bos();
}

StreamDecoder::StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special)
    : tokenizer_(std::move(tokenizer)), skip_special_(skip_special) {}

// A run of byte tokens is held until it ends, because a later byte decides how the whole run reads.
std::string StreamDecoder::Add(TokenId id) {
  if (id < 0 || id >= tokenizer_->size()) return {};
  if (skip_special_ && tokenizer_->IsSpecial(id)) return {};
  if (tokenizer_->IsByte(id)) {
    pending_ += tokenizer_->Piece(id);
    return {};
  }
  std::string text = Finish();
  text += tokenizer_->Piece(id);
  return text;
}

std::string StreamDecoder::Finish() {
  std::string text = TextOfBytes(pending_);
  pending_.clear();
  return text;
}

}  // namespace facet
