#include "kernels/quantize.h"

#include <immintrin.h>

#include "kernels/avx2/kernels.h"
#include "kernels/avx2/transpose.h"

namespace engine::kernels::avx2 {
namespace {

// 16 lanes in two registers: while one waits for a sum the other is added to.
struct Lanes {
  struct Float {
    __m256 low;
    __m256 high;

    friend Float operator+(Float a, Float b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
    friend Float operator-(Float a, Float b) { return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)}; }
    friend Float operator*(Float a, Float b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
    friend Float operator/(Float a, Float b) { return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)}; }
  };
  struct Mask {
    __m256 low;
    __m256 high;

    friend Mask operator&(Mask a, Mask b) { return {_mm256_and_ps(a.low, b.low), _mm256_and_ps(a.high, b.high)}; }
  };

  static Float broadcast(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  static Float load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static void store(Float x, float* p) {
    _mm256_storeu_ps(p, x.low);
    _mm256_storeu_ps(p + 8, x.high);
  }
  static Float min(Float a, Float b) { return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)}; }
  static Float max(Float a, Float b) { return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)}; }
  static Float root(Float x) { return {_mm256_sqrt_ps(x.low), _mm256_sqrt_ps(x.high)}; }
  static Float absolute(Float x) {
    const __m256 sign = _mm256_set1_ps(-0.0F);
    return {_mm256_andnot_ps(sign, x.low), _mm256_andnot_ps(sign, x.high)};
  }
  static Float negative(Float x) {
    const __m256 sign = _mm256_set1_ps(-0.0F);
    return {_mm256_xor_ps(sign, x.low), _mm256_xor_ps(sign, x.high)};
  }

  static Mask less(Float a, Float b) { return compare<_CMP_LT_OQ>(a, b); }
  static Mask equal(Float a, Float b) { return compare<_CMP_EQ_OQ>(a, b); }
  static Mask not_equal(Float a, Float b) { return compare<_CMP_NEQ_UQ>(a, b); }
  static Mask invert(Mask mask) {
    const __m256 all = _mm256_castsi256_ps(_mm256_set1_epi32(-1));
    return {_mm256_xor_ps(mask.low, all), _mm256_xor_ps(mask.high, all)};
  }
  static bool any(Mask mask) { return _mm256_movemask_ps(_mm256_or_ps(mask.low, mask.high)) != 0; }
  static Float select(Mask mask, Float a, Float b) {
    return {_mm256_blendv_ps(b.low, a.low, mask.low), _mm256_blendv_ps(b.high, a.high, mask.high)};
  }

  static Float nearest(Float x) { return {nearest(x.low), nearest(x.high)}; }

  static void load_columns(const float* p, std::size_t stride, float* out) {
    store_eight_columns(p, stride, out, kLanes);
    store_eight_columns(p + 8 * stride, stride, out + 8, kLanes);
  }

  static void store_bytes(Float x, std::uint8_t* p) {
    const __m256i shorts = _mm256_packs_epi32(_mm256_cvtps_epi32(x.low), _mm256_cvtps_epi32(x.high));
    const __m256i ordered = _mm256_permute4x64_epi64(shorts, 0xD8);
    const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
  }

 private:
  template <int kPredicate>
  static Mask compare(Float a, Float b) {
    return {_mm256_cmp_ps(a.low, b.low, kPredicate), _mm256_cmp_ps(a.high, b.high, kPredicate)};
  }

  static __m256 nearest(__m256 x) {
    const __m256i bits = _mm256_castps_si256(_mm256_add_ps(x, _mm256_set1_ps(quant::kRoundingShift)));
    const __m256i integer = _mm256_sub_epi32(_mm256_and_si256(bits, _mm256_set1_epi32(quant::kRoundingMask)),
                                             _mm256_set1_epi32(quant::kRoundingBias));
    return _mm256_cvtepi32_ps(integer);
  }
};

}  // namespace

void quantize_rows(TensorType type, const float* x, std::size_t rows, std::size_t columns, const float* importance,
                   std::byte* out) {
  if (!is_searched(type, importance)) return quantize_even_rows(type, x, rows, columns, out);
  quantize_searched_rows<Lanes>(type, x, rows, columns, importance, out);
}

}  // namespace engine::kernels::avx2
