#include "model/kv_cache.h"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/checked.h"
#include "kernels/kernel_table.h"

namespace engine::model {

using kernels::kKeyBlock;
using kernels::kKeyTile;
using kernels::kKvQuad;
using kernels::kKvScaleChannels;
using kernels::KvType;

namespace {

void check_fit(const HyperParameters& shape, KvType type) {
  if (kernels::kv_type_fits(type, shape.head_dim)) return;
  throw std::invalid_argument("a KV cache of type q8_0 needs heads of a multiple of " +
                              std::to_string(kKvScaleChannels) + " channels; the model's have " +
                              std::to_string(shape.head_dim));
}

void check_context(const HyperParameters& shape, std::size_t context_length) {
  if (!shape.learned_positions || context_length <= shape.context_length) return;
  throw std::invalid_argument("a context of " + std::to_string(context_length) +
                              " positions; the model has vectors for " + std::to_string(shape.context_length));
}

}  // namespace

KvCache::KvCache(const HyperParameters& shape, KvType type, std::size_t context_length)
    : format_{type, shape.needs_long_factors(context_length)},
      kv_heads_(shape.kv_heads),
      head_dim_(shape.head_dim),
      window_(shape.widest_window()),
      recurrent_(shape) {
  check_fit(shape, type);
  check_context(shape, context_length);
  places_.reserve(shape.layers);
  for (std::size_t layer = 0; layer < shape.layers; ++layer) {
    const bool windowed = shape.window(layer) != 0;
    std::size_t& layers = windowed ? windowed_layers_ : whole_layers_;
    places_.push_back({windowed, layers});
    if (!shape.is_recurrent(layer)) ++layers;
  }
}

std::size_t KvCache::bytes_per_position(const HyperParameters& shape, KvType type) {
  check_fit(shape, type);
  return shape.attention_layers() * shape.kv_heads * 2 * kernels::kv_row_bytes(type, shape.head_dim);
}

// The first row sees window - 1 positions before it. These and the step's own may begin and end within a block, and a
// part is kept for the next.
std::size_t KvCache::window_positions(std::size_t window, std::size_t rows) {
  return round_up(window + rows, kKeyBlock) + kKeyBlock;
}

void KvCache::reserve(std::size_t count) {
  while (blocks_.size() * kKeyBlock < count) blocks_.push_back(make_block());
  recurrent_.reserve();
}

KvBlock KvCache::make_block() {
  KvBlock block;
  if (whole_layers_ != 0) block.whole = std::make_shared<AlignedBuffer>(part_bytes(whole_layers_));
  if (windowed_layers_ == 0) return block;
  block.windowed = spare_.windowed ? std::exchange(spare_.windowed, nullptr)
                                   : std::make_shared<AlignedBuffer>(part_bytes(windowed_layers_));
  return block;
}

void KvCache::slide(std::size_t first) {
  if (windowed_layers_ == 0 || first < window_) return;
  const std::size_t seen = std::min((first + 1 - window_) / kKeyBlock, blocks_.size());
  for (; slid_ < seen; ++slid_) {
    std::shared_ptr<AlignedBuffer> part = std::exchange(blocks_[slid_].windowed, nullptr);
    if (part.use_count() == 1) spare_.windowed = std::move(part);
  }
}

void KvCache::restart(const HyperParameters& shape, std::size_t context_length) {
  check_context(shape, context_length);
  format_.long_factors = shape.needs_long_factors(context_length);
  blocks_.resize(slid_ == 0 ? std::min<std::size_t>(blocks_.size(), 1) : 0);
  slid_ = 0;
}

void KvCache::begin_with(std::span<const KvBlock> blocks) {
  blocks_.assign(blocks.begin(), blocks.end());
  shared_blocks_ = blocks.size();
}

KvCache KvCache::fork(std::size_t count) const {
  KvCache other = *this;
  other.spare_ = {};
  other.recurrent_ = recurrent_.fork();
  other.forked_blocks_ = count / kKeyBlock;
  other.blocks_.resize(other.forked_blocks_);
  if (count % kKeyBlock == 0) return other;
  const KvBlock& from = blocks_[other.forked_blocks_];
  const KvBlock& to = other.blocks_.emplace_back(other.make_block());
  if (from.whole) std::ranges::copy(from.whole->bytes(), to.whole->data());
  if (from.windowed) std::ranges::copy(from.windowed->bytes(), to.windowed->data());
  return other;
}

std::size_t KvCache::bytes_of(std::size_t blocks) const {
  const std::size_t windowed = blocks - std::min(blocks, slid_);
  return blocks * part_bytes(whole_layers_) + windowed * part_bytes(windowed_layers_);
}

std::byte* KvCache::head(std::size_t layer, std::size_t head, std::size_t block) const {
  const Place place = places_[layer];
  const KvBlock& parts = blocks_[block];
  return (place.windowed ? parts.windowed : parts.whole)->data() + (place.index * kv_heads_ + head) * 2 * half_bytes();
}

const std::byte* KvCache::keys(std::size_t layer, std::size_t head, std::size_t block) const {
  return this->head(layer, head, block);
}

const std::byte* KvCache::values(std::size_t layer, std::size_t head, std::size_t block) const {
  return keys(layer, head, block) + half_bytes();
}

void KvCache::store_key(const kernels::KernelTable& kernels, std::size_t layer, std::size_t head, std::size_t position,
                        const float* key) {
  std::byte* keys = this->head(layer, head, position / kKeyBlock);
  if (format_.type == KvType::F16) {
    store_key_halves(kernels, keys, position % kKeyBlock, key);
  } else {
    store_key_codes(kernels, keys, position % kKeyBlock, key);
  }
}

void KvCache::store_value(const kernels::KernelTable& kernels, std::size_t layer, std::size_t head,
                          std::size_t position, const float* value) {
  std::byte* values = this->head(layer, head, position / kKeyBlock) + half_bytes();
  const std::size_t row = position % kKeyBlock;
  if (format_.type == KvType::F16) {
    kernels.half_from_float(value, head_dim_, reinterpret_cast<std::uint16_t*>(values) + row * head_dim_);
    return;
  }
  auto* scales = reinterpret_cast<std::uint16_t*>(values + kernels::kv_scales_at(head_dim_));
  for (std::size_t b = 0; b < head_dim_ / kKvScaleChannels; ++b) {
    auto* codes = reinterpret_cast<std::int8_t*>(values) + row * head_dim_ + b * kKvScaleChannels;
    kernels.quantize_kv(value + b * kKvScaleChannels, kKvScaleChannels, codes, scales + b * kKeyBlock + row);
  }
}

void KvCache::store_key_halves(const kernels::KernelTable& kernels, std::byte* keys, std::size_t row,
                               const float* key) const {
  constexpr std::size_t kChannels = 64;
  std::array<std::uint16_t, kChannels> halves;
  auto* tile = reinterpret_cast<std::uint16_t*>(keys) + row / kKeyTile * kKeyTile * head_dim_ + row % kKeyTile;
  for (std::size_t begin = 0; begin < head_dim_; begin += kChannels) {
    const std::size_t count = std::min(kChannels, head_dim_ - begin);
    kernels.half_from_float(key + begin, count, halves.data());
    for (std::size_t d = 0; d < count; ++d) tile[(begin + d) * kKeyTile] = halves[d];
  }
}

void KvCache::store_key_codes(const kernels::KernelTable& kernels, std::byte* keys, std::size_t row,
                              const float* key) const {
  std::array<std::int8_t, kKvScaleChannels> codes;
  std::uint16_t scale = 0;
  const std::size_t scale_blocks = head_dim_ / kKvScaleChannels;
  const std::size_t tile = row / kKeyTile;
  auto* scales = reinterpret_cast<std::uint16_t*>(keys + kernels::kv_scales_at(head_dim_));
  for (std::size_t b = 0; b < scale_blocks; ++b) {
    kernels.quantize_kv(key + b * kKvScaleChannels, kKvScaleChannels, codes.data(), &scale);
    scales[(tile * scale_blocks + b) * kKeyTile + row % kKeyTile] = scale;
    for (std::size_t d = 0; d < kKvScaleChannels; ++d) {
      const std::size_t quad = (tile * head_dim_ + b * kKvScaleChannels + d) / kKvQuad;
      keys[(quad * kKeyTile + row % kKeyTile) * kKvQuad + d % kKvQuad] = static_cast<std::byte>(codes[d] + 128);
    }
  }
}

}  // namespace engine::model
