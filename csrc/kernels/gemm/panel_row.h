#pragma once

#include <cstddef>

#include "kernels/gemm/matrix.h"

namespace engine::kernels {

// The inverse of pack_panels() for one row: its bytes as in the file, to the bit. `out` holds matrix.row_bytes(). For
// types whose codes lie in planes, see gguf::TypeTraits.
void unpack_panel_row(const Matrix& matrix, std::size_t row, std::byte* out);

// One row of any type as floats, [columns], as quant::dequantize_row() has them, so that a matrix whose rows are also
// looked up need not be kept twice. `scratch` holds matrix.row_bytes().
void dequantize_panel_row(const Matrix& matrix, std::size_t row, std::byte* scratch, float* out);

}  // namespace engine::kernels
