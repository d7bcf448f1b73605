#include "model/kv_cache.h"

#include <algorithm>

namespace engine::model {

using kernels::kKeyBlock;
using kernels::kKeyTile;

KvCache::KvCache(const HyperParameters& shape)
    : layers_(shape.layers), kv_heads_(shape.kv_heads), head_dim_(shape.head_dim) {}

std::size_t KvCache::bytes_per_position(const HyperParameters& shape) {
  return shape.layers * shape.kv_width() * 2 * sizeof(std::uint16_t);
}

void KvCache::reserve(std::size_t count) {
  while (blocks_.size() * kKeyBlock < count) blocks_.emplace_back(block_bytes());
}

const std::uint16_t* KvCache::keys(std::size_t layer, std::size_t head, std::size_t block) const {
  return blocks_[block].as<std::uint16_t>(head_offset(layer, head));
}

const std::uint16_t* KvCache::values(std::size_t layer, std::size_t head, std::size_t block) const {
  return keys(layer, head, block) + head_elements();
}

void KvCache::store(std::size_t layer, std::size_t head, std::size_t position, const std::uint16_t* key,
                    const std::uint16_t* value) {
  const std::size_t row = position % kKeyBlock;
  auto* base = blocks_[position / kKeyBlock].as<std::uint16_t>(head_offset(layer, head));
  std::uint16_t* tile = base + row / kKeyTile * kKeyTile * head_dim_ + row % kKeyTile;
  for (std::size_t d = 0; d < head_dim_; ++d) tile[d * kKeyTile] = key[d];
  std::copy_n(value, head_dim_, base + head_elements() + row * head_dim_);
}

}  // namespace engine::model
