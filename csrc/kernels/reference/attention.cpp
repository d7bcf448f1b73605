#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/float16.h"
#include "kernels/reference/table.h"

namespace engine::kernels::reference {
namespace {

// The scores of the visible keys; minus infinity for the others.
std::array<float, kKeyBlock> scores_of(const AttentionBlock& block, const float* query, std::size_t visible) {
  std::array<float, kKeyBlock> scores;
  scores.fill(-std::numeric_limits<float>::infinity());
  for (std::size_t j = 0; j < visible; ++j) {
    const std::uint16_t* tile = block.keys + j / kKeyTile * block.head_dim * kKeyTile;
    float sum = 0.0F;
    for (std::size_t d = 0; d < block.head_dim; ++d) {
      sum = std::fma(query[d], float_from_half(tile[d * kKeyTile + j % kKeyTile]), sum);
    }
    scores[j] = sum * block.scale;
  }
  return scores;
}

void attend_one(const AttentionBlock& block, const float* query, std::size_t visible, SoftmaxState& state,
                float* output) {
  std::array<float, kKeyBlock> weights = scores_of(block, query, visible);
  const float maximum = std::max(state.maximum, *std::ranges::max_element(weights));
  const float correction = exponential(state.maximum - maximum);
  std::array<float, kKeyTile> lanes{};
  for (std::size_t j = 0; j < kKeyBlock; ++j) {
    weights[j] = exponential(weights[j] - maximum);
    lanes[j % kKeyTile] += weights[j];
  }
  state.denominator = std::fma(state.denominator, correction, tree_sum(lanes.data()));
  state.maximum = maximum;
  for (std::size_t d = 0; d < block.head_dim; ++d) {
    float sum = output[d] * correction;
    for (std::size_t j = 0; j < visible; ++j) {
      sum = std::fma(weights[j], float_from_half(block.values[j * block.head_dim + d]), sum);
    }
    output[d] = sum;
  }
}

}  // namespace

void attend(const AttentionBlock& block) {
  for (std::size_t i = 0; i < block.queries; ++i) {
    attend_one(block, block.query[i], block.visible[i], block.state[i], block.output + i * block.head_dim);
  }
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
