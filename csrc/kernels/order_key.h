#pragma once

#include <bit>
#include <cstdint>
#include <limits>

namespace engine::kernels {

// What order_key() is for NaN and infinities.
inline constexpr std::int32_t kNonFiniteKey = std::numeric_limits<std::int32_t>::max();

// Orders floats as numbers are ordered, with both zeros alike and those that are not finite above all. Always inline:
// no copy that was compiled for an instruction set is left for the linker to pick.
[[gnu::always_inline]] inline std::int32_t order_key(float x) {
  const auto bits = std::bit_cast<std::int32_t>(x + 0.0F);
  const std::int32_t key = bits ^ ((bits >> 31) & 0x7FFFFFFF);
  return (bits & 0x7FFFFFFF) >= 0x7F800000 ? kNonFiniteKey : key;
}

}  // namespace engine::kernels
