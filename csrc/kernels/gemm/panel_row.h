#pragma once

#include <cstddef>

#include "kernels/gemm/matrix.h"

namespace engine::kernels {

// The inverse of pack_panels() for one row: its bytes as in the file, to the bit, so that a matrix whose rows are also
// looked up need not be kept twice. `out` holds matrix.row_bytes().
void unpack_panel_row(const Matrix& matrix, std::size_t row, std::byte* out);

}  // namespace engine::kernels
