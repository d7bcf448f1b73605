#include <immintrin.h>

#include "kernels/amx/kernels.h"
#include "quant/block.h"

namespace engine::kernels::amx {

void split_codes(const QuantizedRow& row, std::size_t columns, std::int8_t* planes) {
  for (std::size_t part = 0; part < columns / kSuperBlockPart; ++part) {
    const auto* codes = reinterpret_cast<const __m256i*>(row.codes + part * kSuperBlockPart);
    const __m128i shift = _mm_cvtsi32_si128(row.shifts[part]);
    const __m512i products = _mm512_sll_epi16(_mm512_cvtepi8_epi16(_mm256_loadu_si256(codes)), shift);
    const __m512i low = _mm512_and_si512(products, _mm512_set1_epi16((1 << kMaxShift) - 1));
    auto* at = reinterpret_cast<__m256i*>(planes + part / 2 * 4 * kSuperBlockPart + part % 2 * kSuperBlockPart);
    _mm256_storeu_si256(at, _mm512_cvtepi16_epi8(_mm512_srai_epi16(products, kMaxShift)));
    _mm256_storeu_si256(at + 2, _mm512_cvtepi16_epi8(low));
  }
}

}  // namespace engine::kernels::amx
