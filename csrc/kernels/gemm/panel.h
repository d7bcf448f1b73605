#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/gemm/matrix.h"
#include "quant/block.h"

// Packed weights: 16 output rows side by side, 4 consecutive inputs of each row together, so that one 64-byte line
// times four broadcast input codes advances 16 dot products at once and no horizontal addition is ever needed. Codes
// keep the bits they have in the file: lines of nibbles hold two groups of 4 inputs, lines of pairs of bits four, and
// further bits lie in lines of their own. Every part begins on a line; sizes are those of the file but for what fills
// the first line, and for inner scales of six bits, a byte each here.
namespace engine::kernels {

inline constexpr std::size_t kLineBytes = 64;
inline constexpr std::size_t kLineInputs = 4;

// Codes may be any signed byte.
constexpr bool has_byte_codes(gguf::TensorType type) {
  using enum gguf::TensorType;
  return type == Q8_0 || type == IQ4_NL || type == IQ4_XS;
}

// Nibbles stand for values of a table.
constexpr bool has_table(gguf::TensorType type) {
  using enum gguf::TensorType;
  return type == IQ4_NL || type == IQ4_XS || type == MXFP4;
}

// What codes have more than they stand for, so that none is negative.
constexpr int code_offset(gguf::TensorType type) {
  using enum gguf::TensorType;
  if (has_byte_codes(type)) return 128;
  if (type == Q6_K) return quant::kQ6KOffset;
  if (type == Q5_0 || type == MXFP4) return 16;
  if (type == Q4_0) return 8;
  if (type == Q3_K) return 4;
  return 0;
}

// With its offset.
constexpr int largest_code(gguf::TensorType type) {
  using enum gguf::TensorType;
  if (type == Q8_0) return 255;
  if (has_table(type)) {
    return (type == MXFP4 ? quant::kFloatValues[7] : quant::kUnevenValues[15]) + code_offset(type);
  }
  if (type == Q6_K) return 63;
  if (type == Q5_0 || type == Q5_1 || type == Q5_K) return 31;
  if (type == Q3_K) return 7;
  if (type == Q2_K) return 3;
  return 15;
}

// Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 IQ4_NL MXFP4: 64 inputs of 16 rows, two blocks. An odd last block leaves the second one
// zero.
//   f16 scale[2][16], for MXFP4 as bfloats, which have its range; f16 minimum[2][16] (Q4_1, Q5_1 only); then the codes
//   of either block:
//   Q8_0  8 lines, one a group of inputs; codes are unsigned, 128 more than in the file
//   else  4 lines of nibbles, groups i (low) and i + 4 (high); Q5: 1 line, bit g is the fifth bit of group g
template <gguf::TensorType kType>
struct BlockUnit {
  static constexpr bool kMinimum = quant::has_minimum(kType);
  static constexpr bool kFiveBits = kType == gguf::TensorType::Q5_0 || kType == gguf::TensorType::Q5_1;
  static constexpr bool kByteLines = kType == gguf::TensorType::Q8_0;
  static constexpr std::size_t kMinimumAt = kLineBytes;
  static constexpr std::size_t kCodesAt = (kMinimum ? 2 : 1) * kLineBytes;
  static constexpr std::size_t kBlockCodeBytes = (kByteLines ? 8 : kFiveBits ? 5 : 4) * kLineBytes;
  static constexpr std::size_t kFifthBitsAt = 4 * kLineBytes;  // within a block's codes
  static constexpr std::size_t kBytes = kCodesAt + 2 * kBlockCodeBytes;
};

// Of each byte of a line, the bits from `bit` on.
struct BitPlace {
  std::size_t line;
  int bit;
};

// Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_XS: 256 inputs of 16 rows, in eight sub-blocks of 32.
//   f16 scale[16], minimum[16] (0 for the types without one)
//   Q2_K        u8 scales[16][16], in low nibbles, with minimums in high ones
//   Q3_K, Q6_K  i8 scales[16][16]
//   Q4_K, Q5_K  u8 scales[8][16], minimums[8][16]
//   IQ4_XS      i8 scales[8][16]
// then lines of the codes' lowest bits and of the bits above, see code_place() and high_place().
template <gguf::TensorType kType>
struct SuperBlockUnit {
  using enum gguf::TensorType;
  static constexpr bool kMinimum = quant::has_minimum(kType);
  // Inputs that share an inner scale.
  static constexpr std::size_t kScaleInputs = kType == Q4_K || kType == Q5_K || kType == IQ4_XS ? 32 : 16;
  static constexpr int kLargestScale = kType == Q6_K                      ? 128
                                       : kType == Q4_K || kType == Q5_K   ? 63
                                       : kType == Q3_K || kType == IQ4_XS ? 32
                                                                          : 15;
  static constexpr std::size_t kScaleBytes = kType == IQ4_XS ? 8 : 16;  // of a row
  static constexpr int kLowBits = kType == Q2_K || kType == Q3_K ? 2 : 4;
  static constexpr int kHighBits = kType == Q6_K ? 2 : kType == Q3_K || kType == Q5_K ? 1 : 0;
  static constexpr std::size_t kLowLines = 8 * kLowBits;
  static constexpr std::size_t kHighLines = 8 * kHighBits;
  static constexpr std::size_t kMinimumAt = kGroupRows * sizeof(std::uint16_t);
  static constexpr std::size_t kScalesAt = kLineBytes;
  static constexpr std::size_t kMinimumsAt = kScalesAt + 8 * kGroupRows;  // Q4_K, Q5_K
  static constexpr std::size_t kCodesAt = kScalesAt + kScaleBytes * kGroupRows;
  static constexpr std::size_t kHighBitsAt = kCodesAt + kLowLines * kLineBytes;
  static constexpr std::size_t kBytes = kHighBitsAt + kHighLines * kLineBytes;

  // Of group g of sub-block j. Of sub-blocks that share a line the first has its lowest bits; in IQ4_XS groups do.
  static constexpr BitPlace code_place(std::size_t j, std::size_t g) {
    switch (kType) {
      case Q2_K:
      case Q3_K:
        return {j / 4 * 8 + g, static_cast<int>(j % 4 * 2)};
      case Q6_K:
        return {(8 * j + g) % 32, j < 4 ? 0 : 4};
      case IQ4_XS:
        return {4 * j + g % 4, g < 4 ? 0 : 4};
      default:
        return {j / 2 * 8 + g, static_cast<int>(j % 2 * 4)};
    }
  }
  static constexpr BitPlace high_place(std::size_t j, std::size_t g) {
    if (kType == Q6_K) return {(8 * j + g) % 16, static_cast<int>(j / 2 * 2)};
    return {g, static_cast<int>(j)};
  }
};

// Calls action.template operator()<type>() for the matrix's type.
template <typename Action>
decltype(auto) with_type(gguf::TensorType type, Action&& action) {
  using gguf::TensorType;
  switch (type) {
    case TensorType::F32:
      return action.template operator()<TensorType::F32>();
    case TensorType::F16:
      return action.template operator()<TensorType::F16>();
    case TensorType::BF16:
      return action.template operator()<TensorType::BF16>();
    case TensorType::Q4_0:
      return action.template operator()<TensorType::Q4_0>();
    case TensorType::Q4_1:
      return action.template operator()<TensorType::Q4_1>();
    case TensorType::Q5_0:
      return action.template operator()<TensorType::Q5_0>();
    case TensorType::Q5_1:
      return action.template operator()<TensorType::Q5_1>();
    case TensorType::Q8_0:
      return action.template operator()<TensorType::Q8_0>();
    case TensorType::Q2_K:
      return action.template operator()<TensorType::Q2_K>();
    case TensorType::Q3_K:
      return action.template operator()<TensorType::Q3_K>();
    case TensorType::Q4_K:
      return action.template operator()<TensorType::Q4_K>();
    case TensorType::Q5_K:
      return action.template operator()<TensorType::Q5_K>();
    case TensorType::IQ4_NL:
      return action.template operator()<TensorType::IQ4_NL>();
    case TensorType::IQ4_XS:
      return action.template operator()<TensorType::IQ4_XS>();
    case TensorType::MXFP4:
      return action.template operator()<TensorType::MXFP4>();
    case TensorType::Q6_K:
      break;
  }
  return action.template operator()<TensorType::Q6_K>();
}

constexpr bool is_float_type(gguf::TensorType type) {
  return type == gguf::TensorType::F32 || type == gguf::TensorType::F16 || type == gguf::TensorType::BF16;
}

std::size_t panel_bytes(const Matrix& matrix);
// Fills the groups' part of matrix.packed; rows beyond the matrix stay zero. False where quant::all_finite() is for the
// rows that were packed.
bool pack_panels(Matrix& matrix, std::size_t group_begin, std::size_t group_end);

}  // namespace engine::kernels
