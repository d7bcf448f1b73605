#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>

#include "kernels/kernel_table.h"

// Attention over one block of keys, written once for every vector instruction set. `Lanes` is 16 floats side by side:
//   zero() broadcast(x) load(p) store(p)      add subtract multiply fused(a, b, c) maximum exponential
//   widen(p): 16 halves as floats             largest(x): the largest lane
//   tree_sum(x): 16 -> 8 -> 4 -> 2 -> 1, each adding its upper half to its lower
//   kQueries: the most queries computed together; tiles(n): how many tiles of 16 beside n queries leave registers for
//   the input
// Scalars come from Lanes too (fused, exponential, float_from_half). In an anonymous namespace, so that each object has
// its own copy, compiled for its own instruction set.
namespace engine::kernels {
namespace {

using Scores = std::array<float, kKeyBlock>;

// Sums of several queries, each over several tiles: chains of fused operations long enough apart to overlap.
template <typename Lanes, std::size_t kQueries, std::size_t kTiles>
using Sums = std::array<std::array<Lanes, kTiles>, kQueries>;

// Asks for memory that will soon be read. Blocks of one head lie far apart and each begins several streams, too short
// for the processor to foresee.
inline void fetch_ahead(const void* memory, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; i += 64) __builtin_prefetch(static_cast<const char*>(memory) + i);
}

// sums[i][t] = fused(factors[i], inputs[t], sums[i][t]), an input of 16 elements loaded once for all queries.
template <typename Lanes, std::size_t kQueries, std::size_t kTiles, typename Element, typename Factor>
void add_products(Sums<Lanes, kQueries, kTiles>& sums, const Element* input, std::size_t stride, Factor factor) {
#pragma GCC unroll 4
  for (std::size_t t = 0; t < kTiles; ++t) {
    const Lanes widened = Lanes::widen(input + t * stride);
#pragma GCC unroll 8
    for (std::size_t i = 0; i < kQueries; ++i) {
      sums[i][t] = Lanes::fused(Lanes::broadcast(factor(i)), widened, sums[i][t]);
    }
  }
}

// Scores of kTiles tiles of 16 keys: a lane is a key, channels are added in ascending order.
template <typename Lanes, std::size_t kQueries, std::size_t kTiles>
void score_tiles(const AttentionBlock& block, std::size_t first, std::size_t tile, Scores* scores) {
  const std::uint16_t* keys = block.keys + tile * block.head_dim * kKeyTile;
  std::array<const float*, kQueries> queries;
  std::copy_n(block.query + first, kQueries, queries.begin());
  Sums<Lanes, kQueries, kTiles> sums;
  for (auto& of_query : sums) of_query.fill(Lanes::zero());
  const std::uint16_t* ahead = block.values + tile * block.head_dim * kKeyTile;
  for (std::size_t d = 0; d < block.head_dim; ++d) {
    fetch_ahead(ahead + d * kKeyTile * kTiles, kKeyTile * kTiles * sizeof(std::uint16_t));
    add_products(sums, keys + d * kKeyTile, block.head_dim * kKeyTile, [&](std::size_t i) { return queries[i][d]; });
  }
  const Lanes scale = Lanes::broadcast(block.scale);
  for (std::size_t i = 0; i < kQueries; ++i) {
    for (std::size_t t = 0; t < kTiles; ++t) {
      Lanes::store(scores[i].data() + (tile + t) * kKeyTile, Lanes::multiply(sums[i][t], scale));
    }
  }
}

// Turns scores into weights and brings the states up to date; corrections are the factors of what was summed before.
template <typename Lanes, std::size_t kQueries>
void weigh(const AttentionBlock& block, std::size_t first, Scores* scores, float* corrections) {
  const std::size_t end = (block.visible[first + kQueries - 1] + kKeyTile - 1) / kKeyTile * kKeyTile;
  alignas(64) std::array<float, kKeyTile> decreases{};  // of the exponents of what was summed before
  for (std::size_t i = 0; i < kQueries; ++i) {
    SoftmaxState& state = block.state[first + i];
    float* own = scores[i].data();
    std::fill(own + block.visible[first + i], own + end, -std::numeric_limits<float>::infinity());
    Lanes largest = Lanes::load(own);
    for (std::size_t j = kKeyTile; j < end; j += kKeyTile) largest = Lanes::maximum(largest, Lanes::load(own + j));
    const float maximum = std::max(state.maximum, Lanes::largest(largest));
    decreases[i] = state.maximum - maximum;
    state.maximum = maximum;
  }
  Lanes::store(decreases.data(), Lanes::exponential(Lanes::load(decreases.data())));
  for (std::size_t i = 0; i < kQueries; ++i) {
    SoftmaxState& state = block.state[first + i];
    const Lanes base = Lanes::broadcast(state.maximum);
    Lanes sum = Lanes::zero();
    for (std::size_t j = 0; j < end; j += kKeyTile) {
      const Lanes weights = Lanes::exponential(Lanes::subtract(Lanes::load(scores[i].data() + j), base));
      Lanes::store(scores[i].data() + j, weights);
      sum = Lanes::add(sum, weights);
    }
    corrections[i] = decreases[i];
    state.denominator = Lanes::fused(state.denominator, decreases[i], Lanes::tree_sum(sum));
  }
}

// Adds weighted values to kTiles times 16 channels from channel d on: a lane is a channel, keys are added in ascending
// order. `values` begins at channel d.
template <typename Lanes, std::size_t kQueries, std::size_t kTiles, typename Element>
void sum_values(const AttentionBlock& block, std::size_t first, std::size_t d, const Element* values,
                const Scores* weights, const float* corrections) {
  Sums<Lanes, kQueries, kTiles> sums;
  float* output = block.output + first * block.head_dim + d;
  for (std::size_t i = 0; i < kQueries; ++i) {
    for (std::size_t t = 0; t < kTiles; ++t) {
      sums[i][t] =
          Lanes::multiply(Lanes::load(output + i * block.head_dim + t * kKeyTile), Lanes::broadcast(corrections[i]));
    }
  }
  const std::size_t common = block.visible[first];
  const std::uint16_t* ahead = block.next_keys + d;
  for (std::size_t j = 0; j < common; ++j) {
    fetch_ahead(ahead + j * block.head_dim, kKeyTile * kTiles * sizeof(std::uint16_t));
    add_products(sums, values + j * block.head_dim, kKeyTile, [&](std::size_t i) { return weights[i][j]; });
  }
  // Later rows see more. The others may not touch those values: even a weight of 0 could turn -0 into 0.
#pragma GCC unroll 8
  for (std::size_t i = 0; i < kQueries; ++i) {
    for (std::size_t j = common; j < block.visible[first + i]; ++j) {
      const Lanes weight = Lanes::broadcast(weights[i][j]);
      for (std::size_t t = 0; t < kTiles; ++t) {
        sums[i][t] = Lanes::fused(weight, Lanes::widen(values + j * block.head_dim + t * kKeyTile), sums[i][t]);
      }
    }
  }
  for (std::size_t i = 0; i < kQueries; ++i) {
    for (std::size_t t = 0; t < kTiles; ++t) Lanes::store(output + i * block.head_dim + t * kKeyTile, sums[i][t]);
  }
}

// Channels beyond the last multiple of 16.
template <typename Lanes>
void sum_remaining_values(const AttentionBlock& block, std::size_t query, std::size_t d, const Scores& weights,
                          float correction) {
  float* output = block.output + query * block.head_dim;
  for (; d < block.head_dim; ++d) {
    float sum = output[d] * correction;
    for (std::size_t j = 0; j < block.visible[query]; ++j) {
      sum = Lanes::fused(weights[j], Lanes::float_from_half(block.values[j * block.head_dim + d]), sum);
    }
    output[d] = sum;
  }
}

template <typename Lanes, std::size_t kQueries>
void attend_queries(const AttentionBlock& block, std::size_t first) {
  constexpr std::size_t kTiles = Lanes::tiles(kQueries);
  alignas(64) std::array<Scores, kQueries> scores;
  for (std::size_t key = 0; key < block.visible[first + kQueries - 1]; key += kTiles * kKeyTile) {
    score_tiles<Lanes, kQueries, kTiles>(block, first, key / kKeyTile, scores.data());
  }
  std::array<float, kQueries> corrections;
  weigh<Lanes, kQueries>(block, first, scores.data(), corrections.data());
  std::size_t d = 0;
  for (; d + kTiles * kKeyTile <= block.head_dim; d += kTiles * kKeyTile) {
    sum_values<Lanes, kQueries, kTiles>(block, first, d, block.values + d, scores.data(), corrections.data());
  }
  for (; d + kKeyTile <= block.head_dim; d += kKeyTile) {
    sum_values<Lanes, kQueries, 1>(block, first, d, block.values + d, scores.data(), corrections.data());
  }
  if (d == block.head_dim) return;
  for (std::size_t i = 0; i < kQueries; ++i) {
    sum_remaining_values<Lanes>(block, first + i, d, scores[i], corrections[i]);
  }
}

// All queries from `first` on, as many at a time as the registers take, and then the rest of them.
template <typename Lanes, std::size_t kQueries>
void attend_from(const AttentionBlock& block, std::size_t first) {
  for (; first + kQueries <= block.queries; first += kQueries) attend_queries<Lanes, kQueries>(block, first);
  if constexpr (kQueries > 1) attend_from<Lanes, kQueries - 1>(block, first);
}

template <typename Lanes>
void attend_with(const AttentionBlock& block) {
  attend_from<Lanes, Lanes::kQueries>(block, 0);
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
