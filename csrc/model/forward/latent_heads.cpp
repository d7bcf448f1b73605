#include "model/forward/latent_heads.h"

#include <algorithm>

#include "kernels/kernel_table.h"

namespace engine::model {

LatentHeads::LatentHeads(Worker& worker, const Layer& layer, std::size_t index)
    : worker_(worker), step_(worker.step()), shape_(worker.shape()), layer_(layer), index_(index) {}

void LatentHeads::project() const {
  const std::size_t rows = step_.rows.size();
  const bool two_steps = shape_.latent.query_rank != 0;
  const std::size_t width = shape_.heads * shape_.latent.key_width(shape_.rope_dimensions);
  auto* queries = step_.hidden.as<float>();  // [rows, width]
  auto* small = step_.projected.as<float>();
  worker_.multiply(layer_.key, worker_.groups(layer_.key), rows, step_.heads_of(0) + shape_.query_width(),
                   step_.heads_width);
  if (two_steps) {
    worker_.multiply(layer_.query_down, worker_.groups(layer_.query_down), rows, small, shape_.latent.query_rank);
  } else {
    worker_.multiply(layer_.query, worker_.groups(layer_.query), rows, queries, width);
  }
  worker_.charge(Operation::Matmul);
  worker_.wait();
  const Range mine = worker_.share(rows);
  for (std::size_t r = mine.begin; r < mine.end; ++r) store_latent(r);
  if (two_steps) {
    worker_.normalize_rows(layer_.query_norm, small, shape_.latent.query_rank, layer_.query);
    worker_.multiply(layer_.query, worker_.groups(layer_.query), rows, queries, width);
    worker_.charge(Operation::Matmul);
    worker_.wait();
  }
  const std::size_t key_width = shape_.latent.key_width(shape_.rope_dimensions);
  const Range heads = worker_.share(shape_.heads);
  for (std::size_t h = heads.begin; h < heads.end; ++h) {
    multiply(layer_.head_keys[h], queries + h * key_width, width, step_.heads_of(0) + h * shape_.head_dim,
             step_.heads_width);
    worker_.charge(Operation::Matmul);
    for (std::size_t r = 0; r < rows; ++r) rotate_query(r, h);
    worker_.charge(Operation::Rope);
  }
  worker_.wait();
}

void LatentHeads::project_values() const {
  const Range heads = worker_.share(shape_.heads);
  for (std::size_t h = heads.begin; h < heads.end; ++h) {
    multiply(layer_.head_values[h], step_.hidden.as<float>() + h * shape_.head_dim, shape_.query_width(),
             step_.heads_of(0) + h * shape_.latent.value_width, step_.heads_width);
  }
  worker_.charge(Operation::Matmul);
  worker_.wait();
}

void LatentHeads::store_latent(std::size_t row) const {
  float* latent = step_.heads_of(row) + shape_.query_width();
  worker_.normalize_row(layer_.key_norm, latent, shape_.latent.rank, latent);
  worker_.charge(Operation::Norm);
  rotate(row, latent + shape_.latent.rank);
  worker_.charge(Operation::Rope);
  const Step::Row& place = step_.rows[row];
  place.cache->store_key(worker_.kernels(), index_, 0, place.position, latent);
  place.cache->store_value(worker_.kernels(), index_, 0, place.position, latent);
  worker_.charge(Operation::KvStore);
}

void LatentHeads::multiply(const Projection& projection, const float* first, std::size_t first_stride, float* out,
                           std::size_t out_stride) const {
  const kernels::Matrix& matrix = projection.weight;
  const kernels::ActivationFormat format = matrix.activation_format();
  ActivationBuffer& input = step_.head_inputs[worker_.member()];
  for (std::size_t begin = 0; begin < step_.rows.size(); begin += Step::kHeadRows) {
    const std::size_t count = std::min(Step::kHeadRows, step_.rows.size() - begin);
    for (std::size_t i = 0; i < count; ++i) {
      input.set(i, matrix.columns, first + (begin + i) * first_stride, format, worker_.kernels());
    }
    worker_.kernels().multiply(matrix, input.view(matrix.columns, format), count, 0, matrix.groups(),
                               out + begin * out_stride, out_stride, worker_.scratch());
  }
}

void LatentHeads::rotate(std::size_t row, float* channels) const {
  const Step::Row& place = step_.rows[row];
  const RopeTable& table = step_.rope(0, *place.cache);
  worker_.kernels().rotate(channels, 1, shape_.rope_dimensions, shape_.rope_dimensions, table.cosines(place.position),
                           table.sines(place.position), shape_.rope_layout);
}

void LatentHeads::rotate_query(std::size_t row, std::size_t head) const {
  const std::size_t key_width = shape_.latent.key_width(shape_.rope_dimensions);
  const float* projected = step_.hidden.as<float>() + (row * shape_.heads + head) * key_width + shape_.latent.unrotated;
  float* rotated = step_.heads_of(row) + head * shape_.head_dim + shape_.latent.rank;
  std::copy_n(projected, shape_.rope_dimensions, rotated);
  rotate(row, rotated);
}

}  // namespace engine::model
