#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/matrix.h"

// Packed weights: 16 output rows side by side, 4 consecutive inputs of each row together, so that one 64-byte line
// times four broadcast input codes advances 16 dot products at once and no horizontal addition is ever needed.
namespace engine::kernels {

inline constexpr std::size_t kLineInputs = 4;

using Line = std::uint8_t[kGroupRows][kLineInputs];

// 32 inputs of 16 rows, for the 32-element types. Q8_0 codes are signed bytes, all others unsigned.
struct BlockPanel {
  std::uint16_t scale[kGroupRows];    // f16
  std::uint16_t minimum[kGroupRows];  // f16, 0 for the symmetric types
  Line codes[8];
};
static_assert(sizeof(BlockPanel) == 576);

// 256 inputs of 16 rows, for the K types.
struct SuperBlockPanel {
  std::uint16_t scale[kGroupRows];         // f16
  std::uint16_t minimum[kGroupRows];       // f16, 0 for Q6_K
  union {                                  // NOLINT
    std::int8_t scales16[16][kGroupRows];  // Q6_K: per 16 inputs
    struct {
      std::uint8_t scales32[8][kGroupRows];  // Q4_K, Q5_K: per 32 inputs
      std::uint8_t minimums32[8][kGroupRows];
    };
  };
  Line codes[64];
};
static_assert(sizeof(SuperBlockPanel) == 4416);

std::size_t panel_bytes(const Matrix& matrix);
// Fills the groups' part of matrix.packed; rows beyond the matrix are zero.
void pack_panels(Matrix& matrix, std::size_t group_begin, std::size_t group_end);

}  // namespace engine::kernels
