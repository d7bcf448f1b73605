#include "runtime/loop/run_loop.h"

#include <algorithm>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "base/float_environment.h"

namespace engine::runtime {

RunLoop::RunLoop(std::size_t prefix_cache_bytes) : prefix_cache_(prefix_cache_bytes), thread_([this] { run(); }) {}

RunLoop::~RunLoop() { close(); }

void RunLoop::submit(GroupSettings settings, std::unique_ptr<Sequence> sequence) {
  {
    const std::scoped_lock lock(mutex_);
    if (!closing_) {
      submissions_.push_back({std::move(settings), std::move(sequence)});
      wake_.notify_one();
      return;
    }
  }
  refuse(sequence->id(), sequence->options().choices, StopReason::Cancelled, "");
  events_.announce();
}

void RunLoop::cancel(std::uint64_t id) {
  {
    const std::scoped_lock lock(mutex_);
    cancellations_.push_back(id);
    if (prefilling_.contains(id)) abort_.store(true, std::memory_order_relaxed);
  }
  wake_.notify_one();
}

void RunLoop::set_paused(std::uint64_t id, bool paused) {
  {
    const std::scoped_lock lock(mutex_);
    pauses_.push_back({id, paused});
  }
  wake_.notify_one();
}

RunLoopStatistics RunLoop::statistics() const {
  const std::scoped_lock lock(mutex_);
  RunLoopStatistics statistics = statistics_;
  statistics.prefix_cache.idle_bytes -= std::min(statistics.prefix_cache.idle_bytes, prefix_bytes_to_drop_);
  return statistics;
}

ComputeTimes RunLoop::compute_times() const {
  const std::scoped_lock lock(mutex_);
  return {.busy_ns = statistics_.busy_ns, .sequences = sequence_times_};
}

void RunLoop::trim() {
  std::unique_lock lock(mutex_);
  const std::uint64_t mine = ++trims_asked_;
  wake_.notify_one();
  trimmed_.wait(lock, [&] { return trims_done_ >= mine || closing_; });
}

void RunLoop::drop_prefixes(std::size_t bytes) {
  const std::scoped_lock lock(mutex_);
  prefix_bytes_to_drop_ += bytes;
  wake_.notify_one();
}

void RunLoop::clear_prefixes() {
  {
    const std::scoped_lock lock(mutex_);
    clear_asked_ = true;
  }
  trim();
}

void RunLoop::close() {
  {
    const std::scoped_lock lock(mutex_);
    closing_ = true;
    abort_.store(true, std::memory_order_relaxed);
  }
  wake_.notify_one();
  trimmed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void RunLoop::run() {
  const InferenceFloatEnvironment environment;  // sampling computes with floats too
  while (take_commands()) {
    for (Group& group : groups_) {
      if (!group.runnable()) continue;
      step(group);
      publish();  // what a group made waits for no other group's step
    }
  }
  for (Group& group : groups_) group.cancel_all();
  publish();
}

bool RunLoop::take_commands() {
  std::vector<Submission> submissions;
  std::vector<std::uint64_t> cancellations;
  std::vector<Pause> pauses;
  std::uint64_t trims = 0;
  std::size_t prefix_bytes = 0;
  bool clear = false;
  bool closing = false;
  {
    std::unique_lock lock(mutex_);
    const bool runnable = std::ranges::any_of(groups_, [](const Group& group) { return group.runnable(); });
    wake_.wait(lock, [&] { return runnable || has_commands(); });
    trims = trims_asked_;
    prefix_bytes = prefix_bytes_to_drop_;
    clear = std::exchange(clear_asked_, false);
    submissions.swap(submissions_);
    cancellations.swap(cancellations_);
    pauses.swap(pauses_);
    closing = closing_;
    if (!closing) abort_.store(false, std::memory_order_relaxed);
  }
  if (prefix_bytes > 0 || clear) shrink_prefix_cache(prefix_bytes, clear);
  for (Submission& submission : submissions) place(std::move(submission));
  for (const Pause& pause : pauses) carry_out(pause);
  for (const std::uint64_t id : cancellations) {
    std::ranges::any_of(groups_, [&](Group& group) { return group.cancel(id); });
  }
  if (!submissions.empty() || !cancellations.empty() || !pauses.empty()) publish();  // not only after the next step
  carry_out_trims(trims);
  return !closing;
}

bool RunLoop::has_commands() const {
  return closing_ || !submissions_.empty() || !cancellations_.empty() || !pauses_.empty() ||
         trims_done_ != trims_asked_ || prefix_bytes_to_drop_ > 0;
}

void RunLoop::shrink_prefix_cache(std::size_t drop_bytes, bool clear) {
  prefix_cache_.drop(drop_bytes);
  if (clear) prefix_cache_.clear();
  const std::scoped_lock lock(mutex_);
  prefix_bytes_to_drop_ -= drop_bytes;
  statistics_.prefix_cache = counted_.prefix_cache = prefix_cache_.usage();
}

void RunLoop::place(Submission submission) {
  drop_unused_groups();
  const std::uint64_t id = submission.sequence->id();
  const std::uint32_t choices = submission.sequence->options().choices;
  try {
    group_with(submission.settings).add(std::move(submission.sequence));
  } catch (const std::exception& failure) {
    submission.sequence.reset();
    refuse(id, choices, StopReason::Error, failure.what());
  }
}

Group& RunLoop::group_with(const GroupSettings& settings) {
  const auto found = std::ranges::find(groups_, settings, [](const Group& g) { return g.settings(); });
  if (found != groups_.end()) {
    groups_.splice(groups_.end(), groups_, found);
    return groups_.back();
  }
  keep_idle_groups(kMaxIdleGroups - 1);
  try {
    return groups_.emplace_back(settings, prefix_cache_, counted_.busy_ns);
  } catch (const std::system_error&) {  // no more threads: those of idle groups are there to be had
    keep_idle_groups(0);
    return groups_.emplace_back(settings, prefix_cache_, counted_.busy_ns);
  }
}

void RunLoop::keep_idle_groups(std::size_t most) {
  auto idle = static_cast<std::size_t>(std::ranges::count_if(groups_, [](const Group& g) { return g.idle(); }));
  groups_.remove_if([&](const Group& group) {
    const bool goes = group.idle() && idle > most;
    idle -= goes ? 1 : 0;
    return goes;
  });
}

void RunLoop::carry_out(const Pause& pause) {
  const bool here =
      std::ranges::any_of(groups_, [&](Group& group) { return group.set_paused(pause.id, pause.paused); });
  if (here && pause.paused) events_.hasten(pause.id);  // no later token will bring them
}

void RunLoop::carry_out_trims(std::uint64_t asked) {
  {
    const std::scoped_lock lock(mutex_);
    if (trims_done_ == asked) return;
  }
  drop_unused_groups();
  {
    const std::scoped_lock lock(mutex_);
    trims_done_ = asked;
    statistics_.prefix_cache = counted_.prefix_cache = prefix_cache_.usage();
  }
  trimmed_.notify_all();
}

void RunLoop::drop_unused_groups() {
  std::unordered_map<const model::Model*, long> holders;
  for (const Group& group : groups_) {
    ++holders[group.settings().model.get()];
    for (const auto& model : group.draft_models()) ++holders[model.get()];
  }
  groups_.remove_if([&](const Group& group) {
    const auto& model = group.settings().model;
    return group.idle() && model.use_count() <= holders[model.get()];
  });
  for (Group& group : groups_) {
    for (const auto& model : group.draft_models()) {
      // The list that it stands in holds it once more.
      if (model.use_count() <= holders[model.get()] + 1) group.forget_draft_model(model);
    }
  }
  prefix_cache_.drop_unused_models();
}

void RunLoop::refuse(std::uint64_t id, std::uint32_t choices, StopReason reason, std::string_view error) {
  for (std::uint32_t choice = 0; choice < choices; ++choice) {
    events_.add(id, choice, 0, [&](SequenceEvents& e) {
      e.stop = reason;
      e.error = error;
      e.logits_digest = Digest{}.hexadecimal();
    });
  }
}

void RunLoop::step(Group& group) {
  {
    const std::scoped_lock lock(mutex_);
    prefilling_.clear();
    for (const std::uint64_t id : group.prefilling()) prefilling_.insert(id);
    // A cancellation that came before this list was made is carried out first.
    if (!cancellations_.empty()) return;
  }
  const StepCounts counts = group.step(abort_, events_);
  ++counted_.steps;
  counted_.prefill_rows += counts.prefill_rows;
  counted_.decode_rows += counts.decode_rows;
}

void RunLoop::publish() {
  counted_.sequences = 0;
  counted_.paused = 0;
  counted_.kv_cache_bytes = 0;
  counted_.kv_shared_bytes = 0;
  counted_.prefix_cache = prefix_cache_.usage();
  counted_times_.clear();
  for (const Group& group : groups_) {
    group.append_times(counted_times_);
    counted_.sequences += group.size();
    counted_.paused += group.paused();
    counted_.kv_cache_bytes += group.kv_cache_bytes();
    counted_.kv_shared_bytes += group.kv_shared_bytes();
  }
  {
    const std::scoped_lock lock(mutex_);
    statistics_ = counted_;
    sequence_times_.swap(counted_times_);  // neither allocates once it is large enough
  }
  for (Group& group : groups_) group.tell_ends(events_);
  events_.announce();
}

}  // namespace engine::runtime
