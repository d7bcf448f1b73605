#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "model/forward/norm.h"
#include "model/forward/operation_clock.h"
#include "model/forward/step.h"

namespace engine::model {

// One member's part of a step. Every method is called by all members. A barrier stands wherever one member reads what
// another wrote: five in a layer where a step has few rows, ten where members share the making of inputs too; one more
// for each norm of a whole output, six for experts.
class Worker {
 public:
  Worker(Step& step, unsigned member, OperationClock* clock);

  Step& step() const { return step_; }
  const HyperParameters& shape() const { return step_.model.shape(); }
  const kernels::KernelTable& kernels() const { return step_.model.kernels(); }
  unsigned member() const { return member_; }
  std::byte* scratch() const { return step_.scratch[member_].as<std::byte>(); }

  // Meets the other members at the barrier.
  void wait();
  // Charges the operation with what this member has done since the last mark.
  void charge(Operation operation) {
    if (clock_ != nullptr) clock_->charge(operation);
  }

  // This member's part of `count` things, the groups of a weight and their output columns.
  Range share(std::size_t count) const { return member_range(count, member_, step_.team.size()); }
  Range groups(const Projection& projection) const { return share(projection.weight.groups()); }
  Range columns(const Projection& projection) const;

  void embed();
  // input = norm of the residual, or without weights the residual itself, quantized for the projections that read it.
  void normalize(const Norm& norm, std::initializer_list<const Projection*> readers);
  // The same of rows [rows, width] that are not the residual.
  void normalize_rows(const Norm& norm, const float* rows, std::size_t width, const Projection& reader);
  // The same of what the feed-forward reads.
  void normalize_for_feed_forward(const Norm& norm, std::initializer_list<const Projection*> readers);
  // Keeps the residual as it is, for the feed-forward.
  void keep_residual();
  // input = the norm that the head reads, of the rows that want logits.
  void normalize_output(const std::vector<std::size_t>& rows, const Projection& head);
  // out [rows, stride] = projection of the input, for the groups.
  void multiply(const Projection& projection, Range groups, std::size_t rows, float* out, std::size_t stride);
  // gates = activation(gates) * ups
  void activate(float* gates, const float* ups, std::size_t n) const;
  // hidden = attention of the queries over the cache.
  void attend(const Layer& layer, std::size_t index);
  // hidden = activation(gate) * up, projections of the input, or without a gate activation(up).
  void gate(const FeedForward& weights);
  // projected = projection of rows [rows, stride], such as hidden, of which this member computes its groups.
  void project(const Projection& projection, const float* rows, std::size_t stride);
  void project_hidden(const Projection& projection) {
    project(projection, step_.hidden.as<float>(), projection.weight.columns);
  }
  // residual += projection of attention's result.
  void add_attention(const Layer& layer);
  // residual += projection of hidden, its norm where there are weights of one, times the residual's scale.
  void add_projection(const Projection& projection, const Norm& norm);

  // residual = its norm, where there are weights of one.
  void normalize_residual(const Norm& norm);

  // The norm of one row [n].
  void normalize_row(const Norm& norm, const float* x, std::size_t n, float* out) const {
    model::normalize_row(step_.model, x, norm, n, out);
  }
  // [embedding] for the norm of one row.
  float* normalized() { return normalized_.data(); }

 private:
  // residual += a row of the projection, which is as in the file.
  void add_row(const Projection& rows, std::size_t row, float* residual);
  // Records rows whose residual is not finite: what attention added goes past the feed-forward.
  void check_residual() const;
  ActivationBuffer& input() const { return step_.few_rows() ? step_.own_inputs[member_] : step_.input; }
  // Calls make(row) for the rows of an input that this member has to make, and waits until others' are made.
  template <typename Make>
  void make_input(std::size_t rows, std::size_t width, const Make& make);
  // residual += projected, the whole projection's, as add_projection() does.
  void add_projected(const Projection& projection, const Norm& norm);
  // input = norm of the rows that row_of gives.
  template <typename RowOf>
  void normalize_each(const Norm& norm, std::initializer_list<const Projection*> readers, const RowOf& row_of);
  // Records that a row's norm, which `stage` computed the input of, is not finite, if it is not.
  void check_norm(std::size_t row, const float* norm, std::uint32_t stage) const;

  Step& step_;
  unsigned member_;
  OperationClock* clock_;    // null where op_times is off, and for all members but 0
  std::uint32_t stage_ = 0;  // see NonFiniteRows; each begins with normalize()
  std::size_t input_width_ = 0;
  std::vector<float> normalized_;
};

}  // namespace engine::model
