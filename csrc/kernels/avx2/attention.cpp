#include <immintrin.h>

#include <algorithm>
#include <array>
#include <limits>

#include "kernels/avx2/lanes.h"
#include "kernels/avx2/table.h"

namespace engine::kernels::avx2 {
namespace {

constexpr std::size_t kMaxQueries = 4;  // with two registers a query: 8 accumulators

using Scores = std::array<float, kKeyBlock>;

// Scores of one tile of 16 keys: a lane is a key, channels are added in ascending order.
template <std::size_t kQueries>
void score_tile(const AttentionBlock& block, std::size_t first, std::size_t tile, Scores* scores) {
  const std::uint16_t* keys = block.keys + tile * block.head_dim * kKeyTile;
  std::array<__m256, kQueries> low{};
  std::array<__m256, kQueries> high{};
  for (std::size_t d = 0; d < block.head_dim; ++d, keys += kKeyTile) {
    const __m256 a = load_halves(keys);
    const __m256 b = load_halves(keys + 8);
    for (std::size_t i = 0; i < kQueries; ++i) {
      const __m256 q = _mm256_broadcast_ss(block.query[first + i] + d);
      low[i] = _mm256_fmadd_ps(q, a, low[i]);
      high[i] = _mm256_fmadd_ps(q, b, high[i]);
    }
  }
  const __m256 scale = _mm256_set1_ps(block.scale);
  for (std::size_t i = 0; i < kQueries; ++i) {
    _mm256_store_ps(scores[i].data() + tile * kKeyTile, _mm256_mul_ps(low[i], scale));
    _mm256_store_ps(scores[i].data() + tile * kKeyTile + 8, _mm256_mul_ps(high[i], scale));
  }
}

// Turns scores into weights and brings the state up to date; returns the factor for what was summed before.
float weigh(Scores& scores, std::size_t visible, SoftmaxState& state) {
  std::fill(scores.begin() + static_cast<std::ptrdiff_t>(visible), scores.end(),
            -std::numeric_limits<float>::infinity());
  __m256 largest = _mm256_load_ps(scores.data());
  for (std::size_t j = 8; j < kKeyBlock; j += 8) largest = _mm256_max_ps(largest, _mm256_load_ps(scores.data() + j));
  const float maximum = std::max(state.maximum, largest_lane(largest));
  const __m256 base = _mm256_set1_ps(maximum);
  __m256 low = _mm256_setzero_ps();
  __m256 high = _mm256_setzero_ps();
  for (std::size_t j = 0; j < kKeyBlock; j += kKeyTile) {
    const __m256 a = exponential(_mm256_sub_ps(_mm256_load_ps(scores.data() + j), base));
    const __m256 b = exponential(_mm256_sub_ps(_mm256_load_ps(scores.data() + j + 8), base));
    _mm256_store_ps(scores.data() + j, a);
    _mm256_store_ps(scores.data() + j + 8, b);
    low = _mm256_add_ps(low, a);
    high = _mm256_add_ps(high, b);
  }
  const float correction = exponential(state.maximum - maximum);
  state.denominator = __builtin_fmaf(state.denominator, correction, tree_sum(low, high));
  state.maximum = maximum;
  return correction;
}

// Adds weighted values to 16 channels: a lane is a channel, keys are added in ascending order.
template <std::size_t kQueries>
void sum_values(const AttentionBlock& block, std::size_t first, std::size_t d, const Scores* weights,
                const float* corrections) {
  std::array<__m256, kQueries> low;
  std::array<__m256, kQueries> high;
  for (std::size_t i = 0; i < kQueries; ++i) {
    const __m256 correction = _mm256_set1_ps(corrections[i]);
    low[i] = _mm256_mul_ps(_mm256_loadu_ps(block.output[first + i] + d), correction);
    high[i] = _mm256_mul_ps(_mm256_loadu_ps(block.output[first + i] + d + 8), correction);
  }
  const std::uint16_t* values = block.values + d;
  for (std::size_t j = 0; j < block.visible; ++j, values += block.head_dim) {
    const __m256 a = load_halves(values);
    const __m256 b = load_halves(values + 8);
    for (std::size_t i = 0; i < kQueries; ++i) {
      const __m256 weight = _mm256_broadcast_ss(weights[i].data() + j);
      low[i] = _mm256_fmadd_ps(weight, a, low[i]);
      high[i] = _mm256_fmadd_ps(weight, b, high[i]);
    }
  }
  for (std::size_t i = 0; i < kQueries; ++i) {
    _mm256_storeu_ps(block.output[first + i] + d, low[i]);
    _mm256_storeu_ps(block.output[first + i] + d + 8, high[i]);
  }
}

// Channels beyond the last multiple of 16.
void sum_remaining_values(const AttentionBlock& block, std::size_t query, std::size_t d, const Scores& weights,
                          float correction) {
  for (; d < block.head_dim; ++d) {
    float sum = block.output[query][d] * correction;
    for (std::size_t j = 0; j < block.visible; ++j) {
      sum = __builtin_fmaf(weights[j], _cvtsh_ss(block.values[j * block.head_dim + d]), sum);
    }
    block.output[query][d] = sum;
  }
}

template <std::size_t kQueries>
void attend_tile(const AttentionBlock& block, std::size_t first) {
  alignas(32) std::array<Scores, kQueries> scores;
  const std::size_t tiles = (block.visible + kKeyTile - 1) / kKeyTile;
  for (std::size_t tile = 0; tile < tiles; ++tile) score_tile<kQueries>(block, first, tile, scores.data());
  std::array<float, kQueries> corrections;
  for (std::size_t i = 0; i < kQueries; ++i) {
    corrections[i] = weigh(scores[i], block.visible, *block.state[first + i]);
  }
  std::size_t d = 0;
  for (; d + 16 <= block.head_dim; d += 16) {
    sum_values<kQueries>(block, first, d, scores.data(), corrections.data());
  }
  if (d == block.head_dim) return;
  for (std::size_t i = 0; i < kQueries; ++i) {
    sum_remaining_values(block, first + i, d, scores[i], corrections[i]);
  }
}

}  // namespace

void attend(const AttentionBlock& block) {
  std::size_t i = 0;
  for (; i + kMaxQueries <= block.queries; i += kMaxQueries) attend_tile<kMaxQueries>(block, i);
  switch (block.queries - i) {
    case 3:
      return attend_tile<3>(block, i);
    case 2:
      return attend_tile<2>(block, i);
    case 1:
      return attend_tile<1>(block, i);
    default:
      return;
  }
}

void merge_split(const SoftmaxState& split, const float* split_output, std::size_t head_dim, SoftmaxState& total,
                 float* total_output) {
  const float maximum = std::max(total.maximum, split.maximum);
  const float total_weight = exponential(total.maximum - maximum);
  const float split_weight = exponential(split.maximum - maximum);
  total.maximum = maximum;
  total.denominator = __builtin_fmaf(total.denominator, total_weight, split.denominator * split_weight);
  for (std::size_t d = 0; d < head_dim; ++d) {
    total_output[d] = __builtin_fmaf(total_output[d], total_weight, split_output[d] * split_weight);
  }
}

}  // namespace engine::kernels::avx2
