#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/aligned_buffer.h"
#include "kernels/attention/kv_block.h"
#include "model/load/hyper_parameters.h"
#include "model/recurrent_state.h"

namespace engine::kernels {
struct KernelTable;
}

namespace engine::model {

// Keys and values of kernels::kKeyBlock positions: for every layer and KV head its keys and then its values, as
// kernels::KvType says. One whose positions have all been stored never changes again, so that sequences may share it.
struct KvBlock {
  std::shared_ptr<AlignedBuffer> whole;     // layers that attend to every position
  std::shared_ptr<AlignedBuffer> windowed;  // layers with a window; null behind the windows of all rows to come

  std::size_t bytes() const { return (whole ? whole->size() : 0) + (windowed ? windowed->size() : 0); }
};

// What keys and values depend on beside the model and the tokens.
struct KvFormat {
  kernels::KvType type;
  bool long_factors = false;  // in the angles: see HyperParameters::needs_long_factors

  bool operator==(const KvFormat&) const = default;
};

// The keys and values of one sequence, in blocks, and what layers without keep of it.
class KvCache {
 public:
  // Holds at most `context_length` positions. Throws std::invalid_argument where the type does not fit the heads, or
  // the model has no such positions.
  KvCache(const HyperParameters& shape, kernels::KvType type, std::size_t context_length);

  // Throws std::invalid_argument where the type does not fit the heads.
  static std::size_t bytes_per_position(const HyperParameters& shape, kernels::KvType type);
  // The most positions of layers with a window that a cache holds which slides before each step of at most `rows`.
  static std::size_t window_positions(std::size_t window, std::size_t rows);

  kernels::KvType type() const { return format_.type; }
  const KvFormat& format() const { return format_; }

  // Makes room for positions up to `count`. Throws std::bad_alloc.
  void reserve(std::size_t count);
  // Gives back what no row from position `first` on attends to: where layers have a window, their part of the blocks
  // before it. Steps and forks must then begin there or later, and begin_with() of another cache cannot follow.
  void slide(std::size_t first);
  // For another sequence of at most `context_length` positions: keeps room for a block. It must share none. Throws
  // std::invalid_argument where the model has no such positions.
  void restart(const HyperParameters& shape, std::size_t context_length);
  // Begins with blocks of another cache of equal shape and format, all of whose positions have been stored. Once,
  // before anything else. Not for models with recurrent layers. Throws std::bad_alloc.
  void begin_with(std::span<const KvBlock> blocks);
  // A cache that begins with positions [0, count) of this one, all stored: it shares the blocks that are full and
  // copies the one that is not. Where layers are recurrent, `count` is all that the last step has read. Throws
  // std::bad_alloc.
  KvCache fork(std::size_t count) const;
  std::size_t bytes() const { return bytes_of(blocks_.size()) + spare_.bytes() + recurrent_.bytes(); }
  // Bytes of the blocks that it began with.
  std::size_t shared_bytes() const { return bytes_of(shared_blocks_); }
  // Bytes that it shares with the cache that it was forked from, those of shared_bytes() included.
  std::size_t forked_bytes() const { return bytes_of(forked_blocks_); }
  const KvBlock& block(std::size_t index) const { return blocks_[index]; }
  RecurrentState& recurrent() { return recurrent_; }

  const std::byte* keys(std::size_t layer, std::size_t head, std::size_t block) const;
  const std::byte* values(std::size_t layer, std::size_t head, std::size_t block) const;

  // Write one position of one head from floats [head_dim]. What is stored is all that is ever read.
  void store_key(const kernels::KernelTable& kernels, std::size_t layer, std::size_t head, std::size_t position,
                 const float* key);
  void store_value(const kernels::KernelTable& kernels, std::size_t layer, std::size_t head, std::size_t position,
                   const float* value);

 private:
  std::size_t half_bytes() const { return kernels::kKeyBlock * kernels::kv_row_bytes(format_.type, head_dim_); }
  // Where a layer lies in its part of a block.
  struct Place {
    bool windowed;
    std::size_t index;  // among the layers of that part
  };

  std::size_t part_bytes(std::size_t layers) const { return layers * kv_heads_ * 2 * half_bytes(); }
  std::size_t bytes_of(std::size_t blocks) const;
  KvBlock make_block();
  std::byte* head(std::size_t layer, std::size_t head, std::size_t block) const;
  void store_key_halves(const kernels::KernelTable& kernels, std::byte* keys, std::size_t row, const float* key) const;
  void store_key_codes(const kernels::KernelTable& kernels, std::byte* keys, std::size_t row, const float* key) const;

  KvFormat format_;
  std::size_t kv_heads_;
  std::size_t head_dim_;
  std::size_t window_;         // the widest of all layers, 0 where none has one
  std::vector<Place> places_;  // [layers]; void where one is recurrent
  std::size_t whole_layers_ = 0;
  std::size_t windowed_layers_ = 0;
  RecurrentState recurrent_;
  std::vector<KvBlock> blocks_;
  std::size_t slid_ = 0;           // blocks before this one have no windowed part
  KvBlock spare_;                  // a windowed part for the next block, which costs no new memory
  std::size_t shared_blocks_ = 0;  // the first of blocks_
  std::size_t forked_blocks_ = 0;  // likewise
};

}  // namespace engine::model
