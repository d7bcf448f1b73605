#pragma once

#include "kernels/kernel_table.h"

// Kernels for processors with AVX-VNNI, the 256-bit form, and no AVX-512: those of AVX2 but for the matrix products.
namespace engine::kernels::avx_vnni {

void multiply(const Matrix& matrix, const Activations& input, std::size_t token_rows, std::size_t group_begin,
              std::size_t group_end, float* out, std::size_t out_stride, std::byte* scratch);
// The same for a matrix of one type: a unit each, made of multiply_type.cpp.in.
template <gguf::TensorType>
void multiply_type(const Matrix& matrix, const Activations& input, std::size_t token_rows, std::size_t group_begin,
                   std::size_t group_end, float* out, std::size_t out_stride, std::byte* scratch);

// See IntegerPeak::run.
std::uint64_t multiply_byte_quads();

}  // namespace engine::kernels::avx_vnni
