// Any bytes as a tokenizer.json: refused, or a tokenizer that encodes and decodes any text.
#include <cstdlib>

#include "fuzz_file.h"
#include "text/tokenizer.h"

namespace {

// Nothing is kept between runs: a cache that cannot be written is done without.
const bool kNoCache = setenv("XDG_CACHE_HOME", "/proc/no-cache", 1) == 0;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace facet;
  const FuzzFile file(bytes, size);
  const auto tokenizer = Tokenizer::Load(file.path());
  if (!tokenizer.ok()) return 0;
  // The file's own words, too.
  const std::string text("Hello w\xc3\xb6rld \xf0\x9f\x98\x80 <bos>\n\n  x\xff<unk>");
  const std::string_view own(reinterpret_cast<const char*>(bytes), size < 300 ? size : 300);
  for (const std::string_view input : {std::string_view(text), own}) {
    for (const bool plain : {false, true}) {
      const auto ids = plain ? (*tokenizer)->EncodePlain(input) : (*tokenizer)->Encode(input);
      (void)(*tokenizer)->Decode(ids, plain);
      for (const TokenId id : ids) (void)(*tokenizer)->Piece(id);
    }
  }
  (void)(*tokenizer)->SpecialTokens();
  return 0;
}
