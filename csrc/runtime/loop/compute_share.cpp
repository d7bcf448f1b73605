#include "runtime/loop/compute_share.h"

namespace engine::runtime {
namespace {

double macs(const model::Projection& projection) {
  return static_cast<double>(projection.weight.rows) * static_cast<double>(projection.weight.columns);
}

double macs(const model::FeedForward& feed_forward) {
  return macs(feed_forward.gate) + macs(feed_forward.up) + macs(feed_forward.down);
}

}  // namespace

RowCost::RowCost(const model::Model& model) {
  const model::HyperParameters& shape = model.shape();
  for (const model::Layer& layer : model.weights().layers) {
    for (const model::Projection* projection : {&layer.query_down, &layer.query, &layer.key, &layer.value,
                                                &layer.attention_output, &layer.router, &layer.dense_share}) {
      layers_ += macs(*projection);
    }
    const model::ConvolutionWeights& convolution = layer.convolution;
    for (const model::Projection* projection :
         {&convolution.input_gate, &convolution.output_gate, &convolution.input}) {
      layers_ += macs(*projection);
    }
    for (const model::Projection& head : layer.head_keys) layers_ += macs(head);
    for (const model::Projection& head : layer.head_values) layers_ += macs(head);
    layers_ += macs(layer.dense);
    if (!layer.experts.empty()) layers_ += static_cast<double>(shape.experts.used) * macs(layer.experts.front());
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
