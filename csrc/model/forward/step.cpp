#include "model/forward/step.h"

#include <algorithm>

#include "base/checked.h"
#include "base/logarithm.h"
#include "kernels/kernel_table.h"

namespace engine::model {
namespace {

// Up to here every member makes all inputs for itself.
constexpr std::size_t kFewRows = 4;

float query_factor(const HyperParameters& shape, std::size_t position) {
  if (shape.temperature_scale == 0.0) return 1.0F;
  const std::size_t steps = position / shape.temperature_step;
  return static_cast<float>(natural_logarithm(static_cast<double>(steps) + 1.0) * shape.temperature_scale + 1.0);
}

std::size_t widest_input(const HyperParameters& shape) {
  return std::max({shape.embedding, shape.query_width(), shape.feed_forward, shape.experts.feed_forward});
}

}  // namespace

Step::Step(const Model& loaded, ThreadTeam& threads, std::size_t max_rows)
    : model(loaded),
      team(threads),
      attention(model.shape(), model.kernels(), team.size()),
      heads_width(model.shape().query_width() + 2 * model.shape().kv_width()),
      non_finite(model.shape().layers),
      residual(max_rows * model.shape().embedding * sizeof(float)),
      heads(max_rows * heads_width * sizeof(float)),
      projected(max_rows * std::max(model.shape().embedding, model.shape().feed_forward) * sizeof(float)),
      hidden(max_rows * std::max(model.shape().query_width(), model.shape().feed_forward) * sizeof(float)),
      input(max_rows, widest_input(model.shape())),
      logits(model.shape()) {
  const HyperParameters& shape = model.shape();
  for (std::size_t i = 0; i < shape.ropes.size(); ++i) {
    const std::span<const float> factors = model.weights().rope_factors;
    ropes.emplace_back(shape.rope_dimensions, shape.ropes[i], i == 0 ? factors : std::span<const float>());
  }
  const std::vector<float>& long_factors = model.weights().long_rope_factors;
  if (!long_factors.empty()) long_rope.emplace(shape.rope_dimensions, shape.ropes[0], long_factors);
  if (shape.experts.count != 0) experts = std::make_unique<ExpertBuffers>(shape, max_rows);
  for (unsigned i = 0; i < team.size(); ++i) {
    own_inputs.emplace_back(kFewRows, widest_input(shape));
    scratch.emplace_back(kernels::multiply_scratch_bytes(widest_input(shape)));
  }
}

std::size_t Step::row_bytes(const HyperParameters& shape) {
  const std::size_t residual = shape.embedding;
  const std::size_t heads = shape.query_width() + 2 * shape.kv_width();
  const std::size_t projected = std::max(shape.embedding, shape.feed_forward);
  const std::size_t hidden = std::max(shape.query_width(), shape.feed_forward);
  const std::size_t experts = shape.experts.count == 0 ? 0 : ExpertBuffers::row_bytes(shape);
  return (residual + heads + projected + hidden) * sizeof(float) + ActivationBuffer::row_bytes(widest_input(shape)) +
         experts;
}

std::size_t Step::shared_bytes(const HyperParameters& shape, unsigned members, std::size_t rows,
                               std::size_t positions) {
  const std::size_t tables = shape.ropes.size() + (shape.needs_long_factors(positions) ? 1 : 0);
  const std::size_t angles =
      tables * RopeTable::position_bytes(shape.rope_dimensions) * round_up(positions, RopeTable::kBlock);
  const std::size_t own = kFewRows * ActivationBuffer::row_bytes(widest_input(shape)) +
                          kernels::multiply_scratch_bytes(widest_input(shape));
  return angles + members * own + Attention::divided_bytes(shape, members, rows, positions);
}

void Step::plan(std::span<const Segment> segments) {
  rows.clear();
  attention.clear();
  logits.clear();
  for (const Segment& segment : segments) {
    const std::size_t first_row = rows.size();
    for (std::size_t i = 0; i < segment.tokens.size(); ++i) {
      const std::size_t position = segment.first_position + i;
      rows.push_back({segment.tokens[i], position, segment.cache, query_factor(model.shape(), position)});
      const bool last = i + 1 == segment.tokens.size();
      if (segment.want_every_logit || (segment.want_logits && last)) logits.add(rows.size() - 1);
    }
    segment.cache->reserve(segment.first_position + segment.tokens.size());
    attention.add(*segment.cache, first_row, segment.tokens.size(), segment.first_position);
  }
  non_finite.reset(rows.size());
  attention.prepare();
  extend_ropes(segments);
  logits.prepare();
}

void Step::extend_ropes(std::span<const Segment> segments) {
  for (const Segment& segment : segments) {
    const std::size_t positions = segment.first_position + segment.tokens.size();
    for (RopeTable& table : ropes) table.extend(positions);
    if (long_rope && segment.cache->format().long_factors) long_rope->extend(positions);
  }
}

void Step::hidden_state(std::size_t row, float* out) const {
  model.kernels().rms_norm(residual_of(row), model.weights().output_norm.data(), model.shape().norm_epsilon,
                           model.shape().embedding, out);
}

bool Step::few_rows() const { return rows.size() <= kFewRows; }

}  // namespace engine::model
