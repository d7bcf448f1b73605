#include "model/forward/experts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "kernels/kernel_table.h"
#include "model/forward/worker.h"
#include "quant/finite.h"

namespace engine::model {
namespace {

std::size_t output_width(const HyperParameters& shape) { return std::max(shape.experts.feed_forward, shape.embedding); }

// The places of one expert: its weight's groups of this member, from its input's rows.
void multiply_places(const Worker& worker, const Projection& projection, Range places, std::size_t width, float* out) {
  const kernels::Matrix& matrix = projection.weight;
  const Range groups = worker.groups(projection);
  if (places.begin == places.end || groups.begin == groups.end) return;
  const kernels::Activations input = worker.step().experts->input.view(width, matrix.activation_format(), places.begin);
  worker.kernels().multiply(matrix, input, places.end - places.begin, groups.begin, groups.end,
                            out + places.begin * matrix.rows, matrix.rows, worker.scratch());
  if (projection.bias.empty()) return;
  const Range columns = worker.columns(projection);
  for (std::size_t p = places.begin; p < places.end; ++p) {
    for (std::size_t i = columns.begin; i < columns.end; ++i) out[p * matrix.rows + i] += projection.bias[i];
  }
}

// Makes scores of a row's router outputs. Where one of them is not finite, none is.
void score(const Worker& worker, float* row) {
  const ExpertShape& shape = worker.shape().experts;
  if (shape.routing == Routing::Softmax) {
    worker.kernels().softmax(row, shape.count);
    return;
  }
  if (shape.routing == Routing::Sigmoid) worker.kernels().sigmoid(row, shape.count);
  if (std::isinf(quant::largest_magnitude({row, shape.count}))) [[unlikely]]
    std::fill_n(row, shape.count, std::numeric_limits<float>::quiet_NaN());
}

// What gates and ups read: the norm of each place's row.
void make_inputs(Worker& worker, const Layer& layer) {
  ExpertBuffers& experts = *worker.step().experts;
  const HyperParameters& shape = worker.shape();
  const Range places = worker.share(experts.routing.places());
  const kernels::ActivationFormat gate_format = layer.experts[0].gate.weight.activation_format();
  const kernels::ActivationFormat up_format = layer.experts[0].up.weight.activation_format();
  for (std::size_t p = places.begin; p < places.end; ++p) {
    const float* row = worker.step().feed_forward_input_of(experts.routing.row_at(p));
    worker.normalize_row(layer.feed_forward_norm, row, shape.embedding, worker.normalized());
    worker.charge(Operation::Norm);
    experts.input.set(p, shape.embedding, worker.normalized(), gate_format, worker.kernels());
    if (up_format != gate_format) {
      experts.input.set(p, shape.embedding, worker.normalized(), up_format, worker.kernels());
    }
    worker.charge(Operation::QuantizeInput);
  }
  worker.wait();
}

// gates = activation(gates) * ups of one expert.
void gate(Worker& worker, const FeedForward& expert, Range places) {
  const std::size_t width = worker.shape().experts.feed_forward;
  auto* gates = worker.step().experts->gates.as<float>();
  auto* ups = worker.step().experts->outputs.as<float>();
  multiply_places(worker, expert.gate, places, worker.shape().embedding, gates);
  multiply_places(worker, expert.up, places, worker.shape().embedding, ups);
  worker.charge(Operation::Matmul);
  const Range columns = worker.columns(expert.gate);
  for (std::size_t p = places.begin; p < places.end; ++p) {
    const std::size_t first = p * width + columns.begin;
    worker.activate(gates + first, ups + first, columns.end - columns.begin);
  }
  worker.charge(Operation::Activation);
}

// residual += the weighted sum of the experts' outputs.
void add_outputs(Worker& worker, Range columns) {
  Step& step = worker.step();
  const std::size_t embedding = worker.shape().embedding;
  auto* outputs = step.experts->outputs.as<float>();  // [places, embedding]
  for (std::size_t r = 0; r < step.rows.size(); ++r) {
    const auto choices = step.experts->routing.choices(r);
    float* sum = outputs + choices[0].place * embedding;
    for (std::size_t i = columns.begin; i < columns.end; ++i) sum[i] *= choices[0].weight;
    for (const ExpertRouting::Choice& choice : choices.subspan(1)) {
      const float* out = outputs + choice.place * embedding;
      for (std::size_t i = columns.begin; i < columns.end; ++i) sum[i] += choice.weight * out[i];
    }
    float* residual = step.residual_of(r);
    const float scale = worker.shape().residual_scale;
    for (std::size_t i = columns.begin; i < columns.end; ++i) residual[i] += scale * sum[i];
  }
  worker.charge(Operation::Residual);
}

}  // namespace

ExpertBuffers::ExpertBuffers(const HyperParameters& shape, const kernels::KernelTable& table, std::size_t max_rows)
    : routing(shape.experts, max_rows),
      probabilities(max_rows * shape.experts.count * sizeof(float)),
      shares(max_rows * sizeof(float)),
      input(max_rows * shape.experts.used, output_width(shape), table),
      gates(max_rows * shape.experts.used * shape.experts.feed_forward * sizeof(float)),
      outputs(max_rows * shape.experts.used * output_width(shape) * sizeof(float)) {}

std::size_t ExpertBuffers::row_bytes(const HyperParameters& shape) {
  const ExpertShape& experts = shape.experts;
  const std::size_t place = ActivationBuffer::row_bytes(output_width(shape)) +
                            (experts.feed_forward + output_width(shape)) * sizeof(float) +
                            sizeof(ExpertRouting::Choice) + sizeof(std::size_t);
  const std::size_t ratings = experts.rates_apart() ? experts.count : 0;
  return (experts.count + ratings + 1) * sizeof(float) + experts.used * place;
}

std::size_t ExpertBuffers::plane_row_bytes(const HyperParameters& shape) {
  return shape.experts.used * kernels::plane_stride(output_width(shape));
}

void choose_experts(Worker& worker, const Layer& layer) {
  ExpertBuffers& experts = *worker.step().experts;
  const std::size_t count = worker.step().rows.size();
  const std::size_t among = worker.shape().experts.count;
  auto* probabilities = experts.probabilities.as<float>();
  auto* shares = experts.shares.as<float>();
  worker.multiply(layer.router, worker.groups(layer.router), count, probabilities, among);
  const bool shares_differ = layer.dense_share.weight.rows != 0;
  if (shares_differ) worker.multiply(layer.dense_share, worker.groups(layer.dense_share), count, shares, 1);
  worker.charge(Operation::Matmul);
  worker.wait();
  const Range rows = worker.share(count);
  for (std::size_t r = rows.begin; r < rows.end; ++r) {
    float* own = probabilities + r * among;
    score(worker, own);
    experts.routing.choose(r, own, layer.choice_bias, worker.kernels());
    if (!shares_differ) continue;
    std::array<float, 2> share{shares[r], 0.0F};  // the logistic function: a softmax beside nothing
    worker.kernels().softmax(share.data(), share.size());
    shares[r] = share[0];
  }
  worker.charge(Operation::Activation);
  worker.wait();
  if (worker.member() == 0) experts.routing.place(count);
  worker.charge(Operation::Other);
  worker.wait();
}

void add_experts(Worker& worker, const Layer& layer) {
  ExpertBuffers& experts = *worker.step().experts;
  make_inputs(worker, layer);
  for (std::size_t e = 0; e < layer.experts.size(); ++e) {
    gate(worker, layer.experts[e], experts.routing.places_of(e));
  }
  worker.wait();
  const std::size_t width = worker.shape().experts.feed_forward;
  const Range places = worker.share(experts.routing.places());
  const kernels::ActivationFormat format = layer.experts[0].down.weight.activation_format();
  for (std::size_t p = places.begin; p < places.end; ++p) {
    experts.input.set(p, width, experts.gates.as<float>() + p * width, format, worker.kernels());
  }
  worker.charge(Operation::QuantizeInput);
  worker.wait();
  for (std::size_t e = 0; e < layer.experts.size(); ++e) {
    multiply_places(worker, layer.experts[e].down, experts.routing.places_of(e), width, experts.outputs.as<float>());
  }
  worker.charge(Operation::Matmul);
  add_outputs(worker, worker.columns(layer.experts[0].down));  // a member has the same columns of every expert
  worker.wait();
}

void add_share(Worker& worker, const Layer& layer) {
  worker.project_hidden(layer.dense.down);
  Step& step = worker.step();
  const Range columns = worker.columns(layer.dense.down);
  const bool shares_differ = layer.dense_share.weight.rows != 0;
  const auto* out = step.projected.as<float>();
  for (std::size_t r = 0; r < step.rows.size(); ++r) {
    float* residual = step.residual_of(r);
    const float share = (shares_differ ? step.experts->shares.as<float>()[r] : 1.0F) * worker.shape().residual_scale;
    for (std::size_t i = columns.begin; i < columns.end; ++i) {
      residual[i] += share * out[r * worker.shape().embedding + i];
    }
  }
  worker.charge(Operation::Residual);
  worker.wait();
}

}  // namespace engine::model
