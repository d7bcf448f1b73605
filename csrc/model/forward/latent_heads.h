#pragma once

#include <cstddef>

#include "base/thread_team.h"
#include "model/forward/worker.h"

namespace engine::model {

// Heads whose keys and values are projections of a small vector of each position, the latent (multi-head latent
// attention). The projection of keys is applied to queries instead, and that of values to what attention made: so the
// cache holds the latent, with the rotated channels behind it, once for all heads.
class LatentHeads {
 public:
  LatentHeads(Worker& worker, const Layer& layer, std::size_t index);

  // heads = queries that meet latents, from the input; the latents go to the cache.
  void project() const;
  // heads = values, from attention's result in hidden.
  void project_values() const;

 private:
  void store_latent(std::size_t row) const;
  // out [rows, stride] = projection of `width` values of each row from `first` on, [rows, first_stride].
  void multiply(const Projection& projection, const float* first, std::size_t first_stride, float* out,
                std::size_t out_stride) const;
  void rotate(std::size_t row, float* channels) const;
  // The channels of a head of queries that are rotated, from its projection behind its latent.
  void rotate_query(std::size_t row, std::size_t head) const;

  Worker& worker_;
  Step& step_;
  const HyperParameters& shape_;
  const Layer& layer_;
  std::size_t index_;
};

}  // namespace engine::model
