#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>

#include "kernels/kernel_table.h"

// Attention over one block of keys, written once for every vector instruction set. `Lanes` is 16 floats side by side:
//   zero() broadcast(x) load(p) load_halves(p) store(p)      add subtract multiply fused(a, b, c) maximum exponential
//   largest(x): the largest lane         tree_sum(x): 16 -> 8 -> 4 -> 2 -> 1, each adding its upper half to its lower
//   kQueries: how many queries fit the registers beside a key's channel
// Scalars come from Lanes too (fused, exponential, float_from_half). In an anonymous namespace, so that each object has
// its own copy, compiled for its own instruction set.
namespace engine::kernels {
namespace {

using Scores = std::array<float, kKeyBlock>;

// Scores of one tile of 16 keys: a lane is a key, channels are added in ascending order.
template <typename Lanes, std::size_t kQueries>
void score_tile(const AttentionBlock& block, std::size_t first, std::size_t tile, Scores* scores) {
  const std::uint16_t* keys = block.keys + tile * block.head_dim * kKeyTile;
  std::array<Lanes, kQueries> sums;
  sums.fill(Lanes::zero());
  for (std::size_t d = 0; d < block.head_dim; ++d, keys += kKeyTile) {
    const Lanes channel = Lanes::load_halves(keys);
    for (std::size_t i = 0; i < kQueries; ++i) {
      sums[i] = Lanes::fused(Lanes::broadcast(block.query[first + i][d]), channel, sums[i]);
    }
  }
  const Lanes scale = Lanes::broadcast(block.scale);
  for (std::size_t i = 0; i < kQueries; ++i) {
    Lanes::store(scores[i].data() + tile * kKeyTile, Lanes::multiply(sums[i], scale));
  }
}

// Turns scores into weights and brings the state up to date; returns the factor for what was summed before.
template <typename Lanes>
float weigh(Scores& scores, std::size_t visible, SoftmaxState& state) {
  std::fill(scores.begin() + static_cast<std::ptrdiff_t>(visible), scores.end(),
            -std::numeric_limits<float>::infinity());
  Lanes largest = Lanes::load(scores.data());
  for (std::size_t j = kKeyTile; j < kKeyBlock; j += kKeyTile) {
    largest = Lanes::maximum(largest, Lanes::load(scores.data() + j));
  }
  const float maximum = std::max(state.maximum, Lanes::largest(largest));
  const Lanes base = Lanes::broadcast(maximum);
  Lanes sum = Lanes::zero();
  for (std::size_t j = 0; j < kKeyBlock; j += kKeyTile) {
    const Lanes weights = Lanes::exponential(Lanes::subtract(Lanes::load(scores.data() + j), base));
    Lanes::store(scores.data() + j, weights);
    sum = Lanes::add(sum, weights);
  }
  const float correction = Lanes::exponential(state.maximum - maximum);
  state.denominator = Lanes::fused(state.denominator, correction, Lanes::tree_sum(sum));
  state.maximum = maximum;
  return correction;
}

// Adds weighted values to 16 channels: a lane is a channel, keys are added in ascending order.
template <typename Lanes, std::size_t kQueries>
void sum_values(const AttentionBlock& block, std::size_t first, std::size_t d, const Scores* weights,
                const float* corrections) {
  std::array<Lanes, kQueries> sums;
  for (std::size_t i = 0; i < kQueries; ++i) {
    sums[i] = Lanes::multiply(Lanes::load(block.output[first + i] + d), Lanes::broadcast(corrections[i]));
  }
  const std::uint16_t* values = block.values + d;
  for (std::size_t j = 0; j < block.visible; ++j, values += block.head_dim) {
    const Lanes channels = Lanes::load_halves(values);
    for (std::size_t i = 0; i < kQueries; ++i) {
      sums[i] = Lanes::fused(Lanes::broadcast(weights[i][j]), channels, sums[i]);
    }
  }
  for (std::size_t i = 0; i < kQueries; ++i) Lanes::store(block.output[first + i] + d, sums[i]);
}

// Channels beyond the last multiple of 16.
template <typename Lanes>
void sum_remaining_values(const AttentionBlock& block, std::size_t query, std::size_t d, const Scores& weights,
                          float correction) {
  for (; d < block.head_dim; ++d) {
    float sum = block.output[query][d] * correction;
    for (std::size_t j = 0; j < block.visible; ++j) {
      sum = Lanes::fused(weights[j], Lanes::float_from_half(block.values[j * block.head_dim + d]), sum);
    }
    block.output[query][d] = sum;
  }
}

template <typename Lanes, std::size_t kQueries>
void attend_tile(const AttentionBlock& block, std::size_t first) {
  alignas(64) std::array<Scores, kQueries> scores;
  const std::size_t tiles = (block.visible + kKeyTile - 1) / kKeyTile;
  for (std::size_t tile = 0; tile < tiles; ++tile) score_tile<Lanes, kQueries>(block, first, tile, scores.data());
  std::array<float, kQueries> corrections;
  for (std::size_t i = 0; i < kQueries; ++i) {
    corrections[i] = weigh<Lanes>(scores[i], block.visible, *block.state[first + i]);
  }
  std::size_t d = 0;
  for (; d + kKeyTile <= block.head_dim; d += kKeyTile) {
    sum_values<Lanes, kQueries>(block, first, d, scores.data(), corrections.data());
  }
  if (d == block.head_dim) return;
  for (std::size_t i = 0; i < kQueries; ++i) {
    sum_remaining_values<Lanes>(block, first + i, d, scores[i], corrections[i]);
  }
}

template <typename Lanes, std::size_t kQueries>
void attend_tiles(const AttentionBlock& block, std::size_t first) {
  for (; first + kQueries <= block.queries; first += kQueries) attend_tile<Lanes, kQueries>(block, first);
  if constexpr (kQueries > 1) attend_tiles<Lanes, kQueries / 2>(block, first);
}

template <typename Lanes>
void attend_with(const AttentionBlock& block) {
  attend_tiles<Lanes, Lanes::kQueries>(block, 0);
}

template <typename Lanes>
void merge_split_with(const SoftmaxState& split, const float* split_output, std::size_t head_dim, SoftmaxState& total,
                      float* total_output) {
  const float maximum = std::max(total.maximum, split.maximum);
  const float total_weight = Lanes::exponential(total.maximum - maximum);
  const float split_weight = Lanes::exponential(split.maximum - maximum);
  total.maximum = maximum;
  total.denominator = Lanes::fused(total.denominator, total_weight, split.denominator * split_weight);
  for (std::size_t d = 0; d < head_dim; ++d) {
    total_output[d] = Lanes::fused(total_output[d], total_weight, split_output[d] * split_weight);
  }
}

}  // namespace
}  // namespace engine::kernels
