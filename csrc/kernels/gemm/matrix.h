#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "gguf/tensor_type.h"

namespace engine::kernels {

// Output rows that one kernel call computes together: one SIMD lane each.
inline constexpr std::size_t kGroupRows = 16;

// How a weight matrix wants its input: as floats, or as 8-bit codes with a scale per 32 or per 256 elements.
enum class ActivationFormat { F32, Q8Block, Q8SuperBlock };

// A weight matrix [rows, columns]: `raw` is as in the file, `packed` what the kernel table made of it; either may be
// empty. The owner of the weights owns the memory of both.
struct Matrix {
  gguf::TensorType type{};
  std::size_t rows = 0;
  std::size_t columns = 0;
  std::span<const std::byte> raw;
  std::span<std::byte> packed;  // begins on a cache line

  std::size_t groups() const { return (rows + kGroupRows - 1) / kGroupRows; }
  std::size_t row_bytes() const {  // each row of `raw`
    const gguf::TypeTraits& traits = gguf::type_traits(type);
    return columns / traits.block_elements * traits.block_bytes;
  }
  ActivationFormat activation_format() const {
    switch (gguf::type_traits(type).block_elements) {
      case 1:
        return ActivationFormat::F32;
      case 32:
        return ActivationFormat::Q8Block;
      default:
        return ActivationFormat::Q8SuperBlock;
    }
  }
};

// Quantized inputs are block floating point: a block of 32 (or 256) values shares a float scale, and each part of it,
// 16 (or 32) values, has an integer multiplier, a power of two up to 8, so that
//   value = scale * multiplier * code.
// A part without the block's largest values has the smaller multiplier and so the finer codes: one outlier does not
// cost the whole block its precision, and the dot product stays an exact integer.
inline constexpr std::size_t kBlockPart = 16;
inline constexpr std::size_t kSuperBlockPart = 32;
inline constexpr int kMaxShift = 3;  // multipliers up to 8 keep 256 products of the widest codes within 32 bits

// A block whose values are all smaller counts as zero: its scale would be too small for a float, the inverse too large.
inline constexpr float kLeastMagnitude = 0x1p-100F;

// Input rows [token_rows, columns] in the format the matrix wants; pointers of the other formats are not read.
// Every row is quantized for itself, so that no result depends on which rows share a call.
struct Activations {
  std::size_t columns = 0;
  const float* values = nullptr;         // [token_rows, columns]
  const std::int8_t* codes = nullptr;    // [token_rows, columns]
  const std::int32_t* shifts = nullptr;  // [token_rows, columns / part], multiplier = 1 << shift
  const float* scales = nullptr;         // [token_rows, columns / block]
  // Sums of multiplier * code. Q8Block:
  const std::int32_t* block_sums = nullptr;  // [token_rows, columns / 32]
  const float* scaled_sums = nullptr;        // [token_rows, columns / 32], scale * sum
  // Q8SuperBlock:
  const std::int16_t* half_sums = nullptr;  // [token_rows, columns / 16], of the halves of parts
  const std::int16_t* part_sums = nullptr;  // [token_rows, columns / 32]
  // For products of tiles: multiplier * code as 8 * high + low, low from 0 to 7. [token_rows, plane_stride(columns)],
  // 64 high parts and their 64 low ones in turn. Null where there are none; else kTileRows rows more than token_rows
  // may be read of them, of scales and of sums.
  const std::int8_t* planes = nullptr;
};

// Tokens of a tile, and the fewest that are multiplied in tiles.
inline constexpr std::size_t kTileRows = 16;
inline constexpr std::size_t kFewestTileRows = 32;

// From a row of planes to the next: a line more than they take, so that those of wide rows share no set of a cache.
constexpr std::size_t plane_stride(std::size_t columns) { return 2 * columns + 64; }

// What KernelTable::multiply may write of its scratch: unpacked codes, factors and scales of two groups, or what tiles
// need.
inline constexpr std::size_t kTileScratchBytes = 128 << 10;
constexpr std::size_t multiply_scratch_bytes(std::size_t columns) {
  return std::max(2 * ((columns + 255) / 256 * 256) * 24, kTileScratchBytes);
}

}  // namespace engine::kernels
