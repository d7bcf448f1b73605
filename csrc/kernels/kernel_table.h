#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "kernels/matrix.h"

// The numerical operations, one table for each instruction set. Every table computes the same bits; docs/determinism.md
// gives the formulas. The reference table states them in scalar code.
namespace engine::kernels {

// Keys are attended in blocks of 64 counted from position 0. Inside a block keys lie in tiles of 16 so that a SIMD lane
// is a key; values lie token by token so that a lane is a channel.
inline constexpr std::size_t kKeyBlock = 64;
inline constexpr std::size_t kKeyTile = 16;
// Blocks are gathered into splits whose results are merged in ascending order.
inline constexpr std::size_t kKeySplit = 512;

enum class RopeLayout { Adjacent, Halves };  // pairs (2i, 2i + 1), or (i, i + dimensions / 2)

// The running softmax of queries over one split, or over all splits so far.
struct SoftmaxState {
  float maximum;
  float denominator;
};

// Queries over one block of keys. Those of a later row may see more of it: `visible` ascends.
struct AttentionBlock {
  std::size_t head_dim;
  float scale;                     // of the scores
  const std::uint16_t* keys;       // f16 [4 tiles, head_dim, 16]
  const std::uint16_t* values;     // f16 [64, head_dim]
  const std::uint16_t* next_keys;  // of the block that is attended next, to fetch ahead; else keys again
  std::size_t queries;
  const float* const* query;   // [queries] pointers to [head_dim]
  const std::size_t* visible;  // [queries] how many of the block's first keys each sees, 1..64
  SoftmaxState* state;         // [queries]
  float* output;               // [queries, head_dim]: sums weighted by exp(score - maximum)
};

// Where one row's quantized form goes; the fields are those of Activations.
struct QuantizedRow {
  std::int8_t* codes;
  std::int32_t* multipliers;
  std::int32_t* shifts;
  float* scales;
  float* scaled_sums;  // blocks only
  std::int16_t* sums;
};

struct KernelTable {
  std::string_view name;
  // Why this machine cannot run the table; empty where it can.
  std::string (*unavailable)();

  // Bytes of Matrix::packed; 0 where the table computes from the file's own bytes.
  std::size_t (*packed_bytes)(const Matrix& matrix);
  void (*pack)(Matrix& matrix, std::size_t group_begin, std::size_t group_end);

  // out[t * out_stride + r] = dot(row r, input t) for the rows of the groups, t < token_rows.
  void (*multiply)(const Matrix& matrix, const Activations& input, std::size_t token_rows, std::size_t group_begin,
                   std::size_t group_end, float* out, std::size_t out_stride);

  void (*rms_norm)(const float* x, const float* weight, float epsilon, std::size_t n, float* out);
  // One row of n values; see Activations.
  void (*quantize_blocks)(const float* x, std::size_t n, const QuantizedRow& out);
  void (*quantize_super_blocks)(const float* x, std::size_t n, const QuantizedRow& out);

  // Rotates the first `dimensions` channels of each head in place; cosines and sines are [dimensions / 2].
  void (*rotate)(float* heads, std::size_t head_count, std::size_t head_dim, std::size_t dimensions,
                 const float* cosines, const float* sines, RopeLayout layout);
  void (*half_from_float)(const float* x, std::size_t n, std::uint16_t* out);

  void (*attend)(const AttentionBlock& block);
  // Adds a finished split to the total: both are a state and [head_dim] sums.
  void (*merge_split)(const SoftmaxState& split, const float* split_output, std::size_t head_dim, SoftmaxState& total,
                      float* total_output);

  // gate[i] = silu(gate[i]) * up[i]
  void (*silu_multiply)(float* gate, const float* up, std::size_t n);
};

// Every table of this build, best first.
std::span<const KernelTable* const> kernel_tables();
// nullptr for an unknown name.
const KernelTable* find_kernel_table(std::string_view name);

}  // namespace engine::kernels
