#include "runtime/loop/group.h"

#include <algorithm>
#include <new>
#include <utility>

#include "base/first_failure.h"
#include "base/float_environment.h"
#include "base/steady_time.h"
#include "runtime/loop/step_planner.h"
#include "runtime/speculation/draft_planner.h"

namespace engine::runtime {

using model::Operation;

namespace {

constexpr auto kDraft = static_cast<std::size_t>(Operation::Draft);

}  // namespace

Group::Group(GroupSettings settings, PrefixCache& prefix_cache, std::int64_t& busy_ns)
    : settings_(std::move(settings)),
      prefix_cache_(prefix_cache),
      team_(settings_.threads, settings_.spin),
      pass_(*settings_.model, team_, settings_.prefill_chunk + kMaxDecodeRows),
      samplers_(settings_.threads, Sampler(settings_.model->kernels())),
      row_cost_(*settings_.model),
      drafting_(team_, settings_.prefill_chunk + Drafting::kFollowing * kMaxDecodeRows),
      busy_ns_(busy_ns) {}

std::size_t Group::kv_cache_bytes() const {
  std::size_t bytes = 0;
  for (auto member = sequences_.begin(); member != sequences_.end(); ++member) {
    const Sequence& sequence = *member->sequence;
    bytes += sequence.kv_bytes() - (holds_prompt(member) ? sequence.kv_shared_bytes() : sequence.kv_forked_bytes());
  }
  return bytes;
}

std::size_t Group::kv_shared_bytes() const {
  std::size_t bytes = 0;
  for (auto member = sequences_.begin(); member != sequences_.end(); ++member) {
    if (holds_prompt(member)) bytes += member->sequence->kv_shared_bytes();
  }
  return bytes;
}

bool Group::holds_prompt(std::vector<Member>::const_iterator member) const {
  return member->sequence->choice() == 0 || std::none_of(sequences_.begin(), member, [&](const Member& other) {
           return other.sequence->id() == member->sequence->id();
         });
}

void Group::add(std::unique_ptr<Sequence> sequence) {
  if (sequence->options().prefix_cache) {
    const std::span<const std::int32_t> prompt = sequence->prompt_but_last();
    sequence->begin_with(prefix_cache_.find(settings_.model, sequence->cache().format(), prompt));
    if (DraftContext* draft = sequence->draft_context()) {
      draft->begin_with(prefix_cache_.find(draft->model(), draft->cache().format(), prompt), prompt);
    }
  }
  Member& member = sequences_.emplace_back();
  if (sequence->options().op_times) member.operation_ns.emplace();
  member.choices = sequence->options().choices;
  member.sequence = std::move(sequence);
}

bool Group::runnable() const {
  return !std::ranges::all_of(sequences_, [](const Member& member) { return member.paused; });
}

std::size_t Group::paused() const {
  return static_cast<std::size_t>(std::ranges::count_if(sequences_, [](const Member& m) { return m.paused; }));
}

void Group::append_times(std::vector<SequenceTime>& times) const {
  for (const Member& member : sequences_) {
    const std::int64_t compute_ns = member.compute_ns + member.ended_choices_ns;
    if (compute_ns == 0) continue;
    const std::uint64_t id = member.sequence->id();
    const auto found =
        member.sequence->options().choices == 1 ? times.end() : std::ranges::find(times, id, &SequenceTime::id);
    if (found != times.end()) {
      found->compute_ns += compute_ns;
    } else {
      times.push_back({.id = id, .compute_ns = compute_ns, .busy_ns = busy_ns_ - member.busy_before_ns});
    }
  }
}

bool Group::set_paused(std::uint64_t id, bool paused) {
  bool found = false;
  for (Member& member : sequences_) {
    if (member.sequence->id() != id) continue;
    member.paused = paused;
    found = true;
  }
  return found;
}

bool Group::cancel(std::uint64_t id) {
  bool found = false;
  for (Member& member : sequences_) {
    if (member.sequence->id() != id) continue;
    end(member, StopReason::Cancelled, "");
    found = true;
  }
  remove_ended();
  return found;
}

void Group::cancel_all() {
  for (Member& member : sequences_) end(member, StopReason::Cancelled, "");
  remove_ended();
}

std::vector<std::uint64_t> Group::prefilling() const {
  std::vector<std::uint64_t> ids;
  for (const Member& member : sequences_) {
    if (member.sequence->prefilling() && !member.paused) ids.push_back(member.sequence->id());
  }
  return ids;
}

StepCounts Group::step(const std::atomic<bool>& abort, EventBuffer& events) {
  const std::int64_t began_ns = steady_ns();
  clock_.begin(began_ns);
  StepCounts counts;
  try {
    plan(abort);
    counts = run(abort, events);
  } catch (const std::exception& failure) {
    for (Member& member : sequences_) {
      if (member.tokens > 0 && !member.last) end(member, StopReason::Error, failure.what());
    }
  }
  account(began_ns);
  remove_ended();
  return counts;
}

void Group::plan(const std::atomic<bool>& abort) {
  std::vector<StepCandidate> candidates;
  candidates.reserve(sequences_.size());
  for (const Member& member : sequences_) {
    const Sequence& sequence = *member.sequence;
    candidates.push_back({.prefilling = sequence.prefilling(),
                          .paused = member.paused,
                          .waiting = sequence.waiting(),
                          .prefill_rank = sequence.options().prefill_rank,
                          .prefill_share = sequence.options().prefill_share,
                          .prefill_beside_decode = sequence.options().prefill_beside_decode});
  }
  const auto tokens = plan_step(candidates, kMaxDecodeRows, settings_.prefill_chunk);
  for (std::size_t i = 0; i < sequences_.size(); ++i) sequences_[i].tokens = tokens[i];
  timed_ = std::ranges::any_of(sequences_, [](const Member& m) { return m.tokens > 0 && m.operation_ns; });
  plan_drafts(abort);
  make_room();
  note_kv_peaks();
}

void Group::plan_drafts(const std::atomic<bool>& abort) {
  StepRows step{.rows = 0.0, .tokens = 0.0, .free_rows = kMaxDecodeRows};
  std::size_t prompt_rows = 0;
  std::size_t most_prompt_rows = settings_.prefill_chunk;
  std::vector<Drafting::Entry> guessing;
  for (std::size_t i = 0; i < sequences_.size(); ++i) {
    const Member& member = sequences_[i];
    if (member.tokens == 0) continue;
    Sequence& sequence = *member.sequence;
    step.rows += static_cast<double>(member.tokens);
    if (member.tokens == sequence.waiting()) step.tokens += 1.0;
    if (sequence.prefilling()) {
      prompt_rows += member.tokens;
      continue;
    }
    most_prompt_rows = std::min(most_prompt_rows, sequence.options().prefill_beside_decode);
    step.free_rows -= 1;
    if (sequence.speculation() != nullptr) guessing.push_back({.sequence = &sequence, .member = i});
  }
  for (const Drafting::Entry& entry : guessing) entry.sequence->guess(step);
  draft(guessing, step, most_prompt_rows - std::min(most_prompt_rows, prompt_rows), abort);
  std::vector<DraftCandidate> candidates;
  candidates.reserve(guessing.size());
  for (const Drafting::Entry& entry : guessing) {
    const Speculation& speculation = *entry.sequence->speculation();
    candidates.push_back({.chances = speculation.chances(), .row_cost = speculation.row_cost()});
  }
  const auto drafts = runtime::plan_drafts(candidates, step);
  for (std::size_t i = 0; i < guessing.size(); ++i) guessing[i].sequence->speculation()->take(drafts[i]);
}

void Group::draft(std::vector<Drafting::Entry>& entries, StepRows& step, std::size_t waiting,
                  const std::atomic<bool>& abort) {
  for (Member& member : sequences_) member.draft_cost = 0.0;
  draft_ns_ = 0;
  const std::int64_t began_ns = steady_ns();
  if (!drafting_.run(entries, step, waiting, abort)) return;
  const std::int64_t now_ns = steady_ns();
  draft_ns_ = now_ns - began_ns;
  if (timed_) {
    clock_.charge(Operation::Other, began_ns);
    clock_.charge(Operation::Draft, now_ns);
  }
  for (const Drafting::Entry& entry : entries) {
    Member& member = sequences_[entry.member];
    member.draft_cost = entry.cost;
    if (entry.no_memory) end(member, StopReason::Error, "the system has no memory left for the draft model's KV cache");
  }
  std::erase_if(entries, [](const Drafting::Entry& entry) { return entry.no_memory; });
  remove_ended();
}

void Group::make_room() {
  for (Member& member : sequences_) {
    member.cost = 0.0;
    if (member.tokens == 0) continue;
    Sequence& sequence = *member.sequence;
    const std::size_t rows = member.tokens + sequence.draft_rows();
    const std::size_t logit_rows = member.tokens == sequence.waiting() ? 1 + sequence.draft_rows() : 0;
    member.cost = row_cost_.of(sequence.computed(), rows, logit_rows);
    try {
      sequence.make_room(rows);
    } catch (const std::bad_alloc&) {
      end(member, StopReason::Error, "the system has no memory left for the KV cache");
    }
  }
  remove_ended();
}

void Group::note_kv_peaks() {
  for (auto member = sequences_.begin(); member != sequences_.end(); ++member) {
    if (member->last || !holds_prompt(member)) continue;
    if (member->sequence->options().choices == 1) {
      member->kv_peak_bytes = std::max(member->kv_peak_bytes, member->sequence->kv_bytes());
      continue;
    }
    std::size_t held = 0;
    for (auto other = member; other != sequences_.end(); ++other) {
      if (other->last || other->sequence->id() != member->sequence->id()) continue;
      const Sequence& sequence = *other->sequence;
      held += sequence.kv_bytes() - (other == member ? 0 : sequence.kv_forked_bytes());
    }
    for (auto other = member; other != sequences_.end(); ++other) {
      if (other->last || other->sequence->id() != member->sequence->id()) continue;
      other->kv_peak_bytes = std::max(other->kv_peak_bytes, held);
    }
  }
}

void Group::charge(Operation operation) {
  if (timed_) clock_.charge(operation);
}

void Group::account(std::int64_t began_ns) {
  double total = 0.0;
  double draft_total = 0.0;
  for (const Member& member : sequences_) {
    total += member.cost;
    draft_total += member.draft_cost;
  }
  if (total == 0.0) return;  // nothing was computed
  const std::int64_t now_ns = steady_ns();
  if (timed_) clock_.charge(Operation::Other, now_ns);
  const std::int64_t draft_ns = draft_total > 0.0 ? std::exchange(draft_ns_, 0) : 0;
  Parts parts(total);
  Parts draft_parts(draft_total);
  for (Member& member : sequences_) {
    const Share share = parts.next(member.cost);
    const Share draft_share = draft_parts.next(member.draft_cost);
    const std::int64_t own_draft_ns = draft_share.of(draft_ns);
    member.compute_ns += share.of(now_ns - began_ns - draft_ns) + own_draft_ns;
    member.draft_ns += own_draft_ns;
    if (!member.operation_ns) continue;
    model::OperationTimes& times = *member.operation_ns;
    for (std::size_t i = 0; i < times.size(); ++i) {
      times[i] += (i == kDraft ? draft_share : share).of(clock_.times()[i]);
    }
  }
  busy_ns_ += now_ns - began_ns;
}

StepCounts Group::run(const std::atomic<bool>& abort, EventBuffer& events) {
  StepCounts counts;
  std::vector<model::Segment> segments;
  for (Member& member : sequences_) {
    if (member.tokens == 0) continue;
    announce_start(member, events);
    Sequence& sequence = *member.sequence;
    (sequence.prefilling() ? counts.prefill_rows : counts.decode_rows) += member.tokens + sequence.draft_rows();
    segments.push_back({.cache = &sequence.cache(),
                        .first_position = sequence.computed(),
                        .tokens = sequence.step_tokens(member.tokens),
                        .want_every_logit = sequence.draft_rows() > 0,  // then all are decoded
                        .want_logits = member.tokens == sequence.waiting()});
  }
  events.announce();
  if (segments.empty() || !pass_.run(segments, abort, timed_ ? &clock_ : nullptr)) return {};
  std::vector<Drawing> drawings;
  std::size_t row = 0;
  std::size_t logit_row = 0;
  const std::size_t planned = sequences_.size();
  for (std::size_t i = 0; i < planned; ++i) {
    Member& member = sequences_[i];
    if (member.tokens == 0) continue;
    const bool complete = member.tokens == member.sequence->waiting();
    const std::size_t draft_rows = member.sequence->draft_rows();
    const auto non_finite = pass_.non_finite(row, member.tokens);
    row += member.tokens;
    // A drafted token's row that is not finite is computed again once it is known to be the text's.
    std::size_t finite = 0;
    while (finite < draft_rows && !pass_.non_finite(row + finite, 1)) ++finite;
    row += draft_rows;
    if (non_finite) {  // a token drawn from it would look like an answer
      end(member, StopReason::Error, non_finite->sentence(), non_finite);
    } else {
      member.sequence->mark_computed(member.tokens);
    }
    if (!complete) continue;
    if (!non_finite) add_drawings(i, logit_row, 1 + finite, drawings);
    logit_row += 1 + draft_rows;
  }
  draw(drawings);
  for (Drawing& drawing : drawings) take_in(drawing, events);
  return counts;
}

void Group::add_drawings(std::size_t member, std::size_t logit_row, std::size_t logit_rows,
                         std::vector<Drawing>& drawings) {
  const std::size_t first_forked = sequences_.size();
  fork_choices(member);
  if (!sequences_[member].last) {
    drawings.push_back({.member = member, .logit_row = logit_row, .logit_rows = logit_rows});
  }
  for (std::size_t j = first_forked; j < sequences_.size(); ++j) {
    drawings.push_back({.member = j, .logit_row = logit_row, .logit_rows = 1});
  }
}

void Group::fork_choices(std::size_t member) {
  const std::size_t first_forked = sequences_.size();
  std::size_t kv_bytes = sequences_[member].sequence->kv_bytes();
  try {
    sequences_.reserve(sequences_.size() + sequences_[member].choices - sequences_[member].next_choice);
    for (Member& first = sequences_[member]; first.next_choice < first.choices; ++first.next_choice) {
      auto sequence = first.sequence->fork(first.next_choice);
      Member& other = sequences_.emplace_back();
      other.sequence = std::move(sequence);
      other.tokens = 1;  // it takes part in the rest of this step
      other.started = true;
      other.busy_before_ns = first.busy_before_ns;
      if (first.operation_ns) other.operation_ns.emplace();
      kv_bytes += other.sequence->kv_bytes() - other.sequence->kv_forked_bytes();
    }
  } catch (const std::bad_alloc&) {
    end(sequences_[member], StopReason::Error, "the system has no memory left for the KV cache");
  }
  // A choice may end before the next step plans.
  sequences_[member].kv_peak_bytes = std::max(sequences_[member].kv_peak_bytes, kv_bytes);
  for (std::size_t i = first_forked; i < sequences_.size(); ++i) sequences_[i].kv_peak_bytes = kv_bytes;
}

void Group::announce_start(Member& member, EventBuffer& events) {
  if (std::exchange(member.started, true)) return;
  member.busy_before_ns = busy_ns_;
  events.add(member.sequence->id(), member.sequence->choice(), 0, [&](SequenceEvents& e) {
    e.prefill_start_ns = steady_ns();
    e.cached_prompt_tokens = member.sequence->cached();
  });
}

void Group::draw(std::vector<Drawing>& drawings) {
  charge(Operation::Other);
  const auto takes_time = [this](const Drawing& drawing) {
    return !sequences_[drawing.member].sequence->takes_largest();
  };
  model::OperationClock* clock = timed_ ? &clock_ : nullptr;
  if (team_.size() == 1 || std::ranges::count_if(drawings, takes_time) < 2) {
    for (Drawing& drawing : drawings) draw(drawing, samplers_[0], clock);
    return;
  }
  std::atomic<std::size_t> next = 0;
  FirstFailure failure;
  team_.run([&](unsigned member) {
    const InferenceFloatEnvironment environment;
    try {
      for (std::size_t i = next.fetch_add(1); i < drawings.size(); i = next.fetch_add(1)) {
        draw(drawings[i], samplers_[member], member == 0 ? clock : nullptr);
      }
    } catch (...) {
      failure.keep();
    }
  });
  charge(Operation::Wait);
  failure.rethrow();
}

void Group::draw(Drawing& drawing, Sampler& sampler, model::OperationClock* clock) {
  Sequence& sequence = *sequences_[drawing.member].sequence;
  try {
    for (std::size_t i = 0; i < drawing.logit_rows; ++i) {
      if (i > 0) sequence.mark_computed(1);
      drawing.drawn.push_back(draw_token(sequence, drawing.logit_row + i, sampler, clock));
      const bool follows = sequence.follow_draft();
      if (!follows || drawing.drawn.back().effect.stop != StopReason::None) break;
    }
  } catch (const GrammarError& failure) {
    drawing.failure = failure.what();
  }
}

Group::DrawnToken Group::draw_token(Sequence& sequence, std::size_t logit_row, Sampler& sampler,
                                    model::OperationClock* clock) {
  const auto charge_to = [clock](Operation operation) {
    if (clock != nullptr) clock->charge(operation);
  };
  const std::span<const float> logits = pass_.logits(logit_row);
  const std::int32_t largest = pass_.best_token(logit_row);
  const bool constrained = sequence.options().grammar != nullptr;
  if (constrained) {
    sequence.constrain(logits.size());
    charge_to(Operation::Grammar);
  }
  DrawnToken drawn{.token = sequence.draw(logits, largest, pass_.digest(logit_row), sampler)};
  if (const auto likeliest = sequence.options().logprobs) {
    drawn.log_probabilities = sampler.log_probabilities(logits, drawn.token, largest, *likeliest);
  }
  charge_to(Operation::Sampling);
  if (constrained) {
    sequence.follow_grammar();
    charge_to(Operation::Grammar);
  }
  drawn.effect = sequence.take_effect();
  charge_to(Operation::Detokenize);
  return drawn;
}

void Group::take_in(Drawing& drawing, EventBuffer& events) {
  Member& member = sequences_[drawing.member];
  Sequence& sequence = *member.sequence;
  StopReason stop = StopReason::None;
  if (!drawing.drawn.empty()) {
    stop = drawing.drawn.back().effect.stop;
    const std::int64_t now = steady_ns();
    const std::int64_t patience_ns = std::exchange(member.produced, true) ? sequence.options().flush_ns : 0;
    events.add(sequence.id(), sequence.choice(), patience_ns, [&](SequenceEvents& e) {
      for (DrawnToken& drawn : drawing.drawn) {
        e.token_ids.push_back(drawn.token);
        e.token_times_ns.push_back(now);
        if (drawn.log_probabilities) e.logprobs.push_back(std::move(*drawn.log_probabilities));
        e.text += drawn.effect.text;
      }
    });
  }
  if (!drawing.failure.empty()) {
    return end(member, StopReason::Error, "the grammar cannot be followed: " + drawing.failure);
  }
  if (stop != StopReason::None) end(member, stop, "");
}

void Group::end(Member& member, StopReason reason, std::string error,
                const std::optional<model::NonFinitePlace>& non_finite) {
  const bool from_outside = reason == StopReason::Cancelled || reason == StopReason::Error;
  SequenceEvents& last = member.last.emplace();
  last.sequence_id = member.sequence->id();
  last.choice = member.sequence->choice();
  last.text = from_outside ? member.sequence->finish_text() : "";
  last.stop = reason;
  last.error = std::move(error);
  last.non_finite = non_finite;
  last.logits_digest = member.sequence->digest().hexadecimal();
  last.kv_cache_bytes = member.kv_peak_bytes;
  if (const Speculation* speculation = member.sequence->speculation()) {
    last.drafted_tokens = speculation->drafted_tokens();
    last.accepted_tokens = speculation->accepted_tokens();
  }
  if (reason != StopReason::Error) keep_prefix(*member.sequence);
  member.sequence.reset();  // its memory is free before anybody hears of the end
}

void Group::keep_prefix(Sequence& sequence) {
  if (sequence.prefix() == nullptr) return;
  prefix_cache_.keep(settings_.model, sequence.computed_tokens(), sequence.cache(), *sequence.prefix());
  const DraftContext* draft = sequence.draft_context();
  if (draft == nullptr) return;
  sequence.settle_draft();
  prefix_cache_.keep(draft->model(), draft->computed_tokens(), draft->cache(), *draft->prefix());
}

void Group::tell_ends(EventBuffer& events) {
  for (SequenceEvents& last : ends_) {
    events.add(last.sequence_id, last.choice, 0, [&](SequenceEvents& e) { e.end_as(last); });
  }
  ends_.clear();
}

void Group::hand_on_time(const Member& ended, std::uint64_t id) {
  for (Member& other : sequences_) {
    if (other.last || other.sequence->id() != id) continue;
    other.ended_choices_ns += ended.compute_ns + ended.ended_choices_ns;
    return;
  }
}

void Group::remove_ended() {
  for (Member& member : sequences_) {
    if (!member.last) continue;
    SequenceEvents last = std::move(*member.last);
    hand_on_time(member, last.sequence_id);
    for (std::uint32_t choice = member.next_choice; choice < member.choices; ++choice) {
      ends_.emplace_back(last).choice = choice;
    }
    if (member.compute_ns > 0) {
      last.compute_ns = member.compute_ns;
      last.busy_ns = busy_ns_ - member.busy_before_ns;
      last.operation_ns = member.operation_ns;
      last.draft_ns = member.draft_ns;
    }
    ends_.push_back(std::move(last));
  }
  std::erase_if(sequences_, [](const Member& member) { return member.last.has_value(); });
}

}  // namespace engine::runtime
