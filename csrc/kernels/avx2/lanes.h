#pragma once

#include <immintrin.h>

#include <cstdint>
#include <initializer_list>

#include "kernels/exponential.h"

// Operations on lanes shared by the AVX2 kernels. In an anonymous namespace so that no baseline object can pick up a
// copy compiled for AVX2.
namespace engine::kernels::avx2 {
namespace {

inline __m256 exponential(__m256 x) {
  using namespace kernels::exponential;
  const __m256 underflow = _mm256_cmp_ps(x, _mm256_set1_ps(kLow), _CMP_LT_OQ);
  const __m256 clamped = _mm256_min_ps(_mm256_set1_ps(kHigh), x);  // in this order NaN stays
  const __m256 shifted = _mm256_fmadd_ps(clamped, _mm256_set1_ps(kLog2E), _mm256_set1_ps(kExponentRound));
  const __m256 n = _mm256_sub_ps(shifted, _mm256_set1_ps(kExponentRound));
  const __m256 high = _mm256_fmadd_ps(n, _mm256_set1_ps(-kLn2High), clamped);
  const __m256 b = _mm256_fmadd_ps(n, _mm256_set1_ps(-kLn2Low), high);
  __m256 p = _mm256_set1_ps(kC6);
  for (const float c : {kC5, kC4, kC3, kC2, 1.0F, 1.0F}) p = _mm256_fmadd_ps(p, b, _mm256_set1_ps(c));
  const __m256 power = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(shifted), 23));
  return _mm256_andnot_ps(underflow, _mm256_mul_ps(p, power));
}

inline float exponential(float x) { return _mm256_cvtss_f32(exponential(_mm256_set1_ps(x))); }

// 16 partial sums in two registers: 16 -> 8 -> 4 -> 2 -> 1, each adding its upper half to its lower.
inline float tree_sum(__m256 low, __m256 high) {
  const __m256 eight = _mm256_add_ps(low, high);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

// The largest lane. Exact in any order.
inline float largest_lane(__m256 x) {
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  four = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(four, _mm_shuffle_ps(four, four, 1)));
}

inline __m256 load_halves(const std::uint16_t* source) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(source)));
}

}  // namespace
}  // namespace engine::kernels::avx2
