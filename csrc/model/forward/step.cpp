#include "model/forward/step.h"

#include <algorithm>

#include "base/checked.h"
#include "base/logarithm.h"
#include "kernels/kernel_table.h"
#include "model/forward/norm.h"

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
  return std::max({shape.embedding, shape.query_width(), shape.widest_dense(), shape.experts.feed_forward,
                   shape.latent.query_rank, shape.recurrent.width});
}

// 0 where no head has matrices of its own.
std::size_t widest_head_input(const HyperParameters& shape) {
  return std::max(shape.latent.rank, shape.latent.unrotated);
}

// The longest row that any product reads.
std::size_t widest_columns(const HyperParameters& shape) {
  return std::max(widest_input(shape), widest_head_input(shape));
}

// The widest result of attention, of gates and of what recurrent layers have in their place.
std::size_t widest_hidden(const HyperParameters& shape) {
  return std::max({shape.query_width(), shape.widest_dense(), shape.recurrent.width});
}

// Bytes of the planes that products read of one row.
std::size_t plane_row_bytes(const HyperParameters& shape) {
  const std::size_t experts = shape.experts.count == 0 ? 0 : ExpertBuffers::plane_row_bytes(shape);
  return kernels::plane_stride(widest_input(shape)) + experts;
}

std::size_t widest_projection(const HyperParameters& shape) {
  return std::max({shape.embedding, shape.widest_dense(), shape.latent.query_rank});
}

}  // namespace

Step::Step(const Model& loaded, ThreadTeam& threads, std::size_t max_rows)
    : model(loaded),
      team(threads),
      attention(model.shape(), model.kernels(), team.size()),
      heads_width(model.shape().query_width() + 2 * model.shape().kv_width()),
      non_finite(model.shape().layers),
      residual(max_rows * model.shape().embedding * sizeof(float)),
      kept_residual(model.shape().parallel ? residual.size() : 0),
      heads(max_rows * heads_width * sizeof(float)),
      projected(max_rows * widest_projection(model.shape()) * sizeof(float)),
      hidden(max_rows * widest_hidden(model.shape()) * sizeof(float)),
      recurrent(max_rows * model.shape().recurrent.projected * sizeof(float)),
      input(max_rows, widest_input(model.shape()), model.kernels()),
      logits(model.shape()) {
  const HyperParameters& shape = model.shape();
  for (std::size_t i = 0; i < shape.ropes.size(); ++i) {
    const std::span<const float> factors = model.weights().rope_factors;
    ropes.emplace_back(shape.rope_dimensions, shape.ropes[i], i == 0 ? factors : std::span<const float>());
  }
  const std::vector<float>& long_factors = model.weights().long_rope_factors;
  if (!long_factors.empty()) long_rope.emplace(shape.rope_dimensions, shape.ropes[0], long_factors);
  if (shape.experts.count != 0) experts = std::make_unique<ExpertBuffers>(shape, model.kernels(), max_rows);
  for (unsigned i = 0; i < team.size(); ++i) {
    own_inputs.emplace_back(kFewRows, widest_input(shape));
    scratch.emplace_back(kernels::multiply_scratch_bytes(widest_columns(shape)));
    if (shape.latent.rank == 0) continue;
    head_inputs.emplace_back(kHeadRows, widest_head_input(shape));
  }
}

std::size_t Step::row_bytes(const HyperParameters& shape, const kernels::KernelTable& table) {
  const std::size_t residual = shape.parallel ? 2 * shape.embedding : shape.embedding;
  const std::size_t heads = shape.query_width() + 2 * shape.kv_width();
  const std::size_t projected = widest_projection(shape);
  const std::size_t hidden = widest_hidden(shape) + shape.recurrent.projected;
  const std::size_t experts = shape.experts.count == 0 ? 0 : ExpertBuffers::row_bytes(shape);
  return (residual + heads + projected + hidden) * sizeof(float) + ActivationBuffer::row_bytes(widest_input(shape)) +
         experts + (table.split_codes == nullptr ? 0 : plane_row_bytes(shape));
}

std::size_t Step::shared_bytes(const HyperParameters& shape, unsigned members, std::size_t rows,
                               std::size_t positions) {
  const std::size_t tables = shape.ropes.size() + (shape.needs_long_factors(positions) ? 1 : 0);
  const std::size_t angles =
      tables * RopeTable::position_bytes(shape.rope_dimensions) * round_up(positions, RopeTable::kBlock);
  const std::size_t own = kFewRows * ActivationBuffer::row_bytes(widest_input(shape)) +
                          kHeadRows * ActivationBuffer::row_bytes(widest_head_input(shape)) +
                          kernels::multiply_scratch_bytes(widest_columns(shape));
  return angles + members * own + Attention::divided_bytes(shape, members, rows, positions);
}

void Step::plan(std::span<const Segment> segments) {
  rows.clear();
  stretches.clear();
  attention.clear();
  logits.clear();
  for (const Segment& segment : segments) {
    const std::size_t first_row = rows.size();
    for (std::size_t i = 0; i < segment.tokens.size(); ++i) {
      const std::size_t position = segment.first_position + i;
      rows.push_back({segment.tokens[i], position, segment.cache, query_factor(model.shape(), position),
                      position < segment.second_text ? std::size_t{0} : std::size_t{1}});
      const bool last = i + 1 == segment.tokens.size();
      if (segment.want_every_logit || (segment.want_logits && last)) logits.add(rows.size() - 1);
    }
    segment.cache->reserve(segment.first_position + segment.tokens.size());
    segment.cache->recurrent().begin(segment.first_position);
    stretches.push_back({segment.cache, first_row, segment.tokens.size()});
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

void Step::finish() {
  for (const Stretch& stretch : stretches) stretch.cache->recurrent().finish(stretch.rows);
}

void Step::hidden_state(std::size_t row, float* out) const {
  if (!model.shape().output_norm) {
    std::copy_n(residual_of(row), model.shape().embedding, out);
    return;
  }
  normalize_row(model, residual_of(row), model.weights().output_norm, model.shape().embedding, out);
}

bool Step::few_rows() const { return rows.size() <= kFewRows; }

}  // namespace engine::model
