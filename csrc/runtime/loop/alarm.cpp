#include "runtime/loop/alarm.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace engine::runtime {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

// 0 disarms it. Cannot fail: the descriptor is a timer and the time is in range.
void set_timer(int timer, std::int64_t time_ns) {
  const itimerspec once{.it_interval = {}, .it_value = {.tv_sec = time_ns / kSecond, .tv_nsec = time_ns % kSecond}};
  timerfd_settime(timer, TFD_TIMER_ABSTIME, &once, nullptr);
}

bool watch(int watcher, int descriptor) {
  epoll_event readable{.events = EPOLLIN, .data = {.fd = descriptor}};
  return descriptor >= 0 && epoll_ctl(watcher, EPOLL_CTL_ADD, descriptor, &readable) == 0;
}

void close_all(int bell, int timer, int either) {
  for (const int descriptor : {either, timer, bell}) {
    if (descriptor >= 0) close(descriptor);
  }
}

}  // namespace

Alarm::Alarm()
    : bell_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      timer_(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)),
      either_(epoll_create1(EPOLL_CLOEXEC)) {
  if (either_ >= 0 && watch(either_, bell_) && watch(either_, timer_)) return;
  const int error = errno;
  close_all(bell_, timer_, either_);
  throw std::system_error(error, std::generic_category(), "the run loop's alarm");
}

Alarm::~Alarm() { close_all(bell_, timer_, either_); }

void Alarm::ring() {
  if (std::exchange(rings_, true)) return;
  eventfd_write(bell_, 1);  // cannot fail: the counter is 0
}

void Alarm::ring_at(std::int64_t time_ns) {
  if (rings_ || time_ns >= set_ns_) return;
  set_ns_ = time_ns;
  set_timer(timer_, time_ns);
}

void Alarm::silence() {
  if (std::exchange(rings_, false)) {
    eventfd_t count = 0;
    eventfd_read(bell_, &count);
  }
  if (std::exchange(set_ns_, kNever) != kNever) set_timer(timer_, 0);  // which takes back that it has expired, too
}

}  // namespace engine::runtime
