#pragma once

#include <cstddef>

#include "kernels/attention/kv_block.h"
#include "kernels/gemm/matrix.h"

namespace engine::kernels {

// The running softmax of queries over one split, or over all splits so far.
struct SoftmaxState {
  float maximum;
  float denominator;
};

// Queries [first, queries) over one block of keys. Those of a later row may see more of it and, where a window slides,
// less of its beginning: `visible` and `hidden` ascend. What a query does not see leaves no trace in it.
struct AttentionBlock {
  std::size_t head_dim;
  float scale;                 // factor of the scores
  float soft_cap;              // bounds the scaled scores, see KernelTable::soft_cap; 0: none
  const std::byte* keys;       // see KvType
  const std::byte* values;     // see KvType
  const std::byte* next_keys;  // the keys to fetch ahead: those of the next block, or else these again
  std::size_t first;
  std::size_t queries;
  const float* const* query;   // [queries] pointers to [head_dim]; for F16
  Activations codes;           // [queries, head_dim] as Q8Block; for Q8_0
  const std::size_t* hidden;   // [queries] how many of the block's first keys are no longer seen, below `visible`
  const std::size_t* visible;  // [queries] where the keys end that each sees, 1..64
  SoftmaxState* state;         // [queries]
  float* output;               // [queries, head_dim]: sums weighted by exp(score - maximum)
};

}  // namespace engine::kernels
