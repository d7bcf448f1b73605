#include "quant/row_quantizer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>

#include "base/float16.h"
#include "quant/block.h"
#include "quant/block_encoding.h"
#include "quant/scale_search.h"

namespace engine::quant {
namespace {

using gguf::TensorType;

constexpr int kSixBits = 63;
constexpr std::size_t kPart = kSuperBlock / kAffineParts;
constexpr std::size_t kSmallPart = kSuperBlock / kSymmetricParts;

// The result of a C cast to a byte on x86: the low byte of the truncated integer, 0 where there is none.
std::uint8_t low_byte(float value) {
  constexpr float kIntegers = 2147483648.0F;
  if (!(std::fabs(value) < kIntegers)) return 0;
  return static_cast<std::uint8_t>(static_cast<std::int32_t>(value));
}

// What truncation turns into the nearest integer, halves away from zero, for magnitudes a byte can hold.
float half_away(float value) { return value + std::copysign(0.49999997F, value); }

// --- blocks of 32, without importance: the range of values divided evenly ----------------------------------------

void quantize_q8_0(const float* x, std::byte* out) {
  float magnitude = 0;
  for (std::size_t i = 0; i < kBlock; ++i) magnitude = std::max(magnitude, std::fabs(x[i]));
  const float scale = magnitude / 127;
  const float inverse = inverse_or_zero(scale);
  std::array<std::uint8_t, kBlock> codes;
  for (std::size_t i = 0; i < kBlock; ++i) codes[i] = low_byte(half_away(x[i] * inverse));
  encode_block(TensorType::Q8_0, half_from_float(scale), 0, codes.data(), out);
}

// Q4_0 and Q5_0: the extreme value gets the code 0.
void quantize_symmetric(TensorType type, int limit, const float* x, std::byte* out) {
  float extreme = 0;
  for (std::size_t i = 0; i < kBlock; ++i) {
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  }
  const auto half_range = static_cast<float>(limit);
  const float scale = extreme / -half_range;
  const float inverse = inverse_or_zero(scale);
  std::array<std::uint8_t, kBlock> codes;
  for (std::size_t i = 0; i < kBlock; ++i) {
    codes[i] = std::min(static_cast<std::uint8_t>(2 * limit - 1), low_byte(x[i] * inverse + (half_range + 0.5F)));
  }
  encode_block(type, half_from_float(scale), 0, codes.data(), out);
}

// Q4_1 and Q5_1.
void quantize_affine(TensorType type, int limit, const float* x, std::byte* out) {
  float minimum = std::numeric_limits<float>::max();
  float maximum = -minimum;
  for (std::size_t i = 0; i < kBlock; ++i) {
    minimum = x[i] < minimum ? x[i] : minimum;
    maximum = x[i] > maximum ? x[i] : maximum;
  }
  const float scale = (maximum - minimum) / static_cast<float>(limit);
  const float inverse = inverse_or_zero(scale);
  std::array<std::uint8_t, kBlock> codes;
  for (std::size_t i = 0; i < kBlock; ++i) {
    codes[i] = std::min(static_cast<std::uint8_t>(limit), low_byte((x[i] - minimum) * inverse + 0.5F));
  }
  encode_block(type, half_from_float(scale), half_from_float(minimum), codes.data(), out);
}

void quantize_block(TensorType type, const float* x, std::byte* out) {
  const gguf::TypeTraits& traits = gguf::type_traits(type);
  if (traits.has_signed_bytes()) return quantize_q8_0(x, out);
  if (traits.has_minimum) return quantize_affine(type, traits.largest_code(), x, out);
  quantize_symmetric(type, traits.code_offset, x, out);
}

// --- blocks of 32, with importance: a search for the least error --------------------------------------------------

// How much an error of each value counts: more where the value is large, beside `mean_square`.
void weigh(std::span<const float> x, const float* importance, float mean_square, float* weights) {
  for (std::size_t i = 0; i < x.size(); ++i) weights[i] = importance[i] * std::sqrt(mean_square + x[i] * x[i]);
}

void quantize_important_block(TensorType type, const float* x, const float* importance, float mean_square,
                              std::byte* out) {
  const std::span<const float> values(x, kBlock);
  std::array<float, kBlock> weights;
  weigh(values, importance, mean_square, weights.data());
  std::array<std::uint8_t, kBlock> codes;
  const gguf::TypeTraits& traits = gguf::type_traits(type);
  if (!traits.has_minimum) {
    const float scale = search_symmetric(values, weights.data(), traits.code_offset, codes.data());
    encode_block(type, half_from_float(scale), 0, codes.data(), out);
    return;
  }
  const AffineScale found = search_affine(values, weights.data(), traits.largest_code(), kImportanceGrid, codes.data());
  encode_block(type, half_from_float(found.scale), half_from_float(-found.minimum), codes.data(), out);
}

// --- super-blocks ---------------------------------------------------------------------------------------------------

void weigh_parts(const float* x, const float* importance, float* weights) {
  if (importance != nullptr) {
    const float mean_square = 2 * sum_of_squares(x, kSuperBlock) / static_cast<float>(kSuperBlock);
    weigh({x, kSuperBlock}, importance, mean_square, weights);
    return;
  }
  for (std::size_t begin = 0; begin < kSuperBlock; begin += kPart) {
    const float average = std::sqrt(sum_of_squares(x + begin, kPart) / static_cast<float>(kPart));
    for (std::size_t i = begin; i < begin + kPart; ++i) weights[i] = average + std::fabs(x[i]);
  }
}

// Q4_K and Q5_K. `importance` of the block's columns, or null.
void quantize_affine_super_block(TensorType type, const float* x, const float* importance, std::byte* out) {
  const int limit = gguf::type_traits(type).largest_code();
  const SearchGrid grid = importance != nullptr      ? kImportanceGrid
                          : type == TensorType::Q4_K ? kFourBitGrid
                                                     : kFiveBitGrid;
  std::array<float, kSuperBlock> weights;
  weigh_parts(x, importance, weights.data());
  std::array<std::uint8_t, kSuperBlock> codes;
  std::array<float, kAffineParts> scales;
  std::array<float, kAffineParts> minimums;
  std::array<float, kAffineParts> weight_sums{};
  for (std::size_t j = 0; j < kAffineParts; ++j) {
    const float* part_weights = weights.data() + j * kPart;
    for (std::size_t i = 0; i < kPart; ++i) weight_sums[j] += part_weights[i];
    const AffineScale found =
        search_affine({x + j * kPart, kPart}, part_weights, limit, grid, codes.data() + j * kPart);
    scales[j] = found.scale;
    minimums[j] = found.minimum;
  }
  const AffineParts parts =
      affine_parts(type, scales.data(), minimums.data(), importance != nullptr ? weight_sums.data() : nullptr);
  for (std::size_t i = 0; i < kSuperBlock; ++i) {
    const float scale = parts.part_scale[i / kPart];
    // Where the scale was rounded to nothing, the codes of the search remain.
    if (scale == 0) continue;
    const int code = nearest_integer((x[i] + parts.part_minimum[i / kPart]) / scale);
    codes[i] = static_cast<std::uint8_t>(std::clamp(code, 0, limit));
  }
  encode_super_block(type, parts.scale, parts.minimum, parts.packed.data(), codes.data(), out);
}

// The codes that a reader's scales give; where a scale was rounded to nothing, those of the search remain.
void code_by_parts(const float* x, const float* part_scale, int limit, std::uint8_t* codes) {
  for (std::size_t i = 0; i < kSuperBlock; ++i) {
    const float scale = part_scale[i / kSmallPart];
    if (scale == 0) continue;
    codes[i] = static_cast<std::uint8_t>(std::clamp(nearest_integer(x[i] / scale), -limit, limit - 1) + limit);
  }
}

void quantize_q6_k(const float* x, const float* importance, std::byte* out) {
  constexpr int kOffset = gguf::kTraits<TensorType::Q6_K>.code_offset;
  std::array<std::uint8_t, kSuperBlock> codes;
  std::array<float, kSymmetricParts> scales;
  for (std::size_t j = 0; j < kSymmetricParts; ++j) {
    const std::size_t begin = j * kSmallPart;
    scales[j] = search_symmetric({x + begin, kSmallPart}, importance != nullptr ? importance + begin : nullptr, kOffset,
                                 codes.data() + begin);
  }
  const SymmetricParts parts = symmetric_parts(scales.data());
  if (parts.zero) {
    std::memset(out, 0, gguf::type_traits(TensorType::Q6_K).block_bytes);
    return;
  }
  code_by_parts(x, parts.part_scale.data(), kOffset, codes.data());
  encode_super_block(TensorType::Q6_K, parts.scale, 0, parts.bytes.data(), codes.data(), out);
}

// The scale of scales up to 32 in magnitude; the extreme one becomes -32.
std::uint16_t signed_six_codes(const float* scales, std::int8_t* codes) {
  const float extreme = extreme_of({scales, kSymmetricParts});
  std::fill_n(codes, kSymmetricParts, std::int8_t{-32});
  if (extreme == 0) return half_from_float(0);
  const float inverse = -32.0F / extreme;
  for (std::size_t j = 0; j < kSymmetricParts; ++j) {
    codes[j] = static_cast<std::int8_t>(std::clamp(nearest_integer(inverse * scales[j]), -32, 31));
  }
  return half_from_float(1 / inverse);
}

// The same by a search, each scale as important as its part.
std::uint16_t important_six_codes(const float* scales, const float* weight_sums, std::int8_t* codes) {
  std::array<std::uint8_t, kSymmetricParts> found;
  const float scale = search_symmetric({scales, kSymmetricParts}, weight_sums, 32, found.data());
  for (std::size_t j = 0; j < kSymmetricParts; ++j) codes[j] = static_cast<std::int8_t>(found[j] - 32);
  return half_from_float(scale);
}

void quantize_q3_k(const float* x, const float* importance, std::byte* out) {
  constexpr int kOffset = gguf::kTraits<TensorType::Q3_K>.code_offset;
  std::array<std::uint8_t, kSuperBlock> codes;
  std::array<float, kSymmetricParts> scales;
  if (importance == nullptr) {
    for (std::size_t j = 0; j < kSymmetricParts; ++j) {
      scales[j] = search_by_codes({x + j * kSmallPart, kSmallPart}, kOffset, codes.data() + j * kSmallPart);
    }
    return finish_q3_k(x, scales.data(), nullptr, codes.data(), out);
  }
  std::array<float, kSuperBlock> weights;
  std::array<float, kSymmetricParts> weight_sums{};
  weigh_parts(x, importance, weights.data());
  for (std::size_t j = 0; j < kSymmetricParts; ++j) {
    const std::size_t begin = j * kSmallPart;
    for (std::size_t i = begin; i < begin + kSmallPart; ++i) weight_sums[j] += weights[i];
    scales[j] = search_symmetric({x + begin, kSmallPart}, weights.data() + begin, kOffset, codes.data() + begin);
  }
  finish_q3_k(x, scales.data(), weight_sums.data(), codes.data(), out);
}

// --- uneven values --------------------------------------------------------------------------------------------------

// The scales of parts of 32, each searched for itself.
void search_uneven_parts(const float* x, std::size_t count, const float* importance, float* scales) {
  const float mean_square = 2 * sum_of_squares(x, count) / static_cast<float>(count);
  for (std::size_t begin = 0; begin < count; begin += kBlock) {
    const std::span<const float> part(x + begin, kBlock);
    std::array<float, kBlock> weights;
    if (importance != nullptr) {
      weigh(part, importance + begin, mean_square, weights.data());
    } else {
      for (std::size_t i = 0; i < kBlock; ++i) weights[i] = part[i] * part[i];
    }
    scales[begin / kBlock] = search_uneven(part, weights.data(), gguf::kUnevenValues);
  }
}

void uneven_codes(const float* x, float scale, std::uint8_t* codes) {
  const float inverse = inverse_or_zero(scale);
  for (std::size_t i = 0; i < kBlock; ++i) codes[i] = nearest_code(gguf::kUnevenValues, inverse * x[i]);
}

void quantize_iq4_nl(const float* x, const float* importance, std::byte* out) {
  float scale = 0;
  search_uneven_parts(x, kBlock, importance, &scale);
  finish_iq4_nl(x, scale, out);
}

void quantize_iq4_xs(const float* x, const float* importance, std::byte* out) {
  std::array<float, kAffineParts> scales;
  search_uneven_parts(x, kSuperBlock, importance, scales.data());
  finish_iq4_xs(x, scales.data(), out);
}

// The scale of the parts' scales, or of their minimums, and their codes. A scale below 0 comes of importance that is
// nearly all zeros, and gets a code of 8 bits; Q4_K has always let it through.
float six_bit_codes(TensorType type, const float* values, const float* weights, std::uint8_t* codes) {
  constexpr auto kMaximum = static_cast<float>(kSixBits);
  float scale = 0;
  if (weights != nullptr) {
    scale = search_non_negative({values, kAffineParts}, weights, kSixBits, codes);
    if (type == TensorType::Q4_K) return scale;
  } else {
    float maximum = 0;
    for (std::size_t j = 0; j < kAffineParts; ++j) maximum = values[j] > maximum ? values[j] : maximum;
    const float inverse = maximum > 0 ? kMaximum / maximum : 0;
    for (std::size_t j = 0; j < kAffineParts; ++j) {
      codes[j] = static_cast<std::uint8_t>(nearest_integer(inverse * values[j]));
    }
    scale = maximum / kMaximum;
  }
  for (std::size_t j = 0; j < kAffineParts; ++j) codes[j] = std::min<std::uint8_t>(codes[j], kSixBits);
  return scale;
}

// --- rows -----------------------------------------------------------------------------------------------------------

void quantize_row(TensorType type, const float* x, std::size_t columns, const float* importance, std::byte* out) {
  const gguf::TypeTraits& traits = gguf::type_traits(type);
  const float mean_square =
      importance != nullptr ? sum_of_squares(x, columns) / static_cast<float>(columns) : 0;  // for the blocks of 32
  for (std::size_t i = 0; i < columns; i += traits.block_elements, out += traits.block_bytes) {
    const float* block_importance = importance != nullptr ? importance + i : nullptr;
    if (type == TensorType::F16) {
      const std::uint16_t half = half_from_float(x[i]);
      std::memcpy(out, &half, sizeof(half));
    } else if (type == TensorType::Q6_K) {
      quantize_q6_k(x + i, block_importance, out);
    } else if (type == TensorType::Q3_K) {
      quantize_q3_k(x + i, block_importance, out);
    } else if (type == TensorType::IQ4_XS) {
      quantize_iq4_xs(x + i, block_importance, out);
    } else if (type == TensorType::IQ4_NL) {
      quantize_iq4_nl(x + i, block_importance, out);
    } else if (traits.is_super_block()) {
      quantize_affine_super_block(type, x + i, block_importance, out);
    } else if (importance == nullptr || type == TensorType::Q8_0) {
      quantize_block(type, x + i, out);
    } else {
      quantize_important_block(type, x + i, block_importance, mean_square, out);
    }
  }
}

}  // namespace

float sum_of_squares(const float* x, std::size_t count) {
  float sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += x[i] * x[i];
  return sum;
}

AffineParts affine_parts(TensorType type, const float* scales, const float* minimums, const float* weights) {
  AffineParts parts{};
  std::array<std::uint8_t, kAffineParts> six_bit_scales;
  std::array<std::uint8_t, kAffineParts> six_bit_minimums;
  parts.scale = half_from_float(six_bit_codes(type, scales, weights, six_bit_scales.data()));
  parts.minimum = half_from_float(six_bit_codes(type, minimums, weights, six_bit_minimums.data()));
  encode_six_bit_scales(six_bit_scales.data(), six_bit_minimums.data(), parts.packed.data());
  // The rest uses the scales as a reader will decode them.
  std::array<std::int8_t, kAffineParts> stored_scales;
  decode_inner_scales({.format = gguf::InnerScales::Format::SixBits}, parts.packed.data(), stored_scales.data(),
                      six_bit_minimums.data());
  for (std::size_t j = 0; j < kAffineParts; ++j) {
    parts.part_scale[j] = float_from_half(parts.scale) * static_cast<float>(stored_scales[j]);
    parts.part_minimum[j] = float_from_half(parts.minimum) * static_cast<float>(six_bit_minimums[j]);
  }
  return parts;
}

SymmetricParts symmetric_parts(const float* scales) {
  SymmetricParts parts{};
  const float extreme = extreme_of({scales, kSymmetricParts});
  parts.zero = std::fabs(extreme) < kNoMagnitude;
  if (parts.zero) return parts;
  const float inverse = -128.0F / extreme;
  parts.scale = half_from_float(1 / inverse);
  for (std::size_t j = 0; j < kSymmetricParts; ++j) {
    const auto code = static_cast<std::int8_t>(std::min(127, nearest_integer(inverse * scales[j])));
    parts.bytes[j] = static_cast<std::uint8_t>(code);
    parts.part_scale[j] = float_from_half(parts.scale) * static_cast<float>(code);
  }
  return parts;
}

void finish_iq4_nl(const float* x, float scale, std::byte* out) {
  std::array<std::uint8_t, kBlock> codes;
  uneven_codes(x, scale, codes.data());
  encode_block(TensorType::IQ4_NL, half_from_float(scale), 0, codes.data(), out);
}

void finish_iq4_xs(const float* x, const float* scales, std::byte* out) {
  const float scale = -extreme_of({scales, kAffineParts}) / 32;
  const float inverse = inverse_or_zero(scale);
  std::array<std::int8_t, kAffineParts> scale_codes;
  std::array<std::uint8_t, kSuperBlock> codes;
  for (std::size_t j = 0; j < kAffineParts; ++j) {
    const int code = std::clamp(nearest_integer(inverse * scales[j]), -32, 31);
    scale_codes[j] = static_cast<std::int8_t>(code);
    uneven_codes(x + j * kBlock, scale * static_cast<float>(code), codes.data() + j * kBlock);
  }
  std::array<std::uint8_t, 6> packed;
  encode_signed_few(scale_codes.data(), packed.data());
  encode_super_block(TensorType::IQ4_XS, half_from_float(scale), 0, packed.data(), codes.data(), out);
}

void finish_q3_k(const float* x, const float* scales, const float* weights, std::uint8_t* codes, std::byte* out) {
  std::array<std::int8_t, kSymmetricParts> scale_codes;
  const std::uint16_t scale = weights != nullptr ? important_six_codes(scales, weights, scale_codes.data())
                                                 : signed_six_codes(scales, scale_codes.data());
  std::array<float, kSymmetricParts> part_scale;
  for (std::size_t j = 0; j < kSymmetricParts; ++j) {
    part_scale[j] = float_from_half(scale) * static_cast<float>(scale_codes[j]);
  }
  code_by_parts(x, part_scale.data(), gguf::kTraits<TensorType::Q3_K>.code_offset, codes);
  std::array<std::uint8_t, 12> packed;
  encode_signed_six(scale_codes.data(), packed.data());
  encode_super_block(TensorType::Q3_K, scale, 0, packed.data(), codes, out);
}

void quantize_rows(TensorType type, const float* x, std::size_t rows, std::size_t columns, const float* importance,
                   std::byte* out) {
  const gguf::TypeTraits& traits = gguf::type_traits(type);
  const std::size_t row_bytes = columns / traits.block_elements * traits.block_bytes;
  for (std::size_t r = 0; r < rows; ++r) quantize_row(type, x + r * columns, columns, importance, out + r * row_bytes);
}

}  // namespace engine::quant
