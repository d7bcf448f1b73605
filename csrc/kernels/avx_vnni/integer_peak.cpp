#include <immintrin.h>

#include <array>
#include <cstdint>

#include "kernels/avx_vnni/kernels.h"

namespace engine::kernels::avx_vnni {
namespace {

constexpr std::uint64_t kRounds = 16384;
constexpr std::size_t kChains = 12;  // enough to hide the latency, few enough for 16 registers
constexpr std::uint64_t kMacs = 32;  // of one vpdpbusd

}  // namespace

std::uint64_t multiply_byte_quads() {
  std::array<__m256i, kChains> sums{};
  const __m256i unsigned_bytes = _mm256_set1_epi8(3);
  const __m256i signed_bytes = _mm256_set1_epi8(2);
  for (std::uint64_t i = 0; i < kRounds; ++i) {
    for (__m256i& sum : sums) {
      sum = _mm256_dpbusd_avx_epi32(sum, unsigned_bytes, signed_bytes);
      __asm__ volatile("" : "+x"(sum));
    }
  }
  return kRounds * kChains * kMacs;
}

}  // namespace engine::kernels::avx_vnni
