#include "model/forward/attention.h"

#include <algorithm>
#include <limits>

#include "base/checked.h"
#include "kernels/kernel_table.h"

namespace engine::model {

using kernels::AttentionBlock;
using kernels::kKeyBlock;
using kernels::kKeySplit;
using kernels::KvType;
using kernels::SoftmaxState;

namespace {

constexpr SoftmaxState kEmpty{-std::numeric_limits<float>::infinity(), 0.0F};
// Query rows that share each load of a key. A multiple of what kernels take at once, whatever the heads per KV head;
// few enough to share a long chunk among threads.
constexpr std::size_t kTileRows = 12;
// A sequence with fewer tiles for each member has the keys of its last ones divided too.
constexpr std::size_t kTilesPerMember = 8;

// How many tiles of `all` have their keys divided: one for each member, so that all members end together. What more of
// them would leave for each other is memory.
std::size_t divided_tiles(std::size_t all, std::size_t members) {
  return all < kTilesPerMember * members ? std::min(all, members) : 0;
}

}  // namespace

Attention::Attention(const HyperParameters& shape, const kernels::KernelTable& kernels, unsigned members)
    : shape_(shape), kernels_(kernels), members_(members), next_unit_(shape.layers) {
  const std::size_t queries = kTileRows * group();
  scratch_.reserve(members);
  for (unsigned member = 0; member < members; ++member) scratch_.emplace_back(queries, shape.head_dim);
}

Attention::Scratch::Scratch(std::size_t queries_max, std::size_t head_dim)
    : queries(queries_max),
      codes(queries_max, head_dim),
      hidden(queries_max),
      visible(queries_max),
      states(queries_max),
      sums(queries_max * head_dim),
      totals(queries_max) {}

std::size_t Attention::divided_bytes(const HyperParameters& shape, std::size_t members, std::size_t rows,
                                     std::size_t positions) {
  const std::size_t tiles = divided_tiles(divide_up(rows, kTileRows) * shape.kv_heads, members);
  const std::size_t queries = tiles * std::min(rows, kTileRows) * (shape.heads / shape.kv_heads);
  return queries * divide_up(positions, kKeySplit) * (sizeof(SoftmaxState) + shape.head_dim * sizeof(float));
}

void Attention::clear() {
  tiles_.clear();
  units_.clear();
  results_ = 0;
}

void Attention::add(const KvCache& cache, std::size_t first_row, std::size_t rows, std::size_t first_position) {
  const std::size_t row_tiles = divide_up(rows, kTileRows);
  std::size_t whole = row_tiles * shape_.kv_heads;
  whole -= divided_tiles(whole, members_);
  for (std::size_t head = 0; head < shape_.kv_heads; ++head) {
    // The last rows see the most keys: with them first, the members finish close together.
    for (std::size_t t = row_tiles; t-- > 0;) {
      const std::size_t begin = t * kTileRows;
      Tile tile{.cache = &cache,
                .first_row = first_row + begin,
                .rows = std::min(kTileRows, rows - begin),
                .first_position = first_position + begin,
                .keys = first_position + (shape_.causal ? begin + std::min(kTileRows, rows - begin) : rows),
                .kv_head = head,
                .divided = false,
                .first_result = results_,
                .missing = 0};
      const std::size_t units = whole == 0 ? splits(tile) : 1;
      whole -= whole == 0 ? 0 : 1;
      tile.divided = units > 1;
      if (tile.divided) results_ += units * tile.rows * group();
      tile.missing = units;
      for (std::size_t split = 0; split < units; ++split) units_.push_back({tiles_.size(), split});
      tiles_.push_back(tile);
    }
  }
}

void Attention::prepare() {
  for (auto& next : next_unit_) next.store(0, std::memory_order_relaxed);
  const std::size_t bytes = results_ * shape_.head_dim * sizeof(float);
  if (states_.size() < results_) states_.resize(results_);
  if (sums_.size() < bytes) sums_ = AlignedBuffer(bytes);
}

void Attention::attend(std::size_t layer, std::span<const float> sinks, unsigned member, const float* queries,
                       std::size_t query_stride, float* out, std::size_t out_stride) {
  const Rows rows{layer, sinks, queries, query_stride, out, out_stride};
  for (;;) {
    const std::size_t unit = next_unit_[layer].fetch_add(1, std::memory_order_relaxed);
    if (unit >= units_.size()) return;
    compute(units_[unit], rows, scratch_[member]);
  }
}

std::size_t Attention::splits(const Tile& tile) { return divide_up(tile.keys, kKeySplit); }

Range Attention::keys_of(const Tile& tile, std::size_t layer, std::size_t row) const {
  const std::size_t position = tile.first_position + row;
  const std::size_t window = shape_.window(layer);
  const auto before = [&](std::size_t count) { return position > count ? position - count : 0; };
  if (shape_.causal) return {window == 0 ? 0 : before(window - 1), position + 1};
  if (window == 0) return {0, tile.keys};
  return {before(window / 2), std::min(tile.keys, position + window / 2 + 1)};
}

void Attention::gather_queries(const Tile& tile, const Rows& rows, Scratch& scratch) const {
  for (std::size_t i = 0; i < tile.rows * group(); ++i) {
    scratch.queries[i] = rows.queries + (tile.first_row + i / group()) * rows.query_stride +
                         (tile.kv_head * group() + i % group()) * shape_.head_dim;
    if (tile.cache->type() == KvType::F16) continue;
    scratch.codes.set(i, shape_.head_dim, scratch.queries[i], kernels::ActivationFormat::Q8Block, kernels_);
  }
}

void Attention::compute(const Unit& unit, const Rows& rows, Scratch& scratch) {
  Tile& tile = tiles_[unit.tile];
  const std::size_t count = tile.rows * group();
  gather_queries(tile, rows, scratch);
  if (!tile.divided) {
    begin_total(tile, rows, scratch);
    for (std::size_t split = 0; split < splits(tile); ++split) {
      attend_split(tile, rows.layer, split, scratch, scratch.states.data(), scratch.sums.data());
      merge(tile, split, scratch.states.data(), scratch.sums.data(), rows, scratch);
    }
    finish_total(tile, rows, scratch);
    return;
  }
  SoftmaxState* states = states_.data() + tile.first_result;
  float* sums = sums_.as<float>() + tile.first_result * shape_.head_dim;
  attend_split(tile, rows.layer, unit.split, scratch, states + unit.split * count,
               sums + unit.split * count * shape_.head_dim);
  // The member that computes the last split of a tile merges all of them.
  const std::atomic_ref<std::size_t> missing(tile.missing);
  if (missing.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
  missing.store(splits(tile), std::memory_order_relaxed);  // for the next layer, which begins behind a barrier
  begin_total(tile, rows, scratch);
  for (std::size_t split = 0; split < splits(tile); ++split) {
    merge(tile, split, states + split * count, sums + split * count * shape_.head_dim, rows, scratch);
  }
  finish_total(tile, rows, scratch);
}

void Attention::attend_split(const Tile& tile, std::size_t layer, std::size_t split, Scratch& scratch,
                             SoftmaxState* states, float* sums) const {
  const std::size_t count = tile.rows * group();
  std::fill_n(states, count, kEmpty);
  std::fill_n(sums, count * shape_.head_dim, 0.0F);
  const kernels::Activations codes = scratch.codes.view(shape_.head_dim, kernels::ActivationFormat::Q8Block);
  const std::size_t end = std::min((split + 1) * kKeySplit, keys_of(tile, layer, tile.rows - 1).end);
  const std::size_t window_block = keys_of(tile, layer, 0).begin / kKeyBlock * kKeyBlock;
  for (std::size_t begin = std::max(split * kKeySplit, window_block); begin < end; begin += kKeyBlock) {
    const Range seeing = see_block(tile, layer, begin, scratch);
    const std::size_t block = begin / kKeyBlock;
    const std::size_t next = begin + kKeyBlock < end ? block + 1 : block;
    const AttentionBlock attention{.head_dim = shape_.head_dim,
                                   .scale = shape_.attention_scale,
                                   .soft_cap = shape_.attention_soft_cap,
                                   .keys = tile.cache->keys(layer, tile.kv_head, block),
                                   .values = tile.cache->values(layer, tile.kv_head, block),
                                   .next_keys = tile.cache->keys(layer, tile.kv_head, next),
                                   .first = seeing.begin,
                                   .queries = seeing.end,
                                   .query = scratch.queries.data(),
                                   .codes = codes,
                                   .hidden = scratch.hidden.data(),
                                   .visible = scratch.visible.data(),
                                   .state = states,
                                   .output = sums};
    (tile.cache->type() == KvType::F16 ? kernels_.attend_f16 : kernels_.attend_q8_0)(attention);
  }
}

Range Attention::see_block(const Tile& tile, std::size_t layer, std::size_t begin, Scratch& scratch) const {
  // Rows that end before the block see none of it; those that end inside see a part each; those that end behind it see
  // all of it, but for what has left their window.
  std::size_t first_row = 0;
  while (keys_of(tile, layer, first_row).end <= begin) ++first_row;
  std::size_t row = first_row;
  for (; row < tile.rows; ++row) {
    const Range keys = keys_of(tile, layer, row);
    if (keys.begin >= begin + kKeyBlock) break;
    const std::size_t hidden = keys.begin > begin ? keys.begin - begin : 0;
    const std::size_t visible = std::min(keys.end - begin, kKeyBlock);
    std::fill_n(scratch.hidden.begin() + static_cast<std::ptrdiff_t>(row * group()), group(), hidden);
    std::fill_n(scratch.visible.begin() + static_cast<std::ptrdiff_t>(row * group()), group(), visible);
  }
  return {first_row * group(), row * group()};
}

float* Attention::output(const Tile& tile, const Rows& rows, std::size_t query) const {
  return rows.out + (tile.first_row + query / group()) * rows.out_stride +
         (tile.kv_head * group() + query % group()) * shape_.head_dim;
}

void Attention::begin_total(const Tile& tile, const Rows& rows, Scratch& scratch) const {
  std::fill_n(scratch.totals.begin(), tile.rows * group(), kEmpty);
  if (!rows.sinks.empty()) {  // a key without a value
    for (std::size_t i = 0; i < tile.rows * group(); ++i) {
      scratch.totals[i] = {rows.sinks[tile.kv_head * group() + i % group()], 1.0F};
    }
  }
  for (std::size_t i = 0; i < tile.rows * group(); ++i) std::fill_n(output(tile, rows, i), shape_.head_dim, 0.0F);
}

void Attention::merge(const Tile& tile, std::size_t split, const SoftmaxState* states, const float* sums,
                      const Rows& rows, Scratch& scratch) const {
  const std::size_t begin = split * kKeySplit;
  for (std::size_t i = 0; i < tile.rows * group(); ++i) {
    const Range keys = keys_of(tile, rows.layer, i / group());
    if (keys.end <= begin) continue;
    if (keys.begin >= begin + kKeySplit) break;
    kernels_.merge_split(states[i], sums + i * shape_.head_dim, shape_.head_dim, scratch.totals[i],
                         output(tile, rows, i));
  }
}

void Attention::finish_total(const Tile& tile, const Rows& rows, const Scratch& scratch) const {
  for (std::size_t i = 0; i < tile.rows * group(); ++i) {
    float* out = output(tile, rows, i);
    for (std::size_t d = 0; d < shape_.head_dim; ++d) out[d] /= scratch.totals[i].denominator;
  }
}

}  // namespace engine::model
