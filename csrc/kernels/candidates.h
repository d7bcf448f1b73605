#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

// What samplers do with the logits of a whole vocabulary. A candidate weighs exp(logit - largest) in units of
// 2^-kWeightBits, rounded to an integer, ties to even: sums of weights are exact, and so the same whatever the order in
// which they are added.
namespace engine::kernels {

// A weight is at most 2^42, so that those of four million candidates add up within 64 bits.
inline constexpr int kWeightBits = 42;
inline constexpr double kWeightOne = 0x1p42;
// Farther below the largest logit than this a candidate weighs nothing: exp(-30) < 2^-43.
inline constexpr float kWeightless = 30.0F;
// Adding it to a double from 0 to below 2^52 rounds that to an integer, which the low bits then are.
inline constexpr double kRoundToInteger = 0x1p52;

// Values of which block_maxima() gives one maximum.
inline constexpr std::size_t kMaximaBlock = 128;
// What bucket() divides a range into.
inline constexpr std::size_t kBuckets = 1024;

struct Extremes {
  float least;
  float largest;
};

// Keys from `low` on, or above it, to below `high`; both may be infinite.
struct Interval {
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();
  bool above = false;
};

// Candidates [begin, end) of some that lie side by side.
struct CandidateRange {
  const float* keys;           // what they are kept by
  const float* logits;         // the keys, or other numbers
  const std::int32_t* tokens;  // nullptr: candidate i is token i
  std::size_t begin;
  std::size_t end;
};

// All values are finite. n > 0 where a maximum is asked for.
struct CandidateKernels {
  // A zero may have either sign.
  Extremes (*extremes)(const float* x, std::size_t n);
  // out: [(n + kMaximaBlock - 1) / kMaximaBlock]
  void (*block_maxima)(const float* x, std::size_t n, float* out);
  // The sum of the weights; the second writes each of them, too.
  std::uint64_t (*sum_weights)(const float* logits, std::size_t n, float largest);
  std::uint64_t (*weigh)(const float* logits, std::size_t n, float largest, std::uint64_t* weights);
  // The sum of exp(-distance) * distance, each rounded as a weight is; distance = min(largest - logit, kFarthest).
  std::uint64_t (*sum_distances)(const float* logits, std::size_t n, float largest);
  // out = -abs(distance - mean), the same distance
  void (*typicality)(const float* logits, std::size_t n, float largest, float mean, float* out);
  // out = (logit - largest) / temperature, no less than the lowest float; in place, too.
  void (*scale)(const float* logits, std::size_t n, float largest, float temperature, float* out);
  // Writes logits and tokens of those whose key is in the interval, one beside the other and in their order; returns
  // how many those are. There is room for as many as the range has; it may be the range's own memory, up to where the
  // range begins.
  std::size_t (*keep)(const CandidateRange& range, const Interval& interval, float* logits, std::int32_t* tokens);
  // out = (high - key) * factor, rounded down, at most kBuckets - 1; key <= high. `kBuckets - 1` where that is no
  // number.
  void (*bucket)(const float* keys, std::size_t n, float high, float factor, std::uint16_t* out);
};

// Beyond it a distance makes no difference: what lies there weighs nothing.
inline constexpr float kFarthest = 80.0F;

}  // namespace engine::kernels
