#include <algorithm>
#include <cmath>

#include "base/float16.h"
#include "kernels/reference/kernels.h"
#include "quant/block.h"

// Every output owns its whole reduction: blocks in ascending order, an exact integer dot product inside each block,
// one fused multiply-add per block.
namespace engine::kernels::reference {
namespace {

using quant::kBlock;
using quant::kSuperBlock;

float dot_blocks(const Matrix& matrix, const std::byte* row, const Activations& input, std::size_t t) {
  const std::size_t blocks = matrix.columns / kBlock;
  const gguf::TypeTraits& traits = gguf::type_traits(matrix.type);
  float products = 0.0F;
  float minimums = 0.0F;
  for (std::size_t b = 0; b < blocks; ++b) {
    const quant::Block block = quant::decode_block(traits, row + b * traits.block_bytes);
    const std::size_t first = t * input.columns + b * kBlock;
    int sum = 0;
    for (std::size_t e = 0; e < kBlock; ++e) {
      const int multiplier = 1 << input.shifts[(first + e) / kBlockPart];
      sum += block.values[e] * multiplier * input.codes[first + e];
    }
    const std::size_t at = t * blocks + b;
    products = std::fma(block.scale * input.scales[at], static_cast<float>(sum), products);
    minimums = std::fma(block.minimum, input.scaled_sums[at], minimums);
  }
  return traits.has_minimum ? products + minimums : products;
}

float dot_super_blocks(const Matrix& matrix, const std::byte* row, const Activations& input, std::size_t t) {
  const std::size_t blocks = matrix.columns / kSuperBlock;
  const gguf::TypeTraits& traits = gguf::type_traits(matrix.type);
  float products = 0.0F;
  float minimums = 0.0F;
  for (std::size_t b = 0; b < blocks; ++b) {
    const quant::SuperBlock block = quant::decode_super_block(traits, row + b * traits.block_bytes);
    const std::size_t first = t * input.columns + b * kSuperBlock;
    int sum = 0;
    int minimum_sum = 0;
    for (std::size_t e = 0; e < kSuperBlock; ++e) {
      const int x = (1 << input.shifts[(first + e) / kSuperBlockPart]) * input.codes[first + e];
      sum += block.scales[e / 16] * block.values[e] * x;
      minimum_sum += block.minimums[e / 16] * x;
    }
    const float input_scale = input.scales[t * blocks + b];
    products = std::fma(block.scale * input_scale, static_cast<float>(sum), products);
    minimums = std::fma(block.minimum * input_scale, static_cast<float>(minimum_sum), minimums);
  }
  return products - minimums;
}

float dot_floats(const Matrix& matrix, const std::byte* row, const Activations& input, std::size_t t) {
  const std::size_t element_bytes = gguf::type_traits(matrix.type).block_bytes;
  const float* x = input.values + t * input.columns;
  float sum = 0.0F;
  for (std::size_t k = 0; k < matrix.columns; ++k) {
    float weight = 0.0F;
    quant::dequantize_row(matrix.type, row + k * element_bytes, 1, &weight);
    sum = std::fma(weight, x[k], sum);
  }
  return sum;
}

}  // namespace

void multiply(const Matrix& matrix, const Activations& input, std::size_t token_rows, std::size_t group_begin,
              std::size_t group_end, float* out, std::size_t out_stride, std::byte* /*scratch*/) {
  const std::size_t end = std::min(group_end * kGroupRows, matrix.rows);
  for (std::size_t r = group_begin * kGroupRows; r < end; ++r) {
    const std::byte* row = matrix.raw.data() + r * matrix.row_bytes();
    for (std::size_t t = 0; t < token_rows; ++t) {
      float& result = out[t * out_stride + r];
      switch (matrix.activation_format()) {
        case ActivationFormat::F32:
          result = dot_floats(matrix, row, input, t);
          break;
        case ActivationFormat::Q8Block:
          result = dot_blocks(matrix, row, input, t);
          break;
        case ActivationFormat::Q8SuperBlock:
          result = dot_super_blocks(matrix, row, input, t);
          break;
      }
    }
  }
}

}  // namespace engine::kernels::reference
