#pragma once

#include <immintrin.h>

#include "kernels/exponential.h"

// Operations on lanes shared by the AVX-512 kernels; in an anonymous namespace as those of AVX2 are.
namespace engine::kernels::avx512 {
namespace {

inline __m512 exponential(__m512 x) {
  using namespace kernels::exponential;
  const __mmask16 underflow = _mm512_cmp_ps_mask(x, _mm512_set1_ps(kLow), _CMP_LT_OQ);
  const __m512 clamped = _mm512_min_ps(_mm512_set1_ps(kHigh), x);  // in this order NaN stays
  const __m512 shifted = _mm512_fmadd_ps(clamped, _mm512_set1_ps(kLog2E), _mm512_set1_ps(kExponentRound));
  const __m512 n = _mm512_sub_ps(shifted, _mm512_set1_ps(kExponentRound));
  const __m512 high = _mm512_fmadd_ps(n, _mm512_set1_ps(-kLn2High), clamped);
  const __m512 b = _mm512_fmadd_ps(n, _mm512_set1_ps(-kLn2Low), high);
  __m512 p = _mm512_set1_ps(kC6);
  for (const float c : {kC5, kC4, kC3, kC2, 1.0F, 1.0F}) p = _mm512_fmadd_ps(p, b, _mm512_set1_ps(c));
  const __m512 power = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(shifted), 23));
  return _mm512_maskz_mul_ps(_knot_mask16(underflow), p, power);
}

}  // namespace
}  // namespace engine::kernels::avx512
