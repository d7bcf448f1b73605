#pragma once

#include "kernels/candidates.h"
#include "kernels/kernel_table.h"

// Scalar kernels: the definition that every other table is tested against, bit for bit. Written for reading.
namespace engine::kernels::reference {

float exponential(float x);
// cap * tanh(x / cap)
float soft_capped(float x, float cap);
// Sums 16 partial sums: 16 -> 8 -> 4 -> 2 -> 1, each adding its upper half to its lower.
float tree_sum(const float* lanes);

void multiply(const Matrix& matrix, const Activations& input, std::size_t token_rows, std::size_t group_begin,
              std::size_t group_end, float* out, std::size_t out_stride, std::byte* scratch);

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

void attend_f16(const AttentionBlock& block);
void attend_q8_0(const AttentionBlock& block);
void merge_split(const SoftmaxState& split, const float* split_output, std::size_t head_dim, SoftmaxState& total,
                 float* total_output);

double sum_exponentials(const float* logits, float maximum, std::size_t n);
LogitComparison compare_logits(const float* logits, const float* others, float maximum, std::size_t n);
std::int32_t largest_key(const float* x, std::size_t n);

extern const CandidateKernels kCandidates;

}  // namespace engine::kernels::reference
