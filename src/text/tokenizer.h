// Byte-fallback BPE of the Gemma family, from a tokenizer.json or from a GGUF's vocabulary.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace facet {

using TokenId = int32_t;

// Bytes [begin, end) of a text.
struct TextSpan {
  size_t begin = 0, end = 0;
};

class Gguf;

class Tokenizer {
 public:
  // A folder with tokenizer.json, a tokenizer.json, or a GGUF with a vocabulary. The compiled
  // vocabulary is kept in $XDG_CACHE_HOME/facet and mapped from then on; where the cache cannot be
  // written it is built in memory.
  static Result<std::shared_ptr<const Tokenizer>> Load(const std::filesystem::path& path);
  ~Tokenizer();

  // Special tokens are parsed everywhere except where they would touch a byte of `plain` (sorted,
  // disjoint). Added tokens that are not special ("\n\n") are parsed everywhere. Adds no <bos>.
  // `text` may be any bytes.
  std::vector<TokenId> Encode(std::string_view text, std::span<const TextSpan> plain = {}) const;
  // The same; nothing where it would give more than `limit` tokens. Such a text costs no more than
  // one that just fits.
  std::optional<std::vector<TokenId>> EncodeAtMost(size_t limit, std::string_view text,
                                                   std::span<const TextSpan> plain = {}) const;
  // All of `text` is plain text, as of a user: no special tokens.
  std::vector<TokenId> EncodePlain(std::string_view text) const;

  // The reference's decode(skip_special_tokens=...). Ids outside the vocabulary are skipped.
  std::string Decode(std::span<const TokenId> ids, bool skip_special = false) const;
  // Bytes that one token adds to a stream (byte tokens give one raw byte, U+2581 a space); empty
  // for unknown ids.
  std::string_view Piece(TokenId id) const;

  int64_t size() const;
  std::optional<TokenId> Find(
      std::string_view token) const;  // exact vocabulary entry, e.g. "<turn|>"
  bool IsSpecial(TokenId id) const;
  bool IsByte(TokenId id) const;  // one byte of a character that has no token
  // Vocabulary texts of all special tokens.
  std::vector<std::string> SpecialTokens() const;
  std::optional<TokenId> bos() const;
  std::optional<TokenId> eos() const;
  // Prepended by tokenisers of raw text (GGUF add_bos_token; the tokenizer.json post-processor).
  bool add_bos() const;

 private:
  Tokenizer();
  struct Data;
  std::unique_ptr<Data> data_;
};

// Turns a stream of tokens into text, never splitting a UTF-8 character. Invalid bytes become
// U+FFFD as in Decode.
class StreamDecoder {
 public:
  explicit StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special = true);
  // The text that has become certain with this token; may be empty.
  std::string Add(TokenId id);
  // What is left at the end of the stream.
  std::string Finish();

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  bool skip_special_;
  std::string pending_;
};

}  // namespace facet
