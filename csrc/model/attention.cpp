#include <algorithm>
#include <limits>

#include "model/forward_pass.h"

namespace engine::model {

using kernels::kKeyBlock;
using kernels::kKeySplit;
using kernels::SoftmaxState;

namespace {

constexpr SoftmaxState kEmpty{-std::numeric_limits<float>::infinity(), 0.0F};

}  // namespace

void Worker::attend(std::size_t layer) {
  input_width_ = shape_.query_width();
  for (std::size_t i = member_; i < pass_.units_.size(); i += members_) attend_unit(pass_.units_[i], layer);
  pass_.team_.barrier();
}

void Worker::attend_unit(const ForwardPass::AttentionUnit& unit, std::size_t layer) {
  const std::size_t group = shape_.heads / shape_.kv_heads;
  const std::size_t count = unit.rows * group;
  queries_.resize(count);
  totals_.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t row = unit.first_row + i / group;
    const std::size_t channel = (unit.kv_head * group + i % group) * shape_.head_dim;
    queries_[i] = pass_.heads(row) + channel;
    totals_[i] = input(row) + channel;
    std::fill_n(totals_[i], shape_.head_dim, 0.0F);
  }
  total_states_.assign(count, kEmpty);
  const std::size_t last_position = pass_.rows_[unit.first_row + unit.rows - 1].position;
  for (std::size_t split = 0; split <= last_position / kKeySplit; ++split) attend_split(unit, layer, split);
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t d = 0; d < shape_.head_dim; ++d) totals_[i][d] /= total_states_[i].denominator;
  }
}

void Worker::attend_split(const ForwardPass::AttentionUnit& unit, std::size_t layer, std::size_t split) {
  const std::size_t group = shape_.heads / shape_.kv_heads;
  const std::size_t count = unit.rows * group;
  split_states_.assign(count, kEmpty);
  split_sums_.assign(count * shape_.head_dim, 0.0F);
  splits_.resize(count);
  split_state_pointers_.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    splits_[i] = split_sums_.data() + i * shape_.head_dim;
    split_state_pointers_[i] = &split_states_[i];
  }
  const std::size_t first_position = pass_.rows_[unit.first_row].position;
  const std::size_t last_position = first_position + unit.rows - 1;
  const KvCache& cache = *pass_.rows_[unit.first_row].cache;
  const std::size_t end = std::min((split + 1) * kKeySplit, last_position + 1);
  for (std::size_t begin = split * kKeySplit; begin < end; begin += kKeyBlock) {
    // Rows before the block see none of it; those inside see a part each; those behind it see all of it.
    std::size_t row = begin > first_position ? begin - first_position : 0;
    while (row < unit.rows) {
      const std::size_t visible = std::min(first_position + row - begin + 1, kKeyBlock);
      const std::size_t rows = visible == kKeyBlock ? unit.rows - row : 1;
      kernels_.attend({.head_dim = shape_.head_dim,
                       .visible = visible,
                       .scale = shape_.attention_scale,
                       .keys = cache.keys(layer, unit.kv_head, begin / kKeyBlock),
                       .values = cache.values(layer, unit.kv_head, begin / kKeyBlock),
                       .queries = rows * group,
                       .query = queries_.data() + row * group,
                       .state = split_state_pointers_.data() + row * group,
                       .output = splits_.data() + row * group});
      row += rows;
    }
  }
  const std::size_t first_row = split * kKeySplit > first_position ? split * kKeySplit - first_position : 0;
  for (std::size_t i = first_row * group; i < count; ++i) {
    kernels_.merge_split(split_states_[i], splits_[i], shape_.head_dim, total_states_[i], totals_[i]);
  }
}

}  // namespace engine::model
