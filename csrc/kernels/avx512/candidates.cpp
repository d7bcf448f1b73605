#include <immintrin.h>

#include <algorithm>
#include <bit>
#include <limits>

#include "kernels/avx512/kernels.h"
#include "kernels/avx512/lanes.h"

namespace engine::kernels::avx512 {
namespace {

constexpr std::size_t kLanes = 16;

// Sixteen values, or the last and as many lanes as there are of them.
template <typename Use>
void for_sixteens(const float* x, std::size_t n, const Use& use) {
  for (std::size_t i = 0; i < n; i += kLanes) {
    const auto lanes = static_cast<__mmask16>(n - i >= kLanes ? 0xFFFFU : (1U << (n - i)) - 1);
    use(i, lanes, _mm512_maskz_loadu_ps(lanes, x + i));
  }
}

// 16 doubles or integers of 64 bits.
struct Doubles {
  __m512d low;
  __m512d high;
};
struct Integers {
  __m512i low;
  __m512i high;

  // Those of the lanes given; the others are zero.
  Integers of(__mmask16 lanes) const {
    return {_mm512_maskz_mov_epi64(static_cast<__mmask8>(lanes), low),
            _mm512_maskz_mov_epi64(static_cast<__mmask8>(lanes >> 8), high)};
  }
  __m512i sum() const { return _mm512_add_epi64(low, high); }
};

Doubles doubles(__m512 x) {
  return {_mm512_cvtps_pd(_mm512_castps512_ps256(x)), _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1))};
}

// A power of two times a float is exact, and rounding to nearest, ties to even, is what the conversion does.
Integers weights_of(__m512 logits, __m512 largest) {
  const __m512 scaled =
      _mm512_mul_ps(exponential(_mm512_sub_ps(logits, largest)), _mm512_set1_ps(static_cast<float>(kWeightOne)));
  return {_mm512_cvtps_epu64(_mm512_castps512_ps256(scaled)), _mm512_cvtps_epu64(_mm512_extractf32x8_ps(scaled, 1))};
}

__m512 distances_of(__m512 logits, __m512 largest) {
  return _mm512_min_ps(_mm512_sub_ps(largest, logits), _mm512_set1_ps(kFarthest));
}

Integers weighted_distances(__m512 logits, __m512 largest) {
  const Doubles shares = doubles(exponential(_mm512_sub_ps(logits, largest)));
  const Doubles distances = doubles(distances_of(logits, largest));
  const __m512d one = _mm512_set1_pd(kWeightOne);
  return {_mm512_cvtpd_epu64(_mm512_mul_pd(_mm512_mul_pd(shares.low, distances.low), one)),
          _mm512_cvtpd_epu64(_mm512_mul_pd(_mm512_mul_pd(shares.high, distances.high), one))};
}

std::uint64_t lane_sum(__m512i sums) { return static_cast<std::uint64_t>(_mm512_reduce_add_epi64(sums)); }

Extremes extremes(const float* x, std::size_t n) {
  __m512 least = _mm512_set1_ps(x[0]);
  __m512 largest = least;
  for_sixteens(x, n, [&](std::size_t, __mmask16 lanes, __m512 values) {
    least = _mm512_mask_min_ps(least, lanes, least, values);
    largest = _mm512_mask_max_ps(largest, lanes, largest, values);
  });
  return {_mm512_reduce_min_ps(least), _mm512_reduce_max_ps(largest)};
}

void block_maxima(const float* x, std::size_t n, float* out) {
  for (std::size_t i = 0; i < n; i += kMaximaBlock) {
    __m512 largest = _mm512_set1_ps(x[i]);
    for_sixteens(x + i, std::min(kMaximaBlock, n - i), [&](std::size_t, __mmask16 lanes, __m512 values) {
      largest = _mm512_mask_max_ps(largest, lanes, largest, values);
    });
    *out++ = _mm512_reduce_max_ps(largest);
  }
}

std::uint64_t sum_weights(const float* logits, std::size_t n, float largest) {
  const __m512 most = _mm512_set1_ps(largest);
  __m512i sums = _mm512_setzero_si512();
  for_sixteens(logits, n, [&](std::size_t, __mmask16 lanes, __m512 x) {
    sums = _mm512_add_epi64(sums, weights_of(x, most).of(lanes).sum());
  });
  return lane_sum(sums);
}

std::uint64_t weigh(const float* logits, std::size_t n, float largest, std::uint64_t* weights) {
  const __m512 most = _mm512_set1_ps(largest);
  __m512i sums = _mm512_setzero_si512();
  for_sixteens(logits, n, [&](std::size_t i, __mmask16 lanes, __m512 x) {
    const Integers w = weights_of(x, most).of(lanes);
    sums = _mm512_add_epi64(sums, w.sum());
    _mm512_mask_storeu_epi64(weights + i, static_cast<__mmask8>(lanes), w.low);
    _mm512_mask_storeu_epi64(weights + i + 8, static_cast<__mmask8>(lanes >> 8), w.high);
  });
  return lane_sum(sums);
}

std::uint64_t sum_distances(const float* logits, std::size_t n, float largest) {
  const __m512 most = _mm512_set1_ps(largest);
  __m512i sums = _mm512_setzero_si512();
  for_sixteens(logits, n, [&](std::size_t, __mmask16 lanes, __m512 x) {
    sums = _mm512_add_epi64(sums, weighted_distances(x, most).of(lanes).sum());
  });
  return lane_sum(sums);
}

void typicality(const float* logits, std::size_t n, float largest, float mean, float* out) {
  const __m512 most = _mm512_set1_ps(largest);
  const __m512 center = _mm512_set1_ps(mean);
  const __m512 sign = _mm512_set1_ps(-0.0F);
  for_sixteens(logits, n, [&](std::size_t i, __mmask16 lanes, __m512 x) {
    _mm512_mask_storeu_ps(out + i, lanes, _mm512_or_ps(sign, _mm512_sub_ps(distances_of(x, most), center)));
  });
}

void scale(const float* logits, std::size_t n, float largest, float temperature, float* out) {
  const __m512 most = _mm512_set1_ps(largest);
  const __m512 divisor = _mm512_set1_ps(temperature);
  const __m512 lowest = _mm512_set1_ps(std::numeric_limits<float>::lowest());
  for_sixteens(logits, n, [&](std::size_t i, __mmask16 lanes, __m512 x) {
    const __m512 scaled = _mm512_div_ps(_mm512_sub_ps(x, most), divisor);
    _mm512_mask_storeu_ps(out + i, lanes, _mm512_max_ps(scaled, lowest));
  });
}

std::size_t keep(const CandidateRange& range, const Interval& interval, float* logits, std::int32_t* tokens) {
  const __m512 low = _mm512_set1_ps(interval.low);
  const __m512 high = _mm512_set1_ps(interval.high);
  const __m512i places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  std::size_t kept = 0;
  const std::size_t begin = range.begin;
  for_sixteens(range.keys + begin, range.end - begin, [&](std::size_t offset, __mmask16 lanes, __m512 keys) {
    const std::size_t i = begin + offset;
    const __mmask16 below = _mm512_mask_cmp_ps_mask(lanes, keys, high, _CMP_LT_OQ);
    const __mmask16 passed = interval.above ? _mm512_mask_cmp_ps_mask(below, keys, low, _CMP_GT_OQ)
                                            : _mm512_mask_cmp_ps_mask(below, keys, low, _CMP_GE_OQ);
    if (passed == 0) return;
    const __m512i own = range.tokens == nullptr ? _mm512_add_epi32(_mm512_set1_epi32(static_cast<int>(i)), places)
                                                : _mm512_maskz_loadu_epi32(lanes, range.tokens + i);
    const __m512 x = _mm512_maskz_loadu_ps(lanes, range.logits + i);
    const auto count = static_cast<unsigned>(std::popcount(static_cast<unsigned>(passed)));
    const auto front = static_cast<__mmask16>((1U << count) - 1);
    _mm512_mask_storeu_ps(logits + kept, front, _mm512_maskz_compress_ps(passed, x));
    _mm512_mask_storeu_epi32(tokens + kept, front, _mm512_maskz_compress_epi32(passed, own));
    kept += count;
  });
  return kept;
}

void bucket(const float* keys, std::size_t n, float high, float factor, std::uint16_t* out) {
  const __m512 top = _mm512_set1_ps(high);
  const __m512 factors = _mm512_set1_ps(factor);
  const __m512 last = _mm512_set1_ps(kBuckets - 1);
  for_sixteens(keys, n, [&](std::size_t i, __mmask16 lanes, __m512 x) {
    const __m512 place = _mm512_min_ps(_mm512_mul_ps(_mm512_sub_ps(top, x), factors), last);  // in this order NaN goes
    _mm512_mask_cvtepi32_storeu_epi16(out + i, lanes, _mm512_cvttps_epi32(place));
  });
}

}  // namespace

const CandidateKernels kCandidates{
    .extremes = extremes,
    .block_maxima = block_maxima,
    .sum_weights = sum_weights,
    .weigh = weigh,
    .sum_distances = sum_distances,
    .typicality = typicality,
    .scale = scale,
    .keep = keep,
    .bucket = bucket,
};

}  // namespace engine::kernels::avx512
