#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/float16.h"
#include "kernels/reference/kernels.h"

namespace engine::kernels::reference {
namespace {

using Scores = std::array<float, kKeyBlock>;

template <typename T>
const T* as(const std::byte* bytes) {
  return reinterpret_cast<const T*>(bytes);
}

float half_at(const std::byte* halves, std::size_t index) { return float_from_half(as<std::uint16_t>(halves)[index]); }

// A block of F16.
struct Halves {
  static float score(const AttentionBlock& block, std::size_t query, std::size_t key) {
    float sum = 0.0F;
    for (std::size_t d = 0; d < block.head_dim; ++d) {
      const std::size_t at = (key / kKeyTile * block.head_dim + d) * kKeyTile + key % kKeyTile;
      sum = std::fma(block.query[query][d], half_at(block.keys, at), sum);
    }
    return sum;
  }

  static float add_value(const AttentionBlock& block, std::size_t key, std::size_t d, float weight, float sum) {
    return std::fma(weight, half_at(block.values, key * block.head_dim + d), sum);
  }
};

// A block of Q8_0.
struct Codes {
  static float score(const AttentionBlock& block, std::size_t query, std::size_t key) {
    const std::size_t scale_blocks = block.head_dim / kKvScaleChannels;
    const std::size_t tile = key / kKeyTile;
    float sum = 0.0F;
    for (std::size_t b = 0; b < scale_blocks; ++b) {
      int products = 0;
      for (std::size_t d = b * kKvScaleChannels; d < (b + 1) * kKvScaleChannels; ++d) {
        const std::size_t quad = tile * block.head_dim / kKvQuad + d / kKvQuad;
        const int code = as<std::uint8_t>(block.keys)[(quad * kKeyTile + key % kKeyTile) * kKvQuad + d % kKvQuad] - 128;
        const std::size_t at = query * block.head_dim + d;
        products += (1 << block.codes.shifts[at / kBlockPart]) * block.codes.codes[at] * code;
      }
      const float key_scale =
          half_at(block.keys + kv_scales_at(block.head_dim), (tile * scale_blocks + b) * kKeyTile + key % kKeyTile);
      sum = std::fma(block.codes.scales[query * scale_blocks + b] * key_scale, static_cast<float>(products), sum);
    }
    return sum;
  }

  static float add_value(const AttentionBlock& block, std::size_t key, std::size_t d, float weight, float sum) {
    const float scale = half_at(block.values + kv_scales_at(block.head_dim), d / kKvScaleChannels * kKeyBlock + key);
    const std::int8_t code = as<std::int8_t>(block.values)[key * block.head_dim + d];
    return std::fma(weight * scale, static_cast<float>(code), sum);
  }
};

template <typename Format>
void attend_query(const AttentionBlock& block, std::size_t query) {
  SoftmaxState& state = block.state[query];
  Scores weights;
  weights.fill(-std::numeric_limits<float>::infinity());
  for (std::size_t j = block.hidden[query]; j < block.visible[query]; ++j) {
    float score = Format::score(block, query, j) * block.scale;
    score = std::fma(score, 0.0F, score);  // an infinity becomes NaN
    weights[j] = block.soft_cap == 0.0F ? score : soft_capped(score, block.soft_cap);
  }
  float maximum = state.maximum;
  for (const float score : weights) maximum = std::max(maximum, score);  // in this order NaN is passed over
  const float correction = exponential(state.maximum - maximum);
  std::array<float, kKeyTile> lanes{};
  for (std::size_t j = 0; j < kKeyBlock; ++j) {
    weights[j] = exponential(weights[j] - maximum);
    lanes[j % kKeyTile] += weights[j];
  }
  state.denominator = std::fma(state.denominator, correction, tree_sum(lanes.data()));
  state.maximum = maximum;
  float* output = block.output + query * block.head_dim;
  for (std::size_t d = 0; d < block.head_dim; ++d) {
    float sum = output[d] * correction;
    for (std::size_t j = block.hidden[query]; j < block.visible[query]; ++j) {
      sum = Format::add_value(block, j, d, weights[j], sum);
    }
    output[d] = sum;
  }
}

}  // namespace

void attend_f16(const AttentionBlock& block) {
  for (std::size_t i = block.first; i < block.queries; ++i) attend_query<Halves>(block, i);
}

void attend_q8_0(const AttentionBlock& block) {
  for (std::size_t i = block.first; i < block.queries; ++i) attend_query<Codes>(block, i);
}

void merge_split(const SoftmaxState& split, const float* split_output, std::size_t head_dim, SoftmaxState& total,
                 float* total_output) {
  const float maximum = std::max(total.maximum, split.maximum);
  const float total_weight = exponential(total.maximum - maximum);
  const float split_weight = exponential(split.maximum - maximum);
  total.maximum = maximum;
  total.denominator = std::fma(total.denominator, total_weight, split.denominator * split_weight);
  for (std::size_t d = 0; d < head_dim; ++d) {
    total_output[d] = std::fma(total_output[d], total_weight, split_output[d] * split_weight);
  }
}

}  // namespace engine::kernels::reference
