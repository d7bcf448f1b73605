#include "model/forward/norm.h"

#include "kernels/kernel_table.h"

namespace engine::model {

void normalize_row(const Model& model, const float* x, const float* weight, const float* bias, std::size_t n,
                   float* out) {
  const float epsilon = model.shape().norm_epsilon;
  if (model.shape().norm == NormKind::Rms) {
    model.kernels().rms_norm(x, weight, epsilon, n, out);
  } else {
    model.kernels().layer_norm(x, weight, bias, epsilon, n, out);
  }
}

}  // namespace engine::model
