#include "kernels/integer_peak.h"

#include <immintrin.h>

#include <array>

#include "kernels/avx512/table.h"

namespace engine::kernels::avx512 {
namespace {

constexpr std::uint64_t kRounds = 16384;
constexpr std::size_t kChains = 16;

std::uint64_t run_256() {
  std::array<__m256i, kChains> sums{};
  const __m256i unsigned_bytes = _mm256_set1_epi8(3);
  const __m256i signed_bytes = _mm256_set1_epi8(2);
  for (std::uint64_t i = 0; i < kRounds; ++i) {
    for (__m256i& sum : sums) {
      sum = _mm256_dpbusd_epi32(sum, unsigned_bytes, signed_bytes);
      __asm__ volatile("" : "+v"(sum));
    }
  }
  return kRounds * kChains * 32;
}

std::uint64_t run_512() {
  std::array<__m512i, kChains> sums{};
  const __m512i unsigned_bytes = _mm512_set1_epi8(3);
  const __m512i signed_bytes = _mm512_set1_epi8(2);
  for (std::uint64_t i = 0; i < kRounds; ++i) {
    for (__m512i& sum : sums) {
      sum = _mm512_dpbusd_epi32(sum, unsigned_bytes, signed_bytes);
      __asm__ volatile("" : "+v"(sum));
    }
  }
  return kRounds * kChains * 64;
}

}  // namespace

const IntegerPeak& quads_256_peak() {
  static const IntegerPeak peak{"vpdpbusd ymm", table().unavailable, run_256};
  return peak;
}

const IntegerPeak& quads_512_peak() {
  static const IntegerPeak peak{"vpdpbusd zmm", table().unavailable, run_512};
  return peak;
}

}  // namespace engine::kernels::avx512
