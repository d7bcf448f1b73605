#pragma once

#include "kernels/candidates.h"
#include "kernels/kernel_table.h"

// AVX2, FMA and F16C kernels.
namespace engine::kernels::avx2 {

void rms_norm(const float* x, const float* weight, float epsilon, std::size_t n, float* out);
void layer_norm(const float* x, const float* weight, const float* bias, float epsilon, std::size_t n, float* out);
void quantize_blocks(const float* x, std::size_t n, const QuantizedRow& out);
void quantize_super_blocks(const float* x, std::size_t n, const QuantizedRow& out);
void rotate(float* heads, std::size_t head_count, std::size_t head_dim, std::size_t dimensions, const float* cosines,
            const float* sines, RopeLayout layout);
void half_from_float(const float* x, std::size_t n, std::uint16_t* out);
void quantize_kv(const float* x, std::size_t n, std::int8_t* codes, std::uint16_t* scales);
void convolve(const float* const* rows, const float* weights, std::size_t taps, std::size_t stride, std::size_t n,
              float* out);
void silu_multiply(float* gate, const float* up, std::size_t n);
void gelu_multiply(float* gate, const float* up, std::size_t n);
void clamped_silu_multiply(float* gate, const float* up, std::size_t n);
void gelu(float* x, std::size_t n);
void squared_relu(float* x, std::size_t n);
void sigmoid(float* x, std::size_t n);
void soft_cap(float* x, std::size_t n, float cap);
void softmax(float* x, std::size_t n);

void quantize_rows(gguf::TensorType type, const float* x, std::size_t rows, std::size_t columns,
                   const float* importance, std::byte* out);
// The cases that need no search: F16, and blocks of 32 without importance.
void quantize_even_rows(gguf::TensorType type, const float* x, std::size_t rows, std::size_t columns, std::byte* out);
void dequantize(gguf::TensorType type, const std::byte* source, std::size_t count, float* out);

void attend_f16(const AttentionBlock& block);
void attend_q8_0(const AttentionBlock& block);
void merge_split(const SoftmaxState& split, const float* split_output, std::size_t head_dim, SoftmaxState& total,
                 float* total_output);

double sum_exponentials(const float* logits, float maximum, std::size_t n);
LogitComparison compare_logits(const float* logits, const float* others, float maximum, std::size_t n);
std::int32_t largest_key(const float* x, std::size_t n);

extern const CandidateKernels kCandidates;

}  // namespace engine::kernels::avx2
