#include "runtime/group.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <utility>

#include "runtime/step_planner.h"

namespace engine::runtime {
namespace {

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

Group::Group(GroupSettings settings, PrefixCache& prefix_cache)
    : settings_(std::move(settings)),
      prefix_cache_(prefix_cache),
      team_(settings_.threads, settings_.spin),
      pass_(*settings_.model, team_, settings_.prefill_chunk + kMaxDecodeRows) {}

std::size_t Group::kv_cache_bytes() const {
  std::size_t bytes = 0;
  for (const Member& member : sequences_) bytes += member.sequence->cache().bytes();
  return bytes - kv_shared_bytes();
}

std::size_t Group::kv_shared_bytes() const {
  std::size_t bytes = 0;
  for (const Member& member : sequences_) bytes += member.sequence->cache().shared_bytes();
  return bytes;
}

void Group::add(std::unique_ptr<Sequence> sequence) {
  if (sequence->options().prefix_cache) {
    sequence->begin_with(prefix_cache_.find(settings_.model, sequence->options().kv_type, sequence->prompt_but_last()));
  }
  sequences_.push_back({std::move(sequence)});
}

bool Group::cancel(std::uint64_t id) {
  const auto found = std::ranges::find(sequences_, id, [](const Member& m) { return m.sequence->id(); });
  if (found == sequences_.end()) return false;
  end(*found, StopReason::Cancelled, "");
  remove_ended();
  return true;
}

void Group::cancel_all() {
  for (Member& member : sequences_) end(member, StopReason::Cancelled, "");
  remove_ended();
}

std::vector<std::uint64_t> Group::prefilling() const {
  std::vector<std::uint64_t> ids;
  for (const Member& member : sequences_) {
    if (member.sequence->prefilling()) ids.push_back(member.sequence->id());
  }
  return ids;
}

StepCounts Group::step(const std::atomic<bool>& abort, EventBuffer& events) {
  plan();
  StepCounts counts;
  try {
    counts = run(abort, events);
  } catch (const std::exception& failure) {
    for (Member& member : sequences_) {
      if (member.tokens > 0) end(member, StopReason::Error, failure.what());
    }
  }
  remove_ended();
  return counts;
}

void Group::plan() {
  std::vector<StepCandidate> candidates;
  candidates.reserve(sequences_.size());
  for (const Member& member : sequences_) {
    const Sequence& sequence = *member.sequence;
    candidates.push_back({.prefilling = sequence.prefilling(),
                          .waiting = sequence.waiting(),
                          .prefill_rank = sequence.options().prefill_rank,
                          .prefill_share = sequence.options().prefill_share,
                          .prefill_beside_decode = sequence.options().prefill_beside_decode});
  }
  const auto tokens = plan_step(candidates, kMaxDecodeRows, settings_.prefill_chunk);
  for (std::size_t i = 0; i < sequences_.size(); ++i) {
    Member& member = sequences_[i];
    member.tokens = tokens[i];
    try {
      member.sequence->cache().reserve(member.sequence->computed() + member.tokens);
    } catch (const std::bad_alloc&) {
      end(member, StopReason::Error, "the system has no memory left for the KV cache");
    }
  }
  remove_ended();
}

StepCounts Group::run(const std::atomic<bool>& abort, EventBuffer& events) {
  StepCounts counts;
  std::vector<model::Segment> segments;
  for (Member& member : sequences_) {
    if (member.tokens == 0) continue;
    announce_start(member, events);
    Sequence& sequence = *member.sequence;
    (sequence.prefilling() ? counts.prefill_rows : counts.decode_rows) += member.tokens;
    segments.push_back({.cache = &sequence.cache(),
                        .first_position = sequence.computed(),
                        .tokens = sequence.next_tokens(member.tokens),
                        .want_every_logit = false,
                        .want_logits = member.tokens == sequence.waiting()});
  }
  events.announce();
  if (segments.empty() || !pass_.run(segments, abort)) return {};
  std::size_t logit_row = 0;
  for (Member& member : sequences_) {
    if (member.tokens == 0) continue;
    const bool complete = member.tokens == member.sequence->waiting();
    member.sequence->mark_computed(member.tokens);
    if (complete) advance(member, logit_row++, events);
  }
  return counts;
}

void Group::announce_start(Member& member, EventBuffer& events) {
  if (std::exchange(member.started, true)) return;
  events.add(member.sequence->id(), true, [&](SequenceEvents& e) {
    e.prefill_start_ns = now_ns();
    e.cached_prompt_tokens = member.sequence->cached();
  });
}

void Group::advance(Member& member, std::size_t logit_row, EventBuffer& events) {
  Sequence& sequence = *member.sequence;
  const std::span<const float> logits = pass_.logits(logit_row);
  Sequence::Step step = sequence.draw(logits, pass_.best_token(logit_row), pass_.digest(logit_row), sampler_);
  // A token drawn from anything else than numbers would look like an answer.
  if (!std::isfinite(logits[static_cast<std::size_t>(step.token)])) {
    end(member, StopReason::Error, "the model's logits are not finite numbers: its weights are damaged");
    return;
  }
  const std::int64_t now = now_ns();
  const bool first = !std::exchange(member.produced, true);
  const bool due = first || now - member.flushed_ns >= sequence.options().flush_ns;
  if (due) member.flushed_ns = now;
  events.add(sequence.id(), due && step.stop == StopReason::None, [&](SequenceEvents& e) {
    e.token_ids.push_back(step.token);
    e.token_times_ns.push_back(now);
    e.text += step.text;
  });
  if (step.stop != StopReason::None) end(member, step.stop, "");
}

void Group::end(Member& member, StopReason reason, std::string error) {
  const bool from_outside = reason == StopReason::Cancelled || reason == StopReason::Error;
  SequenceEvents& last = ends_.emplace_back();
  last.sequence_id = member.sequence->id();
  last.text = from_outside ? member.sequence->finish_text() : "";
  last.stop = reason;
  last.error = std::move(error);
  last.logits_digest = member.sequence->digest().hexadecimal();
  if (reason != StopReason::Error) keep_prefix(*member.sequence);
  member.sequence.reset();  // its memory is free before anybody hears of the end
  member.ended = true;
}

void Group::keep_prefix(Sequence& sequence) {
  if (sequence.prefix() == nullptr) return;
  prefix_cache_.keep(settings_.model, sequence.computed_tokens(), sequence.cache(), *sequence.prefix());
}

void Group::tell_ends(EventBuffer& events) {
  for (SequenceEvents& last : ends_) {
    events.add(last.sequence_id, true, [&](SequenceEvents& e) {
      e.text += last.text;
      e.stop = last.stop;
      e.error = std::move(last.error);
      e.logits_digest = std::move(last.logits_digest);
    });
  }
  ends_.clear();
}

void Group::remove_ended() {
  std::erase_if(sequences_, [](const Member& member) { return member.ended; });
}

}  // namespace engine::runtime
