#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/aligned_buffer.h"
#include "kernels/attention/kv_block.h"
#include "model/load/hyper_parameters.h"

namespace engine::kernels {
struct KernelTable;
}

namespace engine::model {

// Keys and values of kernels::kKeyBlock positions: for every layer and KV head its keys and then its values, as
// kernels::KvType says. One whose positions have all been stored never changes again, so that sequences may share it.
using KvBlock = std::shared_ptr<AlignedBuffer>;

// What keys and values depend on beside the model and the tokens.
struct KvFormat {
  kernels::KvType type;
  bool long_factors = false;  // in the angles: see HyperParameters::needs_long_factors

  bool operator==(const KvFormat&) const = default;
};

// The keys and values of one sequence, in blocks.
class KvCache {
 public:
  // Holds at most `context_length` positions. Throws std::invalid_argument where the type does not fit the heads.
  KvCache(const HyperParameters& shape, kernels::KvType type, std::size_t context_length);

  // Throws std::invalid_argument where the type does not fit the heads.
  static std::size_t bytes_per_position(const HyperParameters& shape, kernels::KvType type);

  kernels::KvType type() const { return format_.type; }
  const KvFormat& format() const { return format_; }

  // Makes room for positions [0, count). Throws std::bad_alloc.
  void reserve(std::size_t count);
  // For another sequence of at most `context_length` positions: keeps room for a block. It must share none.
  void restart(const HyperParameters& shape, std::size_t context_length);
  // Begins with blocks of another cache of equal shape and format, all of whose positions have been stored. Once,
  // before anything else. Throws std::bad_alloc.
  void begin_with(std::span<const KvBlock> blocks);
  // A cache that begins with positions [0, count) of this one, all stored: it shares the blocks that are full and
  // copies the one that is not. Throws std::bad_alloc.
  KvCache fork(std::size_t count) const;
  std::size_t bytes() const { return blocks_.size() * block_bytes(); }
  // Bytes of the blocks that it began with.
  std::size_t shared_bytes() const { return shared_blocks_ * block_bytes(); }
  // Bytes that it shares with the cache that it was forked from, those of shared_bytes() included.
  std::size_t forked_bytes() const { return forked_blocks_ * block_bytes(); }
  const KvBlock& block(std::size_t index) const { return blocks_[index]; }

  const std::byte* keys(std::size_t layer, std::size_t head, std::size_t block) const;
  const std::byte* values(std::size_t layer, std::size_t head, std::size_t block) const;

  // Write one position of one head from floats [head_dim]. What is stored is all that is ever read.
  void store_key(const kernels::KernelTable& kernels, std::size_t layer, std::size_t head, std::size_t position,
                 const float* key);
  void store_value(const kernels::KernelTable& kernels, std::size_t layer, std::size_t head, std::size_t position,
                   const float* value);

 private:
  std::size_t half_bytes() const { return kernels::kKeyBlock * kernels::kv_row_bytes(format_.type, head_dim_); }
  std::size_t block_bytes() const { return layers_ * kv_heads_ * 2 * half_bytes(); }
  std::size_t head_offset(std::size_t layer, std::size_t head) const {
    return (layer * kv_heads_ + head) * 2 * half_bytes();
  }
  void store_key_halves(const kernels::KernelTable& kernels, std::byte* keys, std::size_t row, const float* key) const;
  void store_key_codes(const kernels::KernelTable& kernels, std::byte* keys, std::size_t row, const float* key) const;

  KvFormat format_;
  std::size_t layers_;
  std::size_t kv_heads_;
  std::size_t head_dim_;
  std::vector<KvBlock> blocks_;
  std::size_t shared_blocks_ = 0;  // the first of blocks_
  std::size_t forked_blocks_ = 0;  // likewise
};

}  // namespace engine::model
