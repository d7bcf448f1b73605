#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/aligned_buffer.h"
#include "model/forward/activation_buffer.h"
#include "model/model.h"

namespace engine::model {

// What the vector of a text passes behind the layers, a vector at a time and outside of steps.
class VectorProjection {
 public:
  // Throws std::bad_alloc.
  explicit VectorProjection(const Model& model);

  // Width of what pooled() gives.
  static std::size_t pooled_width(const Model& model);

  // The model's projections of a pooled vector [embedding], one after the other. Throws std::bad_alloc.
  std::vector<float> pooled(std::vector<float> vector);
  // What the classifier gives for a vector [embedding]. The model must have one. Throws std::bad_alloc.
  float judge(const std::vector<float>& vector);

 private:
  std::vector<float> project(const Projection& projection, std::span<const float> vector);

  const Model& model_;
  ActivationBuffer input_;  // [1, the widest]
  AlignedBuffer scratch_;
};

}  // namespace engine::model
