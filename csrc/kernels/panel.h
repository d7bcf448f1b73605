#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/matrix.h"

// Packed weights: 16 output rows side by side, 4 consecutive inputs of each row together, so that one 64-byte line
// times four broadcast input codes advances 16 dot products at once and no horizontal addition is ever needed. Codes
// keep the bits they have in the file: lines of nibbles hold two groups of 4 inputs, and further bits lie in lines of
// their own. Every part begins on a line; sizes are those of the file but for the inner scales of the K types, a byte
// each here.
namespace engine::kernels {

inline constexpr std::size_t kLineBytes = 64;
inline constexpr std::size_t kLineInputs = 4;

// Q8_0 Q4_0 Q4_1 Q5_0 Q5_1: 64 inputs of 16 rows, two blocks. An odd last block leaves the second one zero.
//   f16 scale[2][16]; f16 minimum[2][16] (Q4_1, Q5_1 only); then the codes of either block:
//   Q8_0  8 lines, one a group of inputs; codes are unsigned, 128 more than in the file
//   else  4 lines of nibbles, groups i (low) and i + 4 (high); Q5: 1 line, bit g is the fifth bit of group g
template <gguf::TensorType kType>
struct BlockUnit {
  static constexpr bool kMinimum = kType == gguf::TensorType::Q4_1 || kType == gguf::TensorType::Q5_1;
  static constexpr bool kFiveBits = kType == gguf::TensorType::Q5_0 || kType == gguf::TensorType::Q5_1;
  static constexpr bool kByteCodes = kType == gguf::TensorType::Q8_0;
  // Taken from every code.
  static constexpr int kOffset = kByteCodes                        ? 128
                                 : kType == gguf::TensorType::Q5_0 ? 16
                                 : kType == gguf::TensorType::Q4_0 ? 8
                                                                   : 0;
  static constexpr std::size_t kMinimumAt = kLineBytes;
  static constexpr std::size_t kCodesAt = (kMinimum ? 2 : 1) * kLineBytes;
  static constexpr std::size_t kBlockCodeBytes = (kByteCodes ? 8 : kFiveBits ? 5 : 4) * kLineBytes;
  static constexpr std::size_t kFifthBitsAt = 4 * kLineBytes;  // within a block's codes
  static constexpr std::size_t kBytes = kCodesAt + 2 * kBlockCodeBytes;
};

// Q4_K Q5_K Q6_K: 256 inputs of 16 rows.
//   f16 scale[16], minimum[16] (0 for Q6_K)
//   Q4_K, Q5_K  u8 scales[8][16], minimums[8][16]; 32 lines of nibbles, line 8p + g holding group g of sub-blocks 2p
//   (low)
//               and 2p + 1 (high); Q5_K: 8 lines, bit j of line g is the fifth bit of group g of sub-block j
//   Q6_K        i8 scales[16][16]; 32 lines of nibbles, groups i (low) and i + 32 (high); 16 lines of the fifth and
//   sixth
//               bits of groups i, i + 16, i + 32, i + 48, lowest bits first
template <gguf::TensorType kType>
struct SuperBlockUnit {
  static constexpr std::size_t kMinimumAt = kGroupRows * sizeof(std::uint16_t);
  static constexpr std::size_t kScalesAt = kLineBytes;
  static constexpr std::size_t kMinimumsAt = kScalesAt + 8 * kGroupRows;
  static constexpr std::size_t kNibblesAt = kScalesAt + 16 * kGroupRows;
  static constexpr std::size_t kHighBitsAt = kNibblesAt + 32 * kLineBytes;
  static constexpr std::size_t kHighLines = kType == gguf::TensorType::Q6_K   ? 16
                                            : kType == gguf::TensorType::Q5_K ? 8
                                                                              : 0;
  static constexpr std::size_t kBytes = kHighBitsAt + kHighLines * kLineBytes;
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
    case TensorType::Q4_K:
      return action.template operator()<TensorType::Q4_K>();
    case TensorType::Q5_K:
      return action.template operator()<TensorType::Q5_K>();
    case TensorType::Q6_K:
      break;
  }
  return action.template operator()<TensorType::Q6_K>();
}

constexpr bool is_float_type(gguf::TensorType type) {
  return type == gguf::TensorType::F32 || type == gguf::TensorType::F16 || type == gguf::TensorType::BF16;
}
constexpr bool is_k_type(gguf::TensorType type) {
  return type == gguf::TensorType::Q4_K || type == gguf::TensorType::Q5_K || type == gguf::TensorType::Q6_K;
}

std::size_t panel_bytes(const Matrix& matrix);
// Fills the groups' part of matrix.packed; rows beyond the matrix stay zero.
void pack_panels(Matrix& matrix, std::size_t group_begin, std::size_t group_end);

}  // namespace engine::kernels
