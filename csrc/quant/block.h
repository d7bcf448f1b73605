#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "gguf/tensor_type.h"

// What a quantized block means: integer codes and the scales that turn them into weights. The layouts are the file
// format's.
namespace engine::quant {

inline constexpr std::size_t kBlock = 32;
inline constexpr std::size_t kSuperBlock = 256;

// Q8_0, Q4_0, Q4_1, Q5_0, Q5_1: weight = scale * (code - offset) + minimum.
struct Block {
  float scale;
  float minimum;                           // 0 for the symmetric types
  std::array<std::uint8_t, kBlock> codes;  // for Q8_0 the bits of a signed byte
};

// The number taken from every code of a symmetric type of unsigned codes; 0 for the others.
int code_offset(gguf::TensorType type);

Block decode_block(gguf::TensorType type, const std::byte* source);

// Q4_K, Q5_K: weight = (scale * scales[e / 32]) * code - (minimum * minimums[e / 32]).
// Q6_K: weight = (scale * scales[e / 16]) * (code - 32).
struct SuperBlock {
  float scale;
  float minimum;
  std::array<std::int8_t, 16> scales;
  std::array<std::uint8_t, 8> minimums;
  std::array<std::uint8_t, kSuperBlock> codes;
};

inline constexpr int kQ6KOffset = 32;

SuperBlock decode_super_block(gguf::TensorType type, const std::byte* source);

// Of Q4_K and Q5_K: eight 6-bit scales and eight 6-bit minimums in 12 bytes.
void decode_six_bit_scales(const std::uint8_t* packed, std::int8_t* scales, std::uint8_t* minimums);

// One row of `columns` weights, each as the format defines it: products first, then the sum, nothing fused.
void dequantize_row(gguf::TensorType type, const std::byte* source, std::size_t columns, float* out);

bool is_block_type(gguf::TensorType type);
bool is_super_block_type(gguf::TensorType type);

}  // namespace engine::quant
