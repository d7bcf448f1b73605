#include "runtime/loop/compute_share.h"

namespace engine::runtime {
namespace {

double macs(const model::Projection& projection) {
  return static_cast<double>(projection.weight.rows) * static_cast<double>(projection.weight.columns);
}

}  // namespace

RowCost::RowCost(const model::Model& model) {
  const model::HyperParameters& shape = model.shape();
  double experts = 0;
  for (const model::Layer& layer : model.weights().layers) {
    model::for_each_matrix(layer, [&](const model::Projection& projection, model::MatrixUse use) {
      (use == model::MatrixUse::EveryRow ? layers_ : experts) += macs(projection);
    });
  }
  if (shape.experts.count != 0) {
    layers_ += experts * static_cast<double>(shape.experts.used) / static_cast<double>(shape.experts.count);
  }
  head_ = macs(model.weights().head);
  attention_ = 2.0 * static_cast<double>(shape.query_width() * shape.attention_layers());  // keys and values
}

double RowCost::of(std::size_t first_position, std::size_t rows, std::size_t logit_rows) const {
  const auto count = static_cast<double>(rows);
  const double keys = count * (static_cast<double>(first_position) + (count + 1.0) / 2.0);  // seen by all rows
  return count * layers_ + keys * attention_ + static_cast<double>(logit_rows) * head_;
}

std::int64_t Share::of(std::int64_t amount) const {
  const auto until = [&](double point) { return static_cast<std::int64_t>(static_cast<double>(amount) * point); };
  return until(end) - until(begin);
}

}  // namespace engine::runtime
