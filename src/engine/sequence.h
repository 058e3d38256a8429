// One request inside the engine, from its arrival to its end.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "engine/engine.h"
#include "engine/prefix_cache.h"
#include "engine/speculation.h"

namespace facet {

// `tokens` are prompt and answer; the first `computed` are in the state.
struct Sequence {
  using Clock = std::chrono::steady_clock;

  Engine::RequestId id = 0;
  GenerationRequest request;
  std::shared_ptr<GenerationListener> listener;
  Sampler sampler;
  std::vector<TokenId> tokens;
  std::vector<CacheKey> keys;
  std::unique_ptr<SequenceState> state;  // null while it waits
  std::vector<double> sum;               // of the states of all tokens, where that is asked for
  std::deque<TokenId> forced;
  DraftMemory draft;
  GenerationStats stats;
  Clock::time_point arrived, admitted, first_token, last_token;
  std::optional<Clock::time_point> unread;  // since when nobody takes what it says, while it runs
  int limit = 0;                            // tokens at most, prompt and answer
  bool cancelled = false, done = false;
  bool stalled = false;  // waits because nobody read it

  Sequence(GenerationRequest r, std::shared_ptr<GenerationListener> l)
      : request(std::move(r)),
        listener(std::move(l)),
        sampler(request.sampling),
        tokens(request.prompt->ids) {
    sampler.AddPrompt(tokens);
  }

  int prompt() const { return static_cast<int>(request.prompt->ids.size()); }
  int size() const { return static_cast<int>(tokens.size()); }
  int computed() const { return state ? state->length() : 0; }
  bool decoding() const { return computed() >= prompt() && computed() + 1 == size(); }
  Media media() const { return request.prompt->items; }
  bool InPicture(int length) const {
    return std::any_of(media().begin(), media().end(), [&](const auto& item) {
      return item->kind != SoftItem::Kind::kAudio && item->begin < length &&
             length < item->begin + item->count;
    });
  }
};

using Sequences = std::vector<std::unique_ptr<Sequence>>;

}  // namespace facet
