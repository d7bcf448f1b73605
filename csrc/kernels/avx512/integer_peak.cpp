#include <immintrin.h>

#include <array>
#include <cstdint>

#include "kernels/avx512/kernels.h"

namespace engine::kernels::avx512 {
namespace {

constexpr std::uint64_t kRounds = 16384;
constexpr std::size_t kChains = 16;
constexpr std::uint64_t kMacs = 64;  // of one vpdpbusd

}  // namespace

std::uint64_t multiply_byte_quads() {
  std::array<__m512i, kChains> sums{};
  const __m512i unsigned_bytes = _mm512_set1_epi8(3);
  const __m512i signed_bytes = _mm512_set1_epi8(2);
  for (std::uint64_t i = 0; i < kRounds; ++i) {
    for (__m512i& sum : sums) {
      sum = _mm512_dpbusd_epi32(sum, unsigned_bytes, signed_bytes);
      __asm__ volatile("" : "+v"(sum));
    }
  }
  return kRounds * kChains * kMacs;
}

}  // namespace engine::kernels::avx512
