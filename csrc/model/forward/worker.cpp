#include "model/forward/worker.h"

#include <algorithm>
#include <cmath>

#include "kernels/gemm/panel_row.h"
#include "kernels/kernel_table.h"
#include "quant/block.h"
#include "quant/finite.h"

namespace engine::model {

Worker::Worker(Step& step, unsigned member, OperationClock* clock)
    : step_(step),
      member_(member),
      clock_(clock),
      normalized_(std::max(step.model.shape().embedding, step.model.shape().latent.query_rank)) {}

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
    const Weights& weights = step_.model.weights();
    if (shape().learned_positions) add_row(weights.positions, step_.rows[r].position, residual);
    const std::size_t types = weights.token_types.weight.rows;
    if (types != 0) add_row(weights.token_types, std::min(step_.rows[r].token_type, types - 1), residual);
    if (!weights.embedding_norm.weight.empty()) {
      normalize_row(weights.embedding_norm, residual, shape().embedding, residual);
    }
    if (shape().embedding_scale == 1.0F) continue;
    for (std::size_t i = 0; i < shape().embedding; ++i) residual[i] *= shape().embedding_scale;
  }
  charge(Operation::Embedding);
  wait();
}

void Worker::add_row(const Projection& rows, std::size_t row, float* residual) {
  const kernels::Matrix& vectors = rows.weight;
  float* own = normalized();
  quant::dequantize_row(vectors.type, vectors.raw.data() + row * vectors.row_bytes(), shape().embedding, own);
  for (std::size_t i = 0; i < shape().embedding; ++i) residual[i] += own[i];
}

template <typename Make>
void Worker::make_input(std::size_t rows, std::size_t width, const Make& make) {
  input_width_ = width;
  const bool own = step_.few_rows();
  const Range mine = own ? Range{0, rows} : share(rows);
  for (std::size_t r = mine.begin; r < mine.end; ++r) make(r);
  if (!own) wait();
}

void Worker::keep_residual() {
  const std::size_t width = shape().embedding;
  const Range rows = share(step_.rows.size());
  std::copy(step_.residual_of(rows.begin), step_.residual_of(rows.end),
            step_.kept_residual.as<float>() + rows.begin * width);
  charge(Operation::Residual);
}

void Worker::normalize(const Norm& norm, std::initializer_list<const Projection*> readers) {
  normalize_each(norm, readers, [&](std::size_t r) { return step_.residual_of(r); });
}

void Worker::normalize_for_feed_forward(const Norm& norm, std::initializer_list<const Projection*> readers) {
  if (shape().parallel) check_residual();
  normalize_each(norm, readers, [&](std::size_t r) { return step_.feed_forward_input_of(r); });
}

void Worker::check_residual() const {
  const Range rows = share(step_.rows.size());
  for (std::size_t r = rows.begin; r < rows.end; ++r) {
    if (std::isinf(quant::largest_magnitude({step_.residual_of(r), shape().embedding}))) {
      step_.non_finite.record(r, stage_);
    }
  }
}

template <typename RowOf>
void Worker::normalize_each(const Norm& norm, std::initializer_list<const Projection*> readers, const RowOf& row_of) {
  const std::uint32_t stage_before = stage_++;
  make_input(step_.rows.size(), shape().embedding, [&](std::size_t r) {
    const float* x = row_of(r);
    if (!norm.weight.empty()) {
      normalize_row(norm, x, shape().embedding, normalized());
      x = normalized();
      check_norm(r, x, stage_before);
    }
    charge(Operation::Norm);
    for (const kernels::ActivationFormat format : {kernels::ActivationFormat::F32, kernels::ActivationFormat::Q8Block,
                                                   kernels::ActivationFormat::Q8SuperBlock}) {
      const bool wanted = std::ranges::any_of(
          readers, [&](const Projection* p) { return p->weight.rows != 0 && p->weight.activation_format() == format; });
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
  switch (shape().activation) {
    case Activation::Silu:
      return kernels().silu_multiply(gates, ups, n);
    case Activation::Gelu:
      return kernels().gelu_multiply(gates, ups, n);
    case Activation::ClampedSilu:
      return kernels().clamped_silu_multiply(gates, ups, n);
    case Activation::UngatedGelu:
      return kernels().gelu(gates, n);
    case Activation::UngatedSquaredRelu:
      return kernels().squared_relu(gates, n);
  }
}

void Worker::attend(const Layer& layer, std::size_t index) {
  step_.attention.attend(index, layer.sinks, member_, step_.heads_of(0), step_.heads_width, step_.hidden.as<float>(),
                         shape().query_width());
  charge(Operation::Attention);
  wait();
}

void Worker::gate(const FeedForward& weights) {
  const std::size_t count = step_.rows.size();
  const std::size_t width = weights.up.weight.rows;
  const Range mine = columns(weights.up);
  auto* gates = step_.hidden.as<float>();
  auto* ups = step_.projected.as<float>();
  const bool gated = is_gated(shape().activation);
  if (gated) multiply(weights.gate, groups(weights.gate), count, gates, width);
  multiply(weights.up, groups(weights.up), count, gated ? ups : gates, width);
  charge(Operation::Matmul);
  for (std::size_t r = 0; r < count; ++r) {
    const std::size_t first = r * width + mine.begin;
    activate(gates + first, ups + first, mine.end - mine.begin);
  }
  charge(Operation::Activation);
  wait();
}

void Worker::normalize_rows(const Norm& norm, const float* rows, std::size_t width, const Projection& reader) {
  make_input(step_.rows.size(), width, [&](std::size_t r) {
    normalize_row(norm, rows + r * width, width, normalized());
    charge(Operation::Norm);
    input().set(r, width, normalized(), reader.weight.activation_format(), kernels());
    charge(Operation::QuantizeInput);
  });
}

void Worker::project(const Projection& projection, const float* rows, std::size_t stride) {
  const std::size_t count = step_.rows.size();
  const std::size_t width = projection.weight.columns;
  make_input(count, width, [&](std::size_t r) {
    input().set(r, width, rows + r * stride, projection.weight.activation_format(), kernels());
    charge(Operation::QuantizeInput);
  });
  multiply(projection, groups(projection), count, step_.projected.as<float>(), projection.weight.rows);
  charge(Operation::Matmul);
}

void Worker::add_attention(const Layer& layer) {
  if (shape().latent.rank == 0) {
    project_hidden(layer.attention_output);
  } else {
    project(layer.attention_output, step_.heads_of(0), step_.heads_width);
  }
  add_projected(layer.attention_output, layer.attention_output_norm);
}

void Worker::add_projection(const Projection& projection, const Norm& norm) {
  project_hidden(projection);
  add_projected(projection, norm);
}

void Worker::add_projected(const Projection& projection, const Norm& norm) {
  const std::size_t count = step_.rows.size();
  Range rows{0, count};
  Range mine = columns(projection);
  auto* out = step_.projected.as<float>();
  if (!norm.weight.empty()) {
    wait();
    rows = share(count);
    mine = {0, shape().embedding};
    for (std::size_t r = rows.begin; r < rows.end; ++r) {
      float* own = out + r * shape().embedding;
      normalize_row(norm, own, shape().embedding, own);
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

void Worker::normalize_residual(const Norm& norm) {
  if (norm.weight.empty()) return;
  const Range rows = share(step_.rows.size());
  for (std::size_t r = rows.begin; r < rows.end; ++r) {
    float* residual = step_.residual_of(r);
    normalize_row(norm, residual, shape().embedding, residual);
    check_norm(r, residual, stage_);
  }
  charge(Operation::Norm);
  wait();
}

}  // namespace engine::model
