#include "kernels/attention/attention.h"

#include <immintrin.h>

#include "kernels/avx2/lanes.h"
#include "kernels/avx512/kernels.h"
#include "kernels/avx512/lanes.h"

namespace engine::kernels::avx512 {
namespace {

struct Lanes {
  static constexpr std::size_t kQueries = 6;
  // Sums of six queries over four tiles take 24 of 32 registers.
  static constexpr std::size_t tiles(std::size_t /*queries*/) { return 4; }

  __m512 all;

  static Lanes zero() { return {_mm512_setzero_ps()}; }
  static Lanes broadcast(float x) { return {_mm512_set1_ps(x)}; }
  static Lanes load(const float* source) { return {_mm512_loadu_ps(source)}; }
  static Lanes widen(const std::uint16_t* source) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(source)))};
  }
  static Lanes widen(const std::int8_t* source) {
    return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(source))))};
  }
  static void store(float* target, const Lanes& x) { _mm512_storeu_ps(target, x.all); }
  static Lanes add(const Lanes& a, const Lanes& b) { return {_mm512_add_ps(a.all, b.all)}; }
  static Lanes subtract(const Lanes& a, const Lanes& b) { return {_mm512_sub_ps(a.all, b.all)}; }
  static Lanes multiply(const Lanes& a, const Lanes& b) { return {_mm512_mul_ps(a.all, b.all)}; }
  static Lanes divide(const Lanes& a, const Lanes& b) { return {_mm512_div_ps(a.all, b.all)}; }
  static Lanes fused(const Lanes& a, const Lanes& b, const Lanes& c) { return {_mm512_fmadd_ps(a.all, b.all, c.all)}; }
  static Lanes maximum(const Lanes& a, const Lanes& b) { return {_mm512_max_ps(a.all, b.all)}; }
  static Lanes exponential(const Lanes& x) { return {avx512::exponential(x.all)}; }
  static float largest(const Lanes& x) { return _mm512_reduce_max_ps(x.all); }
  static float tree_sum(const Lanes& x) {
    return avx2::tree_sum(_mm512_castps512_ps256(x.all), _mm512_extractf32x8_ps(x.all, 1));
  }

  // Keys are stored as code + 128, which vpdpbusd wants unsigned: 128 times the query's sum is taken away beforehand.
  struct Products {
    static constexpr std::size_t kQueries = 6;

    __m512i all;

    static Products begin(int sum) { return {_mm512_set1_epi32(-128 * sum)}; }
    static __m512i load_quad(const std::byte* keys) { return _mm512_loadu_si512(keys); }
    static Products add_quad(const Products& part, __m512i keys, const std::int8_t* codes, std::int32_t /*shift*/) {
      int word = 0;
      __builtin_memcpy(&word, codes, sizeof(word));
      return {_mm512_dpbusd_epi32(part.all, keys, _mm512_set1_epi32(word))};
    }
    static Products add_part(const Products& sum, const Products& part, std::int32_t shift) {
      return {_mm512_add_epi32(sum.all, _mm512_sll_epi32(part.all, _mm_cvtsi32_si128(shift)))};
    }
    static Lanes floats(const Products& sum) { return {_mm512_cvtepi32_ps(sum.all)}; }
  };

  static float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
  static float exponential(float x) { return avx2::exponential(x); }
  static float float_from_half(std::uint16_t half) { return _cvtsh_ss(half); }
};

}  // namespace

void attend_f16(const AttentionBlock& block) { attend_with<Lanes, Halves>(block); }

void attend_q8_0(const AttentionBlock& block) { attend_with<Lanes, Codes>(block); }

}  // namespace engine::kernels::avx512
