#include "engine/engine.h"

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <numeric>
#include <optional>
#include <thread>

#include "base/log.h"
#include "engine/fair_queue.h"
#include "engine/prefix_cache.h"
#include "engine/sequence.h"
#include "engine/speculation.h"

namespace facet {
namespace {

using Clock = Sequence::Clock;

double Milliseconds(Clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

// Log-probabilities of the chosen token and of the likeliest ones.
void Report(std::span<const float> logits, int top, Sampled& token) {
  const float best = logits[ArgMax(logits)];
  double sum = 0;
  for (const float value : logits) sum += std::exp(static_cast<double>(value) - best);
  const double total = best + std::log(sum);
  token.logprob = static_cast<float>(logits[token.id] - total);
  std::vector<TokenId> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const size_t n = std::min<size_t>(top, ids.size());
  std::partial_sort(ids.begin(), ids.begin() + n, ids.end(), [&](TokenId a, TokenId b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  });
  for (size_t i = 0; i < n; ++i)
    token.top.emplace_back(ids[i], static_cast<float>(logits[ids[i]] - total));
}

// Above this share of the cache's budget, snapshots make room.
constexpr double kHighWater = 0.95, kLowWater = 0.90;

}  // namespace

struct Engine::Inbox {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::unique_ptr<Sequence>> submitted;
  std::vector<RequestId> cancelled;
  int accepted = 0;  // submitted and not done
  RequestId next_id = 1;
  bool stop = false;
  EngineStats stats;
};

// Everything that the engine's thread does and owns.
class Engine::Scheduler {
 public:
  Scheduler(Executor& executor, const EngineOptions& options, Inbox& inbox)
      : executor_(executor),
        options_(options),
        inbox_(inbox),
        speculator_(executor, options.draft),
        thread_([this] { Run(); }) {}
  void Join() {
    if (thread_.joinable()) thread_.join();
  }

 private:
  struct Work {
    Sequence* sequence;
    int rows;
    bool decode;
  };

  void Run();
  bool Collect();
  void Admit();
  bool MayStart(const Sequence& candidate) const;
  bool WorthWaiting(const Sequence& candidate) const;
  void Start(Sequence& sequence);
  bool PreemptStalled();
  std::vector<Work> Plan();
  int PrefillLimit(bool decodes) const;
  void ProposeDrafts(std::span<const Work> work);
  void DropDrafts(std::span<const Work> work);
  Result<void> Step(std::span<const Work> work);
  void Execute(std::vector<Work> work);
  bool MakeRoom(int prefilled);
  void Advance(Sequence& sequence, int rows);
  void Verify(Sequence& sequence, int row);
  void Emit(Sequence& sequence, std::span<float> logits);
  void HandOverMean(Sequence& sequence);
  Result<Sampled> Choose(Sequence& sequence, std::span<float> logits);
  void Snapshot(Sequence& sequence, bool anchor);
  void Finish(Sequence& sequence, Outcome::Reason reason, Error error = {});
  void Preempt(Sequence& sequence);
  void Sweep();
  void Publish();

  Executor& executor_;
  const EngineOptions& options_;
  Inbox& inbox_;
  PrefixCache cache_;
  PrefixKeeper keeper_{options_.keep, executor_, cache_};
  Speculator speculator_;
  Sequences running_;
  FairQueue waiting_;
  EngineStats stats_;
  Buffer logits_;
  double rows_per_ms_ = 0;      // measured speed of prefill
  int chunk_ = options_.chunk;  // prompt tokens in a step; smaller while the cache is short of room
  bool crowded_ = false;        // a sequence gave way: nobody starts before another one has ended
  std::thread thread_;
};

// --- the loop

void Engine::Scheduler::Run() {
  while (Collect()) {
    Admit();
    std::vector<Work> work = Plan();
    if (!work.empty()) {
      Execute(std::move(work));
    } else if (!running_.empty() || !waiting_.empty()) {  // all of them wait for slow readers
      std::unique_lock lock(inbox_.mutex);
      inbox_.changed.wait_for(lock, std::chrono::milliseconds(5));
    }
    Sweep();
    Publish();
    keeper_.Tick(running_.empty() && waiting_.empty());
  }
  for (const auto& sequence : running_) Finish(*sequence, Outcome::Reason::kCancelled);
  for (const auto& sequence : waiting_) Finish(*sequence, Outcome::Reason::kCancelled);
  running_.clear();
  waiting_.Clear();
  keeper_.Finish();
  cache_.Clear();
}

// Takes what has arrived; sleeps while there is nothing to do. False: stop.
bool Engine::Scheduler::Collect() {
  std::unique_lock lock(inbox_.mutex);
  inbox_.changed.wait(lock, [&] {
    return inbox_.stop || !inbox_.submitted.empty() || !inbox_.cancelled.empty() ||
           !running_.empty() || !waiting_.empty();
  });
  for (auto& sequence : inbox_.submitted) waiting_.Push(std::move(sequence), running_);
  inbox_.submitted.clear();
  for (const RequestId id : inbox_.cancelled) {
    for (const auto& s : running_) s->cancelled |= s->id == id;
    for (const auto& s : waiting_) s->cancelled |= s->id == id;
  }
  inbox_.cancelled.clear();
  return !inbox_.stop;
}

void Engine::Scheduler::Sweep() {
  for (const auto& s : running_) {
    if (s->cancelled && !s->done) Finish(*s, Outcome::Reason::kCancelled);
  }
  for (const auto& s : waiting_) {
    if (s->cancelled && !s->done) Finish(*s, Outcome::Reason::kCancelled);
  }
  if (std::erase_if(running_, [](const auto& s) { return s->done; }) > 0) crowded_ = false;
  waiting_.EraseDone();
}

void Engine::Scheduler::Publish() {
  stats_.running = static_cast<int>(running_.size());
  stats_.cache_bytes = executor_.cache_bytes();
  stats_.cache_budget = executor_.cache_budget();
  stats_.snapshots = cache_.snapshots();
  const std::lock_guard lock(inbox_.mutex);
  stats_.waiting = static_cast<int>(waiting_.size() + inbox_.submitted.size());
  inbox_.stats = stats_;
}

// --- admission

// A running sequence is just computing a long prefix of this one: wait for it instead of computing
// it twice.
bool Engine::Scheduler::WorthWaiting(const Sequence& candidate) const {
  if (!options_.prefix_cache || !candidate.request.use_cache) return false;
  for (const auto& s : running_) {
    if (s->request.scope != candidate.request.scope || !s->request.use_cache || s->done) continue;
    if (s->unread) continue;  // who knows when it goes on
    const auto differ =
        std::mismatch(s->keys.begin(), s->keys.end(), candidate.keys.begin(), candidate.keys.end());
    const int common = static_cast<int>(differ.first - s->keys.begin());
    const int reachable = std::min(common, s->prompt());
    if (s->computed() < reachable && reachable - s->computed() >= options_.snapshot_spacing)
      return true;
  }
  return false;
}

bool Engine::Scheduler::MayStart(const Sequence& s) const {
  return !s.cancelled && s.listener->Ready() && !WorthWaiting(s);
}

void Engine::Scheduler::Admit() {
  if (running_.empty()) crowded_ = false;
  do {
    while (!crowded_ && static_cast<int>(running_.size()) < options_.max_sequences) {
      std::unique_ptr<Sequence> next =
          waiting_.Next([&](const Sequence& candidate) { return MayStart(candidate); });
      if (next == nullptr) return;
      Start(*next);
      running_.push_back(std::move(next));
    }
  } while (PreemptStalled());
}

// There is no place for a sequence that could start: one that nobody has read for long gives up its
// own. False where there is none.
bool Engine::Scheduler::PreemptStalled() {
  const auto expired = Clock::now() - options_.patience;
  const auto stalled = std::find_if(running_.begin(), running_.end(), [&](const auto& s) {
    return !s->done && !s->cancelled && s->unread && *s->unread <= expired && !s->listener->Ready();
  });
  if (stalled == running_.end()) return false;
  if (std::none_of(waiting_.begin(), waiting_.end(), [&](const auto& s) { return MayStart(*s); }))
    return false;
  (*stalled)->stalled = true;
  Preempt(**stalled);
  crowded_ = false;  // as if it had ended
  return true;
}

void Engine::Scheduler::Start(Sequence& s) {
  const bool again = s.stats.prompt > 0;  // it ran before and was preempted
  s.stalled = false;
  s.unread.reset();
  if (options_.prefix_cache && s.request.use_cache) {
    keeper_.Restore(s.request.scope);
    auto hit = cache_.Find(s.request.scope, s.keys, s.size() - 1,
                           [&](int length) { return !s.InPicture(length); });
    s.state = std::move(hit.state);
    if (!again) s.stats.cached = hit.length;
  }
  if (s.state == nullptr) s.state = executor_.Create();
  executor_.Begin(*s.state, s.request.prompt->ids);
  if (again) return;
  s.stats.prompt = s.prompt();
  s.admitted = Clock::now();
  s.stats.queue_ms = Milliseconds(s.admitted - s.arrived);
  stats_.queue.Add(s.stats.queue_ms / 1000);
  ++stats_.prefix_queries;
  stats_.prefix_hits += s.stats.cached > 0;
  stats_.cached_tokens += s.stats.cached;
  stats_.prompt_tokens += s.prompt();
}

// --- one step

int Engine::Scheduler::PrefillLimit(bool decodes) const {
  if (!decodes || rows_per_ms_ <= 0) return chunk_;
  return std::clamp(static_cast<int>(rows_per_ms_ * options_.step_ms), std::min(32, chunk_),
                    chunk_);
}

// Every sequence that can go on: all decodes, and prompts that share the step's tokens evenly.
std::vector<Engine::Scheduler::Work> Engine::Scheduler::Plan() {
  std::vector<Work> work;
  std::vector<Sequence*> prompts;
  for (const auto& s : running_) {
    if (s->done || s->cancelled) continue;
    if (!s->listener->Ready()) {
      if (!s->unread) s->unread = Clock::now();
      continue;
    }
    s->unread.reset();
    s->decoding() ? work.push_back({s.get(), 1, true}) : prompts.push_back(s.get());
  }
  int left = PrefillLimit(!work.empty());
  std::stable_sort(prompts.begin(), prompts.end(), [](const Sequence* a, const Sequence* b) {
    return a->size() - a->computed() < b->size() - b->computed();
  });
  for (size_t i = 0; i < prompts.size() && left > 0; ++i) {
    Sequence& s = *prompts[i];
    const int share = std::max(1, left / static_cast<int>(prompts.size() - i));
    const int rows = executor_.PieceLength(s.media(), s.computed(), s.size(), share);
    work.push_back({&s, rows, false});
    left -= rows;
  }
  return work;
}

// Guesses what comes after the newest token of each decode.
void Engine::Scheduler::ProposeDrafts(std::span<const Work> work) {
  std::vector<Draftee> sequences;
  int prompt_rows = 0;
  for (const Work& item : work) {
    Sequence& s = *item.sequence;
    if (!item.decode) {
      prompt_rows += item.rows;
      continue;
    }
    sequences.push_back({.memory = &s.draft,
                         .state = s.state.get(),
                         .tokens = s.tokens,
                         .prompt = s.prompt(),
                         .room = s.limit - s.size() - 1,
                         .forced = &s.forced,
                         .sampler = &s.sampler,
                         .constraint = s.request.constraint.get(),
                         .stops = s.request.stop_tokens});
  }
  speculator_.Propose(sequences, prompt_rows);
}

void Engine::Scheduler::DropDrafts(std::span<const Work> work) {
  speculator_.Drop();
  for (const Work& item : work) item.sequence->draft.drafts.clear();
}

// Computes the rows of all sequences, each decode's drafts behind its newest token.
Result<void> Engine::Scheduler::Step(std::span<const Work> work) {
  std::vector<std::vector<TokenId>> drafted(work.size());
  std::vector<Piece> pieces;
  for (size_t i = 0; i < work.size(); ++i) {
    Sequence& s = *work[i].sequence;
    const bool last = s.computed() + work[i].rows == s.size();
    Piece piece{.state = s.state.get(),
                .tokens = std::span(s.tokens).subspan(s.computed(), work[i].rows),
                .media = s.media(),
                .outputs = last && !s.request.embed ? 1 : 0,
                .sum = s.request.embed ? &s.sum : nullptr};
    if (work[i].decode && !s.draft.drafts.empty()) {
      drafted[i].push_back(s.tokens.back());
      drafted[i].insert(drafted[i].end(), s.draft.drafts.begin(), s.draft.drafts.end());
      piece.tokens = drafted[i];
      piece.outputs = static_cast<int>(drafted[i].size());
    }
    piece.adapter = s.request.adapter.get();
    pieces.push_back(piece);
  }
  Result<void> step = executor_.Step(pieces, logits_);
  if (step) return step;
  // What was reserved before it failed must not stand in the way of a smaller step.
  for (const Work& item : work) (void)item.sequence->state->Rewind(item.sequence->computed());
  return step;
}

void Engine::Scheduler::Execute(std::vector<Work> work) {
  if (executor_.cache_budget() > 0) {
    const auto budget = static_cast<double>(executor_.cache_budget());
    if (static_cast<double>(executor_.cache_bytes()) > kHighWater * budget) {
      keeper_.Yield();  // what is being written would not make room
      while (static_cast<double>(executor_.cache_bytes()) > kLowWater * budget && cache_.EvictOne())
        ++stats_.evictions;
    }
  }
  ProposeDrafts(work);
  int prefilled = 0;
  bool drafts = false;
  for (const Work& item : work) {
    if (item.rows > 1) prefilled += item.rows;
    drafts |= item.decode && !item.sequence->draft.drafts.empty();
  }
  auto begin = Clock::now();
  Result<void> step = Step(work);
  if (!step && step.error().kind == ErrorKind::kResource && drafts) {
    // No room for guesses must not cost anybody a place.
    DropDrafts(work);
    drafts = false;
    begin = Clock::now();
    step = Step(work);
  }
  if (!step) {
    if (step.error().kind == ErrorKind::kResource && MakeRoom(prefilled)) return;
    for (const auto& item : work) Finish(*item.sequence, Outcome::Reason::kError, step.error());
    return;
  }
  const double ms = Milliseconds(Clock::now() - begin);
  speculator_.Measured(ms);
  chunk_ = std::min(options_.chunk, chunk_ * 2);
  if (prefilled >= 32 && ms > 0) {
    rows_per_ms_ = rows_per_ms_ <= 0 ? prefilled / ms : 0.7 * rows_per_ms_ + 0.3 * prefilled / ms;
  }
  ++stats_.steps;
  int row = 0;
  for (const Work& item : work) {
    Sequence& s = *item.sequence;
    waiting_.Served(s.request.tenant, item.rows);
    const bool output = s.computed() + item.rows == s.size() && !s.request.embed;
    const int rows = output && item.decode ? 1 + static_cast<int>(s.draft.drafts.size()) : output;
    Advance(s, item.rows);
    if (s.request.embed && s.computed() == s.prompt()) {
      HandOverMean(s);
    } else if (!output) {
      s.listener->OnProgress(s.stats, s.computed());
    } else if (item.decode) {
      Verify(s, row);
    } else {
      Emit(s, logits_.view().row_span(row));
    }
    row += rows;
  }
  speculator_.EndRound();
}

// Emits the tokens of a decode and its drafts from the row `row` of the logits on, each as if it
// had been computed alone, until one comes out that was not drafted.
void Engine::Scheduler::Verify(Sequence& s, int row) {
  const std::vector<TokenId>& drafts = s.draft.drafts;
  const bool guessed = s.draft.source != DraftMemory::Source::kForced;
  const int count = static_cast<int>(drafts.size());
  if (guessed) s.stats.drafted += count, stats_.drafted += count;
  int accepted = 0;
  while (true) {
    Emit(s, logits_.view().row_span(row + accepted));
    if (s.done || accepted == count || s.tokens.back() != drafts[accepted]) break;
    ++accepted;
    if (guessed) ++s.stats.accepted, ++stats_.accepted;
    Advance(s, 1);
  }
  speculator_.Verified(s.draft, accepted, s.done ? std::nullopt : std::optional(s.tokens.back()));
}

// The cache is full: snapshots go first, then steps become smaller, then the sequence that came
// last gives way. False where nothing helps.
bool Engine::Scheduler::MakeRoom(int prefilled) {
  if (keeper_.Yield()) return true;
  const size_t before = executor_.cache_bytes();
  while (executor_.cache_bytes() >= before && cache_.EvictOne()) ++stats_.evictions;
  if (executor_.cache_bytes() < before) return true;
  if (prefilled > kTile && chunk_ > kTile) {
    chunk_ = std::max(kTile, std::min(chunk_, prefilled) / 2);
    return true;
  }
  if (running_.size() < 2) return false;
  Sequence* last = nullptr;
  for (const auto& s : running_) {
    if (!s->done && (last == nullptr || s->id > last->id)) last = s.get();
  }
  if (last == nullptr) return false;
  Preempt(*last);
  crowded_ = true;
  return true;
}

// Gives up what it has computed and waits for its turn again; what it has said stays said.
void Engine::Scheduler::Preempt(Sequence& s) {
  ++stats_.preemptions;
  const auto it =
      std::find_if(running_.begin(), running_.end(), [&](const auto& p) { return p.get() == &s; });
  s.state.reset();
  s.sum.clear();
  waiting_.PutBack(std::move(*it));
  running_.erase(it);
}

// Commits the rows of a step, with snapshots on the way.
void Engine::Scheduler::Advance(Sequence& s, int rows) {
  const int end = s.computed() + rows;
  const std::vector<int>& anchors = s.request.anchors;
  const int spacing = options_.snapshot_spacing;
  while (s.computed() < end) {
    const int from = s.computed();
    int to = std::min(end, (from / spacing + 1) * spacing);
    const auto anchor = std::upper_bound(anchors.begin(), anchors.end(), from);
    if (anchor != anchors.end()) to = std::min(to, *anchor);
    if (from < s.prompt()) to = std::min(to, s.prompt());
    bool behind_picture = false;
    for (const auto& item : s.media()) {
      const int item_end = item->begin + item->count;
      if (item->kind == SoftItem::Kind::kAudio || item->begin >= to || from >= item_end) continue;
      to = item_end;  // a picture is computed whole, so this is not beyond the end
      behind_picture = true;
    }
    s.state->Commit(to - from);
    const bool anchored =
        std::binary_search(anchors.begin(), anchors.end(), to) || to == s.prompt();
    if (anchored || behind_picture || to % spacing == 0) Snapshot(s, anchored || behind_picture);
  }
}

void Engine::Scheduler::Snapshot(Sequence& s, bool anchor) {
  if (!options_.prefix_cache || !s.request.use_cache || s.computed() == 0) return;
  cache_.Insert(s.request.scope, std::span(s.keys).first(s.computed()), *s.state, anchor);
  if (anchor) keeper_.Changed(s.request.scope);
}

Result<Sampled> Engine::Scheduler::Choose(Sequence& s, std::span<float> logits) {
  Sampled token;
  const bool report = s.request.top_logprobs >= 0;
  const std::vector<float> raw(logits.begin(), report ? logits.end() : logits.begin());
  if (!s.forced.empty()) {
    token.id = s.forced.front();
    s.forced.pop_front();
  } else {
    if (s.request.constraint) {
      FACET_ASSIGN(const auto allowed, s.request.constraint->Allowed());
      MaskLogits(allowed, logits);
    }
    token.id = s.sampler.Sample(logits);
  }
  if (s.request.constraint) FACET_TRY(s.request.constraint->Accept(token.id));
  if (report) Report(raw, s.request.top_logprobs, token);
  return token;
}

// The next token of a sequence.
void Engine::Scheduler::Emit(Sequence& s, std::span<float> logits) {
  const auto now = Clock::now();
  if (s.stats.generated == 0) {
    s.first_token = now;
    s.stats.prompt_ms = Milliseconds(now - s.admitted);
    stats_.first_token.Add(Milliseconds(now - s.arrived) / 1000);
    stats_.prefill.Add(s.stats.prompt_ms / 1000);
  } else {
    stats_.inter_token.Add(Milliseconds(now - s.last_token) / 1000);
  }
  s.last_token = now;
  auto token = Choose(s, logits);
  if (!token) return Finish(s, Outcome::Reason::kError, token.error());
  const TokenId id = token->id;
  ++s.stats.generated;
  ++stats_.generated_tokens;
  const auto& stops = s.request.stop_tokens;
  if (std::find(stops.begin(), stops.end(), id) != stops.end())
    return Finish(s, Outcome::Reason::kStop);
  s.sampler.Accept(id);
  s.tokens.push_back(id);
  s.keys.push_back(static_cast<CacheKey>(id));
  auto decision = s.listener->OnToken(*token);
  s.forced.insert(s.forced.end(), decision.force.begin(), decision.force.end());
  if (decision.stop) return Finish(s, Outcome::Reason::kListener);
  if (s.size() >= s.limit) Finish(s, Outcome::Reason::kLength);
}

// The answer to an embedding request.
void Engine::Scheduler::HandOverMean(Sequence& s) {
  s.stats.prompt_ms = Milliseconds(Clock::now() - s.admitted);
  for (double& value : s.sum) value /= s.prompt();
  s.listener->OnEmbedding(std::move(s.sum));
  Finish(s, Outcome::Reason::kStop);
}

void Engine::Scheduler::Finish(Sequence& s, Outcome::Reason reason, Error error) {
  if (s.done) return;
  s.done = true;
  // The next turn's prompt holds this answer.
  if (s.state && (reason == Outcome::Reason::kStop || reason == Outcome::Reason::kListener))
    Snapshot(s, true);
  s.state.reset();
  const auto now = Clock::now();
  if (s.stats.generated > 0) {
    s.stats.decode_ms = Milliseconds(now - s.first_token);
    stats_.decode.Add(s.stats.decode_ms / 1000);
  }
  stats_.whole.Add(Milliseconds(now - s.arrived) / 1000);
  switch (reason) {
    case Outcome::Reason::kStop:
    case Outcome::Reason::kListener:
      ++stats_.finished_stop;
      break;
    case Outcome::Reason::kLength:
      ++stats_.finished_length;
      break;
    case Outcome::Reason::kCancelled:
      ++stats_.finished_cancelled;
      break;
    case Outcome::Reason::kError:
      ++stats_.finished_error;
      break;
  }
  {
    const std::lock_guard lock(inbox_.mutex);
    --inbox_.accepted;
  }
  s.listener->OnDone({reason, std::move(error), s.stats});
}

// --- the engine's face

Engine::Engine(std::unique_ptr<Executor> executor, EngineOptions options)
    : executor_(std::move(executor)),
      options_(options),
      inbox_(std::make_unique<Inbox>()),
      scheduler_(std::make_unique<Scheduler>(*executor_, options_, *inbox_)) {}

Engine::~Engine() {
  Stop();
}

Result<Engine::RequestId> Engine::Submit(GenerationRequest request,
                                         std::shared_ptr<GenerationListener> listener) {
  const int prompt = static_cast<int>(request.prompt->ids.size());
  if (prompt == 0) return Error{"the prompt is empty"};
  if (request.embed) request.use_cache = false;  // a cached prefix has no states to add up
  if (prompt >= context()) {
    return Error{Cat("the prompt has ", prompt, " tokens; the context holds ", context()),
                 ErrorKind::kInvalid};
  }
  const int room = context() - prompt;
  const int limit = prompt + std::clamp(request.max_tokens, 1, room);
  auto sequence = std::make_unique<Sequence>(std::move(request), std::move(listener));
  sequence->keys = CacheKeys(sequence->tokens, sequence->media());
  sequence->limit = limit;
  sequence->arrived = Clock::now();
  const std::lock_guard lock(inbox_->mutex);
  if (inbox_->stop) return Error{"the server is stopping", ErrorKind::kResource};
  if (!sequence->request.goes_on &&
      inbox_->accepted >= options_.max_sequences + options_.max_queue) {
    return Error{Cat("the queue is full: ", inbox_->accepted, " requests run or wait"),
                 ErrorKind::kResource};
  }
  ++inbox_->accepted;
  const RequestId id = inbox_->next_id++;
  sequence->id = id;
  inbox_->submitted.push_back(std::move(sequence));
  inbox_->changed.notify_one();
  return id;
}

void Engine::Cancel(RequestId id) {
  const std::lock_guard lock(inbox_->mutex);
  inbox_->cancelled.push_back(id);
  inbox_->changed.notify_one();
}

void Engine::Stop() {
  {
    const std::lock_guard lock(inbox_->mutex);
    inbox_->stop = true;
    inbox_->changed.notify_one();
  }
  scheduler_->Join();
}

EngineStats Engine::Stats() const {
  const std::lock_guard lock(inbox_->mutex);
  EngineStats stats = inbox_->stats;
  stats.waiting = std::max(stats.waiting, static_cast<int>(inbox_->submitted.size()));
  return stats;
}

}  // namespace facet
