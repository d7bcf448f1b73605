#include "kernels/attention.h"

#include <immintrin.h>

#include "kernels/avx2/lanes.h"
#include "kernels/avx2/table.h"

namespace engine::kernels::avx2 {
namespace {

struct Lanes {
  static constexpr std::size_t kQueries = 6;
  // Sums take two registers each, of 16; those of six queries over one tile 12.
  static constexpr std::size_t tiles(std::size_t queries) { return queries == 1 ? 4 : queries == 2 ? 2 : 1; }

  __m256 low;
  __m256 high;

  static Lanes zero() { return broadcast(0.0F); }
  static Lanes broadcast(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  static Lanes load(const float* source) { return {_mm256_loadu_ps(source), _mm256_loadu_ps(source + 8)}; }
  static Lanes widen(const std::uint16_t* source) { return {avx2::load_halves(source), avx2::load_halves(source + 8)}; }
  static void store(float* target, const Lanes& x) {
    _mm256_storeu_ps(target, x.low);
    _mm256_storeu_ps(target + 8, x.high);
  }
  static Lanes add(const Lanes& a, const Lanes& b) {
    return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
  }
  static Lanes subtract(const Lanes& a, const Lanes& b) {
    return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
  }
  static Lanes multiply(const Lanes& a, const Lanes& b) {
    return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
  }
  static Lanes fused(const Lanes& a, const Lanes& b, const Lanes& c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
  }
  static Lanes maximum(const Lanes& a, const Lanes& b) {
    return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
  }
  static Lanes exponential(const Lanes& x) { return {avx2::exponential(x.low), avx2::exponential(x.high)}; }
  static float largest(const Lanes& x) { return largest_lane(_mm256_max_ps(x.low, x.high)); }
  static float tree_sum(const Lanes& x) { return avx2::tree_sum(x.low, x.high); }

  static float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
  static float exponential(float x) { return avx2::exponential(x); }
  static float float_from_half(std::uint16_t half) { return _cvtsh_ss(half); }
};

}  // namespace

void attend(const AttentionBlock& block) { attend_with<Lanes>(block); }

void merge_split(const SoftmaxState& split, const float* split_output, std::size_t head_dim, SoftmaxState& total,
                 float* total_output) {
  merge_split_with<Lanes>(split, split_output, head_dim, total, total_output);
}

}  // namespace engine::kernels::avx2
