#include "model/synth_vocabulary.h"

#include <cassert>
#include <string>
#include <vector>

namespace facet {
namespace {

// llama_token_type of llama.cpp.
enum TokenType : int32_t { kNormal = 1, kControl = 3, kUserDefined = 4, kByte = 6 };

struct Special {
  const char* text;
  TokenType type;
};

// Ids 0 to 4 are those of the published vocabulary.
constexpr Special kSpecials[] = {
    {"<pad>", kControl},
    {"<eos>", kControl},
    {"<bos>", kControl},
    {"<unk>", kControl},
    {"<mask>", kControl},
    {"<|image|>", kControl},
    {"<|image>", kControl},
    {"<image|>", kControl},
    {"<|audio|>", kControl},
    {"<|audio>", kControl},
    {"<audio|>", kControl},
    {"<|turn>", kControl},
    {"<turn|>", kControl},
    {"<|channel>", kUserDefined},
    {"<channel|>", kUserDefined},
    {"<|think|>", kControl},
    {"<|\"|>", kUserDefined},
    {"<|tool_response>", kUserDefined},
    {"<tool_response|>", kUserDefined},
    {"<|tool_call>", kUserDefined},
    {"<tool_call|>", kUserDefined},
    {"<|tool>", kControl},
    {"<tool|>", kControl},
    {"<|video|>", kControl},
};

constexpr char kTemplate[] =
    "{{ bos_token }}{% for m in messages %}<|turn>{{ 'model' if m.role == 'assistant' else m.role "
    "}}\n"
    "{{ m.content }}<turn|>\n{% endfor %}{% if add_generation_prompt %}<|turn>model\n{% endif %}";

class Vocabulary {
 public:
  void Add(std::string text, TokenType type) {
    tokens.push_back(std::move(text));
    types.push_back(type);
  }
  void AddWords(size_t size) {
    std::vector<std::string> shorter;
    for (char c = 'a'; c <= 'z'; ++c) shorter.emplace_back(1, c);
    while (tokens.size() < size) {
      std::vector<std::string> longer;
      for (const std::string& word : shorter) {
        for (char c = 'a'; c <= 'z' && tokens.size() < size; ++c) {
          merges.push_back(word + " " + c);
          longer.push_back(word + c);
          Add(longer.back(), kNormal);
        }
      }
      shorter = std::move(longer);
    }
  }

  std::vector<std::string> tokens, merges;
  std::vector<int32_t> types;
};

}  // namespace

void SetSynthVocabulary(int64_t size, GgufWriter& writer) {
  assert(size >= 1024);
  Vocabulary v;
  for (const Special& special : kSpecials) v.Add(special.text, special.type);
  constexpr char kHex[] = "0123456789ABCDEF";
  for (int byte = 0; byte < 256; ++byte)
    v.Add({'<', '0', 'x', kHex[byte >> 4], kHex[byte & 15], '>'}, kByte);
  v.Add("\n", kNormal);
  v.Add("\u2581", kNormal);
  for (char c = '!'; c <= '~'; ++c) v.Add(std::string(1, c), kNormal);
  v.AddWords(static_cast<size_t>(size));
  writer.Set("tokenizer.ggml.model", "gemma4");
  writer.Set("tokenizer.ggml.tokens", v.tokens);
  writer.Set("tokenizer.ggml.scores", std::vector<float>(v.tokens.size(), -1000.0f));
  writer.Set("tokenizer.ggml.token_type", v.types);
  writer.Set("tokenizer.ggml.merges", v.merges);
  writer.Set("tokenizer.ggml.bos_token_id", uint32_t{2});
  writer.Set("tokenizer.ggml.eos_token_id", uint32_t{1});
  writer.Set("tokenizer.ggml.unknown_token_id", uint32_t{3});
  writer.Set("tokenizer.ggml.padding_token_id", uint32_t{0});
  writer.Set("tokenizer.ggml.mask_token_id", uint32_t{4});
  writer.Set("tokenizer.chat_template", kTemplate);
  writer.Set("tokenizer.ggml.add_space_prefix", false);
  writer.Set("tokenizer.ggml.add_bos_token", true);
}

}  // namespace facet
