#pragma once

#include <cstddef>

#include "base/aligned_buffer.h"
#include "kernels/gemm/matrix.h"

namespace engine::kernels {
struct KernelTable;
struct QuantizedRow;
}  // namespace engine::kernels

namespace engine::model {

// The input of projections, [rows, width], in the formats that they read. Each call names the width: it changes from
// phase to phase, and every member of a team knows it for itself.
class ActivationBuffer {
 public:
  ActivationBuffer(std::size_t max_rows, std::size_t max_width) : ActivationBuffer(max_rows, max_width, false) {}
  // With what the table's products of many rows read besides. It is the one that set() is called with.
  ActivationBuffer(std::size_t max_rows, std::size_t max_width, const kernels::KernelTable& table);

  // What all buffers take for one row, without planes.
  static std::size_t row_bytes(std::size_t max_width);

  // Puts one row of values in, in one format. Width must be a multiple of the format's block.
  void set(std::size_t index, std::size_t width, const float* x, kernels::ActivationFormat format,
           const kernels::KernelTable& table);

  // The rows from `first` on.
  kernels::Activations view(std::size_t width, kernels::ActivationFormat format, std::size_t first = 0) const;

 private:
  ActivationBuffer(std::size_t rows, std::size_t max_width, bool planes);
  kernels::QuantizedRow block_row(std::size_t index, std::size_t width);
  kernels::QuantizedRow super_block_row(std::size_t index, std::size_t width);

  AlignedBuffer values_;             // f32 [rows, width]
  AlignedBuffer block_codes_;        // i8  [rows, width]
  AlignedBuffer block_shifts_;       // i32 [rows, width / 16]
  AlignedBuffer block_scales_;       // f32 [rows, width / 32]
  AlignedBuffer block_scaled_sums_;  // f32 [rows, width / 32]
  AlignedBuffer block_sums_;         // i32 [rows, width / 32]
  AlignedBuffer super_codes_;        // i8  [rows, width]
  AlignedBuffer super_shifts_;       // i32 [rows, width / 32]
  AlignedBuffer super_scales_;       // f32 [rows, width / 256]
  AlignedBuffer super_half_sums_;    // i16 [rows, width / 16]
  AlignedBuffer super_part_sums_;    // i16 [rows, width / 32]
  AlignedBuffer super_planes_;       // i8  [rows, plane_stride(width)], where products of many rows read planes
};

}  // namespace engine::model
