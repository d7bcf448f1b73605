#include <immintrin.h>

#include <algorithm>
#include <array>
#include <limits>

#include "kernels/avx2/kernels.h"
#include "kernels/avx2/lanes.h"

namespace engine::kernels::avx2 {
namespace {

constexpr double kNoNumber = std::numeric_limits<double>::quiet_NaN();
constexpr std::size_t kLanes = 16;

// 16 floats side by side, the first `count` of the source and zeros behind.
struct Narrow {
  __m256 low;
  __m256 high;

  static Narrow load(const float* source, std::size_t count) {
    if (count == kLanes) return {_mm256_loadu_ps(source), _mm256_loadu_ps(source + 8)};
    alignas(32) std::array<float, kLanes> lanes{};
    std::copy_n(source, count, lanes.begin());
    return {_mm256_load_ps(lanes.data()), _mm256_load_ps(lanes.data() + 8)};
  }
};

// 16 doubles side by side.
struct Wide {
  std::array<__m256d, 4> quarters{_mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd()};

  static Wide of(const Narrow& x) {
    return {{_mm256_cvtps_pd(_mm256_castps256_ps128(x.low)), _mm256_cvtps_pd(_mm256_extractf128_ps(x.low, 1)),
             _mm256_cvtps_pd(_mm256_castps256_ps128(x.high)), _mm256_cvtps_pd(_mm256_extractf128_ps(x.high, 1))}};
  }

  void add(const Wide& x) {
    for (std::size_t i = 0; i < 4; ++i) quarters[i] = _mm256_add_pd(quarters[i], x.quarters[i]);
  }

  // Adds weight * (a - b).
  void add_excess(const Wide& weight, const Wide& a, const Wide& b) {
    for (std::size_t i = 0; i < 4; ++i) {
      quarters[i] = _mm256_fmadd_pd(weight.quarters[i], _mm256_sub_pd(a.quarters[i], b.quarters[i]), quarters[i]);
    }
  }

  double tree_sum() const {
    const __m256d four =
        _mm256_add_pd(_mm256_add_pd(quarters[0], quarters[2]), _mm256_add_pd(quarters[1], quarters[3]));
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
  }
};

// Tests whether all values are finite: zero times any other value is NaN.
class FiniteCheck {
 public:
  void look(const Narrow& x) {
    zero_ = _mm256_fmadd_ps(x.low, _mm256_setzero_ps(), zero_);
    zero_ = _mm256_fmadd_ps(x.high, _mm256_setzero_ps(), zero_);
  }
  bool passed() const { return _mm256_movemask_ps(_mm256_cmp_ps(zero_, _mm256_setzero_ps(), _CMP_EQ_OQ)) == 0xFF; }

 private:
  __m256 zero_ = _mm256_setzero_ps();
};

// exp(x - maximum) of the first `count`, else 0.
Narrow weigh(const Narrow& x, __m256 maximum, std::size_t count) {
  const __m256 low = exponential(_mm256_sub_ps(x.low, maximum));
  const __m256 high = exponential(_mm256_sub_ps(x.high, maximum));
  if (count == kLanes) return {low, high};
  const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i limit = _mm256_set1_epi32(static_cast<int>(count));
  const __m256i limit_high = _mm256_sub_epi32(limit, _mm256_set1_epi32(8));
  return {_mm256_and_ps(low, _mm256_castsi256_ps(_mm256_cmpgt_epi32(limit, index))),
          _mm256_and_ps(high, _mm256_castsi256_ps(_mm256_cmpgt_epi32(limit_high, index)))};
}

}  // namespace

double sum_exponentials(const float* logits, float maximum, std::size_t n) {
  const __m256 highest = _mm256_set1_ps(maximum);
  Wide sums;
  FiniteCheck finite;
  for (std::size_t i = 0; i < n; i += kLanes) {
    const std::size_t count = std::min(kLanes, n - i);
    const Narrow x = Narrow::load(logits + i, count);
    finite.look(x);
    sums.add(Wide::of(weigh(x, highest, count)));
  }
  return finite.passed() ? sums.tree_sum() : kNoNumber;
}

LogitComparison compare_logits(const float* logits, const float* others, float maximum, std::size_t n) {
  const __m256 highest = _mm256_set1_ps(maximum);
  Wide sums;
  Wide excesses;
  FiniteCheck finite;
  for (std::size_t i = 0; i < n; i += kLanes) {
    const std::size_t count = std::min(kLanes, n - i);
    const Narrow x = Narrow::load(logits + i, count);
    const Narrow other = Narrow::load(others + i, count);
    finite.look(x);
    finite.look(other);
    const Wide weights = Wide::of(weigh(x, highest, count));
    sums.add(weights);
    excesses.add_excess(weights, Wide::of(x), Wide::of(other));
  }
  if (!finite.passed()) return {kNoNumber, kNoNumber};
  return {sums.tree_sum(), excesses.tree_sum()};
}

}  // namespace engine::kernels::avx2
