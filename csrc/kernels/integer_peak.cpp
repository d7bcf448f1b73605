#include "kernels/integer_peak.h"

#include <array>

namespace engine::kernels {

std::span<const IntegerPeak* const> integer_peaks() {
  static const std::array<const IntegerPeak*, 3> peaks{&avx2::byte_pairs_peak(), &avx_vnni::quads_peak(),
                                                       &avx512::quads_peak()};
  return peaks;
}

}  // namespace engine::kernels
