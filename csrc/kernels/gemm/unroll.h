#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

namespace engine::kernels {

// Calls body(integral_constant<size_t, i>) for i in [0, kCount), each call written out. Arrays indexed by these
// constants stay in registers, which those of a loop's variable do not.
template <std::size_t kCount, typename Body>
[[gnu::always_inline]] inline void unroll(Body&& body) {
  [&]<std::size_t... kI>(std::index_sequence<kI...>) __attribute__((always_inline)) {
    (body(std::integral_constant<std::size_t, kI>()), ...);
  }(std::make_index_sequence<kCount>());
}

}  // namespace engine::kernels
