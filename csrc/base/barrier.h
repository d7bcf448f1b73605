#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace engine {

// A meeting point of a fixed number of threads: none goes on before all have come. Who comes early spins for a bounded
// time and then sleeps on a futex.
//
// std::atomic's own wait() is not used: on its way to sleep it gives the processor up four times, a whole slice of some
// milliseconds each where another process is busy, and it looks for who is asleep without an order between that look
// and the store before it.
class Barrier {
 public:
  // `members` must be at least 1.
  Barrier(unsigned members, std::chrono::microseconds spin) : members_(members), spin_(spin) {}
  Barrier(const Barrier&) = delete;
  Barrier& operator=(const Barrier&) = delete;

  // Every member must call it, for as many rounds as there are.
  void wait();

 private:
  void open(std::uint32_t generation);
  // False where the spinning time is over and the barrier still closed.
  bool spin_until_open(std::uint32_t generation) const;
  void sleep_until_open(std::uint32_t generation);

  const unsigned members_;
  const std::chrono::microseconds spin_;
  alignas(64) std::atomic<unsigned> arrived_{0};
  // Counts the times that it has opened.
  alignas(64) std::atomic<std::uint32_t> generation_{0};
  std::atomic<unsigned> asleep_{0};  // in the same cache line, which the member that opens has at hand
};

}  // namespace engine
