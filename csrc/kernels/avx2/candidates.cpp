#include <immintrin.h>

#include <algorithm>
#include <array>
#include <bit>
#include <limits>

#include "kernels/avx2/kernels.h"
#include "kernels/avx2/lanes.h"

namespace engine::kernels::avx2 {
namespace {

constexpr std::size_t kLanes = 8;

__m256i integer_mask() { return _mm256_castpd_si256(_mm256_set1_pd(kRoundToInteger)); }

// Four doubles from 0 to below 2^52, rounded to integers.
__m256i rounded(__m256d x) {
  return _mm256_xor_si256(_mm256_castpd_si256(_mm256_add_pd(x, _mm256_set1_pd(kRoundToInteger))), integer_mask());
}

struct Halves {
  __m256d low;
  __m256d high;
};

Halves halves(__m256 x) {
  return {_mm256_cvtps_pd(_mm256_castps256_ps128(x)), _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1))};
}

struct Weights {
  __m256i low;
  __m256i high;

  __m256i sum() const { return _mm256_add_epi64(low, high); }
};

Weights weights_of(__m256 logits, __m256 largest) {
  const __m256 shares = exponential(_mm256_sub_ps(logits, largest));
  const Halves scaled = halves(_mm256_mul_ps(shares, _mm256_set1_ps(static_cast<float>(kWeightOne))));
  return {rounded(scaled.low), rounded(scaled.high)};
}

__m256 distances_of(__m256 logits, __m256 largest) {
  return _mm256_min_ps(_mm256_sub_ps(largest, logits), _mm256_set1_ps(kFarthest));
}

Weights weighted_distances(__m256 logits, __m256 largest) {
  const Halves shares = halves(exponential(_mm256_sub_ps(logits, largest)));
  const Halves distances = halves(distances_of(logits, largest));
  const __m256d one = _mm256_set1_pd(kWeightOne);
  return {rounded(_mm256_mul_pd(_mm256_mul_pd(shares.low, distances.low), one)),
          rounded(_mm256_mul_pd(_mm256_mul_pd(shares.high, distances.high), one))};
}

std::uint64_t lane_sum(__m256i sums) {
  const __m128i two = _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
  return static_cast<std::uint64_t>(_mm_cvtsi128_si64(_mm_add_epi64(two, _mm_unpackhi_epi64(two, two))));
}

// The last values, fewer than eight, and `rest` behind them.
__m256 load_last(const float* x, std::size_t count, float rest) {
  alignas(32) std::array<float, kLanes> lanes;
  lanes.fill(rest);
  std::copy_n(x, count, lanes.begin());
  return _mm256_load_ps(lanes.data());
}

// Calls use(i, x) with eight values at a time, then with what is left, filled up with a value.
template <typename Use>
void for_eights(const float* x, std::size_t n, float rest, const Use& use) {
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) use(i, _mm256_loadu_ps(x + i));
  if (i < n) use(i, load_last(x + i, n - i, rest));
}

void store(float* out, std::size_t n, std::size_t i, __m256 x) {
  if (i + kLanes <= n) return _mm256_storeu_ps(out + i, x);
  alignas(32) std::array<float, kLanes> lanes;
  _mm256_store_ps(lanes.data(), x);
  std::copy_n(lanes.begin(), n - i, out + i);
}

// A logit that weighs nothing, and adds nothing to a sum.
float weightless(float largest) { return largest > 0.0F ? -100.0F : 2.0F * largest - 100.0F; }

float least_lane(__m256 x) { return -largest_lane(_mm256_sub_ps(_mm256_setzero_ps(), x)); }

Extremes extremes(const float* x, std::size_t n) {
  __m256 least = _mm256_set1_ps(x[0]);
  __m256 largest = least;
  for_eights(x, n, x[0], [&](std::size_t, __m256 values) {
    least = _mm256_min_ps(least, values);
    largest = _mm256_max_ps(largest, values);
  });
  return {least_lane(least), largest_lane(largest)};
}

void block_maxima(const float* x, std::size_t n, float* out) {
  for (std::size_t i = 0; i < n; i += kMaximaBlock) {
    __m256 largest = _mm256_set1_ps(x[i]);
    for_eights(x + i, std::min(kMaximaBlock, n - i), x[i],
               [&](std::size_t, __m256 values) { largest = _mm256_max_ps(largest, values); });
    *out++ = largest_lane(largest);
  }
}

std::uint64_t sum_weights(const float* logits, std::size_t n, float largest) {
  const __m256 most = _mm256_set1_ps(largest);
  __m256i sums = _mm256_setzero_si256();
  for_eights(logits, n, weightless(largest),
             [&](std::size_t, __m256 x) { sums = _mm256_add_epi64(sums, weights_of(x, most).sum()); });
  return lane_sum(sums);
}

std::uint64_t weigh(const float* logits, std::size_t n, float largest, std::uint64_t* weights) {
  const __m256 most = _mm256_set1_ps(largest);
  __m256i sums = _mm256_setzero_si256();
  for_eights(logits, n, weightless(largest), [&](std::size_t i, __m256 x) {
    const Weights w = weights_of(x, most);
    sums = _mm256_add_epi64(sums, w.sum());
    alignas(32) std::array<std::uint64_t, kLanes> lanes;
    auto* out = reinterpret_cast<__m256i*>(i + kLanes <= n ? weights + i : lanes.data());
    _mm256_storeu_si256(out, w.low);
    _mm256_storeu_si256(out + 1, w.high);
    if (i + kLanes > n) std::copy_n(lanes.begin(), n - i, weights + i);
  });
  return lane_sum(sums);
}

std::uint64_t sum_distances(const float* logits, std::size_t n, float largest) {
  const __m256 most = _mm256_set1_ps(largest);
  __m256i sums = _mm256_setzero_si256();
  for_eights(logits, n, weightless(largest),
             [&](std::size_t, __m256 x) { sums = _mm256_add_epi64(sums, weighted_distances(x, most).sum()); });
  return lane_sum(sums);
}

void typicality(const float* logits, std::size_t n, float largest, float mean, float* out) {
  const __m256 most = _mm256_set1_ps(largest);
  const __m256 center = _mm256_set1_ps(mean);
  const __m256 sign = _mm256_set1_ps(-0.0F);
  for_eights(logits, n, largest, [&](std::size_t i, __m256 x) {
    store(out, n, i, _mm256_or_ps(sign, _mm256_sub_ps(distances_of(x, most), center)));
  });
}

void scale(const float* logits, std::size_t n, float largest, float temperature, float* out) {
  const __m256 most = _mm256_set1_ps(largest);
  const __m256 divisor = _mm256_set1_ps(temperature);
  const __m256 lowest = _mm256_set1_ps(std::numeric_limits<float>::lowest());
  for_eights(logits, n, largest, [&](std::size_t i, __m256 x) {
    store(out, n, i, _mm256_max_ps(_mm256_div_ps(_mm256_sub_ps(x, most), divisor), lowest));
  });
}

// For every set of eight lanes the order that brings its lanes to the front.
struct Packing {
  alignas(32) std::array<std::array<std::uint8_t, kLanes>, 256> lanes{};

  constexpr Packing() {
    for (std::size_t set = 0; set < lanes.size(); ++set) {
      std::size_t count = 0;
      for (std::uint8_t lane = 0; lane < kLanes; ++lane) {
        if ((set >> lane & 1U) != 0) lanes[set][count++] = lane;
      }
    }
  }
};
constexpr Packing kPacking;

template <int kFromLow>
std::size_t keep_from(const CandidateRange& range, const Interval& interval, float* logits, std::int32_t* tokens) {
  const __m256 low = _mm256_set1_ps(interval.low);
  const __m256 high = _mm256_set1_ps(interval.high);
  const __m256i places = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const auto within = [&](__m256 keys) {
    const __m256 from_low = _mm256_cmp_ps(keys, low, kFromLow);
    return static_cast<unsigned>(_mm256_movemask_ps(_mm256_and_ps(from_low, _mm256_cmp_ps(keys, high, _CMP_LT_OQ))));
  };
  std::size_t kept = 0;
  std::size_t i = range.begin;
  for (; i + kLanes <= range.end; i += kLanes) {
    const unsigned set = within(_mm256_loadu_ps(range.keys + i));
    if (set == 0) continue;
    const __m256i order =
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(kPacking.lanes[set].data())));
    const __m256i own = range.tokens == nullptr
                            ? _mm256_add_epi32(_mm256_set1_epi32(static_cast<int>(i)), places)
                            : _mm256_loadu_si256(reinterpret_cast<const __m256i*>(range.tokens + i));
    const __m256 x = _mm256_permutevar8x32_ps(_mm256_loadu_ps(range.logits + i), order);
    _mm256_storeu_ps(logits + kept, x);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(tokens + kept), _mm256_permutevar8x32_epi32(own, order));
    kept += static_cast<std::size_t>(std::popcount(set));
  }
  for (; i < range.end; ++i) {
    if (within(_mm256_set1_ps(range.keys[i])) == 0) continue;
    logits[kept] = range.logits[i];
    tokens[kept++] = range.tokens == nullptr ? static_cast<std::int32_t>(i) : range.tokens[i];
  }
  return kept;
}

std::size_t keep(const CandidateRange& range, const Interval& interval, float* logits, std::int32_t* tokens) {
  return interval.above ? keep_from<_CMP_GT_OQ>(range, interval, logits, tokens)
                        : keep_from<_CMP_GE_OQ>(range, interval, logits, tokens);
}

void bucket(const float* keys, std::size_t n, float high, float factor, std::uint16_t* out) {
  const __m256 top = _mm256_set1_ps(high);
  const __m256 factors = _mm256_set1_ps(factor);
  const __m256 last = _mm256_set1_ps(kBuckets - 1);
  for_eights(keys, n, high, [&](std::size_t i, __m256 x) {
    const __m256 place = _mm256_min_ps(_mm256_mul_ps(_mm256_sub_ps(top, x), factors), last);  // in this order NaN goes
    const __m256i wide = _mm256_cvttps_epi32(place);
    const __m128i narrow = _mm_packus_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
    if (i + kLanes <= n) return _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), narrow);
    alignas(16) std::array<std::uint16_t, kLanes> lanes;
    _mm_store_si128(reinterpret_cast<__m128i*>(lanes.data()), narrow);
    std::copy_n(lanes.begin(), n - i, out + i);
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

}  // namespace engine::kernels::avx2
