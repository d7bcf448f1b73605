#pragma once

#include <chrono>
#include <cstdint>

namespace engine {

// Nanoseconds of the steady clock: on Linux, of the same clock as Python's time.monotonic_ns.
inline std::int64_t steady_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace engine
