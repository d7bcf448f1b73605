#include "kernels/quantize.h"

#include <immintrin.h>

#include "kernels/avx2/kernels.h"
#include "kernels/avx2/transpose.h"
#include "kernels/avx512/kernels.h"

namespace engine::kernels::avx512 {
namespace {

// 16 lanes in one register.
struct Lanes {
  struct Float {
    __m512 lanes;

    friend Float operator+(Float a, Float b) { return {_mm512_add_ps(a.lanes, b.lanes)}; }
    friend Float operator-(Float a, Float b) { return {_mm512_sub_ps(a.lanes, b.lanes)}; }
    friend Float operator*(Float a, Float b) { return {_mm512_mul_ps(a.lanes, b.lanes)}; }
    friend Float operator/(Float a, Float b) { return {_mm512_div_ps(a.lanes, b.lanes)}; }
  };
  struct Mask {
    __mmask16 lanes;

    friend Mask operator&(Mask a, Mask b) { return {_kand_mask16(a.lanes, b.lanes)}; }
  };

  static Float broadcast(float x) { return {_mm512_set1_ps(x)}; }
  static Float load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static void store(Float x, float* p) { _mm512_storeu_ps(p, x.lanes); }
  static Float min(Float a, Float b) { return {_mm512_min_ps(a.lanes, b.lanes)}; }
  static Float max(Float a, Float b) { return {_mm512_max_ps(a.lanes, b.lanes)}; }
  static Float root(Float x) { return {_mm512_sqrt_ps(x.lanes)}; }
  static Float absolute(Float x) { return {_mm512_andnot_ps(_mm512_set1_ps(-0.0F), x.lanes)}; }
  static Float negative(Float x) { return {_mm512_xor_ps(_mm512_set1_ps(-0.0F), x.lanes)}; }

  static Mask less(Float a, Float b) { return {_mm512_cmp_ps_mask(a.lanes, b.lanes, _CMP_LT_OQ)}; }
  static Mask equal(Float a, Float b) { return {_mm512_cmp_ps_mask(a.lanes, b.lanes, _CMP_EQ_OQ)}; }
  static Mask not_equal(Float a, Float b) { return {_mm512_cmp_ps_mask(a.lanes, b.lanes, _CMP_NEQ_UQ)}; }
  static Mask invert(Mask mask) { return {_knot_mask16(mask.lanes)}; }
  static bool any(Mask mask) { return mask.lanes != 0; }
  static Float select(Mask mask, Float a, Float b) { return {_mm512_mask_blend_ps(mask.lanes, b.lanes, a.lanes)}; }

  static Float nearest(Float x) {
    const __m512i bits = _mm512_castps_si512(_mm512_add_ps(x.lanes, _mm512_set1_ps(quant::kRoundingShift)));
    const __m512i integer = _mm512_sub_epi32(_mm512_and_si512(bits, _mm512_set1_epi32(quant::kRoundingMask)),
                                             _mm512_set1_epi32(quant::kRoundingBias));
    return {_mm512_cvtepi32_ps(integer)};
  }

  static void load_columns(const float* p, std::size_t stride, float* out) {
    avx2::store_eight_columns(p, stride, out, kLanes);
    avx2::store_eight_columns(p + 8 * stride, stride, out + 8, kLanes);
  }

  static void store_bytes(Float x, std::uint8_t* p) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x.lanes)));
  }
};

}  // namespace

void quantize_rows(TensorType type, const float* x, std::size_t rows, std::size_t columns, const float* importance,
                   std::byte* out) {
  if (!is_searched(type, importance)) return avx2::quantize_even_rows(type, x, rows, columns, out);
  quantize_searched_rows<Lanes>(type, x, rows, columns, importance, out);
}

}  // namespace engine::kernels::avx512
