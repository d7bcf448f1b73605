#include <cmath>

#include "kernels/reference/kernels.h"

namespace engine::kernels::reference {

void convolve(const float* const* rows, const float* weights, std::size_t taps, std::size_t stride, std::size_t n,
              float* out) {
  for (std::size_t i = 0; i < n; ++i) {
    float sum = weights[i] * rows[0][i];
    for (std::size_t k = 1; k < taps; ++k) sum = std::fma(weights[k * stride + i], rows[k][i], sum);
    out[i] = sum;
  }
}

}  // namespace engine::kernels::reference
