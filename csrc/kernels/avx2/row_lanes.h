#pragma once

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "gguf/tensor_type.h"

namespace engine::kernels::avx2 {
namespace {

// Eight rows, half a group, in one register: what LaneSet asks for but the dot products.
struct RowLanes {
  using Integer = __m256i;
  using Float = __m256;
  static constexpr std::size_t kLanes = 8;

  static Integer zero() { return _mm256_setzero_si256(); }
  static Integer load(const std::byte* source) { return _mm256_load_si256(reinterpret_cast<const Integer*>(source)); }
  static void store(std::byte* target, Integer x) { _mm256_store_si256(reinterpret_cast<Integer*>(target), x); }
  static Integer fill(char byte) { return _mm256_set1_epi8(byte); }
  static Integer both(Integer a, Integer b) { return _mm256_and_si256(a, b); }
  static Integer either(Integer a, Integer b) { return _mm256_or_si256(a, b); }
  static Integer shift_left(Integer x, int bits) { return _mm256_slli_epi16(x, bits); }
  static Integer shift_right(Integer x, int bits) { return _mm256_srli_epi16(x, bits); }

  static Integer look_up(const std::uint8_t* table, Integer x) {
    const __m128i bytes = _mm_load_si128(reinterpret_cast<const __m128i*>(table));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), x);
  }

  static Integer add(Integer a, Integer b) { return _mm256_add_epi32(a, b); }
  static Integer subtract(Integer a, Integer b) { return _mm256_sub_epi32(a, b); }
  static Integer broadcast(const std::int32_t* source) { return _mm256_set1_epi32(*source); }
  static Integer shift_lanes(Integer x, const std::int32_t* bits) { return _mm256_sllv_epi32(x, broadcast(bits)); }
  template <int kFactor>
  static Integer multiply_lanes(Integer x) {
    return _mm256_slli_epi32(x, __builtin_ctz(kFactor));
  }
  static Integer widen(const std::byte* source) { return _mm256_cvtepu8_epi32(load8(source)); }
  static Integer widen_signed(const std::byte* source) { return _mm256_cvtepi8_epi32(load8(source)); }
  static Integer pair(Integer low, Integer high) {
    return _mm256_blend_epi16(low, _mm256_slli_epi32(high, 16), 0b10101010);
  }
  template <typename T>
  static Integer broadcast4(const T* source) {
    std::int32_t word = 0;
    __builtin_memcpy(&word, source, sizeof(word));
    return _mm256_set1_epi32(word);
  }

  static Float zero_float() { return _mm256_setzero_ps(); }
  static Float load_floats(const std::byte* source) { return _mm256_load_ps(reinterpret_cast<const float*>(source)); }
  static Float load_halves(const std::byte* source) { return _mm256_cvtph_ps(load16(source)); }
  static Float load_bfloats(const std::byte* source) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load16(source)), 16));
  }
  static void store_floats(std::byte* target, Float x) { _mm256_store_ps(reinterpret_cast<float*>(target), x); }
  static void store_rows(float* target, Float x, std::size_t rows) {
    if (rows == kLanes) {
      _mm256_storeu_ps(target, x);
      return;
    }
    alignas(32) std::array<float, kLanes> lanes;
    _mm256_store_ps(lanes.data(), x);
    std::copy_n(lanes.begin(), rows, target);
  }
  static Float broadcast(const float* source) { return _mm256_broadcast_ss(source); }
  static Float multiply(Float a, Float b) { return _mm256_mul_ps(a, b); }
  static Float fused(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  static Float add(Float a, Float b) { return _mm256_add_ps(a, b); }
  static Float subtract(Float a, Float b) { return _mm256_sub_ps(a, b); }
  static Float to_float(Integer x) { return _mm256_cvtepi32_ps(x); }

 private:
  static __m128i load8(const std::byte* source) { return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(source)); }
  static __m128i load16(const std::byte* source) { return _mm_load_si128(reinterpret_cast<const __m128i*>(source)); }
};

}  // namespace
}  // namespace engine::kernels::avx2
