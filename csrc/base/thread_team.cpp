#include "base/thread_team.h"

#include <immintrin.h>

#include <algorithm>
#include <chrono>

#include "base/checked.h"

namespace engine {
namespace {

// `pause` takes about 11 ns on current server cores, more on some desktop ones; the bound need not be exact.
constexpr std::int64_t kPauseNanoseconds = 11;

}  // namespace

ThreadTeam::ThreadTeam(unsigned members, std::chrono::microseconds spin)
    : members_(members), spin_pauses_(spin.count() * 1000 / kPauseNanoseconds) {
  threads_.reserve(members - 1);
  for (unsigned member = 1; member < members; ++member) {
    threads_.emplace_back([this, member] { serve(member); });
  }
}

ThreadTeam::~ThreadTeam() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadTeam::run(const std::function<void(unsigned)>& job) {
  if (members_ > 1) {
    {
      const std::scoped_lock lock(mutex_);
      job_ = &job;
      ++job_number_;
    }
    wake_.notify_all();
  }
  job(0);
  barrier();
}

void ThreadTeam::serve(unsigned member) {
  std::uint64_t done = 0;
  for (;;) {
    const std::function<void(unsigned)>* job = nullptr;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stopping_ || job_number_ != done; });
      if (stopping_) return;
      job = job_;
      done = job_number_;
    }
    (*job)(member);
    barrier();
  }
}

void ThreadTeam::barrier() {
  if (members_ == 1) return;
  const unsigned generation = barrier_generation_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == members_) {
    arrived_.store(0, std::memory_order_relaxed);
    barrier_generation_.store(generation + 1, std::memory_order_release);
    barrier_generation_.notify_all();
    return;
  }
  for (std::int64_t i = 0; i < spin_pauses_; ++i) {
    if (barrier_generation_.load(std::memory_order_acquire) != generation) return;
    _mm_pause();
  }
  while (barrier_generation_.load(std::memory_order_acquire) == generation) {
    barrier_generation_.wait(generation, std::memory_order_acquire);
  }
}

Range member_range(std::size_t count, std::size_t grain, unsigned member, unsigned members) {
  const std::size_t units = divide_up(count, grain);
  const std::size_t begin = units * member / members * grain;
  const std::size_t end = units * (member + 1) / members * grain;
  return {std::min(begin, count), std::min(end, count)};
}

}  // namespace engine
