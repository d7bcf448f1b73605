#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/steady_time.h"
#include "model/forward/non_finite.h"
#include "model/forward/operation_clock.h"
#include "runtime/loop/alarm.h"
#include "runtime/loop/sequence.h"
#include "runtime/sampling/log_probabilities.h"

namespace engine::runtime {

// What one choice of a sequence did since the last drain. Times are of the steady clock.
struct SequenceEvents {
  std::uint64_t sequence_id = 0;
  std::uint32_t choice = 0;
  std::optional<std::int64_t> prefill_start_ns;
  std::optional<std::size_t> cached_prompt_tokens;  // with the start: found in the prefix cache
  std::vector<std::int32_t> token_ids;
  std::vector<std::int64_t> token_times_ns;
  std::vector<TokenLogProbabilities> logprobs;  // one for each token, where the options ask for them
  std::string text;
  // How many of the first tokens and bytes of text the client has been sent.
  std::size_t sent_tokens = 0;
  std::size_t sent_text = 0;
  StopReason stop = StopReason::None;
  std::string error;
  std::optional<model::NonFinitePlace> non_finite;  // where that is the error
  std::string logits_digest;
  // Set with the stop: the loop's computing time for this sequence, from its first step to its last.
  std::int64_t compute_ns = 0;                        // its part of its steps' time
  std::int64_t busy_ns = 0;                           // the time of the steps of all sequences
  std::optional<model::OperationTimes> operation_ns;  // parts of compute_ns, where op_times is on
  std::size_t kv_cache_bytes = 0;                     // the most that all its choices have held together so far
  std::size_t drafted_tokens = 0;                     // computed ahead of time; see Speculation
  std::size_t accepted_tokens = 0;                    // of those
  std::int64_t draft_ns = 0;                          // the part of compute_ns that draft models took

  // Adds the last text, and moves in the stop with all that is set with it.
  void end_as(SequenceEvents& last);
};

// Events on their way from the run loop to its reader, gathered by sequence and announced on a descriptor. The writer
// never waits for the reader: what a reader has not taken grows by at most max_tokens of each admitted sequence.
//
// Events have a patience, which bounds both how long they wait for the reader and how often it is woken for their like:
// it is called at the end of the step that made them, but no earlier than that time after it last came. The call is a
// timer's, so that it comes in time although the writer computes a long step meanwhile.
class EventBuffer {
 public:
  // Throws std::system_error.
  EventBuffer() = default;
  EventBuffer(const EventBuffer&) = delete;
  EventBuffer& operator=(const EventBuffer&) = delete;

  // Readable while something is due.
  int descriptor() const { return alarm_.descriptor(); }

  // Lets `change` add to the events of one choice. The reader then takes those of every sequence: nobody else's need to
  // be due. Without patience they are due at the next announce(), so that a step's go together.
  template <typename Change>
  void add(std::uint64_t sequence_id, std::uint32_t choice, std::int64_t patience_ns, Change change) {
    const std::scoped_lock lock(mutex_);
    const auto [place, added] = index_.try_emplace({sequence_id, choice}, events_.size());
    if (added) {
      SequenceEvents& events = events_.emplace_back();
      events.sequence_id = sequence_id;
      events.choice = choice;
    }
    change(events_[place->second]);
    expect(patience_ns, steady_ns());
  }

  // Makes due what has been added of one sequence, if anything has.
  void hasten(std::uint64_t sequence_id);

  // Calls the reader where something is due: once a step, not once a token.
  void announce();

  // All events so far, in the order of each choice's first; the descriptor is no longer readable.
  std::vector<SequenceEvents> drain();

 private:
  // Sees to it that what was added now is due in time. Called with the lock.
  void expect(std::int64_t patience_ns, std::int64_t now_ns);

  std::mutex mutex_;
  Alarm alarm_;
  std::vector<SequenceEvents> events_;
  std::map<std::pair<std::uint64_t, std::uint32_t>, std::size_t> index_;
  bool due_ = false;                         // at the next announce()
  std::int64_t drained_ns_ = INT64_MIN / 2;  // when the reader last came: never
};

}  // namespace engine::runtime
