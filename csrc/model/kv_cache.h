#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/aligned_buffer.h"
#include "kernels/kernel_table.h"
#include "model/hyper_parameters.h"

namespace engine::model {

// The keys and values of one sequence, in blocks of 64 positions. A block holds, for every layer and KV head, its keys
// and then its values; kernels::KvType says how.
class KvCache {
 public:
  // Throws std::invalid_argument where the type does not fit the heads.
  KvCache(const HyperParameters& shape, kernels::KvType type);

  // Throws std::invalid_argument where the type does not fit the heads.
  static std::size_t bytes_per_position(const HyperParameters& shape, kernels::KvType type);

  kernels::KvType type() const { return type_; }

  // Makes room for positions [0, count). Throws std::bad_alloc.
  void reserve(std::size_t count);
  std::size_t bytes() const { return blocks_.size() * block_bytes(); }

  const std::byte* keys(std::size_t layer, std::size_t head, std::size_t block) const;
  const std::byte* values(std::size_t layer, std::size_t head, std::size_t block) const;

  // Write one position of one head from floats [head_dim]. What is stored is all that is ever read.
  void store_key(const kernels::KernelTable& kernels, std::size_t layer, std::size_t head, std::size_t position,
                 const float* key);
  void store_value(const kernels::KernelTable& kernels, std::size_t layer, std::size_t head, std::size_t position,
                   const float* value);

 private:
  std::size_t half_bytes() const { return kernels::kKeyBlock * kernels::kv_row_bytes(type_, head_dim_); }
  std::size_t block_bytes() const { return layers_ * kv_heads_ * 2 * half_bytes(); }
  std::size_t head_offset(std::size_t layer, std::size_t head) const {
    return (layer * kv_heads_ + head) * 2 * half_bytes();
  }
  void store_key_halves(const kernels::KernelTable& kernels, std::byte* keys, std::size_t row, const float* key) const;
  void store_key_codes(const kernels::KernelTable& kernels, std::byte* keys, std::size_t row, const float* key) const;

  kernels::KvType type_;
  std::size_t layers_;
  std::size_t kv_heads_;
  std::size_t head_dim_;
  std::vector<AlignedBuffer> blocks_;
};

}  // namespace engine::model
