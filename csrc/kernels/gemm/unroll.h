#pragma once

#include <cstddef>
#include <type_traits>

namespace engine::kernels {

// Calls body(integral_constant<size_t, i>) for i in [0, kCount), each call written out. Arrays indexed by these
// constants stay in registers, which those of a loop's variable do not. Plain calls rather than a fold expression:
// every level that is inlined is copied whole, which took a seventh of the time to compile a product.
template <std::size_t kCount, typename Body>
[[gnu::always_inline]] inline void unroll(Body&& body) {
  static_assert(kCount <= 8);
  if constexpr (kCount > 0) body(std::integral_constant<std::size_t, 0>());
  if constexpr (kCount > 1) body(std::integral_constant<std::size_t, 1>());
  if constexpr (kCount > 2) body(std::integral_constant<std::size_t, 2>());
  if constexpr (kCount > 3) body(std::integral_constant<std::size_t, 3>());
  if constexpr (kCount > 4) body(std::integral_constant<std::size_t, 4>());
  if constexpr (kCount > 5) body(std::integral_constant<std::size_t, 5>());
  if constexpr (kCount > 6) body(std::integral_constant<std::size_t, 6>());
  if constexpr (kCount > 7) body(std::integral_constant<std::size_t, 7>());
}

// The same for a body that is compiled once, for any i, and written out only as it is optimized: far sooner done where
// a body is long, as long as no register is found by i.
template <std::size_t kCount, typename Body>
[[gnu::always_inline]] inline void unroll_late(Body&& body) {
#ifdef __clang__
#pragma unroll
#else
#pragma GCC unroll 8
#endif
  for (std::size_t i = 0; i < kCount; ++i) body(i);
}

}  // namespace engine::kernels
