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

// Half of what an E8M0 exponent stands for, as a bfloat: 2^(exponent - 128). 255 is NaN.
constexpr std::uint16_t bfloat_from_exponent(std::uint8_t exponent) {
  if (exponent == 255) return 0x7FC0;
  if (exponent < 2) return static_cast<std::uint16_t>(0x20 << exponent);  // subnormal
  return static_cast<std::uint16_t>((exponent - 1) << 7);
}

// An f16 of which four 16-bit words have four bits each, at their top, the lowest first.
constexpr std::uint16_t half_from_quarters(const std::uint8_t* words) {
  unsigned half = 0;
  for (unsigned i = 0; i < 4; ++i) half |= (words[2 * i + 1] >> 4u) << (4 * i);
  return static_cast<std::uint16_t>(half);
}

// 32 weights: scale * value + minimum.
struct Block {
  float scale;
  float minimum;  // 0 for the types without one
  std::array<std::int8_t, kBlock> values;
};

Block decode_block(const gguf::TypeTraits& traits, const std::byte* source);

// 256 weights: (scale * scales[e / 16]) * value - (minimum * minimums[e / 16]). Types with a scale for 32 weights have
// each of them twice here.
struct SuperBlock {
  float scale;
  float minimum;  // 0 for the types without one
  std::array<std::int8_t, 16> scales;
  std::array<std::uint8_t, 16> minimums;
  std::array<std::int8_t, kSuperBlock> values;
};

SuperBlock decode_super_block(const gguf::TypeTraits& traits, const std::byte* source);

// Its weights, [256].
void dequantize_super_block(const SuperBlock& block, float* out);

// Turns scales for 32 weights into scales for 16.
template <typename Scale>
void double_up(std::array<Scale, 16>& scales) {
  for (std::size_t i = 16; i-- > 0;) scales[i] = scales[i / 2];
}

// The inner scales of a super-block, and minimums where the format has them: 16 of each, or 8.
void decode_inner_scales(const gguf::InnerScales& layout, const std::uint8_t* block, std::int8_t* scales,
                         std::uint8_t* minimums);

// One row of `columns` weights, each as the format defines it: products first, then the sum, nothing fused.
void dequantize_row(gguf::TensorType type, const std::byte* source, std::size_t columns, float* out);

}  // namespace engine::quant
