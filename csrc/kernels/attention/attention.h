#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>

#include "kernels/attention/attention_block.h"

// Attention over one block of keys, written once for every vector instruction set. `Lanes` is 16 floats side by side:
//   zero() broadcast(x) load(p) store(p)      add subtract multiply divide fused(a, b, c) maximum exponential
//     (of a NaN `a` and `b` maximum is b)
//   widen(p): 16 halves or codes as floats    largest(x): the largest lane, where none is NaN
//   tree_sum(x): 16 -> 8 -> 4 -> 2 -> 1, each adding its upper half to its lower
//   kQueries: the most queries computed together; tiles(n): how many tiles of 16 beside n queries leave registers for
//   the input
// Scalars come from Lanes too (fused, exponential, float_from_half). `Lanes::Products` are 16 integers, one a key:
//   kQueries: as above
//   begin(sum): what the products of a query whose codes sum up to `sum` begin with
//   add_quad(part, keys, codes, shift), add_part(sum, part, shift): see score_codes
//   floats(sum)
// In an anonymous namespace, so that each object has its own copy, compiled for its own instruction set.
namespace engine::kernels {
namespace {

using Scores = std::array<float, kKeyBlock>;

// Sums of several queries, each over several tiles: chains of fused operations enough to overlap.
template <typename Lanes, std::size_t kQueries, std::size_t kTiles>
using Sums = std::array<std::array<Lanes, kTiles>, kQueries>;

template <typename T>
const T* as(const std::byte* bytes) {
  return reinterpret_cast<const T*>(bytes);
}

// Asks for memory that will soon be read. Blocks of one head lie far apart and each begins several streams, too short
// for the processor to foresee.
inline void fetch_ahead(const std::byte* memory, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; i += 64) __builtin_prefetch(memory + i);
}

// sums[i][t] = fused(factor(i), inputs[t], sums[i][t]), an input of 16 elements loaded once for all queries.
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

// Scores from sums: scaled, and NaN in place of an infinity, which as a weight could vanish.
template <typename Lanes>
void store_scores(float* scores, const Lanes& sums, const Lanes& scale) {
  const Lanes scaled = Lanes::multiply(sums, scale);
  Lanes::store(scores, Lanes::fused(scaled, Lanes::zero(), scaled));
}

// F16: scores of kTiles tiles of 16 keys. A lane is a key, channels are added in ascending order.
template <typename Lanes, std::size_t kQueries, std::size_t kTiles>
void score_halves(const AttentionBlock& block, std::size_t first, std::size_t tile, Scores* scores) {
  const std::size_t tile_halves = block.head_dim * kKeyTile;
  const std::uint16_t* keys = as<std::uint16_t>(block.keys) + tile * tile_halves;
  const std::byte* ahead = block.values + tile * tile_halves * sizeof(std::uint16_t);
  constexpr std::size_t kStepBytes = kTiles * kKeyTile * sizeof(std::uint16_t);
  std::array<const float*, kQueries> queries;
  std::copy_n(block.query + first, kQueries, queries.begin());
  Sums<Lanes, kQueries, kTiles> sums;
  for (auto& of_query : sums) of_query.fill(Lanes::zero());
  for (std::size_t d = 0; d < block.head_dim; ++d) {
    fetch_ahead(ahead + d * kStepBytes, kStepBytes);
    add_products(sums, keys + d * kKeyTile, tile_halves, [&](std::size_t i) { return queries[i][d]; });
  }
  const Lanes scale = Lanes::broadcast(block.scale);
  for (std::size_t i = 0; i < kQueries; ++i) {
    for (std::size_t t = 0; t < kTiles; ++t) {
      store_scores(scores[i].data() + (tile + t) * kKeyTile, sums[i][t], scale);
    }
  }
}

// Q8_0: scores of one tile of 16 keys. A lane is a key; products of codes are exact integers, blocks of channels are
// added in ascending order. Each part of a block has a multiplier for its products: 1 << shift.
template <typename Lanes, std::size_t kQueries>
void score_codes(const AttentionBlock& block, std::size_t first, std::size_t tile, Scores* scores) {
  using Products = typename Lanes::Products;
  constexpr std::size_t kQuadBytes = kKeyTile * kKvQuad;
  constexpr std::size_t kParts = kKvScaleChannels / kBlockPart;
  const std::size_t scale_blocks = block.head_dim / kKvScaleChannels;
  const std::size_t scales_at = kv_scales_at(block.head_dim) + tile * scale_blocks * kKeyTile * sizeof(std::uint16_t);
  const std::uint16_t* key_scales = as<std::uint16_t>(block.keys + scales_at);
  const std::byte* keys = block.keys + tile * block.head_dim * kKeyTile;
  const std::byte* ahead = block.values + tile * block.head_dim * kKeyTile;
  fetch_ahead(block.values + scales_at, scale_blocks * kKeyTile * sizeof(std::uint16_t));
  std::array<Lanes, kQueries> sums;
  sums.fill(Lanes::zero());
  for (std::size_t b = 0; b < scale_blocks; ++b) {
    std::array<Products, kQueries> products;
    for (std::size_t i = 0; i < kQueries; ++i) {
      products[i] = Products::begin(block.codes.block_sums[(first + i) * scale_blocks + b]);
    }
    for (std::size_t p = b * kParts; p < (b + 1) * kParts; ++p) {
      std::array<Products, kQueries> part;
      part.fill(Products::begin(0));
#pragma GCC unroll 4
      for (std::size_t q = 0; q < kBlockPart / kKvQuad; ++q, keys += kQuadBytes, ahead += kQuadBytes) {
        fetch_ahead(ahead, kQuadBytes);
        const auto quad = Products::load_quad(keys);
#pragma GCC unroll 8
        for (std::size_t i = 0; i < kQueries; ++i) {
          const std::size_t at = (first + i) * block.head_dim + p * kBlockPart;
          part[i] = Products::add_quad(part[i], quad, block.codes.codes + at + q * kKvQuad,
                                       block.codes.shifts[at / kBlockPart]);
        }
      }
      for (std::size_t i = 0; i < kQueries; ++i) {
        const std::size_t at = (first + i) * block.head_dim / kBlockPart + p;
        products[i] = Products::add_part(products[i], part[i], block.codes.shifts[at]);
      }
    }
    const Lanes key_scale = Lanes::widen(key_scales + b * kKeyTile);
    for (std::size_t i = 0; i < kQueries; ++i) {
      const Lanes query_scale = Lanes::broadcast(block.codes.scales[(first + i) * scale_blocks + b]);
      sums[i] = Lanes::fused(Lanes::multiply(query_scale, key_scale), Products::floats(products[i]), sums[i]);
    }
  }
  const Lanes scale = Lanes::broadcast(block.scale);
  for (std::size_t i = 0; i < kQueries; ++i) {
    store_scores(scores[i].data() + tile * kKeyTile, sums[i], scale);
  }
}

// cap * tanh(score / cap) for every score of the tiles that the last query sees.
template <typename Lanes, std::size_t kQueries>
[[gnu::noinline]] void soften(const AttentionBlock& block, std::size_t first, Scores* scores) {
  const std::size_t end = block.visible[first + kQueries - 1];
  const Lanes one = Lanes::broadcast(1.0F);
  const Lanes cap = Lanes::broadcast(block.soft_cap);
  const Lanes twice = Lanes::broadcast(2.0F * block.soft_cap);
  const Lanes inverse = Lanes::broadcast(2.0F / block.soft_cap);
  for (std::size_t i = 0; i < kQueries; ++i) {
    for (std::size_t j = 0; j < end; j += kKeyTile) {
      const Lanes power = Lanes::exponential(Lanes::multiply(Lanes::load(scores[i].data() + j), inverse));
      Lanes::store(scores[i].data() + j, Lanes::subtract(cap, Lanes::divide(twice, Lanes::add(one, power))));
    }
  }
}

// Turns scores into weights and brings the states up to date; corrections are the factors of what was summed before.
template <typename Lanes, std::size_t kQueries>
void weigh(const AttentionBlock& block, std::size_t first, Scores* scores, float* corrections) {
  const std::size_t end = (block.visible[first + kQueries - 1] + kKeyTile - 1) / kKeyTile * kKeyTile;
  alignas(64) std::array<float, kKeyTile> decreases{};  // subtracted from the exponents of earlier sums
  for (std::size_t i = 0; i < kQueries; ++i) {
    SoftmaxState& state = block.state[first + i];
    float* own = scores[i].data();
    std::fill(own, own + block.hidden[first + i], -std::numeric_limits<float>::infinity());
    std::fill(own + block.visible[first + i], own + end, -std::numeric_limits<float>::infinity());
    Lanes largest = Lanes::broadcast(state.maximum);
    for (std::size_t j = 0; j < end; j += kKeyTile) largest = Lanes::maximum(Lanes::load(own + j), largest);
    const float maximum = Lanes::largest(largest);
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
// order. Element is what a channel is stored as.
template <typename Lanes, std::size_t kQueries, std::size_t kTiles, typename Element>
void sum_values(const AttentionBlock& block, std::size_t first, std::size_t d, const Scores* weights,
                const float* corrections) {
  Sums<Lanes, kQueries, kTiles> sums;
  float* output = block.output + first * block.head_dim + d;
  for (std::size_t i = 0; i < kQueries; ++i) {
    for (std::size_t t = 0; t < kTiles; ++t) {
      sums[i][t] =
          Lanes::multiply(Lanes::load(output + i * block.head_dim + t * kKeyTile), Lanes::broadcast(corrections[i]));
    }
  }
  const Element* values = as<Element>(block.values) + d;
  const std::byte* ahead = block.next_keys + d * sizeof(Element);
  // What only some see they add for themselves: to the others even a weight of 0 could turn -0 into 0.
  const auto add_own = [&](std::size_t i, std::size_t begin, std::size_t end) {
    for (std::size_t j = begin; j < end; ++j) {
      const Lanes weight = Lanes::broadcast(weights[i][j]);
      for (std::size_t t = 0; t < kTiles; ++t) {
        sums[i][t] = Lanes::fused(weight, Lanes::widen(values + j * block.head_dim + t * kKeyTile), sums[i][t]);
      }
    }
  };
  const std::size_t common_begin = block.hidden[first + kQueries - 1];
  const std::size_t common_end = std::max(common_begin, block.visible[first]);
#pragma GCC unroll 8
  for (std::size_t i = 0; i < kQueries; ++i) {
    add_own(i, block.hidden[first + i], std::min(common_begin, block.visible[first + i]));
  }
  for (std::size_t j = common_begin; j < common_end; ++j) {
    fetch_ahead(ahead + j * block.head_dim * sizeof(Element), kTiles * kKeyTile * sizeof(Element));
    add_products(sums, values + j * block.head_dim, kKeyTile, [&](std::size_t i) { return weights[i][j]; });
  }
#pragma GCC unroll 8
  for (std::size_t i = 0; i < kQueries; ++i) add_own(i, common_end, block.visible[first + i]);
  for (std::size_t i = 0; i < kQueries; ++i) {
    for (std::size_t t = 0; t < kTiles; ++t) Lanes::store(output + i * block.head_dim + t * kKeyTile, sums[i][t]);
  }
}

// F16: channels beyond the last multiple of 16.
template <typename Lanes>
void sum_remaining_values(const AttentionBlock& block, std::size_t query, std::size_t d, const Scores& weights,
                          float correction) {
  const std::uint16_t* values = as<std::uint16_t>(block.values);
  float* output = block.output + query * block.head_dim;
  for (; d < block.head_dim; ++d) {
    float sum = output[d] * correction;
    for (std::size_t j = block.hidden[query]; j < block.visible[query]; ++j) {
      sum = Lanes::fused(weights[j], Lanes::float_from_half(values[j * block.head_dim + d]), sum);
    }
    output[d] = sum;
  }
}

// A block of F16.
template <typename Lanes>
struct Halves {
  template <std::size_t kQueries>
  static void score(const AttentionBlock& block, std::size_t first, Scores* scores) {
    constexpr std::size_t kTiles = Lanes::tiles(kQueries);
    for (std::size_t key = 0; key < block.visible[first + kQueries - 1]; key += kTiles * kKeyTile) {
      score_halves<Lanes, kQueries, kTiles>(block, first, key / kKeyTile, scores);
    }
  }

  template <std::size_t kQueries>
  static void sum(const AttentionBlock& block, std::size_t first, const Scores* weights, const float* corrections) {
    constexpr std::size_t kTiles = Lanes::tiles(kQueries);
    std::size_t d = 0;
    for (; d + kTiles * kKeyTile <= block.head_dim; d += kTiles * kKeyTile) {
      sum_values<Lanes, kQueries, kTiles, std::uint16_t>(block, first, d, weights, corrections);
    }
    for (; d + kKeyTile <= block.head_dim; d += kKeyTile) {
      sum_values<Lanes, kQueries, 1, std::uint16_t>(block, first, d, weights, corrections);
    }
    if (d == block.head_dim) return;
    for (std::size_t i = 0; i < kQueries; ++i) {
      sum_remaining_values<Lanes>(block, first + i, d, weights[i], corrections[i]);
    }
  }
};

// A block of Q8_0.
template <typename Lanes>
struct Codes {
  template <std::size_t kQueries>
  static void score(const AttentionBlock& block, std::size_t first, Scores* scores) {
    constexpr std::size_t kTogether = std::min(kQueries, Lanes::Products::kQueries);
    const std::size_t tiles = (block.visible[first + kQueries - 1] + kKeyTile - 1) / kKeyTile;
    for (std::size_t tile = 0; tile < tiles; ++tile) {
      std::size_t i = 0;
      for (; i + kTogether <= kQueries; i += kTogether) {
        score_codes<Lanes, kTogether>(block, first + i, tile, scores + i);
      }
      for (; i < kQueries; ++i) score_codes<Lanes, 1>(block, first + i, tile, scores + i);
    }
  }

  // Inlined, what the caller keeps for the next channels would take registers from the sums.
  template <std::size_t kQueries, std::size_t kTiles>
  [[gnu::noinline]] static void sum_channels(const AttentionBlock& block, std::size_t first, std::size_t d,
                                             const Scores* weights, const float* corrections) {
    sum_values<Lanes, kQueries, kTiles, std::int8_t>(block, first, d, weights, corrections);
  }

  template <std::size_t kQueries>
  static void sum(const AttentionBlock& block, std::size_t first, const Scores* weights, const float* corrections) {
    constexpr std::size_t kTiles = std::min(Lanes::tiles(kQueries), kKvScaleChannels / kKeyTile);
    const std::uint16_t* value_scales = as<std::uint16_t>(block.values + kv_scales_at(block.head_dim));
    fetch_ahead(block.next_keys + kv_scales_at(block.head_dim),
                kKeyBlock * block.head_dim / kKvScaleChannels * sizeof(std::uint16_t));
    alignas(64) std::array<Scores, kQueries> scaled;
    for (std::size_t b = 0; b < block.head_dim / kKvScaleChannels; ++b, value_scales += kKeyBlock) {
      for (std::size_t j = 0; j < block.visible[first + kQueries - 1]; j += kKeyTile) {
        const Lanes scales = Lanes::widen(value_scales + j);
        for (std::size_t i = 0; i < kQueries; ++i) {
          Lanes::store(scaled[i].data() + j, Lanes::multiply(Lanes::load(weights[i].data() + j), scales));
        }
      }
      for (std::size_t d = b * kKvScaleChannels; d < (b + 1) * kKvScaleChannels; d += kTiles * kKeyTile) {
        sum_channels<kQueries, kTiles>(block, first, d, scaled.data(), corrections);
      }
    }
  }
};

template <typename Lanes, typename Format, std::size_t kQueries>
void attend_queries(const AttentionBlock& block, std::size_t first) {
  alignas(64) std::array<Scores, kQueries> scores;
  Format::template score<kQueries>(block, first, scores.data());
  if (block.soft_cap != 0.0F) soften<Lanes, kQueries>(block, first, scores.data());
  std::array<float, kQueries> corrections;
  weigh<Lanes, kQueries>(block, first, scores.data(), corrections.data());
  Format::template sum<kQueries>(block, first, scores.data(), corrections.data());
}

// All queries from `first` on, as many at a time as the registers take, and then the rest of them.
template <typename Lanes, typename Format, std::size_t kQueries>
void attend_from(const AttentionBlock& block, std::size_t first) {
  for (; first + kQueries <= block.queries; first += kQueries) attend_queries<Lanes, Format, kQueries>(block, first);
  if constexpr (kQueries > 1) attend_from<Lanes, Format, kQueries - 1>(block, first);
}

template <typename Lanes, template <typename> typename Format>
void attend_with(const AttentionBlock& block) {
  attend_from<Lanes, Format<Lanes>, Lanes::kQueries>(block, block.first);
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
