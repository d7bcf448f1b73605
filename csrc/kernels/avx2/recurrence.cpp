#include <immintrin.h>

#include "kernels/avx2/kernels.h"

namespace engine::kernels::avx2 {

void convolve(const float* const* rows, const float* weights, std::size_t taps, std::size_t stride, std::size_t n,
              float* out) {
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    __m256 sum = _mm256_mul_ps(_mm256_loadu_ps(weights + i), _mm256_loadu_ps(rows[0] + i));
    for (std::size_t k = 1; k < taps; ++k) {
      sum = _mm256_fmadd_ps(_mm256_loadu_ps(weights + k * stride + i), _mm256_loadu_ps(rows[k] + i), sum);
    }
    _mm256_storeu_ps(out + i, sum);
  }
  for (; i < n; ++i) {
    float sum = weights[i] * rows[0][i];
    for (std::size_t k = 1; k < taps; ++k) sum = __builtin_fmaf(weights[k * stride + i], rows[k][i], sum);
    out[i] = sum;
  }
}

}  // namespace engine::kernels::avx2
