#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "gguf/tensor_type.h"

// How a block's scale and minimum are found: a grid of candidates, the one of the least weighted squared error wins.
// Every sum runs from the first value to the last and nothing is fused, so that the bytes that come of it are those of
// every other GGUF quantizer.
namespace engine::quant {

// Below this no scale is sought: all codes are 0.
inline constexpr float kNoMagnitude = 1e-15F;
inline constexpr float kRoundingShift = 12582912.0F;  // 1.5 * 2^23: adding it leaves the integer in the mantissa
inline constexpr std::int32_t kRoundingMask = 0x7FFFFF;
inline constexpr std::int32_t kRoundingBias = 0x400000;

// Round to nearest, ties to even, for magnitudes below 2^22. What lies beyond wraps around: files in the wild hold what
// came of it.
inline int nearest_integer(float value) {
  return static_cast<int>(std::bit_cast<std::uint32_t>(value + kRoundingShift) & std::uint32_t{kRoundingMask}) -
         kRoundingBias;
}

// The candidates of one search: how many codes the range of values is divided into.
struct SearchGrid {
  float first;
  float step;
  int last;  // candidates 0..last

  constexpr float divisions(int candidate, int limit) const {
    return first + step * static_cast<float>(candidate) + static_cast<float>(limit);
  }
};

inline constexpr SearchGrid kFourBitGrid{-1.0F, 0.1F, 20};
inline constexpr SearchGrid kFiveBitGrid{-0.5F, 0.1F, 15};
inline constexpr SearchGrid kImportanceGrid{-0.9F, 0.05F, 36};

// Candidates -9..9 but 0 of a symmetric search, which 0 precedes.
inline constexpr int kSymmetricCandidates = 9;
constexpr float symmetric_divisions(int candidate, int limit) {
  return -(static_cast<float>(limit) + 0.1F * static_cast<float>(candidate));
}

// The first value of the largest magnitude.
float extreme_of(std::span<const float> x);

// x[i] is about scale * (codes[i] - limit), codes in 0..2 * limit - 1. `weights` may be null: each value's own square.
float search_symmetric(std::span<const float> x, const float* weights, int limit, std::uint8_t* codes);

// The same without weights, each value's own square counting, from the scale of the extreme value: codes move one at a
// time to where the others would have them.
float search_by_codes(std::span<const float> x, int limit, std::uint8_t* codes);

inline constexpr int kCodePasses = 5;

// Candidates -7..7 of a search among uneven values.
inline constexpr int kUnevenCandidates = 7;

// x[i] is about scale * values[code] for the code of the nearest value, see nearest_code(). `values` ascend.
float search_uneven(std::span<const float> x, const float* weights, const gguf::Codebook& values);
std::uint8_t nearest_code(const gguf::Codebook& values, float x);

struct AffineScale {
  float scale;
  float minimum;  // 0 or more: x[i] is about scale * codes[i] - minimum
};

// codes in 0..limit.
AffineScale search_affine(std::span<const float> x, const float* weights, int limit, const SearchGrid& grid,
                          std::uint8_t* codes);

// The scale of values that are 0 or more, codes in 0..limit.
float search_non_negative(std::span<const float> x, const float* weights, int limit, std::uint8_t* codes);

}  // namespace engine::quant
