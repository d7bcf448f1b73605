#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_set>
#include <vector>

#include "runtime/loop/event_buffer.h"
#include "runtime/loop/group.h"
#include "runtime/loop/prefix_cache.h"

namespace engine::runtime {

struct RunLoopStatistics {
  std::uint64_t sequences = 0;
  std::uint64_t paused = 0;           // among the sequences
  std::uint64_t kv_cache_bytes = 0;   // owned by sequences
  std::uint64_t kv_shared_bytes = 0;  // what they read of the prefix cache, each for itself
  PrefixCacheUsage prefix_cache;      // idle_bytes without what drop_prefixes() has yet to drop
  std::uint64_t steps = 0;
  std::uint64_t decode_rows = 0;
  std::uint64_t prefill_rows = 0;
  std::int64_t busy_ns = 0;  // time of steps
};

// How the steps so far divide.
struct ComputeTimes {
  std::int64_t busy_ns = 0;             // time of all steps
  std::vector<SequenceTime> sequences;  // those that are here and took part in one
};

// Groups kept though nothing runs in them.
inline constexpr std::size_t kMaxIdleGroups = 8;

// The token loop, on a thread of its own: prepare input, compute, draw, check for a stop, turn into text, tell.
// Commands come through a queue, events leave through a buffer; neither side waits for a step.
class RunLoop {
 public:
  // The prefix cache keeps at most `prefix_cache_bytes`. Throws std::system_error.
  explicit RunLoop(std::size_t prefix_cache_bytes);
  ~RunLoop();
  RunLoop(const RunLoop&) = delete;
  RunLoop& operator=(const RunLoop&) = delete;

  EventBuffer& events() { return events_; }

  // Takes a sequence in. Those with equal settings share steps; groups take turns between steps. Once the loop is
  // closed the sequence ends at once, cancelled.
  void submit(GroupSettings settings, std::unique_ptr<Sequence> sequence);
  // Ends a sequence: within one layer while its prompt is computed, else after the running step.
  void cancel(std::uint64_t id);
  // Between steps, stops computing for a sequence, which keeps all it has, and goes on. While none that is here may go
  // on the loop sleeps. No effect on a sequence that has ended or never was.
  void pause(std::uint64_t id) { set_paused(id, true); }
  void resume(std::uint64_t id) { set_paused(id, false); }
  RunLoopStatistics statistics() const;
  // The times at the end of the last step, all from the same moment.
  ComputeTimes compute_times() const;
  // Drops what is kept of models that only the loop still holds. Waits until that is done: for the running step.
  void trim();
  // Drops `bytes` that the prefix cache holds for no sequence, those used longest ago first. Does not wait:
  // it is done before a sequence that is submitted later begins, and when trim() returns.
  void drop_prefixes(std::size_t bytes);
  // Empties the prefix cache: nothing computed before is found afterwards. Waits as trim() does.
  void clear_prefixes();
  // Ends every sequence and the thread, after the running layer. Idempotent.
  void close();

 private:
  struct Submission {
    GroupSettings settings;
    std::unique_ptr<Sequence> sequence;
  };

  struct Pause {
    std::uint64_t id;
    bool paused;
  };

  void run();
  void set_paused(std::uint64_t id, bool paused);
  // Waits for work; false where the loop is to end.
  bool take_commands();
  void place(Submission submission);
  void carry_out(const Pause& pause);
  void carry_out_trims(std::uint64_t asked);
  void shrink_prefix_cache(std::size_t drop_bytes, bool clear);
  // Called with the lock.
  bool has_commands() const;
  // The group of these settings, made if need be; the last in the list. Throws std::bad_alloc, std::system_error.
  Group& group_with(const GroupSettings& settings);
  // Drops idle groups, least recently used first, until `most` are left: each has threads and buffers.
  void keep_idle_groups(std::size_t most);
  // A group outlives its sequences so that the next one finds it ready, until groups alone hold its model.
  void drop_unused_groups();
  // Ends a sequence that never came into a group.
  void refuse(std::uint64_t id, std::uint32_t choices, StopReason reason, std::string_view error);
  void step(Group& group);
  // Statistics first, so that who hears of an end finds its memory gone from them.
  void publish();

  EventBuffer events_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Submission> submissions_;
  std::vector<std::uint64_t> cancellations_;
  std::vector<Pause> pauses_;
  std::uint64_t trims_asked_ = 0;
  std::uint64_t trims_done_ = 0;
  std::condition_variable trimmed_;
  std::size_t prefix_bytes_to_drop_ = 0;
  bool clear_asked_ = false;
  std::unordered_set<std::uint64_t> prefilling_;  // in the present step
  bool closing_ = false;
  RunLoopStatistics statistics_;
  std::vector<SequenceTime> sequence_times_;  // from the same moment
  std::atomic<bool> abort_{false};

  // Used by the loop's thread alone.
  PrefixCache prefix_cache_;  // outlives the sequences that read it
  std::list<Group> groups_;
  RunLoopStatistics counted_;
  std::vector<SequenceTime> counted_times_;

  std::thread thread_;
};

}  // namespace engine::runtime
