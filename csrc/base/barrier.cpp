#include "base/barrier.h"

#include <immintrin.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <ctime>

namespace engine {
namespace {

using Clock = std::chrono::steady_clock;

// Reading the clock costs about as much as two pauses.
constexpr int kPausesPerLook = 16;

// No sleep lasts longer: a wake that is lost, for whatever reason, then costs a second and not the run.
constexpr timespec kLongestSleep{.tv_sec = 1, .tv_nsec = 0};

static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t), "the system reads it as a plain number");

}  // namespace

void Barrier::wait() {
  if (members_ == 1) return;
  const std::uint32_t generation = generation_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == members_) return open(generation);
  if (!spin_until_open(generation)) sleep_until_open(generation);
}

void Barrier::open(std::uint32_t generation) {
  arrived_.store(0, std::memory_order_relaxed);
  // One order with sleep_until_open()'s count: either that member is seen here, or it sees the barrier open.
  generation_.store(generation + 1, std::memory_order_seq_cst);
  if (asleep_.load(std::memory_order_seq_cst) > 0) {
    syscall(SYS_futex, &generation_, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
  }
}

bool Barrier::spin_until_open(std::uint32_t generation) const {
  const Clock::time_point began = Clock::now();
  for (;;) {
    for (int i = 0; i < kPausesPerLook; ++i) {
      if (generation_.load(std::memory_order_acquire) != generation) return true;
      _mm_pause();
    }
    // The processor is not offered to others while it spins: sched_yield() gives up a whole slice of some milliseconds,
    // at every barrier where another process is busy. Who sleeps on the futex is woken ahead of that process.
    if (Clock::now() - began >= spin_) return false;
  }
}

void Barrier::sleep_until_open(std::uint32_t generation) {
  asleep_.fetch_add(1, std::memory_order_seq_cst);
  while (generation_.load(std::memory_order_seq_cst) == generation) {
    // Ends at once where the barrier has opened since; interrupted or not, the loop looks again.
    syscall(SYS_futex, &generation_, FUTEX_WAIT_PRIVATE, generation, &kLongestSleep, nullptr, 0);
  }
  asleep_.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace engine
