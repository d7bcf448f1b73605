#include "kernels/attention/attention.h"

#include <immintrin.h>

#include "kernels/avx2/kernels.h"
#include "kernels/avx2/lanes.h"

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
  static Lanes widen(const std::int8_t* source) {
    const auto* bytes = reinterpret_cast<const char*>(source);
    return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadu_si64(bytes))),
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadu_si64(bytes + 8)))};
  }
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
  static Lanes divide(const Lanes& a, const Lanes& b) {
    return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
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

  // |key| times the query's code with the key's sign: no sum of two such products leaves 16 bits. The multiplication
  // that widens them applies the multiplier too.
  struct Products {
    static constexpr std::size_t kQueries = 3;  // two registers each, beside four for the keys

    struct Quad {
      __m256i low;
      __m256i high;
      __m256i low_magnitudes;
      __m256i high_magnitudes;
    };

    __m256i low;
    __m256i high;

    static Products begin(int /*sum*/) { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
    static Quad load_quad(const std::byte* keys) {
      const __m256i offset = _mm256_set1_epi8(-128);
      const auto* source = reinterpret_cast<const __m256i*>(keys);
      const __m256i low = _mm256_xor_si256(_mm256_loadu_si256(source), offset);
      const __m256i high = _mm256_xor_si256(_mm256_loadu_si256(source + 1), offset);
      return {low, high, _mm256_abs_epi8(low), _mm256_abs_epi8(high)};
    }
    static Products add_quad(const Products& part, const Quad& keys, const std::int8_t* codes, std::int32_t shift) {
      int word = 0;
      __builtin_memcpy(&word, codes, sizeof(word));
      const __m256i query = _mm256_set1_epi32(word);
      const __m256i factor = _mm256_set1_epi32(0x10001 << shift);
      const __m256i low = _mm256_maddubs_epi16(keys.low_magnitudes, _mm256_sign_epi8(query, keys.low));
      const __m256i high = _mm256_maddubs_epi16(keys.high_magnitudes, _mm256_sign_epi8(query, keys.high));
      return {_mm256_add_epi32(part.low, _mm256_madd_epi16(low, factor)),
              _mm256_add_epi32(part.high, _mm256_madd_epi16(high, factor))};
    }
    static Products add_part(const Products& sum, const Products& part, std::int32_t /*shift*/) {
      return {_mm256_add_epi32(sum.low, part.low), _mm256_add_epi32(sum.high, part.high)};
    }
    static Lanes floats(const Products& sum) { return {_mm256_cvtepi32_ps(sum.low), _mm256_cvtepi32_ps(sum.high)}; }
  };

  static float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
  static float exponential(float x) { return avx2::exponential(x); }
  static float float_from_half(std::uint16_t half) { return _cvtsh_ss(half); }
};

}  // namespace

void attend_f16(const AttentionBlock& block) { attend_with<Lanes, Halves>(block); }

void attend_q8_0(const AttentionBlock& block) { attend_with<Lanes, Codes>(block); }

void merge_split(const SoftmaxState& split, const float* split_output, std::size_t head_dim, SoftmaxState& total,
                 float* total_output) {
  merge_split_with<Lanes>(split, split_output, head_dim, total, total_output);
}

}  // namespace engine::kernels::avx2
