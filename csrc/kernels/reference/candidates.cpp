#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "kernels/reference/kernels.h"

namespace engine::kernels::reference {
namespace {

// A double from 0 to below 2^52, rounded to an integer, ties to even.
std::uint64_t rounded(double x) {
  return std::bit_cast<std::uint64_t>(x + kRoundToInteger) ^ std::bit_cast<std::uint64_t>(kRoundToInteger);
}

std::uint64_t weight(float logit, float largest) {
  return rounded(static_cast<double>(exponential(logit - largest)) * kWeightOne);
}

float distance(float logit, float largest) { return std::min(largest - logit, kFarthest); }

bool contains(const Interval& interval, float key) {
  return (interval.above ? key > interval.low : key >= interval.low) && key < interval.high;
}

Extremes extremes(const float* x, std::size_t n) {
  const auto [least, largest] = std::minmax_element(x, x + n);
  return {*least, *largest};
}

void block_maxima(const float* x, std::size_t n, float* out) {
  for (std::size_t i = 0; i < n; i += kMaximaBlock) {
    *out++ = extremes(x + i, std::min(kMaximaBlock, n - i)).largest;
  }
}

std::uint64_t sum_weights(const float* logits, std::size_t n, float largest) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += weight(logits[i], largest);
  return sum;
}

std::uint64_t weigh(const float* logits, std::size_t n, float largest, std::uint64_t* weights) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += weights[i] = weight(logits[i], largest);
  return sum;
}

std::uint64_t sum_distances(const float* logits, std::size_t n, float largest) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const auto share = static_cast<double>(exponential(logits[i] - largest));
    sum += rounded(share * static_cast<double>(distance(logits[i], largest)) * kWeightOne);
  }
  return sum;
}

void typicality(const float* logits, std::size_t n, float largest, float mean, float* out) {
  for (std::size_t i = 0; i < n; ++i) out[i] = -std::fabs(distance(logits[i], largest) - mean);
}

void scale(const float* logits, std::size_t n, float largest, float temperature, float* out) {
  for (std::size_t i = 0; i < n; ++i) {
    out[i] = std::max((logits[i] - largest) / temperature, std::numeric_limits<float>::lowest());
  }
}

std::size_t keep(const CandidateRange& range, const Interval& interval, float* logits, std::int32_t* tokens) {
  std::size_t kept = 0;
  for (std::size_t i = range.begin; i < range.end; ++i) {
    if (!contains(interval, range.keys[i])) continue;
    logits[kept] = range.logits[i];
    tokens[kept] = range.tokens == nullptr ? static_cast<std::int32_t>(i) : range.tokens[i];
    ++kept;
  }
  return kept;
}

void bucket(const float* keys, std::size_t n, float high, float factor, std::uint16_t* out) {
  constexpr float kLast = kBuckets - 1;
  for (std::size_t i = 0; i < n; ++i) {
    const float place = (high - keys[i]) * factor;
    out[i] = static_cast<std::uint16_t>(place < kLast ? place : kLast);
  }
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

}  // namespace engine::kernels::reference
