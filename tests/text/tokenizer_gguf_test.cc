// Small vocabularies written as GGUF: score merges by hand, and damage.
#include <cmath>
#include <cstdio>
#include <functional>

#include "formats/gguf.h"
#include "support/temp_folder.h"
#include "support/vocabularies.h"
#include "text/tokenizer.h"

namespace facet {
namespace {

struct Fields {
  std::string model = "llama";
  std::vector<std::string> tokens, merges;
  std::vector<int32_t> types;
  std::vector<float> scores;
  int32_t bos = 2;
  bool space_prefix = false;

  // <pad> <eos> <bos> <unk>, the bytes, then `pieces`.
  explicit Fields(const std::vector<std::pair<std::string, float>>& pieces) {
    for (const char* token : {"<pad>", "<eos>", "<bos>", "<unk>"}) Add(token, 3, 0);
    for (int byte = 0; byte < 256; ++byte) {
      char text[8];
      std::snprintf(text, sizeof(text), "<0x%02X>", byte);
      Add(text, 6, 0);
    }
    for (const auto& [text, score] : pieces) Add(text, 1, score);
  }
  void Add(const std::string& text, int32_t type, float score) {
    tokens.push_back(text);
    types.push_back(type);
    scores.push_back(score);
  }
};

class GgufVocabulary : public testing::Test {
 protected:
  GgufVocabulary() { UseTestCache(); }

  Result<std::shared_ptr<const Tokenizer>> Load(const Fields& fields) {
    const auto path = folder_.path() / "vocabulary.gguf";
    GgufWriter writer;
    writer.Set("general.architecture", std::string_view("gemma3"));
    writer.Set("tokenizer.ggml.model", std::string_view(fields.model));
    writer.Set("tokenizer.ggml.tokens", fields.tokens);
    writer.Set("tokenizer.ggml.token_type", fields.types);
    writer.Set("tokenizer.ggml.scores", fields.scores);
    if (!fields.merges.empty()) writer.Set("tokenizer.ggml.merges", fields.merges);
    writer.Set("tokenizer.ggml.bos_token_id", fields.bos);
    writer.Set("tokenizer.ggml.unknown_token_id", int32_t{3});
    writer.Set("tokenizer.ggml.add_space_prefix", fields.space_prefix);
    auto written = writer.Begin(path);
    if (written.ok()) written = writer.Finish();
    if (!written.ok()) return written.error();
    return Tokenizer::Load(path);
  }

  std::string ErrorOf(Fields fields, const std::function<void(Fields&)>& damage) {
    damage(fields);
    auto loaded = Load(fields);
    return loaded.ok() ? "no error" : loaded.error().message;
  }

  std::vector<std::string> Pieces(const Tokenizer& tokenizer, std::string_view text) {
    std::vector<std::string> pieces;
    for (const TokenId id : tokenizer.Encode(text)) pieces.emplace_back(tokenizer.Piece(id));
    return pieces;
  }

  TempFolder folder_;
};

using Strings = std::vector<std::string>;

TEST_F(GgufVocabulary, MergesTheHighestScoreFirst) {
  const auto tokenizer = *Load(Fields({{"a", -1},
                                       {"b", -1},
                                       {"c", -1},
                                       {"ab", -5},
                                       {"bc", -4},
                                       {"abc", -9},
                                       {"aa", -3},
                                       {"\u2581", -1},
                                       {"\u2581a", -2}}));
  EXPECT_EQ(Pieces(*tokenizer, "abc"), Strings{"abc"});        // a + bc
  EXPECT_EQ(Pieces(*tokenizer, "aaa"), (Strings{"aa", "a"}));  // the leftmost of equals
  EXPECT_EQ(Pieces(*tokenizer, " ab"), (Strings{" a", "b"}));
  EXPECT_EQ(Pieces(*tokenizer, "bab"), (Strings{"b", "ab"}));
}

TEST_F(GgufVocabulary, MergesCharactersThatAreNoTokens) {
  const auto tokenizer = *Load(Fields({{"a", -1}, {"\u20ac\u20ac", -3}, {"\u20ac\u20aca", -4}}));
  EXPECT_EQ(Pieces(*tokenizer, "\u20ac\u20aca"), Strings{"\u20ac\u20aca"});
  EXPECT_EQ(Pieces(*tokenizer, "\u20aca"), (Strings{"\xe2", "\x82", "\xac", "a"}));
  EXPECT_EQ(tokenizer->Decode(tokenizer->Encode("\u20aca")), "\u20aca");
}

TEST_F(GgufVocabulary, NeverMergesIntoASpecialToken) {
  Fields fields(
      {{"<", -1}, {"b", -1}, {"o", -1}, {"s", -1}, {">", -1}, {"<b", -2}, {"os>", -2}, {"os", -2}});
  const auto by_scores = *Load(fields);
  for (const TokenId id : by_scores->EncodePlain("<bos>")) EXPECT_FALSE(by_scores->IsSpecial(id));
  fields.model = "gemma4";
  fields.merges = {"< b", "o s", "os >", "<b os>"};
  const auto by_merges = *Load(fields);
  for (const TokenId id : by_merges->EncodePlain("<bos>")) EXPECT_FALSE(by_merges->IsSpecial(id));
}

TEST_F(GgufVocabulary, NamesWhatIsWrong) {
  const Fields good({{"a", -1}, {"b", -2}, {"ab", -3}});
  ASSERT_TRUE(Load(good).ok());
  const auto expect = [&](const std::string& words, const std::function<void(Fields&)>& damage) {
    const std::string error = ErrorOf(good, damage);
    EXPECT_NE(error.find(words), std::string::npos) << "[" << error << "] lacks " << words;
  };
  expect("tokenizer.ggml.model", [](Fields& f) { f.model = "bert"; });
  expect("token_type", [](Fields& f) { f.types.pop_back(); });
  expect("token_type[5]", [](Fields& f) { f.types[5] = 9; });
  expect("scores", [](Fields& f) { f.scores.pop_back(); });
  expect("not a number", [](Fields& f) { f.scores.back() = NAN; });
  expect("<0x-1>", [](Fields& f) { f.tokens[9] = "<0x-1>"; });
  expect("same byte", [](Fields& f) { f.tokens[9] = "<0xff>"; });
  expect("are both", [](Fields& f) { f.tokens.back() = "a"; });
  expect("not UTF-8", [](Fields& f) { f.tokens.back() = "\xff"; });
  expect("bytes long", [](Fields& f) { f.tokens.back() = std::string(70000, 'a'); });
  expect("bos", [](Fields& f) { f.bos = 100000; });
  expect("bos", [](Fields& f) { f.bos = -7; });
  expect("add_space_prefix", [](Fields& f) { f.space_prefix = true; });
  expect("merges", [](Fields& f) { f.model = "gemma4"; });
  const auto merges = [](std::vector<std::string> list) {
    return [list](Fields& f) {
      f.model = "gemma4";
      f.merges = list;
    };
  };
  expect("no error", merges({"a b"}));
  expect("not in the vocabulary", merges({"a q"}));
  expect("not in the vocabulary", merges({"b a"}));
  expect("expected two tokens", merges({"ab"}));
  expect("expected two tokens", merges({""}));
  expect("expected two tokens", merges({" b"}));
  expect("expected two tokens", merges({"a "}));
}

}  // namespace
}  // namespace facet
