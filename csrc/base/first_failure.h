#pragma once

#include <atomic>
#include <exception>
#include <mutex>

namespace engine {

// The first exception of several threads that work on one thing: the others see that it happened, and stop.
class FirstFailure {
 public:
  // Keeps the exception being handled, unless another came first. Call it in a handler.
  void keep() noexcept {
    const std::scoped_lock lock(mutex_);
    if (!exception_) exception_ = std::current_exception();
    happened_.store(true, std::memory_order_relaxed);
  }

  bool happened() const { return happened_.load(std::memory_order_relaxed); }

  // Once the threads are done.
  void rethrow() const {
    if (exception_) std::rethrow_exception(exception_);
  }

 private:
  std::mutex mutex_;
  std::exception_ptr exception_;
  std::atomic<bool> happened_{false};
};

}  // namespace engine
