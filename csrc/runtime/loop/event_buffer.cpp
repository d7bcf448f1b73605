#include "runtime/loop/event_buffer.h"

#include <utility>

namespace engine::runtime {

void SequenceEvents::end_as(SequenceEvents& last) {
  text += last.text;
  stop = last.stop;
  error = std::move(last.error);
  non_finite = last.non_finite;
  logits_digest = std::move(last.logits_digest);
  compute_ns = last.compute_ns;
  busy_ns = last.busy_ns;
  operation_ns = last.operation_ns;
  kv_cache_bytes = last.kv_cache_bytes;
  drafted_tokens = last.drafted_tokens;
  accepted_tokens = last.accepted_tokens;
  draft_ns = last.draft_ns;
}

void EventBuffer::expect(std::int64_t patience_ns, std::int64_t now_ns) {
  const std::int64_t due_ns = drained_ns_ + patience_ns;
  if (due_ns > now_ns) {
    alarm_.ring_at(due_ns);
    return;
  }
  due_ = true;
  // A step may have hundreds of sequences left to draw for before it announces them.
  if (patience_ns > 0) alarm_.ring_at(now_ns + patience_ns);
}

void EventBuffer::hasten(std::uint64_t sequence_id) {
  const std::scoped_lock lock(mutex_);
  const auto first = index_.lower_bound({sequence_id, 0});
  due_ = due_ || (first != index_.end() && first->first.first == sequence_id);
}

void EventBuffer::announce() {
  const std::scoped_lock lock(mutex_);
  if (due_) alarm_.ring();
}

std::vector<SequenceEvents> EventBuffer::drain() {
  const std::scoped_lock lock(mutex_);
  alarm_.silence();
  due_ = false;
  drained_ns_ = steady_ns();
  index_.clear();
  return std::exchange(events_, {});
}

}  // namespace engine::runtime
