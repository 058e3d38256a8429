#include "engine/scheduler.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace facet {
namespace {

double Milliseconds(Clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

// Above this share of the cache's budget, snapshots make room.
constexpr double kHighWater = 0.95, kLowWater = 0.90;

bool Allows(std::span<const uint32_t> allowed, TokenId id) {
  const auto word = static_cast<size_t>(id) / 32;
  return allowed.empty() || (word < allowed.size() && (allowed[word] >> (id % 32) & 1) != 0);
}

// Rows of a prompt in one step where the logits of all of them are wanted: a vocabulary of 262,144
// makes a mebibyte of each.
constexpr int kReportedRows = 32;

// A token and the likeliest others, by the model's own logits.
Sampled WithLogprobs(TokenId id, std::span<const float> logits, int count) {
  Sampled token;
  token.id = id;
  const double total = LogSumExp(logits);
  token.logprob = static_cast<float>(logits[id] - total);
  for (const auto& [other, logit] : TopLogits(logits, count))
    token.top.emplace_back(other, static_cast<float>(logit - total));
  return token;
}

// Prompt rows of a step: decodes are one row each.
int PrefillRows(int rows) {
  return rows > 1 ? rows : 0;
}

}  // namespace

Scheduler::Scheduler(Executor& executor, const EngineOptions& options, EngineInbox& inbox)
    : executor_(executor),
      options_(options),
      inbox_(inbox),
      speculator_(executor, options.draft),
      thread_([this] { Run(); }) {}

void Scheduler::Join() {
  if (thread_.joinable()) thread_.join();
}

// --- the loop

void Scheduler::Run() {
  while (TakeInbox()) {
    Admit();
    const std::vector<Work> work = PlanStep();
    if (!work.empty()) {
      ExecuteStep(work);
    } else if (!running_.empty() || !waiting_.empty()) {  // all of them wait for slow readers
      std::unique_lock lock(inbox_.mutex);
      inbox_.changed.wait_for(lock, std::chrono::milliseconds(5));
    }
    RemoveDone();
    PublishStats();
    keeper_.Poll(running_.empty() && waiting_.empty());
  }
  for (const auto& sequence : running_) EndSequence(*sequence, Outcome::Reason::kCancelled);
  for (const auto& sequence : waiting_) EndSequence(*sequence, Outcome::Reason::kCancelled);
  running_.clear();
  waiting_.Clear();
  keeper_.Finish();
  cache_.Clear();
}

bool Scheduler::TakeInbox() {
  std::unique_lock lock(inbox_.mutex);
  inbox_.changed.wait(lock, [&] {
    return inbox_.stop || !inbox_.submitted.empty() || !inbox_.cancelled.empty() ||
           !running_.empty() || !waiting_.empty();
  });
  for (auto& sequence : inbox_.submitted) waiting_.Push(std::move(sequence), running_);
  inbox_.submitted.clear();
  for (const Engine::RequestId id : inbox_.cancelled) {
    for (const auto& s : running_) s->cancelled |= s->id == id;
    for (const auto& s : waiting_) s->cancelled |= s->id == id;
  }
  inbox_.cancelled.clear();
  return !inbox_.stop;
}

void Scheduler::RemoveDone() {
  for (const auto& s : running_) {
    if (s->cancelled && !s->done) EndSequence(*s, Outcome::Reason::kCancelled);
  }
  for (const auto& s : waiting_) {
    if (s->cancelled && !s->done) EndSequence(*s, Outcome::Reason::kCancelled);
  }
  if (std::erase_if(running_, [](const auto& s) { return s->done; }) > 0) admission_paused_ = false;
  waiting_.EraseDone();
}

void Scheduler::PublishStats() {
  stats_.running = static_cast<int>(running_.size());
  stats_.cache_bytes = executor_.cache_bytes();
  stats_.cache_budget = executor_.cache_budget();
  stats_.snapshots = cache_.snapshots();
  const std::lock_guard lock(inbox_.mutex);
  stats_.waiting = static_cast<int>(waiting_.size() + inbox_.submitted.size());
  inbox_.stats = stats_;
}

// --- admission

bool Scheduler::IsPrefixBeingComputed(const Sequence& candidate) const {
  if (!options_.prefix_cache || !candidate.request.use_cache) return false;
  for (const auto& s : running_) {
    if (s->request.scope != candidate.request.scope || !s->request.use_cache || s->done) continue;
    if (s->unread) continue;  // resume time unknown: its reader is behind
    const auto differ =
        std::mismatch(s->keys.begin(), s->keys.end(), candidate.keys.begin(), candidate.keys.end());
    const int common = static_cast<int>(differ.first - s->keys.begin());
    const int reachable = std::min(common, s->prompt());
    if (s->computed() < reachable && reachable - s->computed() >= options_.snapshot_spacing)
      return true;
  }
  return false;
}

bool Scheduler::MayStart(const Sequence& s) const {
  return !s.cancelled && s.listener->Ready() && !IsPrefixBeingComputed(s);
}

void Scheduler::Admit() {
  if (running_.empty()) admission_paused_ = false;
  do {
    while (!admission_paused_ && static_cast<int>(running_.size()) < options_.max_sequences) {
      std::unique_ptr<Sequence> next =
          waiting_.Next([&](const Sequence& candidate) { return MayStart(candidate); });
      if (next == nullptr) return;
      StartSequence(*next);
      running_.push_back(std::move(next));
    }
  } while (PreemptStalled());
}

bool Scheduler::PreemptStalled() {
  const auto expired = Clock::now() - options_.patience;
  const auto stalled = std::find_if(running_.begin(), running_.end(), [&](const auto& s) {
    return !s->done && !s->cancelled && s->unread && *s->unread <= expired && !s->listener->Ready();
  });
  if (stalled == running_.end()) return false;
  if (std::none_of(waiting_.begin(), waiting_.end(), [&](const auto& s) { return MayStart(*s); }))
    return false;
  (*stalled)->stalled = true;
  Preempt(**stalled);
  admission_paused_ = false;  // as if it had ended
  return true;
}

void Scheduler::Preempt(Sequence& s) {
  ++stats_.preemptions;
  const auto it =
      std::find_if(running_.begin(), running_.end(), [&](const auto& p) { return p.get() == &s; });
  s.state.reset();
  s.sum.clear();
  waiting_.PutBack(std::move(*it));
  running_.erase(it);
}

void Scheduler::StartSequence(Sequence& s) {
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

int Scheduler::PrefillLimit(bool others) const {
  if (!others || rows_per_ms_ <= 0) return chunk_;
  return std::clamp(static_cast<int>(rows_per_ms_ * options_.step_ms), std::min(32, chunk_),
                    chunk_);
}

std::vector<Scheduler::Work> Scheduler::PlanStep() {
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
  // The rest of a step is shared evenly, the shortest prompts first: what they leave goes to the
  // others.
  int left = PrefillLimit(!work.empty() || prompts.size() > 1 || waiting_.size() > 0);
  std::stable_sort(prompts.begin(), prompts.end(), [](const Sequence* a, const Sequence* b) {
    return a->size() - a->computed() < b->size() - b->computed();
  });
  for (size_t i = 0; i < prompts.size() && left > 0; ++i) {
    Sequence& s = *prompts[i];
    const int share = std::max(1, left / static_cast<int>(prompts.size() - i));
    const int most = s.reports_prompt() ? std::min(share, kReportedRows) : share;
    const int rows = ChunkLength(s.pictures, s.computed(), s.size(), most);
    work.push_back({&s, rows, false});
    left -= rows;
  }
  return work;
}

void Scheduler::ExecuteStep(std::span<const Work> work) {
  EvictToLowWater();
  ProposeDrafts(work);
  const Result<double> step_ms = StepOrRetryWithoutDrafts(work);
  if (!step_ms) {
    int prefill_rows = 0;
    for (const Work& item : work) prefill_rows += PrefillRows(item.rows);
    if (step_ms.error().kind == ErrorKind::kResource && MakeCacheRoom(prefill_rows)) return;
    for (const Work& item : work)
      EndSequence(*item.sequence, Outcome::Reason::kError, step_ms.error());
    return;
  }
  AccountStep(work, *step_ms);
  DeliverRows(work);
  speculator_.EndRound();
}

void Scheduler::EvictToLowWater() {
  const auto budget = static_cast<double>(executor_.cache_budget());
  if (budget == 0 || static_cast<double>(executor_.cache_bytes()) <= kHighWater * budget) return;
  keeper_.AwaitWrite();  // evicting what is being written would not make room
  while (static_cast<double>(executor_.cache_bytes()) > kLowWater * budget && cache_.EvictOne())
    ++stats_.evictions;
}

void Scheduler::ProposeDrafts(std::span<const Work> work) {
  std::vector<DraftTarget> sequences;
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

void Scheduler::DropDrafts(std::span<const Work> work) {
  speculator_.Drop();
  for (const Work& item : work) item.sequence->draft.drafts.clear();
}

Result<double> Scheduler::StepOrRetryWithoutDrafts(std::span<const Work> work) {
  const bool drafts = std::any_of(work.begin(), work.end(), [](const Work& item) {
    return item.decode && !item.sequence->draft.drafts.empty();
  });
  auto begin = Clock::now();
  Result<void> step = ComputeRows(work);
  if (!step && step.error().kind == ErrorKind::kResource && drafts) {
    DropDrafts(work);
    begin = Clock::now();
    step = ComputeRows(work);
  }
  if (!step) return step.error();
  return MillisecondsSince(begin);
}

Result<void> Scheduler::ComputeRows(std::span<const Work> work) {
  std::vector<std::vector<TokenId>> drafted(work.size());
  std::vector<Piece> pieces;
  for (size_t i = 0; i < work.size(); ++i) {
    Sequence& s = *work[i].sequence;
    Piece piece{.state = s.state.get(),
                .tokens = std::span(s.tokens).subspan(s.computed(), work[i].rows),
                .media = s.media(),
                .outputs = Outputs(work[i]),
                .sum = s.request.embed ? &s.sum : nullptr,
                .adapter = s.request.adapter.get()};
    if (work[i].decode && !s.draft.drafts.empty()) {
      drafted[i].push_back(s.tokens.back());
      drafted[i].insert(drafted[i].end(), s.draft.drafts.begin(), s.draft.drafts.end());
      piece.tokens = drafted[i];
      piece.outputs = static_cast<int>(drafted[i].size());
    }
    pieces.push_back(piece);
  }
  Result<void> step = executor_.Step(pieces, logits_);
  if (step) return step;
  // What was reserved before it failed must not stand in the way of a smaller step.
  for (const Work& item : work) (void)item.sequence->state->Rewind(item.sequence->computed());
  return step;
}

bool Scheduler::MakeCacheRoom(int prefill_rows) {
  if (keeper_.AwaitWrite()) return true;
  const size_t before = executor_.cache_bytes();
  while (executor_.cache_bytes() >= before && cache_.EvictOne()) ++stats_.evictions;
  if (executor_.cache_bytes() < before) return true;
  if (prefill_rows > kTile && chunk_ > kTile) {
    chunk_ = std::max(kTile, std::min(chunk_, prefill_rows) / 2);
    return true;
  }
  if (running_.size() < 2) return false;
  Sequence* last = nullptr;
  for (const auto& s : running_) {
    if (!s->done && (last == nullptr || s->id > last->id)) last = s.get();
  }
  if (last == nullptr) return false;
  Preempt(*last);
  admission_paused_ = true;
  return true;
}

void Scheduler::AccountStep(std::span<const Work> work, double step_ms) {
  speculator_.Measured(step_ms);
  chunk_ = std::min(options_.chunk, chunk_ * 2);
  int prefill_rows = 0;
  for (const Work& item : work) {
    prefill_rows += PrefillRows(item.rows);
    waiting_.Served(item.sequence->request.tenant, item.rows);
  }
  if (prefill_rows >= 32 && step_ms > 0) {
    const double rate = prefill_rows / step_ms;
    rows_per_ms_ = rows_per_ms_ <= 0 ? rate : 0.7 * rows_per_ms_ + 0.3 * rate;
  }
  ++stats_.steps;
}

void Scheduler::DeliverRows(std::span<const Work> work) {
  int row = 0;
  for (const Work& item : work) {
    Sequence& s = *item.sequence;
    const bool output = s.computed() + item.rows == s.size() && !s.request.embed;
    const bool reports = s.reports_prompt();
    int rows = Outputs(item);
    if (item.decode) rows += static_cast<int>(s.draft.drafts.size());
    CommitRows(s, item.rows);
    if (reports) ReportPrompt(s, row, item.rows);
    if (s.request.embed && s.computed() == s.prompt()) {
      DeliverMean(s);
    } else if (!output) {
      s.listener->OnProgress(s.stats, s.computed());
    } else if (item.decode) {
      VerifyDrafts(s, row);
    } else if (s.request.read_only) {
      s.stats.prompt_ms = MillisecondsSince(s.admitted);
      EndSequence(s, Outcome::Reason::kLength);
    } else {
      EmitToken(s, logits_.view().row_span(row + rows - 1));
    }
    row += rows;
  }
}

// --- one sequence

int Scheduler::NextCommit(const Sequence& s, int from, int end) const {
  const std::vector<int>& anchors = s.request.anchors;
  int to = std::min(end, (from / options_.snapshot_spacing + 1) * options_.snapshot_spacing);
  const auto anchor = std::upper_bound(anchors.begin(), anchors.end(), from);
  if (anchor != anchors.end()) to = std::min(to, *anchor);
  if (from < s.prompt()) to = std::min(to, s.prompt());
  return to;
}

void Scheduler::CommitRows(Sequence& s, int rows) {
  const int end = s.computed() + rows;
  const std::vector<int>& anchors = s.request.anchors;
  while (s.computed() < end) {
    const int from = s.computed();
    int to = NextCommit(s, from, end);
    bool after_picture = false;
    for (const PictureSpan& picture : s.pictures) {
      if (picture.begin >= to || from >= picture.end) continue;
      to = picture.end;  // a picture is computed whole, so this is not beyond `end`
      after_picture = true;
    }
    s.state->Commit(to - from);
    const bool anchor =
        after_picture || to == s.prompt() || std::binary_search(anchors.begin(), anchors.end(), to);
    if (anchor || to % options_.snapshot_spacing == 0) TakeSnapshot(s, anchor);
  }
}

void Scheduler::TakeSnapshot(Sequence& s, bool anchor) {
  if (!options_.prefix_cache || !s.request.use_cache || s.computed() == 0) return;
  cache_.Insert(s.request.scope, std::span(s.keys).first(s.computed()), *s.state, anchor);
  if (anchor) keeper_.Changed(s.request.scope);
}

// Each row is emitted as if it had been computed alone, until a token comes out that was not
// drafted.
void Scheduler::VerifyDrafts(Sequence& s, int row) {
  const std::vector<TokenId>& drafts = s.draft.drafts;
  const bool guessed = s.draft.source != DraftMemory::Source::kForced;
  const int count = static_cast<int>(drafts.size());
  if (guessed) s.stats.drafted += count, stats_.drafted += count;
  int accepted = 0;
  while (true) {
    EmitToken(s, logits_.view().row_span(row + accepted));
    if (s.done || accepted == count || s.tokens.back() != drafts[accepted]) break;
    ++accepted;
    if (guessed) ++s.stats.accepted, ++stats_.accepted;
    CommitRows(s, 1);
  }
  speculator_.Verified(s.draft, accepted, s.done ? std::nullopt : std::optional(s.tokens.back()));
}

int Scheduler::Outputs(const Work& work) {
  const Sequence& s = *work.sequence;
  if (s.request.embed) return 0;
  if (s.reports_prompt()) return work.rows;
  return s.computed() + work.rows == s.size() ? 1 : 0;
}

void Scheduler::ReportPrompt(Sequence& s, int row, int rows) {
  const int first = s.computed() - rows;
  for (int i = 0; i < rows; ++i) {
    const int next = first + i + 1;  // the token that this row foretells
    if (next >= s.prompt() || next <= s.reported) continue;
    s.reported = next;
    s.listener->OnPromptToken(
        WithLogprobs(s.tokens[next], logits_.view().row_span(row + i), s.request.prompt_logprobs));
  }
}

Result<Sampled> Scheduler::ChooseToken(Sequence& s, std::span<float> logits) {
  Sampled token;
  const bool report = s.request.top_logprobs >= 0;
  // The model's own distribution, before constraint and penalties.
  const std::vector<float> raw(logits.begin(), report ? logits.end() : logits.begin());
  std::span<const uint32_t> allowed;  // empty: all
  if (s.request.constraint) {
    FACET_ASSIGN(allowed, s.request.constraint->Allowed());
  }
  if (!s.forced.empty() && Allows(allowed, s.forced.front())) {
    token.id = s.forced.front();
    s.forced.pop_front();
  } else {
    MaskLogits(allowed, logits);
    // A form that has come to its end ends the answer, however short it is.
    if (s.stats.generated < s.request.min_tokens && !s.request.constraint) {
      for (const TokenId stop : s.request.stop_tokens) logits[stop] = -INFINITY;
    }
    token.id = s.sampler.Sample(logits);
  }
  if (s.request.constraint) FACET_TRY(s.request.constraint->Accept(token.id));
  if (report) return WithLogprobs(token.id, raw, s.request.top_logprobs);
  return token;
}

void Scheduler::EmitToken(Sequence& s, std::span<float> logits) {
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
  auto token = ChooseToken(s, logits);
  if (!token) return EndSequence(s, Outcome::Reason::kError, token.error());
  const TokenId id = token->id;
  ++s.stats.generated;
  ++stats_.generated_tokens;
  const auto& stops = s.request.stop_tokens;
  if (std::find(stops.begin(), stops.end(), id) != stops.end())
    return EndSequence(s, Outcome::Reason::kStop);
  s.sampler.Accept(id);
  s.tokens.push_back(id);
  s.keys.push_back(static_cast<CacheKey>(id));
  auto decision = s.listener->OnToken(*token);
  if (decision.release) s.forced.clear();
  s.forced.insert(s.forced.end(), decision.force.begin(), decision.force.end());
  if (decision.stop) return EndSequence(s, Outcome::Reason::kListener);
  if (s.size() >= s.limit) EndSequence(s, Outcome::Reason::kLength);
}

void Scheduler::DeliverMean(Sequence& s) {
  s.stats.prompt_ms = MillisecondsSince(s.admitted);
  for (double& value : s.sum) value /= s.prompt();
  s.listener->OnEmbedding(std::move(s.sum));
  EndSequence(s, Outcome::Reason::kStop);
}

void Scheduler::EndSequence(Sequence& s, Outcome::Reason reason, Error error) {
  if (s.done) return;
  s.done = true;
  // The next turn's prompt holds this answer.
  if (s.state && (reason == Outcome::Reason::kStop || reason == Outcome::Reason::kListener))
    TakeSnapshot(s, true);
  s.state.reset();
  if (s.stats.generated > 0) {
    s.stats.decode_ms = MillisecondsSince(s.first_token);
    stats_.decode.Add(s.stats.decode_ms / 1000);
  }
  stats_.whole.Add(SecondsSince(s.arrived));
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

}  // namespace facet
