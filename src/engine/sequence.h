// One request inside the engine, from its arrival to its end.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "engine/generation.h"
#include "engine/prefix_cache.h"
#include "engine/speculation.h"
#include "model/soft_run.h"

namespace facet {

// `tokens` are prompt and answer; the first `computed` are in the state.
struct Sequence {
  uint64_t id = 0;  // in the order of arrival
  GenerationRequest request;
  std::shared_ptr<GenerationListener> listener;
  Sampler sampler;
  std::vector<TokenId> tokens;
  std::vector<CacheKey> keys;            // of tokens, one each
  std::vector<PictureSpan> pictures;     // of the prompt, sorted
  std::unique_ptr<SequenceState> state;  // null while it waits
  std::vector<double> sum;               // of the states of all tokens, where that is asked for
  std::deque<TokenId> forced;            // come next, whatever the model says
  DraftMemory draft;
  GenerationStats stats;
  Clock::time_point arrived, admitted, first_token, last_token;
  // Since when the reader has been behind, while it runs.
  std::optional<Clock::time_point> unread;
  int limit = 0;     // tokens at most, prompt and answer
  int reported = 0;  // tokens of the prompt whose log-probabilities the listener has
  bool cancelled = false, done = false;
  bool stalled = false;  // preempted because its reader was behind

  Sequence(GenerationRequest r, std::shared_ptr<GenerationListener> l)
      : request(std::move(r)),
        listener(std::move(l)),
        sampler(request.sampling),
        tokens(request.prompt->ids),
        keys(CacheKeys(tokens, media())),
        pictures(request.prompt->Pictures()) {
    sampler.AddPrompt(tokens);
  }

  int prompt() const { return static_cast<int>(request.prompt->ids.size()); }
  int size() const { return static_cast<int>(tokens.size()); }
  int computed() const { return state ? state->length() : 0; }
  bool reports_prompt() const { return request.prompt_logprobs >= 0 && computed() < prompt(); }
  bool decoding() const { return computed() >= prompt() && computed() + 1 == size(); }
  Media media() const { return request.prompt->items; }
  // A sequence of this length would end inside a picture.
  bool InPicture(int length) const {
    return std::any_of(pictures.begin(), pictures.end(), [&](const PictureSpan& picture) {
      return picture.begin < length && length < picture.end;
    });
  }
};

using Sequences = std::vector<std::unique_ptr<Sequence>>;

}  // namespace facet
