#include "model/forward/worker.h"

#include <algorithm>
#include <cmath>

#include "kernels/gemm/panel_row.h"
#include "kernels/kernel_table.h"
#include "quant/block.h"

namespace engine::model {

Worker::Worker(Step& step, unsigned member, OperationClock* clock)
    : step_(step), member_(member), clock_(clock), normalized_(step.model.shape().embedding) {}

Range Worker::columns(const Projection& projection) const {
  const Range mine = groups(projection);
  return {std::min(mine.begin * kernels::kGroupRows, projection.weight.rows),
          std::min(mine.end * kernels::kGroupRows, projection.weight.rows)};
}

void Worker::wait() {
  step_.team.barrier();
  charge(Operation::Wait);
}

void Worker::embed() {
  charge(Operation::Other);
  const kernels::Matrix& embedding = step_.model.weights().token_embedding.weight;
  const Range rows = share(step_.rows.size());
  for (std::size_t r = rows.begin; r < rows.end; ++r) {
    const auto token = static_cast<std::size_t>(step_.rows[r].token);
    float* residual = step_.residual_of(r);
    if (embedding.raw.empty()) {
      kernels::dequantize_panel_row(embedding, token, scratch(), residual);
    } else {
      const std::byte* source = embedding.raw.data() + token * embedding.row_bytes();
      quant::dequantize_row(embedding.type, source, shape().embedding, residual);
    }
    if (shape().embedding_scale == 1.0F) continue;
    for (std::size_t i = 0; i < shape().embedding; ++i) residual[i] *= shape().embedding_scale;
  }
  charge(Operation::Embedding);
  wait();
}

template <typename Make>
void Worker::make_input(std::size_t rows, std::size_t width, const Make& make) {
  input_width_ = width;
  const bool own = step_.few_rows();
  const Range mine = own ? Range{0, rows} : share(rows);
  for (std::size_t r = mine.begin; r < mine.end; ++r) make(r);
  if (!own) wait();
}

void Worker::normalize(const std::vector<float>& weight, std::initializer_list<const Projection*> readers) {
  const std::uint32_t stage_before = stage_++;
  make_input(step_.rows.size(), shape().embedding, [&](std::size_t r) {
    const float* x = step_.residual_of(r);
    if (!weight.empty()) {
      kernels().rms_norm(x, weight.data(), shape().norm_epsilon, shape().embedding, normalized());
      x = normalized();
      check_norm(r, x, stage_before);
    }
    charge(Operation::Norm);
    for (const kernels::ActivationFormat format : {kernels::ActivationFormat::F32, kernels::ActivationFormat::Q8Block,
                                                   kernels::ActivationFormat::Q8SuperBlock}) {
      const bool wanted =
          std::ranges::any_of(readers, [&](const Projection* p) { return p->weight.activation_format() == format; });
      if (wanted) input().set(r, input_width_, x, format, kernels());
    }
    charge(Operation::QuantizeInput);
  });
}

void Worker::normalize_output(const std::vector<std::size_t>& rows, const Projection& head) {
  make_input(rows.size(), shape().embedding, [&](std::size_t i) {
    step_.hidden_state(rows[i], normalized());
    check_norm(rows[i], normalized(), stage_);
    charge(Operation::Norm);
    input().set(i, input_width_, normalized(), head.weight.activation_format(), kernels());
    charge(Operation::QuantizeInput);
  });
}

void Worker::check_norm(std::size_t row, const float* norm, std::uint32_t stage) const {
  if (std::isnan(norm[0])) [[unlikely]]
    step_.non_finite.record(row, stage);  // then all of it is
}

void Worker::multiply(const Projection& projection, Range groups, std::size_t rows, float* out, std::size_t stride) {
  const kernels::Matrix& matrix = projection.weight;
  kernels().multiply(matrix, input().view(input_width_, matrix.activation_format()), rows, groups.begin, groups.end,
                     out, stride, scratch());
  if (projection.bias.empty()) return;
  const std::size_t end = std::min(groups.end * kernels::kGroupRows, matrix.rows);
  for (std::size_t t = 0; t < rows; ++t) {
    for (std::size_t i = groups.begin * kernels::kGroupRows; i < end; ++i) out[t * stride + i] += projection.bias[i];
  }
}

void Worker::activate(float* gates, const float* ups, std::size_t n) const {
  (shape().activation == Activation::Silu ? kernels().silu_multiply : kernels().gelu_multiply)(gates, ups, n);
}

void Worker::attend(std::size_t layer) {
  step_.attention.attend(layer, member_, step_.heads_of(0), step_.heads_width, step_.hidden.as<float>(),
                         shape().query_width());
  charge(Operation::Attention);
  wait();
}

void Worker::gate(const FeedForward& weights) {
  const std::size_t count = step_.rows.size();
  const std::size_t width = shape().feed_forward;
  const Range mine = columns(weights.gate);
  auto* gates = step_.hidden.as<float>();
  auto* ups = step_.projected.as<float>();
  multiply(weights.gate, groups(weights.gate), count, gates, width);
  multiply(weights.up, groups(weights.gate), count, ups, width);
  charge(Operation::Matmul);
  for (std::size_t r = 0; r < count; ++r) {
    const std::size_t first = r * width + mine.begin;
    activate(gates + first, ups + first, mine.end - mine.begin);
  }
  charge(Operation::Activation);
  wait();
}

void Worker::project_hidden(const Projection& projection) {
  const std::size_t count = step_.rows.size();
  const std::size_t width = projection.weight.columns;
  make_input(count, width, [&](std::size_t r) {
    const float* hidden = step_.hidden.as<float>() + r * width;
    input().set(r, width, hidden, projection.weight.activation_format(), kernels());
    charge(Operation::QuantizeInput);
  });
  multiply(projection, groups(projection), count, step_.projected.as<float>(), projection.weight.rows);
  charge(Operation::Matmul);
}

void Worker::add_projection(const Projection& projection, const std::vector<float>& norm) {
  const std::size_t count = step_.rows.size();
  project_hidden(projection);
  Range rows{0, count};
  Range mine = columns(projection);
  auto* out = step_.projected.as<float>();
  if (!norm.empty()) {
    wait();
    rows = share(count);
    mine = {0, shape().embedding};
    for (std::size_t r = rows.begin; r < rows.end; ++r) {
      float* own = out + r * shape().embedding;
      kernels().rms_norm(own, norm.data(), shape().norm_epsilon, shape().embedding, own);
      check_norm(r, own, stage_);
    }
    charge(Operation::Norm);
  }
  const float scale = shape().residual_scale;
  for (std::size_t r = rows.begin; r < rows.end; ++r) {
    float* residual = step_.residual_of(r);
    const float* own = out + r * shape().embedding;
    if (scale == 1.0F) {
      for (std::size_t i = mine.begin; i < mine.end; ++i) residual[i] += own[i];
    } else {
      for (std::size_t i = mine.begin; i < mine.end; ++i) residual[i] += own[i] * scale;
    }
  }
  charge(Operation::Residual);
  wait();
}

}  // namespace engine::model
