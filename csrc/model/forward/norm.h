#pragma once

#include <cstddef>

#include "model/model.h"

namespace engine::model {

// out = the norm of a row [n], of the model's kind. It may write over what it reads.
void normalize_row(const Model& model, const float* x, const float* weight, const float* bias, std::size_t n,
                   float* out);

inline void normalize_row(const Model& model, const float* x, const Norm& norm, std::size_t n, float* out) {
  normalize_row(model, x, norm.weight.data(), norm.bias.empty() ? nullptr : norm.bias.data(), n, out);
}

}  // namespace engine::model
