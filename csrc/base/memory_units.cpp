#include "base/memory_units.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace engine {

void write_units(AlignedBuffer& buffer, Range units) {
  std::fill_n(buffer.as<std::uint64_t>(units.begin * kReadUnit), (units.end - units.begin) * kReadUnit / 8, 1);
}

// The sum is what forces the reads.
void read_units(const AlignedBuffer& buffer, Range units) {
  constexpr std::size_t kLanes = 16;
  std::array<std::uint64_t, kLanes> sums{};
  for (std::size_t unit = units.begin; unit < units.end; ++unit) {
    const auto* words = buffer.as<std::uint64_t>(unit * kReadUnit);
    for (std::size_t i = 0; i < kReadUnit / sizeof(std::uint64_t); i += kLanes) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) sums[lane] += words[i + lane];
    }
  }
  __asm__ volatile("" : : "m"(sums));
}

}  // namespace engine
