// The vocabulary in a GGUF's metadata (tokenizer.ggml.*): the "gemma4" kind with merges, the
// "llama" kind with scores.
#include "base/checked.h"
#include "formats/gguf.h"
#include "text/gguf_token_type.h"
#include "text/vocabulary.h"

namespace facet {
namespace {

// Converters declare some control tokens user-defined so that llama.cpp prints them; what a user
// writes must still never become one of them.
bool LooksSpecial(std::string_view text) {
  if (text == "<start_of_image>" || text == "<end_of_image>") return true;
  return text.size() > 3 && text.front() == '<' && text.back() == '>' &&
         (text[1] == '|' || text[text.size() - 2] == '|');
}

Result<TokenKind> KindOf(int64_t type, std::string_view text, size_t id) {
  switch (static_cast<GgufTokenType>(type)) {
    case GgufTokenType::kNormal:
    case GgufTokenType::kUnused:
      return TokenKind::kNormal;
    case GgufTokenType::kUnknown:
    case GgufTokenType::kControl:
      return TokenKind::kSpecial;
    case GgufTokenType::kUserDefined:
      return LooksSpecial(text) ? TokenKind::kSpecial : TokenKind::kAdded;
    case GgufTokenType::kByte:
      return TokenKind::kByte;
  }
  return Expected("a type from 1 to 6", type, Cat("tokenizer.ggml.token_type[", id, "]"));
}

Result<void> ReadTokens(const Gguf& file, VocabSource& source) {
  FACET_ASSIGN(const auto texts, file.Strings("tokenizer.ggml.tokens"));
  FACET_ASSIGN(const auto types, file.Ints("tokenizer.ggml.token_type"));
  if (types.size() != texts.size()) {
    return Expected(texts.size(), types.size(), "entries of tokenizer.ggml.token_type");
  }
  source.tokens.reserve(texts.size());
  for (size_t id = 0; id < texts.size(); ++id) {
    FACET_ASSIGN(const TokenKind kind, KindOf(types[id], texts[id], id));
    source.tokens.push_back({texts[id], kind});
  }
  return Ok();
}

// Merge lists cannot make "\n\n" where the tokenizer.json had it as an added token; the converter
// drops that mark.
void MarkWhitespaceWithoutMerge(VocabSource& source) {
  std::vector<bool> made(source.tokens.size(), false);
  for (const auto& merge : source.merges) made[merge.result] = true;
  for (size_t id = 0; id < source.tokens.size(); ++id) {
    auto& token = source.tokens[id];
    if (token.kind == TokenKind::kNormal && !made[id] && token.text.size() > 1 &&
        token.text.find_first_not_of("\n\r\t ") == std::string_view::npos) {
      token.kind = TokenKind::kAdded;
    }
  }
}

Result<void> ReadMerges(const Gguf& file, VocabSource& source) {
  FACET_ASSIGN(const auto merges, file.Strings("tokenizer.ggml.merges"));
  const TokenIndex index = IndexTokens(source);
  source.merges.reserve(merges.size());
  for (const std::string_view merge : merges) {
    const size_t space = merge.find(' ', 1);
    const bool pair = space != merge.npos;
    FACET_TRY(AddMerge(merge.substr(0, space), pair ? merge.substr(space + 1) : "", index, source));
  }
  MarkWhitespaceWithoutMerge(source);
  return Ok();
}

Result<int32_t> OptionalId(const Gguf& file, std::string_view key) {
  if (!file.Has(key)) return -1;
  FACET_ASSIGN(const int64_t id, file.Int(key));
  const auto narrow = CheckedCast<int32_t>(id);
  if (!narrow) return Expected("a token id", id, key);
  return *narrow;
}

}  // namespace

Result<VocabSource> ReadGgufVocabulary(const std::filesystem::path& path) {
  FACET_ASSIGN(auto opened, Gguf::Open(path));
  const std::shared_ptr<const Gguf> file = std::move(opened);
  VocabSource source;
  source.owner = file;
  source.fuse_unk = true;
  FACET_ASSIGN(const std::string_view kind, file->String("tokenizer.ggml.model"));
  if (kind != "gemma4" && kind != "llama") {
    return Error{
        Cat("tokenizer.ggml.model \"", kind, "\" is not supported; supported are gemma4 and llama"),
        ErrorKind::kUnsupported};
  }
  if (file->Has("tokenizer.ggml.add_space_prefix")) {
    FACET_ASSIGN(const bool prefix, file->Bool("tokenizer.ggml.add_space_prefix"));
    if (prefix) {
      return Error{"tokenizer.ggml.add_space_prefix = true is not supported",
                   ErrorKind::kUnsupported};
    }
  } else if (kind == "llama") {
    return Error{
        "a \"llama\" vocabulary without tokenizer.ggml.add_space_prefix = false is not supported",
        ErrorKind::kUnsupported};
  }
  FACET_TRY(ReadTokens(*file, source));
  if (kind == "gemma4") {
    FACET_TRY(ReadMerges(*file, source));
  } else {
    FACET_ASSIGN(const auto scores, file->Floats("tokenizer.ggml.scores"));
    FACET_TRY(MergesFromScores(scores, source));
  }
  FACET_ASSIGN(source.bos, OptionalId(*file, "tokenizer.ggml.bos_token_id"));
  FACET_ASSIGN(source.eos, OptionalId(*file, "tokenizer.ggml.eos_token_id"));
  FACET_ASSIGN(source.unk, OptionalId(*file, "tokenizer.ggml.unknown_token_id"));
  source.add_bos = source.bos >= 0;  // the Gemma family always starts with <bos>
  if (file->Has("tokenizer.ggml.add_bos_token")) {
    FACET_ASSIGN(source.add_bos, file->Bool("tokenizer.ggml.add_bos_token"));
  }
  return source;
}

}  // namespace facet
