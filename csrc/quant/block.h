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

constexpr bool is_super_block_type(gguf::TensorType type) {
  using enum gguf::TensorType;
  return type == Q2_K || type == Q3_K || type == Q4_K || type == Q5_K || type == Q6_K || type == IQ4_XS;
}

// Whether weights have a minimum beside their scale.
constexpr bool has_minimum(gguf::TensorType type) {
  using enum gguf::TensorType;
  return type == Q4_1 || type == Q5_1 || type == Q2_K || type == Q4_K || type == Q5_K;
}

// Where a block's f16 scale lies; its minimum follows. That of MXFP4 is an exponent, see bfloat_from_exponent().
constexpr std::size_t scale_at(gguf::TensorType type) {
  using enum gguf::TensorType;
  if (type == Q2_K) return 80;
  if (type == Q3_K) return 108;
  if (type == Q6_K) return 208;
  return 0;
}

// What the nibbles of IQ4_NL and IQ4_XS stand for.
inline constexpr std::array<std::int8_t, 16> kUnevenValues{-127, -104, -83, -65, -49, -35, -22, -10,
                                                           1,    13,   25,  38,  53,  69,  89,  113};
// Those of MXFP4, E2M1 floats: twice their values.
inline constexpr std::array<std::int8_t, 16> kFloatValues{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// Half of what an E8M0 exponent stands for, as a bfloat: 2^(exponent - 128). 255 is no number.
constexpr std::uint16_t bfloat_from_exponent(std::uint8_t exponent) {
  if (exponent == 255) return 0x7FC0;
  if (exponent < 2) return static_cast<std::uint16_t>(0x20 << exponent);  // subnormal
  return static_cast<std::uint16_t>((exponent - 1) << 7);
}

// Of 32 weights: scale * code + minimum.
struct Block {
  float scale;
  float minimum;  // 0 for the types without one
  std::array<std::int8_t, kBlock> codes;
};

Block decode_block(gguf::TensorType type, const std::byte* source);

// Of 256 weights: (scale * scales[e / 16]) * code - (minimum * minimums[e / 16]). Types with a scale for 32 weights
// have each of them twice here.
struct SuperBlock {
  float scale;
  float minimum;  // 0 for the types without one
  std::array<std::int8_t, 16> scales;
  std::array<std::uint8_t, 16> minimums;
  std::array<std::int8_t, kSuperBlock> codes;
};

inline constexpr int kQ6KOffset = 32;  // taken from every code of Q6_K

SuperBlock decode_super_block(gguf::TensorType type, const std::byte* source);

// Of Q4_K and Q5_K: eight 6-bit scales and eight 6-bit minimums in 12 bytes.
void decode_six_bit_scales(const std::uint8_t* packed, std::int8_t* scales, std::uint8_t* minimums);
// Of Q3_K: sixteen scales, -32..31, in 12 bytes.
void decode_q3_k_scales(const std::uint8_t* packed, std::int8_t* scales);
// Of IQ4_XS: eight scales, -32..31, in 6 bytes.
void decode_iq4_xs_scales(const std::uint8_t* packed, std::int8_t* scales);

// One row of `columns` weights, each as the format defines it: products first, then the sum, nothing fused.
void dequantize_row(gguf::TensorType type, const std::byte* source, std::size_t columns, float* out);

}  // namespace engine::quant
