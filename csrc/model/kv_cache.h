#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/aligned_buffer.h"
#include "kernels/kernel_table.h"
#include "model/hyper_parameters.h"

namespace engine::model {

// The keys and values of one sequence in f16, in blocks of 64 positions. A block holds, for every layer and KV head,
// keys [4 tiles, head_dim, 16] and then values [64, head_dim].
class KvCache {
 public:
  explicit KvCache(const HyperParameters& shape);

  static std::size_t bytes_per_position(const HyperParameters& shape);

  // Makes room for positions [0, count). Throws std::bad_alloc.
  void reserve(std::size_t count);
  std::size_t bytes() const { return blocks_.size() * block_bytes(); }

  const std::uint16_t* keys(std::size_t layer, std::size_t head, std::size_t block) const;
  const std::uint16_t* values(std::size_t layer, std::size_t head, std::size_t block) const;

  // Writes one position of one head from halves [head_dim].
  void store(std::size_t layer, std::size_t head, std::size_t position, const std::uint16_t* key,
             const std::uint16_t* value);

 private:
  std::size_t head_elements() const { return kernels::kKeyBlock * head_dim_; }
  std::size_t block_bytes() const { return layers_ * kv_heads_ * 2 * head_elements() * sizeof(std::uint16_t); }
  std::size_t head_offset(std::size_t layer, std::size_t head) const {
    return (layer * kv_heads_ + head) * 2 * head_elements() * sizeof(std::uint16_t);
  }

  std::size_t layers_;
  std::size_t kv_heads_;
  std::size_t head_dim_;
  std::vector<AlignedBuffer> blocks_;
};

}  // namespace engine::model
