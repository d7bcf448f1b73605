#pragma once

#include <immintrin.h>

#include <array>
#include <cstddef>

// In an anonymous namespace so that no baseline object can pick up a copy compiled for AVX2.
namespace engine::kernels::avx2 {
namespace {

// out[i * out_stride + j] = source[j * stride + i], i and j below 8.
inline void store_eight_columns(const float* source, std::size_t stride, float* out, std::size_t out_stride) {
  std::array<__m256, 8> pairs;
  for (std::size_t j = 0; j < 8; j += 2) {
    const __m256 even = _mm256_loadu_ps(source + j * stride);
    const __m256 odd = _mm256_loadu_ps(source + (j + 1) * stride);
    pairs[j] = _mm256_unpacklo_ps(even, odd);
    pairs[j + 1] = _mm256_unpackhi_ps(even, odd);
  }
  std::array<__m256, 8> fours;
  for (std::size_t j = 0; j < 8; j += 4) {
    fours[j] = _mm256_shuffle_ps(pairs[j], pairs[j + 2], 0x44);
    fours[j + 1] = _mm256_shuffle_ps(pairs[j], pairs[j + 2], 0xEE);
    fours[j + 2] = _mm256_shuffle_ps(pairs[j + 1], pairs[j + 3], 0x44);
    fours[j + 3] = _mm256_shuffle_ps(pairs[j + 1], pairs[j + 3], 0xEE);
  }
  for (std::size_t i = 0; i < 4; ++i) {
    _mm256_storeu_ps(out + i * out_stride, _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x20));
    _mm256_storeu_ps(out + (i + 4) * out_stride, _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x31));
  }
}

}  // namespace
}  // namespace engine::kernels::avx2
