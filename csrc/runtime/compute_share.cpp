#include "runtime/compute_share.h"

namespace engine::runtime {
namespace {

double macs(const model::Projection& projection) {
  return static_cast<double>(projection.weight.rows) * static_cast<double>(projection.weight.columns);
}

}  // namespace

RowCost::RowCost(const model::Model& model) {
  for (const model::Layer& layer : model.weights().layers) {
    for (const model::Projection* projection :
         {&layer.query, &layer.key, &layer.value, &layer.attention_output, &layer.gate, &layer.up, &layer.down}) {
      layers_ += macs(*projection);
    }
  }
  head_ = macs(model.weights().head);
  attention_ = 2.0 * static_cast<double>(model.shape().query_width() * model.shape().layers);  // keys and values
}

double RowCost::of(std::size_t first_position, std::size_t rows, bool wants_logits) const {
  const auto count = static_cast<double>(rows);
  const double keys = count * (static_cast<double>(first_position) + (count + 1.0) / 2.0);  // seen by all rows
  return count * layers_ + keys * attention_ + (wants_logits ? head_ : 0.0);
}

std::int64_t Share::of(std::int64_t amount) const {
  const auto until = [&](double point) { return static_cast<std::int64_t>(static_cast<double>(amount) * point); };
  return until(end) - until(begin);
}

}  // namespace engine::runtime
