#pragma once

#include <cstdint>

namespace engine::runtime {

// A descriptor that becomes readable at once, or at a set time without anybody being awake for it. Not thread-safe.
//
// An eventfd and a timerfd behind one epoll descriptor: the timer could do both, but one that is set to a time that has
// passed costs an interrupt, 20 us in a virtual machine.
class Alarm {
 public:
  // Throws std::system_error.
  Alarm();
  ~Alarm();
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;

  int descriptor() const { return either_; }

  // Makes the descriptor readable. Idempotent.
  void ring();
  // Makes it readable at a time of the steady clock, unless it is set to an earlier one or rings already.
  void ring_at(std::int64_t time_ns);
  // Makes it unreadable, and forgets any time set.
  void silence();

 private:
  int bell_ = -1;
  int timer_ = -1;
  int either_ = -1;
  bool rings_ = false;
  std::int64_t set_ns_ = kNever;

  static constexpr std::int64_t kNever = INT64_MAX;
};

}  // namespace engine::runtime
