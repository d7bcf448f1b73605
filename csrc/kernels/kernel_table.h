#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "kernels/attention/attention_block.h"
#include "kernels/gemm/matrix.h"
#include "kernels/rope_layout.h"
#include "quant/row_quantizer.h"

// The numerical operations, one table for each instruction set. Every table computes the same bits; docs/determinism.md
// gives the formulas. The reference table states them in scalar code.
namespace engine::kernels {

struct CandidateKernels;

// Where one row's quantized form goes; the fields are those of Activations.
struct QuantizedRow {
  std::int8_t* codes;
  std::int32_t* shifts;
  float* scales;
  std::int32_t* block_sums;  // blocks only
  float* scaled_sums;        // blocks only
  std::int16_t* half_sums;   // super-blocks only
  std::int16_t* part_sums;   // super-blocks only
};

// Sums over logits, each weighted by w = exp(logit - maximum).
struct LogitComparison {
  double weights;   // the sum of w
  double excesses;  // the sum of w * (logit - the other's)
};

using Multiply = void(const Matrix& matrix, const Activations& input, std::size_t token_rows, std::size_t group_begin,
                      std::size_t group_end, float* out, std::size_t out_stride, std::byte* scratch);

// The most multiply-accumulates of 8-bit integers that an instruction can do, from registers alone: the limit that
// prefill is measured against.
struct IntegerPeak {
  std::string_view instruction;  // empty: none
  std::uint64_t (*run)();        // see multiply_bytes(); how many multiply-accumulates that were
};

struct KernelTable {
  std::string_view name;
  std::string_view needs;  // a CPU feature's name; empty: the x86-64 baseline
  // Whether virtual machines may show what it needs and refuse it, so that its peak is run before anything else.
  bool is_on_trial = false;

  // Bytes of Matrix::packed; 0 where the table computes from the file's own bytes.
  std::size_t (*packed_bytes)(const Matrix& matrix);
  // See pack_panels().
  bool (*pack)(Matrix& matrix, std::size_t group_begin, std::size_t group_end);

  // out[t * out_stride + r] = dot(row r, input t) for the rows of the groups, t < token_rows. `scratch` is the calling
  // thread's own, of multiply_scratch_bytes(columns), on a line's boundary.
  Multiply* multiply;
  IntegerPeak peak;  // the limit of the instruction that it multiplies with

  // Both norms may write over what they read.
  void (*rms_norm)(const float* x, const float* weight, float epsilon, std::size_t n, float* out);
  // Without a bias where that is nullptr.
  void (*layer_norm)(const float* x, const float* weight, const float* bias, float epsilon, std::size_t n, float* out);
  // One row of n values; see Activations.
  void (*quantize_blocks)(const float* x, std::size_t n, const QuantizedRow& out);
  void (*quantize_super_blocks)(const float* x, std::size_t n, const QuantizedRow& out);
  // Writes the Activations::planes of a row of super-blocks; nullptr where products read none.
  void (*split_codes)(const QuantizedRow& row, std::size_t columns, std::int8_t* planes);

  // Rotates the first `dimensions` channels of each head in place; cosines and sines are [dimensions / 2].
  void (*rotate)(float* heads, std::size_t head_count, std::size_t head_dim, std::size_t dimensions,
                 const float* cosines, const float* sines, RopeLayout layout);
  void (*half_from_float)(const float* x, std::size_t n, std::uint16_t* out);
  // n keys' or values' channels, a multiple of 32: codes [n] and f16 scales [n / 32]. A NaN makes its scale NaN.
  void (*quantize_kv)(const float* x, std::size_t n, std::int8_t* codes, std::uint16_t* scales);

  // For each KvType.
  void (*attend_f16)(const AttentionBlock& block);
  void (*attend_q8_0)(const AttentionBlock& block);
  // Adds a finished split to the total: both are a state and [head_dim] sums.
  void (*merge_split)(const SoftmaxState& split, const float* split_output, std::size_t head_dim, SoftmaxState& total,
                      float* total_output);

  // out[i] = the sum over k of weights[k * stride + i] * rows[k][i], of `taps` rows in their order, taps > 0
  void (*convolve)(const float* const* rows, const float* weights, std::size_t taps, std::size_t stride, std::size_t n,
                   float* out);

  // gate[i] = silu(gate[i]) * up[i]
  void (*silu_multiply)(float* gate, const float* up, std::size_t n);
  // gate[i] = gelu(gate[i]) * up[i], GELU by its approximation with tanh
  void (*gelu_multiply)(float* gate, const float* up, std::size_t n);
  // gate[i] = clamped_silu(gate[i]) * (up[i] + 1), ups within the clamp too; see exponential.h
  void (*clamped_silu_multiply)(float* gate, const float* up, std::size_t n);
  // x[i] = gelu(x[i]), by the same approximation
  void (*gelu)(float* x, std::size_t n);
  // x[i] = max(x[i], 0)^2
  void (*squared_relu)(float* x, std::size_t n);
  // x[i] = 1 / (1 + exp(-x[i]))
  void (*sigmoid)(float* x, std::size_t n);
  // x[i] = cap * tanh(x[i] / cap), cap > 0
  void (*soft_cap)(float* x, std::size_t n, float cap);
  // x[i] = exp(x[i]) / the sum of all of them, n > 0
  void (*softmax)(float* x, std::size_t n);

  // The sum of exp(logit - maximum) over n logits in doubles, and the same with others beside them. NaN where any is
  // not finite.
  double (*sum_exponentials)(const float* logits, float maximum, std::size_t n);
  LogitComparison (*compare_logits)(const float* logits, const float* others, float maximum, std::size_t n);

  // The largest order_key() of n values, n > 0.
  std::int32_t (*largest_key)(const float* x, std::size_t n);

  const CandidateKernels* candidates;

  // Conversions from a model's weights to another model's. Unlike all above they keep subnormals; see KeptSubnormals.
  quant::QuantizeRows quantize_rows;
  quant::Dequantize dequantize;

  // Why this process cannot run the table; empty where it can. Throws UnknownCpuFeature.
  std::string unavailable() const;
};

// Every table of this build, the one first that plans name where they are not told. Tiles come after the registers that
// they are beside: which of the two is faster depends on types and neighbours.
std::span<const KernelTable* const> kernel_tables();
// nullptr for an unknown name.
const KernelTable* find_kernel_table(std::string_view name);

}  // namespace engine::kernels
