#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/aligned_buffer.h"
#include "gguf/tensor_type.h"

namespace engine::kernels {

// Output rows that one kernel call computes together: one SIMD lane each.
inline constexpr std::size_t kGroupRows = 16;

// How a weight matrix wants its input: as floats, or as 8-bit codes with a scale per 32 or per 256 elements.
enum class ActivationFormat { F32, Q8Block, Q8SuperBlock };

// A weight matrix [rows, columns]: `raw` are the bytes of the file, `packed` what the kernel table made of them.
struct Matrix {
  gguf::TensorType type{};
  std::size_t rows = 0;
  std::size_t columns = 0;
  std::span<const std::byte> raw;
  AlignedBuffer packed;

  std::size_t groups() const { return (rows + kGroupRows - 1) / kGroupRows; }
  std::size_t row_bytes() const { return raw.size() / rows; }
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

// Input rows [token_rows, columns] in the format the matrix wants; pointers of the other formats are not read.
// Every row is quantized for itself, so that no result depends on which rows share a call.
struct Activations {
  std::size_t columns = 0;
  const float* values = nullptr;       // [token_rows, columns]
  const std::int8_t* codes = nullptr;  // [token_rows, columns]
  const float* scales = nullptr;       // Q8Block: [token_rows, columns / 32]; Q8SuperBlock: [token_rows, columns / 256]
  const float* scaled_sums = nullptr;  // Q8Block: [token_rows, columns / 32], scale * sum of the block's codes
  const std::int16_t* sums = nullptr;  // sums of codes; Q8Block: [.., columns / 32]; Q8SuperBlock: [.., columns / 16]
};

}  // namespace engine::kernels
