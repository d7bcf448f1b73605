#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/gemm/matrix.h"
#include "kernels/gemm/unroll.h"
#include "quant/block.h"

// Packed weights: 16 output rows side by side, 4 consecutive inputs of each row together, so that one 64-byte line
// times four broadcast input codes advances 16 dot products at once and no horizontal addition is ever needed. Codes
// keep the bits they have in the file: lines of nibbles hold two groups of 4 inputs, lines of pairs of bits four, and
// further bits lie in lines of their own. Every part begins on a line; sizes are those of the file but for what fills
// the first line, and for inner scales of six bits, a byte each here.
namespace engine::kernels {

inline constexpr std::size_t kLineBytes = 64;
inline constexpr std::size_t kLineInputs = 4;

// Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 IQ4_NL MXFP4: 64 inputs of 16 rows, two blocks. An odd last block leaves the second one
// zero.
//   f16 scale[2][16], for MXFP4 as bfloats, which have its range; f16 minimum[2][16] (Q4_1, Q5_1 only); then the codes
//   of either block:
//   Q8_0  8 lines, one a group of inputs; codes are unsigned, 128 more than in the file
//   else  4 lines of nibbles, groups i (low) and i + 4 (high); Q5: 1 line, bit g is the fifth bit of group g
template <gguf::TensorType kType>
struct BlockUnit {
  static constexpr const gguf::TypeTraits& kTraits = gguf::kTraits<kType>;
  static constexpr bool kMinimum = kTraits.has_minimum;
  static constexpr bool kFiveBits = kTraits.high.bits == 1;
  static constexpr bool kByteLines = kTraits.low.bits == 8;
  static constexpr std::size_t kMinimumAt = kLineBytes;
  static constexpr std::size_t kCodesAt = (kMinimum ? 2 : 1) * kLineBytes;
  static constexpr std::size_t kBlockCodeBytes = (kByteLines ? 8 : kFiveBits ? 5 : 4) * kLineBytes;
  static constexpr std::size_t kFifthBitsAt = 4 * kLineBytes;  // within a block's codes
  static constexpr std::size_t kBytes = kCodesAt + 2 * kBlockCodeBytes;
};

// The bits of every byte of a line from `bit` on.
struct BitPlace {
  std::size_t line;
  int bit;
};

// Q2_K Q3_K Q4_K Q5_K Q6_K, IQ and TQ: 256 inputs of 16 rows, in eight sub-blocks of 32.
//   f16 scale[16], minimum[16] (0 for the types without one)
//   Q2_K        u8 scales[16][16], in low nibbles, with minimums in high ones
//   Q3_K, Q6_K  i8 scales[16][16]
//   Q4_K, Q5_K  u8 scales[8][16], minimums[8][16]
//   IQ4_XS, IQ1_S, IQ2_XXS, IQ3  i8 scales[8][16]
//   IQ1_M, IQ2_XS, IQ2_S         i8 scales[16][16]
//   TQ          nothing
// then lines of the codes' lowest bits and of the bits above: four bytes of the file's block are a row's word of a
// line. Points of grids are looked up, and digits to base 3 divided, once and for all: their codes lie here in planes.
template <gguf::TensorType kType>
struct SuperBlockUnit {
  static constexpr const gguf::TypeTraits& kTraits = gguf::kTraits<kType>;
  static constexpr bool kMinimum = kTraits.has_minimum;
  // Minimums of their own, not in one byte with the scales.
  static constexpr bool kMinimumBytes = kTraits.inner_scales.format == gguf::InnerScales::Format::SixBits;
  static constexpr std::size_t kScaleInputs = kTraits.inner_scales.elements;
  static constexpr std::size_t kScales = quant::kSuperBlock / kScaleInputs;
  static constexpr bool kOnlyScale = kTraits.inner_scales.format == gguf::InnerScales::Format::None;
  static constexpr std::size_t kScaleBytes = kOnlyScale ? 0 : kScales * (kMinimumBytes ? 2 : 1);  // for a row
  static constexpr std::size_t kLowLines = 8 * static_cast<std::size_t>(kTraits.low.bits);
  static constexpr std::size_t kHighLines = 8 * static_cast<std::size_t>(kTraits.high.bits);
  static constexpr std::size_t kMinimumAt = kGroupRows * sizeof(std::uint16_t);
  static constexpr std::size_t kScalesAt = kLineBytes;
  static constexpr std::size_t kMinimumsAt = kScalesAt + kScales * kGroupRows;
  static constexpr std::size_t kCodesAt = kScalesAt + kScaleBytes * kGroupRows;
  static constexpr std::size_t kHighBitsAt = kCodesAt + kLowLines * kLineBytes;
  static constexpr std::size_t kBytes = kHighBitsAt + kHighLines * kLineBytes;

  // Where lines have codes: as the file's blocks, but for Q6_K. Its runs are twice as long, so that sub-blocks go on to
  // new lines for longer before they share them: decoding from memory is faster so.
  static constexpr bool kRearranged = kTraits.low.run > quant::kBlock;
  static constexpr gguf::CodeBits kLow{0, kTraits.low.bits, kTraits.low.run * (kRearranged ? 2 : 1)};
  static constexpr gguf::CodeBits kHigh{0, kTraits.high.bits, kTraits.high.run * (kRearranged ? 2 : 1)};

  // The place of group g of sub-block j.
  static constexpr BitPlace place(const gguf::CodeBits& field, std::size_t j, std::size_t g) {
    const gguf::CodeBits::Place place = field.place(quant::kBlock * j + kLineInputs * g);
    return {place.byte / kLineInputs, place.bit};
  }
  // Moves the codes of one row, four in a word, from one arrangement to another; `to` begins as zeros.
  template <gguf::CodeBits kFrom, gguf::CodeBits kTo>
  static void rearrange(const std::uint32_t* from, std::uint32_t* to) {
    constexpr std::uint32_t kMask = ((1u << kFrom.bits) - 1) * 0x01010101u;
    unroll<8>([&](auto j) {
      constexpr BitPlace kSource = place(kFrom, j, 0);
      constexpr BitPlace kTarget = place(kTo, j, 0);
      for (std::size_t g = 0; g < 8; ++g) {
        to[kTarget.line + g] |= ((from[kSource.line + g] >> kSource.bit) & kMask) << kTarget.bit;
      }
    });
  }
};

// The type whose products serve: packed lines that are equal have the same, which are compiled once.
[[gnu::always_inline]] constexpr gguf::TensorType product_type(gguf::TensorType type) {
  if (type == gguf::TensorType::IQ2_S) return gguf::TensorType::IQ2_XS;
  if (type == gguf::TensorType::TQ1_0) return gguf::TensorType::TQ2_0;
  return type;
}

std::size_t panel_bytes(const Matrix& matrix);
// Fills the groups' part of matrix.packed; rows beyond the matrix stay zero. False where quant::all_finite() is for the
// rows that were packed.
bool pack_panels(Matrix& matrix, std::size_t group_begin, std::size_t group_end);

}  // namespace engine::kernels
