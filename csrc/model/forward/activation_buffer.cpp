#include "model/forward/activation_buffer.h"

#include <algorithm>

#include "base/checked.h"
#include "kernels/kernel_table.h"
#include "quant/block.h"

namespace engine::model {

using kernels::ActivationFormat;
using quant::kBlock;
using quant::kSuperBlock;

ActivationBuffer::ActivationBuffer(std::size_t max_rows, std::size_t max_width, const kernels::KernelTable& table)
    : ActivationBuffer(table.split_codes == nullptr ? max_rows : max_rows + kernels::kTileRows, max_width,
                       table.split_codes != nullptr) {}

ActivationBuffer::ActivationBuffer(std::size_t rows, std::size_t max_width, bool planes)
    : values_(rows * max_width * sizeof(float)),
      block_codes_(rows * max_width),
      block_shifts_(rows * divide_up(max_width, kernels::kBlockPart) * sizeof(std::int32_t)),
      block_scales_(rows * divide_up(max_width, kBlock) * sizeof(float)),
      block_scaled_sums_(rows * divide_up(max_width, kBlock) * sizeof(float)),
      block_sums_(rows * divide_up(max_width, kBlock) * sizeof(std::int32_t)),
      super_codes_(rows * max_width),
      super_shifts_(rows * divide_up(max_width, kernels::kSuperBlockPart) * sizeof(std::int32_t)),
      super_scales_(rows * divide_up(max_width, kSuperBlock) * sizeof(float)),
      super_half_sums_(rows * divide_up(max_width, kernels::kSuperBlockPart / 2) * sizeof(std::int16_t)),
      super_part_sums_(rows * divide_up(max_width, kernels::kSuperBlockPart) * sizeof(std::int16_t)),
      super_planes_(planes ? rows * kernels::plane_stride(max_width) : 0) {}

std::size_t ActivationBuffer::row_bytes(std::size_t max_width) {
  const auto parts = [&](std::size_t part, std::size_t bytes) { return divide_up(max_width, part) * bytes; };
  const std::size_t values = max_width * sizeof(float);
  const std::size_t blocks = max_width + parts(kernels::kBlockPart, sizeof(std::int32_t)) +
                             2 * parts(kBlock, sizeof(float)) + parts(kBlock, sizeof(std::int32_t));
  const std::size_t super_blocks =
      max_width + parts(kernels::kSuperBlockPart, sizeof(std::int32_t)) + parts(kSuperBlock, sizeof(float)) +
      parts(kernels::kSuperBlockPart / 2, sizeof(std::int16_t)) + parts(kernels::kSuperBlockPart, sizeof(std::int16_t));
  return values + blocks + super_blocks;
}

void ActivationBuffer::set(std::size_t index, std::size_t width, const float* x, ActivationFormat format,
                           const kernels::KernelTable& table) {
  if (format == ActivationFormat::F32) {
    std::copy_n(x, width, values_.as<float>() + index * width);
    return;
  }
  if (format == ActivationFormat::Q8Block) {
    table.quantize_blocks(x, width, block_row(index, width));
    return;
  }
  const kernels::QuantizedRow row = super_block_row(index, width);
  table.quantize_super_blocks(x, width, row);
  if (super_planes_.size() == 0) return;
  table.split_codes(row, width, super_planes_.as<std::int8_t>() + index * kernels::plane_stride(width));
}

kernels::QuantizedRow ActivationBuffer::block_row(std::size_t index, std::size_t width) {
  const std::size_t blocks = index * (width / kBlock);
  return {.codes = block_codes_.as<std::int8_t>() + index * width,
          .shifts = block_shifts_.as<std::int32_t>() + index * (width / kernels::kBlockPart),
          .scales = block_scales_.as<float>() + blocks,
          .block_sums = block_sums_.as<std::int32_t>() + blocks,
          .scaled_sums = block_scaled_sums_.as<float>() + blocks,
          .half_sums = nullptr,
          .part_sums = nullptr};
}

kernels::QuantizedRow ActivationBuffer::super_block_row(std::size_t index, std::size_t width) {
  return {.codes = super_codes_.as<std::int8_t>() + index * width,
          .shifts = super_shifts_.as<std::int32_t>() + index * (width / kernels::kSuperBlockPart),
          .scales = super_scales_.as<float>() + index * (width / kSuperBlock),
          .block_sums = nullptr,
          .scaled_sums = nullptr,
          .half_sums = super_half_sums_.as<std::int16_t>() + index * (width / (kernels::kSuperBlockPart / 2)),
          .part_sums = super_part_sums_.as<std::int16_t>() + index * (width / kernels::kSuperBlockPart)};
}

kernels::Activations ActivationBuffer::view(std::size_t width, ActivationFormat format, std::size_t first) const {
  const auto from = [&](const auto* rows, std::size_t part) { return rows + first * (width / part); };
  kernels::Activations view;
  view.columns = width;
  view.values = from(values_.as<float>(), 1);
  if (format == ActivationFormat::Q8Block) {
    view.codes = from(block_codes_.as<std::int8_t>(), 1);
    view.shifts = from(block_shifts_.as<std::int32_t>(), kernels::kBlockPart);
    view.scales = from(block_scales_.as<float>(), kBlock);
    view.scaled_sums = from(block_scaled_sums_.as<float>(), kBlock);
    view.block_sums = from(block_sums_.as<std::int32_t>(), kBlock);
  } else if (format == ActivationFormat::Q8SuperBlock) {
    view.codes = from(super_codes_.as<std::int8_t>(), 1);
    view.shifts = from(super_shifts_.as<std::int32_t>(), kernels::kSuperBlockPart);
    view.scales = from(super_scales_.as<float>(), kSuperBlock);
    view.half_sums = from(super_half_sums_.as<std::int16_t>(), kernels::kSuperBlockPart / 2);
    view.part_sums = from(super_part_sums_.as<std::int16_t>(), kernels::kSuperBlockPart);
    if (super_planes_.size() != 0) {
      view.planes = super_planes_.as<std::int8_t>() + first * kernels::plane_stride(width);
    }
  }
  return view;
}

}  // namespace engine::model
