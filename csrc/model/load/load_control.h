#pragma once

#include <atomic>
#include <cstdint>

namespace engine::model {

// Looks into a load that other threads carry out, and ends it.
struct LoadControl {
  std::atomic<bool> cancelled{false};
  std::atomic<std::uint64_t> bytes_done{0};  // read of the file's matrices
};

}  // namespace engine::model
