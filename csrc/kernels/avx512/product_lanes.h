#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "gguf/tensor_type.h"
#include "quant/block.h"

namespace engine::kernels::avx512 {
namespace {

using gguf::TensorType;

// The 16 rows of a group. vpdpbusd adds four products to a 32-bit lane, so every integer sum is exact.
struct Simd {
  using Integer = __m512i;
  using Float = __m512;
  static constexpr std::size_t kLanes = 16;
  static constexpr std::size_t kTile = 4;
  static constexpr std::size_t kTileStrips = 2;
  static constexpr std::size_t kPackedTile = 4;
  template <TensorType>
  static constexpr std::size_t kUnpackFrom = 8;
  static constexpr bool kSigned = false;
  template <TensorType>
  static constexpr std::size_t kChain = 8;

  static Integer zero() { return _mm512_setzero_si512(); }
  static Integer load(const std::byte* source) { return _mm512_load_si512(source); }
  static void store(std::byte* target, Integer x) { _mm512_store_si512(target, x); }
  static Integer fill(char byte) { return _mm512_set1_epi8(byte); }
  static Integer both(Integer a, Integer b) { return _mm512_and_si512(a, b); }
  static Integer either(Integer a, Integer b) { return _mm512_or_si512(a, b); }
  static Integer shift_left(Integer x, int bits) { return _mm512_slli_epi16(x, bits); }
  static Integer shift_right(Integer x, int bits) { return _mm512_srli_epi16(x, bits); }

  static Integer look_up(const std::uint8_t* table, Integer x) {
    const __m128i bytes = _mm_load_si128(reinterpret_cast<const __m128i*>(table));
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(bytes), x);
  }

  static Integer add(Integer a, Integer b) { return _mm512_add_epi32(a, b); }
  static Integer subtract(Integer a, Integer b) { return _mm512_sub_epi32(a, b); }
  static Integer broadcast(const std::int32_t* source) { return _mm512_set1_epi32(*source); }
  static Integer shift_lanes(Integer x, const std::int32_t* bits) { return _mm512_sllv_epi32(x, broadcast(bits)); }
  template <int kFactor>
  static Integer multiply_lanes(Integer x) {
    return _mm512_slli_epi32(x, __builtin_ctz(kFactor));
  }
  static Integer widen(const std::byte* source) { return _mm512_cvtepu8_epi32(load16(source)); }
  static Integer widen_signed(const std::byte* source) { return _mm512_cvtepi8_epi32(load16(source)); }
  static Integer pair(Integer low, Integer high) {
    return _mm512_mask_blend_epi16(0xAAAAAAAA, low, _mm512_slli_epi32(high, 16));
  }
  template <typename T>
  static Integer broadcast4(const T* source) {
    std::int32_t word = 0;
    __builtin_memcpy(&word, source, sizeof(word));
    return _mm512_set1_epi32(word);
  }
  static Integer add_pairs(Integer sum, Integer a, Integer b) { return _mm512_dpwssd_epi32(sum, a, b); }

  static Float zero_float() { return _mm512_setzero_ps(); }
  static Float load_floats(const std::byte* source) { return _mm512_load_ps(source); }
  static Float load_halves(const std::byte* source) { return _mm512_cvtph_ps(load32(source)); }
  static Float load_bfloats(const std::byte* source) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(load32(source)), 16));
  }
  static void store_floats(std::byte* target, Float x) { _mm512_store_ps(target, x); }
  static void store_rows(float* target, Float x, std::size_t rows) {
    _mm512_mask_storeu_ps(target, static_cast<__mmask16>((1U << rows) - 1), x);
  }
  static Float broadcast(const float* source) { return _mm512_set1_ps(*source); }
  static Float multiply(Float a, Float b) { return _mm512_mul_ps(a, b); }
  static Float fused(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  static Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
  static Float subtract(Float a, Float b) { return _mm512_sub_ps(a, b); }
  static Float to_float(Integer x) { return _mm512_cvtepi32_ps(x); }

  static Integer signed_if_wanted(Integer codes) { return codes; }
  template <TensorType>
  static Integer add_products(Integer sum, Integer codes, Integer x) {
    return _mm512_dpbusd_epi32(sum, codes, x);
  }
  template <TensorType>
  static Integer close(Integer sum) {
    return sum;
  }
  static Integer close(Integer sum, Integer factor) { return _mm512_mullo_epi32(sum, factor); }
  static Integer factor(Integer lanes) { return lanes; }

 private:
  static __m128i load16(const std::byte* source) { return _mm_load_si128(reinterpret_cast<const __m128i*>(source)); }
  static __m256i load32(const std::byte* source) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(source)); }
};

}  // namespace
}  // namespace engine::kernels::avx512
