#pragma once

#include "kernels/candidates.h"
#include "kernels/kernel_table.h"

// AVX-512 kernels with VNNI. What gains nothing from wider registers is taken from the AVX2 table.
namespace engine::kernels::avx512 {

void quantize_rows(gguf::TensorType type, const float* x, std::size_t rows, std::size_t columns,
                   const float* importance, std::byte* out);

void attend_f16(const AttentionBlock& block);
void attend_q8_0(const AttentionBlock& block);

extern const CandidateKernels kCandidates;

}  // namespace engine::kernels::avx512
