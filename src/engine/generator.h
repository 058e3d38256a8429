// One sequence from prompt to answer: prefill in chunks, decode, stop. What `facet run` and the conformance command use.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/prompt.h"
#include "engine/sampler.h"
#include "engine/stop_strings.h"

namespace facet {

struct GenerateOptions {
  SamplingParams sampling;
  int max_tokens = -1;  // -1: up to the context
  std::vector<std::string> stop;
  int chunk = 512;       // prompt tokens a step
  bool skip_special = true;
  std::function<void(int done, int total)> on_prompt;     // tokens of the prompt read so far
  std::function<void(const std::string& text)> on_text;   // certain text, never half a character
  std::function<void(TokenId id)> on_token;
  const std::atomic<bool>* cancel = nullptr;
};

struct GenerateResult {
  enum class Finish { kStop, kLength, kCancelled } finish = Finish::kStop;
  std::vector<TokenId> ids;
  std::string text;
  int prompt_tokens = 0, cached_tokens = 0;
  double prompt_seconds = 0, decode_seconds = 0;  // decode_seconds covers ids.size() - 1 steps
};

// A conversation's sequence: keeps what the model has read, so that the next turn prefills only what is new.
class Session {
 public:
  Session(Model& model, std::shared_ptr<const Tokenizer> tokenizer);

  // Reads the prompt (its soft rows embedded) and answers. What the prompt shares with what was read before is not read
  // again. Error kResource, with the numbers, where the prompt does not fit into the context or the cache.
  Result<GenerateResult> Generate(Prompt& prompt, const GenerateOptions& options);

  // Forgets everything.
  void Clear();

 private:
  // Tokens of `prompt` that the sequence already holds, as far back as its window allows.
  int Reuse(const Prompt& prompt);
  Result<void> Prefill(const Prompt& prompt, int begin, const GenerateOptions& options, Buffer& hidden);

  Model& model_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  KvSequence sequence_;
  std::vector<TokenId> read_;                  // ids in the cache
  std::vector<std::pair<int, uint64_t>> soft_;  // (begin, hash) of the soft items in the cache
};

}  // namespace facet
