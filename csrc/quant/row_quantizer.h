#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "gguf/tensor_type.h"

// Weights into blocks, byte for byte as every other GGUF quantizer makes them. Written for reading; the vectorised
// kernels repeat it.
namespace engine::quant {

// x: [rows, columns], finite; columns a multiple of the type's block. importance: how much each column's errors count,
// [columns], or null where all count as the type's own rule has it. out: the rows as in a file. For Q8_0, Q4_0, Q4_1,
// Q5_0, Q5_1, IQ4_NL, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_XS and F16. Wants round to nearest and subnormals kept.
void quantize_rows(gguf::TensorType type, const float* x, std::size_t rows, std::size_t columns,
                   const float* importance, std::byte* out);
using QuantizeRows = decltype(&quantize_rows);

// Values of any type as floats, `count` a multiple of the type's block. See dequantize_row().
using Dequantize = void (*)(gguf::TensorType type, const std::byte* source, std::size_t count, float* out);

// --- what the kernels share, once the scales of all parts of a block are found -------------------------------------

// 1 / scale; 0 where there is no scale.
inline float inverse_or_zero(float scale) { return scale != 0 ? 1 / scale : 0; }

inline constexpr std::size_t kAffineParts = 8;      // 32 values each, in a block of Q4_K or Q5_K
inline constexpr std::size_t kSymmetricParts = 16;  // 16 values each, in a block of Q6_K

struct AffineParts {
  std::uint16_t scale;                         // f16
  std::uint16_t minimum;                       // f16
  std::array<std::uint8_t, 12> packed;         // see encode_six_bit_scales()
  std::array<float, kAffineParts> part_scale;  // as read back: x is about part_scale * code - part_minimum
  std::array<float, kAffineParts> part_minimum;
};
// `weights`: the sum of each part's weights, or null where the search had no importance.
AffineParts affine_parts(gguf::TensorType type, const float* scales, const float* minimums, const float* weights);

struct SymmetricParts {
  bool zero;  // the block is all zero bytes
  std::uint16_t scale;
  std::array<std::uint8_t, kSymmetricParts> bytes;  // signed
  std::array<float, kSymmetricParts> part_scale;
};
SymmetricParts symmetric_parts(const float* scales);

// Blocks of uneven values, with the scales that were searched for: one, or eight.
void finish_iq4_nl(const float* x, float scale, std::byte* out);
void finish_iq4_xs(const float* x, const float* scales, std::byte* out);
// `weights`: as for affine_parts(). `codes`: those of the search, which become the block's.
void finish_q3_k(const float* x, const float* scales, const float* weights, std::uint8_t* codes, std::byte* out);

// Sum of squares, first to last.
float sum_of_squares(const float* x, std::size_t count);

}  // namespace engine::quant
