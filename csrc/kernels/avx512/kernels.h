#pragma once

#include "kernels/kernel_table.h"

// AVX-512 kernels with VNNI. What gains nothing from wider registers is taken from the AVX2 table.
namespace engine::kernels::avx512 {

void multiply(const Matrix& matrix, const Activations& input, std::size_t token_rows, std::size_t group_begin,
              std::size_t group_end, float* out, std::size_t out_stride, std::byte* scratch);
// The same for a matrix of one type: a unit each, made of multiply_type.cpp.in.
template <gguf::TensorType>
void multiply_type(const Matrix& matrix, const Activations& input, std::size_t token_rows, std::size_t group_begin,
                   std::size_t group_end, float* out, std::size_t out_stride, std::byte* scratch);

void quantize_rows(gguf::TensorType type, const float* x, std::size_t rows, std::size_t columns,
                   const float* importance, std::byte* out);

void attend_f16(const AttentionBlock& block);
void attend_q8_0(const AttentionBlock& block);

// See IntegerPeak::run.
std::uint64_t multiply_byte_quads();

}  // namespace engine::kernels::avx512
