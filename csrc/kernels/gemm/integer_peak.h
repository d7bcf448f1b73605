#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/gemm/lane_set.h"

namespace engine::kernels {
namespace {

// Multiplies 8-bit integers from registers alone, as products of 4-bit codes do, for about a tenth of a millisecond;
// how many multiply-accumulates that were.
template <typename Simd>
  requires ProductLanes<Simd, TensorType::Q4_0>
std::uint64_t multiply_bytes() {
  constexpr std::uint64_t kRounds = 16384;
  constexpr std::size_t kChains = 12;  // enough to hide the latency, few enough for 16 registers
  std::array<typename Simd::Integer, kChains> sums;
  sums.fill(Simd::zero());
  auto codes = Simd::fill(3);
  const auto inputs = Simd::fill(2);
  for (std::uint64_t i = 0; i < kRounds; ++i) {
    for (auto& sum : sums) {
      // The compiler may not compute a product once for all chains and rounds.
      __asm__ volatile("" : "+x"(codes));
      sum = Simd::template add_products<TensorType::Q4_0>(sum, codes, inputs);
      __asm__ volatile("" : "+x"(sum));
    }
  }
  return kRounds * kChains * Simd::kLanes * 4;
}

}  // namespace
}  // namespace engine::kernels
