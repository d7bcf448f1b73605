#include "kernels/panel.h"

#include <algorithm>
#include <cstring>

#include "base/float16.h"
#include "quant/block.h"

namespace engine::kernels {
namespace {

using gguf::TensorType;

// Codes of one row, spread over the lines of a panel.
void scatter(const std::uint8_t* codes, std::size_t count, std::size_t lane, Line* lines) {
  for (std::size_t i = 0; i < count / kLineInputs; ++i) {
    std::memcpy(lines[i][lane], codes + i * kLineInputs, kLineInputs);
  }
}

void pack_block(TensorType type, const std::byte* source, std::size_t lane, BlockPanel& panel) {
  const quant::Block block = quant::decode_block(type, source);
  panel.scale[lane] = half_from_float(block.scale);
  panel.minimum[lane] = half_from_float(block.minimum);
  scatter(block.codes.data(), block.codes.size(), lane, panel.codes);
}

void pack_super_block(TensorType type, const std::byte* source, std::size_t lane, SuperBlockPanel& panel) {
  const quant::SuperBlock block = quant::decode_super_block(type, source);
  panel.scale[lane] = half_from_float(block.scale);
  panel.minimum[lane] = half_from_float(block.minimum);
  if (type == TensorType::Q6_K) {
    for (std::size_t j = 0; j < 16; ++j) panel.scales16[j][lane] = block.scales[j];
  } else {
    for (std::size_t j = 0; j < 8; ++j) {
      panel.scales32[j][lane] = static_cast<std::uint8_t>(block.scales[j]);
      panel.minimums32[j][lane] = block.minimums[j];
    }
  }
  scatter(block.codes.data(), block.codes.size(), lane, panel.codes);
}

// [columns, 16] in the element type of the file.
void pack_elements(const std::byte* source, std::size_t columns, std::size_t element_bytes, std::size_t lane,
                   std::byte* panel) {
  for (std::size_t k = 0; k < columns; ++k) {
    std::memcpy(panel + (k * kGroupRows + lane) * element_bytes, source + k * element_bytes, element_bytes);
  }
}

std::size_t group_bytes(const Matrix& matrix) {
  switch (matrix.activation_format()) {
    case ActivationFormat::F32:
      return matrix.columns * kGroupRows * gguf::type_traits(matrix.type).block_bytes;
    case ActivationFormat::Q8Block:
      return matrix.columns / quant::kBlock * sizeof(BlockPanel);
    case ActivationFormat::Q8SuperBlock:
      break;
  }
  return matrix.columns / quant::kSuperBlock * sizeof(SuperBlockPanel);
}

void pack_row(const Matrix& matrix, std::size_t row, std::byte* group) {
  const std::size_t lane = row % kGroupRows;
  const gguf::TypeTraits& traits = gguf::type_traits(matrix.type);
  const std::byte* source = matrix.raw.data() + row * matrix.row_bytes();
  if (matrix.activation_format() == ActivationFormat::F32) {
    pack_elements(source, matrix.columns, traits.block_bytes, lane, group);
    return;
  }
  const std::size_t blocks = matrix.columns / traits.block_elements;
  for (std::size_t b = 0; b < blocks; ++b, source += traits.block_bytes) {
    if (matrix.activation_format() == ActivationFormat::Q8Block) {
      pack_block(matrix.type, source, lane, reinterpret_cast<BlockPanel*>(group)[b]);
    } else {
      pack_super_block(matrix.type, source, lane, reinterpret_cast<SuperBlockPanel*>(group)[b]);
    }
  }
}

}  // namespace

std::size_t panel_bytes(const Matrix& matrix) { return matrix.groups() * group_bytes(matrix); }

void pack_panels(Matrix& matrix, std::size_t group_begin, std::size_t group_end) {
  const std::size_t bytes = group_bytes(matrix);
  for (std::size_t g = group_begin; g < group_end; ++g) {
    const std::size_t end = std::min((g + 1) * kGroupRows, matrix.rows);
    for (std::size_t row = g * kGroupRows; row < end; ++row) pack_row(matrix, row, matrix.packed.data() + g * bytes);
  }
}

}  // namespace engine::kernels
