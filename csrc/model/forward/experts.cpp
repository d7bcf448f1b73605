#include <algorithm>
#include <array>

#include "model/forward/forward_pass.h"

// The feed-forward of which every row uses a few parts. Rows are grouped by expert; what an expert computes for one of
// them does not depend on the others, and a row adds its experts' outputs in the order of its choice.
namespace engine::model {

ForwardPass::ExpertBuffers::ExpertBuffers(const HyperParameters& shape, std::size_t max_rows)
    : routing(shape.experts, max_rows),
      probabilities(max_rows * shape.experts.count * sizeof(float)),
      shares(max_rows * sizeof(float)),
      input(max_rows * shape.experts.used, std::max(shape.embedding, shape.experts.feed_forward)),
      gates(max_rows * shape.experts.used * shape.experts.feed_forward * sizeof(float)),
      outputs(max_rows * shape.experts.used * output_width(shape) * sizeof(float)) {}

std::size_t ForwardPass::ExpertBuffers::output_width(const HyperParameters& shape) {
  return std::max(shape.experts.feed_forward, shape.embedding);
}

std::size_t ForwardPass::ExpertBuffers::row_bytes(const HyperParameters& shape) {
  const ExpertShape& experts = shape.experts;
  const std::size_t place = ActivationBuffer::row_bytes(std::max(shape.embedding, experts.feed_forward)) +
                            (experts.feed_forward + output_width(shape)) * sizeof(float) +
                            sizeof(ExpertRouting::Choice) + sizeof(std::size_t);
  return (experts.count + 1) * sizeof(float) + experts.used * place;
}

void Worker::choose_experts(const Layer& layer) {
  ForwardPass::ExpertBuffers& experts = *pass_.experts_;
  const std::size_t count = pass_.rows_.size();
  auto* probabilities = experts.probabilities.as<float>();
  auto* shares = experts.shares.as<float>();
  multiply(layer.router, my_groups(layer.router), count, probabilities, shape_.experts.count);
  const bool shared = layer.dense_share.weight.rows != 0;
  if (shared) multiply(layer.dense_share, my_groups(layer.dense_share), count, shares, 1);
  charge(Operation::Matmul);
  wait();
  const Range rows = my_rows(count);
  for (std::size_t r = rows.begin; r < rows.end; ++r) {
    float* own = probabilities + r * shape_.experts.count;
    kernels_.softmax(own, shape_.experts.count);
    experts.routing.choose(r, own);
    if (!shared) continue;
    std::array<float, 2> share{shares[r], 0.0F};  // the logistic function: a softmax beside nothing
    kernels_.softmax(share.data(), share.size());
    shares[r] = share[0];
  }
  charge(Operation::Activation);
  wait();
  if (member_ == 0) experts.routing.place(count);
  charge(Operation::Other);
  wait();
}

void Worker::multiply_places(const Projection& projection, Range places, std::size_t width, float* out) {
  const kernels::Matrix& matrix = projection.weight;
  const Range groups = my_groups(projection);
  if (places.begin == places.end || groups.begin == groups.end) return;
  const kernels::Activations input = pass_.experts_->input.view(width, matrix.activation_format(), places.begin);
  kernels_.multiply(matrix, input, places.end - places.begin, groups.begin, groups.end,
                    out + places.begin * matrix.rows, matrix.rows, scratch_);
}

void Worker::add_experts(const Layer& layer) {
  const ExpertRouting& routing = pass_.experts_->routing;
  make_expert_inputs(layer);
  for (std::size_t e = 0; e < layer.experts.size(); ++e) gate_expert(layer.experts[e], routing.places_of(e));
  wait();
  const std::size_t width = shape_.experts.feed_forward;
  const Range places = my_rows(routing.places());
  const kernels::ActivationFormat format = layer.experts[0].down.weight.activation_format();
  for (std::size_t p = places.begin; p < places.end; ++p) {
    pass_.experts_->input.set(p, width, pass_.experts_->gates.as<float>() + p * width, format, kernels_);
  }
  charge(Operation::QuantizeInput);
  wait();
  for (std::size_t e = 0; e < layer.experts.size(); ++e) {
    multiply_places(layer.experts[e].down, routing.places_of(e), width, pass_.experts_->outputs.as<float>());
  }
  charge(Operation::Matmul);
  add_outputs(my_columns(layer.experts[0].down));  // of every expert a member has the same columns
  wait();
}

void Worker::make_expert_inputs(const Layer& layer) {
  ForwardPass::ExpertBuffers& experts = *pass_.experts_;
  const Range places = my_rows(experts.routing.places());
  const kernels::ActivationFormat gate_format = layer.experts[0].gate.weight.activation_format();
  const kernels::ActivationFormat up_format = layer.experts[0].up.weight.activation_format();
  for (std::size_t p = places.begin; p < places.end; ++p) {
    kernels_.rms_norm(pass_.residual(experts.routing.row_at(p)), layer.feed_forward_norm.data(), shape_.norm_epsilon,
                      shape_.embedding, normalized_.data());
    charge(Operation::Norm);
    experts.input.set(p, shape_.embedding, normalized_.data(), gate_format, kernels_);
    if (up_format != gate_format) experts.input.set(p, shape_.embedding, normalized_.data(), up_format, kernels_);
    charge(Operation::QuantizeInput);
  }
  wait();
}

void Worker::gate_expert(const FeedForward& expert, Range places) {
  const std::size_t width = shape_.experts.feed_forward;
  auto* gates = pass_.experts_->gates.as<float>();
  auto* ups = pass_.experts_->outputs.as<float>();
  multiply_places(expert.gate, places, shape_.embedding, gates);
  multiply_places(expert.up, places, shape_.embedding, ups);
  charge(Operation::Matmul);
  const Range columns = my_columns(expert.gate);
  for (std::size_t p = places.begin; p < places.end; ++p) {
    const std::size_t first = p * width + columns.begin;
    activate(gates + first, ups + first, columns.end - columns.begin);
  }
  charge(Operation::Activation);
}

void Worker::add_outputs(Range columns) {
  auto* outputs = pass_.experts_->outputs.as<float>();  // [places, embedding]
  for (std::size_t r = 0; r < pass_.rows_.size(); ++r) {
    const auto choices = pass_.experts_->routing.choices(r);
    float* sum = outputs + choices[0].place * shape_.embedding;
    for (std::size_t i = columns.begin; i < columns.end; ++i) sum[i] *= choices[0].weight;
    for (const ExpertRouting::Choice& choice : choices.subspan(1)) {
      const float* out = outputs + choice.place * shape_.embedding;
      for (std::size_t i = columns.begin; i < columns.end; ++i) sum[i] += choice.weight * out[i];
    }
    float* residual = pass_.residual(r);
    for (std::size_t i = columns.begin; i < columns.end; ++i) residual[i] += sum[i];
  }
  charge(Operation::Residual);
}

void Worker::add_share(const Projection& projection) {
  project_hidden(projection);
  const Range columns = my_columns(projection);
  const auto* out = pass_.projected_.as<float>();
  for (std::size_t r = 0; r < pass_.rows_.size(); ++r) {
    float* residual = pass_.residual(r);
    const float share = pass_.experts_->shares.as<float>()[r];
    for (std::size_t i = columns.begin; i < columns.end; ++i) {
      residual[i] += share * out[r * shape_.embedding + i];
    }
  }
  charge(Operation::Residual);
  wait();
}

}  // namespace engine::model
