#pragma once

#include "kernels/avx2/row_lanes.h"

namespace engine::kernels::avx_vnni {
namespace {

using gguf::TensorType;

// vpdpbusd adds four products to a 32-bit lane, so every integer sum is exact.
struct Simd : avx2::RowLanes {
  static constexpr std::size_t kTile = 3;
  static constexpr std::size_t kTileStrips = 2;
  static constexpr std::size_t kPackedTile = 4;
  template <TensorType>
  static constexpr std::size_t kUnpackFrom = 6;
  static constexpr bool kSigned = false;
  template <TensorType>
  static constexpr std::size_t kChain = 8;

  static Integer signed_if_wanted(Integer codes) { return codes; }
  template <TensorType>
  static Integer add_products(Integer sum, Integer codes, Integer x) {
    return _mm256_dpbusd_avx_epi32(sum, codes, x);
  }
  template <TensorType>
  static Integer close(Integer sum) {
    return sum;
  }
  static Integer close(Integer sum, Integer factor) { return _mm256_mullo_epi32(sum, factor); }
  static Integer factor(Integer lanes) { return lanes; }
  static Integer add_pairs(Integer sum, Integer a, Integer b) { return _mm256_dpwssd_avx_epi32(sum, a, b); }
};

}  // namespace
}  // namespace engine::kernels::avx_vnni
