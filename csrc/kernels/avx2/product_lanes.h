#pragma once

#include "kernels/avx2/row_lanes.h"
#include "kernels/gemm/panel.h"
#include "quant/block.h"

namespace engine::kernels::avx2 {
namespace {

using gguf::TensorType;

// vpmaddubsw adds products in twos to signed 16-bit parts. Codes up to 15 may be added eight times before they
// overflow, 8 * 2 * 15 * 127 = 30480; up to 31 four times, 31496; up to 63 twice, 32004. Signed bytes, |w| times x with
// the sign of w, reach 2 * 128 * 127 = 32512 at once: they are widened each time, by close() where a scale follows.
constexpr std::size_t longest_chain(const gguf::TypeTraits& traits) {
  if (traits.has_signed_bytes()) return traits.is_super_block() ? 1 : 4;
  std::size_t groups = 8;
  while (groups * 2 * static_cast<std::size_t>(traits.largest_code()) * 127 > INT16_MAX) groups /= 2;
  return groups;
}

struct Simd : RowLanes {
  static constexpr std::size_t kTile = 3;
  static constexpr std::size_t kTileStrips = 2;
  static constexpr std::size_t kPackedTile = 4;
  template <TensorType>
  static constexpr std::size_t kUnpackFrom = 6;
  static constexpr bool kSigned = true;
  template <TensorType kType>
  static constexpr std::size_t kChain = longest_chain(gguf::kTraits<kType>);

  static Integer signed_if_wanted(Integer codes) { return _mm256_xor_si256(codes, _mm256_set1_epi8(-128)); }
  template <TensorType kType>
  static Integer add_products(Integer sum, Integer codes, Integer x) {
    if constexpr (gguf::kTraits<kType>.has_signed_bytes()) {
      const Integer pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(x, codes));
      if constexpr (kChain<kType> == 1) return pairs;
      return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    return _mm256_add_epi16(sum, _mm256_maddubs_epi16(codes, x));
  }
  template <TensorType kType>
  static Integer close(Integer sum) {
    return gguf::kTraits<kType>.has_signed_bytes() ? sum : _mm256_madd_epi16(sum, _mm256_set1_epi16(1));
  }
  static Integer close(Integer sum, Integer factor) { return _mm256_madd_epi16(sum, factor); }
  static Integer factor(Integer lanes) { return pair(lanes, lanes); }
  static Integer add_pairs(Integer sum, Integer a, Integer b) { return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)); }
};

}  // namespace
}  // namespace engine::kernels::avx2
