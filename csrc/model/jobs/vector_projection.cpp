#include "model/jobs/vector_projection.h"

#include <algorithm>

#include "kernels/kernel_table.h"

namespace engine::model {
namespace {

std::size_t widest(const Model& model) {
  std::size_t width = model.shape().embedding;
  for (const Projection& projection : model.weights().pooled) width = std::max(width, projection.weight.columns);
  return width;
}

}  // namespace

VectorProjection::VectorProjection(const Model& model)
    : model_(model), input_(1, widest(model)), scratch_(kernels::multiply_scratch_bytes(widest(model))) {}

std::size_t VectorProjection::pooled_width(const Model& model) {
  const std::vector<Projection>& pooled = model.weights().pooled;
  return pooled.empty() ? model.shape().embedding : pooled.back().weight.rows;
}

std::vector<float> VectorProjection::pooled(std::vector<float> vector) {
  for (const Projection& projection : model_.weights().pooled) vector = project(projection, vector);
  return vector;
}

float VectorProjection::judge(const std::vector<float>& vector) {
  const Classifier& classifier = model_.weights().classifier;
  if (classifier.dense.weight.rows == 0) return project(classifier.output, vector)[0];
  std::vector<float> dense = project(classifier.dense, vector);
  model_.kernels().soft_cap(dense.data(), dense.size(), 1.0F);  // the hyperbolic tangent
  return project(classifier.output, dense)[0];
}

std::vector<float> VectorProjection::project(const Projection& projection, std::span<const float> vector) {
  const kernels::Matrix& matrix = projection.weight;
  const kernels::ActivationFormat format = matrix.activation_format();
  input_.set(0, matrix.columns, vector.data(), format, model_.kernels());
  std::vector<float> out(matrix.rows);
  model_.kernels().multiply(matrix, input_.view(matrix.columns, format), 1, 0, matrix.groups(), out.data(), matrix.rows,
                            scratch_.as<std::byte>());
  for (std::size_t i = 0; i < projection.bias.size(); ++i) out[i] += projection.bias[i];
  return out;
}

}  // namespace engine::model
