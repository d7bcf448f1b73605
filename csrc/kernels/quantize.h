#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/float16.h"
#include "quant/block.h"
#include "quant/block_encoding.h"
#include "quant/row_quantizer.h"
#include "quant/scale_search.h"

// The searches of quant/scale_search.h for 16 parts of blocks side by side, one in each lane: every lane does exactly
// what the scalar search does, in its order, so that the bytes are the same. `Simd` is 16 lanes:
//   Float: + - * /, Mask: &    min(a, b) max(a, b) as a < b ? a : b and a > b ? a : b    absolute root
//   broadcast load store       Float
//   less equal not_equal(a, b) Mask, not_equal also true for NaN              invert(mask) any(mask)
//   select(mask, a, b)         a where the mask is set
//   nearest(x)                 quant::nearest_integer, as a float
//   load_columns(p, stride, out)   out[i * 16 + j] = p[j * stride + i], i below 8
//   store_bytes(x, p)          16 integers of 0..255
// In an anonymous namespace, so that each object has its own copy, compiled for its own instruction set.
namespace engine::kernels {
namespace {

using gguf::TensorType;

inline constexpr std::size_t kLanes = 16;

// 16 lanes for each value of a part. Loaded and stored by name: the compiler copies structures of registers in pieces.
template <typename Simd, std::size_t kSize>
class Columns {
 public:
  typename Simd::Float operator[](std::size_t i) const { return Simd::load(values_.data() + i * kLanes); }
  void set(std::size_t i, typename Simd::Float x) { Simd::store(x, values_.data() + i * kLanes); }
  float* data() { return values_.data(); }

 private:
  alignas(64) std::array<float, kSize * kLanes> values_;
};

// A part a lane; lanes without a part hold zeros.
template <typename Simd, std::size_t kSize>
struct Parts {
  Columns<Simd, kSize> x;
  Columns<Simd, kSize> weights;
};

// `parts` parts of kSize values, one after the other, 1..16.
template <typename Simd, std::size_t kSize>
void load_parts(const float* values, std::size_t parts, Columns<Simd, kSize>& out) {
  alignas(64) std::array<float, kLanes * kSize> padded;
  if (parts < kLanes) {
    std::copy_n(values, parts * kSize, padded.begin());
    std::fill(padded.begin() + static_cast<std::ptrdiff_t>(parts * kSize), padded.end(), 0.0F);
    values = padded.data();
  }
  for (std::size_t i = 0; i < kSize; i += 8) Simd::load_columns(values + i, kSize, out.data() + i * kLanes);
}

template <typename Simd, std::size_t kSize>
void weigh(Parts<Simd, kSize>& parts, typename Simd::Float mean_square) {
  for (std::size_t i = 0; i < kSize; ++i) {
    parts.weights.set(i, parts.weights[i] * Simd::root(mean_square + parts.x[i] * parts.x[i]));
  }
}

// --- scale and minimum ---------------------------------------------------------------------------------------------

template <typename Simd>
struct AffineFound {
  typename Simd::Float scale;
  typename Simd::Float minimum;
  typename Simd::Float code_inverse;  // a value's code is (x - code_minimum) * code_inverse, rounded
  typename Simd::Float code_minimum;
};

// Whether all products of `inverse` and a number up to `magnitude` are rounded by adding kRoundingShift alone.
template <typename Simd>
bool rounds_plainly(typename Simd::Float inverse, typename Simd::Float magnitude) {
  constexpr float kPlain = 4194303.0F;
  const auto plain = Simd::less(Simd::absolute(inverse) * magnitude, Simd::broadcast(kPlain));
  return !Simd::any(Simd::invert(plain));
}

template <typename Simd, bool kPlain>
typename Simd::Float affine_code(typename Simd::Float scaled, typename Simd::Float limit) {
  const auto shift = Simd::broadcast(kPlain ? quant::kRoundingShift : 0.0F);
  const auto shifted = kPlain ? scaled + shift : Simd::nearest(scaled);
  const auto clamped = Simd::min(Simd::max(shifted, shift), shift + limit);
  return kPlain ? clamped - shift : clamped;
}

template <typename Simd>
struct CodeSums {
  typename Simd::Float l = Simd::broadcast(0);
  typename Simd::Float ll = Simd::broadcast(0);
  typename Simd::Float xl = Simd::broadcast(0);
};

template <typename Simd, bool kPlain, std::size_t kSize>
CodeSums<Simd> sum_codes(const Parts<Simd, kSize>& parts, typename Simd::Float minimum, typename Simd::Float inverse,
                         typename Simd::Float limit, Columns<Simd, kSize>& codes) {
  CodeSums<Simd> sums;
  for (std::size_t i = 0; i < kSize; ++i) {
    const auto x = parts.x[i];
    const auto l = affine_code<Simd, kPlain>(inverse * (x - minimum), limit);
    codes.set(i, l);
    const auto weighted = parts.weights[i] * l;
    sums.l = sums.l + weighted;
    sums.ll = sums.ll + weighted * l;
    sums.xl = sums.xl + weighted * x;
  }
  return sums;
}

template <typename Simd, std::size_t kSize>
typename Simd::Float affine_error(const Parts<Simd, kSize>& parts, const Columns<Simd, kSize>& codes,
                                  typename Simd::Float scale, typename Simd::Float minimum) {
  auto error = Simd::broadcast(0);
  for (std::size_t i = 0; i < kSize; ++i) {
    const auto difference = scale * codes[i] + minimum - parts.x[i];
    error = error + parts.weights[i] * (difference * difference);
  }
  return error;
}

// quant::search_affine; `minimum` is that of the values, 0 or less.
template <typename Simd, std::size_t kSize>
AffineFound<Simd> search_affine(const Parts<Simd, kSize>& parts, int limit_code, const quant::SearchGrid& grid) {
  using Float = typename Simd::Float;
  const Float zero = Simd::broadcast(0);
  const Float limit = Simd::broadcast(static_cast<float>(limit_code));
  Float lowest = parts.x[0];
  Float highest = parts.x[0];
  Float sum_w = parts.weights[0];
  Float sum_x = sum_w * parts.x[0];
  for (std::size_t i = 1; i < kSize; ++i) {
    lowest = Simd::min(parts.x[i], lowest);
    highest = Simd::max(parts.x[i], highest);
    sum_w = sum_w + parts.weights[i];
    sum_x = sum_x + parts.weights[i] * parts.x[i];
  }
  Float minimum = Simd::min(zero, lowest);
  const auto constant = Simd::equal(highest, minimum);
  const auto range = [&] { return Simd::select(constant, Simd::broadcast(1), highest - minimum); };
  const auto sums_from = [&](Float inverse, Columns<Simd, kSize>& codes) {
    const Float magnitude = Simd::max(Simd::absolute(highest - minimum), Simd::absolute(lowest - minimum));
    return rounds_plainly<Simd>(inverse, magnitude)
               ? sum_codes<Simd, true, kSize>(parts, minimum, inverse, limit, codes)
               : sum_codes<Simd, false, kSize>(parts, minimum, inverse, limit, codes);
  };

  Columns<Simd, kSize> codes;
  const Float first_inverse = limit / range();
  AffineFound<Simd> found{Simd::broadcast(1) / first_inverse, minimum, first_inverse, minimum};
  sums_from(first_inverse, codes);
  Float least_error = affine_error<Simd, kSize>(parts, codes, found.scale, minimum);
  for (int candidate = 0; candidate <= grid.last; ++candidate) {
    const Float inverse = Simd::broadcast(grid.divisions(candidate, limit_code)) / range();
    const CodeSums<Simd> sums = sums_from(inverse, codes);
    const Float determinant = sum_w * sums.ll - sums.l * sums.l;
    const auto solvable = Simd::less(zero, determinant) & Simd::invert(constant);
    if (!Simd::any(solvable)) continue;
    Float scale = (sum_w * sums.xl - sum_x * sums.l) / determinant;
    Float tried_minimum = (sums.ll * sum_x - sums.l * sums.xl) / determinant;
    const auto positive = Simd::less(zero, tried_minimum);
    tried_minimum = Simd::select(positive, zero, tried_minimum);
    if (Simd::any(positive)) scale = Simd::select(positive, sums.xl / sums.ll, scale);
    const Float error = affine_error<Simd, kSize>(parts, codes, scale, tried_minimum);
    const auto better = Simd::less(error, least_error) & solvable;
    least_error = Simd::select(better, error, least_error);
    found.code_inverse = Simd::select(better, inverse, found.code_inverse);
    found.code_minimum = Simd::select(better, minimum, found.code_minimum);
    found.scale = Simd::select(better, scale, found.scale);
    minimum = Simd::select(better, tried_minimum, minimum);
  }
  found.minimum = minimum;
  found.scale = Simd::select(constant, zero, found.scale);
  found.code_inverse = Simd::select(constant, zero, found.code_inverse);
  return found;
}

// --- scale alone ---------------------------------------------------------------------------------------------------

template <typename Simd>
struct SymmetricFound {
  typename Simd::Float scale;
  typename Simd::Float code_inverse;  // 0 where all codes are 0
};

template <typename Simd>
struct SymmetricFit {
  typename Simd::Float product = Simd::broadcast(0);
  typename Simd::Float square = Simd::broadcast(0);
};

// `products`: weight times value. Codes lie within a few of the limits, so that they round plainly.
template <typename Simd, std::size_t kSize>
SymmetricFit<Simd> symmetric_fit(const Parts<Simd, kSize>& parts, const Columns<Simd, kSize>& products,
                                 typename Simd::Float inverse, int limit) {
  const auto shift = Simd::broadcast(quant::kRoundingShift);
  const auto least = Simd::broadcast(quant::kRoundingShift - static_cast<float>(limit));
  const auto greatest = Simd::broadcast(quant::kRoundingShift + static_cast<float>(limit - 1));
  SymmetricFit<Simd> fit;
  for (std::size_t i = 0; i < kSize; ++i) {
    const auto l = Simd::min(Simd::max(inverse * parts.x[i] + shift, least), greatest) - shift;
    fit.product = fit.product + products[i] * l;
    fit.square = fit.square + parts.weights[i] * l * l;
  }
  return fit;
}

// quant::search_symmetric, with weights.
template <typename Simd, std::size_t kSize>
SymmetricFound<Simd> search_symmetric(const Parts<Simd, kSize>& parts, int limit) {
  using Float = typename Simd::Float;
  const Float zero = Simd::broadcast(0);
  Columns<Simd, kSize> products;
  Float magnitude = zero;
  Float extreme = zero;
  for (std::size_t i = 0; i < kSize; ++i) {
    const Float absolute = Simd::absolute(parts.x[i]);
    extreme = Simd::select(Simd::less(magnitude, absolute), parts.x[i], extreme);
    magnitude = Simd::max(absolute, magnitude);
    products.set(i, parts.weights[i] * parts.x[i]);
  }
  const auto nothing = Simd::less(magnitude, Simd::broadcast(quant::kNoMagnitude));
  extreme = Simd::select(nothing, Simd::broadcast(1), extreme);
  SymmetricFound<Simd> found{zero, Simd::broadcast(quant::symmetric_divisions(0, limit)) / extreme};
  const SymmetricFit<Simd> first = symmetric_fit<Simd, kSize>(parts, products, found.code_inverse, limit);
  found.scale = Simd::select(Simd::not_equal(first.square, zero), first.product / first.square, zero);
  Float best = found.scale * first.product;
  for (int candidate = -quant::kSymmetricCandidates; candidate <= quant::kSymmetricCandidates; ++candidate) {
    if (candidate == 0) continue;
    const Float inverse = Simd::broadcast(quant::symmetric_divisions(candidate, limit)) / extreme;
    const SymmetricFit<Simd> fit = symmetric_fit<Simd, kSize>(parts, products, inverse, limit);
    const auto better = Simd::less(zero, fit.square) & Simd::less(best * fit.square, fit.product * fit.product);
    if (!Simd::any(better)) continue;
    found.code_inverse = Simd::select(better, inverse, found.code_inverse);
    found.scale = Simd::select(better, fit.product / fit.square, found.scale);
    best = Simd::select(better, found.scale * fit.product, best);
  }
  return {Simd::select(nothing, zero, found.scale), Simd::select(nothing, zero, found.code_inverse)};
}

// --- codes, in the order of the values -----------------------------------------------------------------------------

// `count` a multiple of 16.
template <typename Simd>
void store_affine_codes(const float* x, std::size_t count, float minimum, float inverse, int limit,
                        std::uint8_t* codes) {
  for (std::size_t i = 0; i < count; i += kLanes) {
    const auto scaled = Simd::broadcast(inverse) * (Simd::load(x + i) - Simd::broadcast(minimum));
    Simd::store_bytes(affine_code<Simd, false>(scaled, Simd::broadcast(static_cast<float>(limit))), codes + i);
  }
}

template <typename Simd>
typename Simd::Float symmetric_code(typename Simd::Float scaled, int limit) {
  const auto offset = Simd::broadcast(static_cast<float>(limit));
  const auto least = Simd::broadcast(static_cast<float>(-limit));
  const auto greatest = Simd::broadcast(static_cast<float>(limit - 1));
  return Simd::min(Simd::max(Simd::nearest(scaled), least), greatest) + offset;
}

template <typename Simd>
void store_symmetric_codes(const float* x, std::size_t count, float inverse, int limit, std::uint8_t* codes) {
  if (inverse == 0) {
    std::memset(codes, 0, count);
    return;
  }
  for (std::size_t i = 0; i < count; i += kLanes) {
    Simd::store_bytes(symmetric_code<Simd>(Simd::broadcast(inverse) * Simd::load(x + i), limit), codes + i);
  }
}

template <typename Simd>
struct AffineLanes {
  explicit AffineLanes(const AffineFound<Simd>& found) {
    Simd::store(found.scale, scale.data());
    Simd::store(Simd::negative(found.minimum), minimum.data());
    Simd::store(found.code_inverse, code_inverse.data());
    Simd::store(found.code_minimum, code_minimum.data());
  }
  alignas(64) std::array<float, kLanes> scale;
  alignas(64) std::array<float, kLanes> minimum;  // 0 or more, as a block has it
  alignas(64) std::array<float, kLanes> code_inverse;
  alignas(64) std::array<float, kLanes> code_minimum;
};

// --- super-blocks --------------------------------------------------------------------------------------------------

inline constexpr std::size_t kPart = quant::kSuperBlock / quant::kAffineParts;
inline constexpr std::size_t kSmallPart = quant::kSuperBlock / quant::kSymmetricParts;

// Weights for up to two super-blocks. `importance`: of their columns, or null.
template <typename Simd>
void weigh_affine_parts(const float* x, std::size_t blocks, const float* importance, Parts<Simd, kPart>& parts) {
  using Float = typename Simd::Float;
  if (importance == nullptr) {
    Float squares = Simd::broadcast(0);
    for (std::size_t i = 0; i < kPart; ++i) squares = squares + parts.x[i] * parts.x[i];
    const Float average = Simd::root(squares / Simd::broadcast(static_cast<float>(kPart)));
    for (std::size_t i = 0; i < kPart; ++i) parts.weights.set(i, average + Simd::absolute(parts.x[i]));
    return;
  }
  alignas(64) std::array<float, kLanes> mean_square{};
  for (std::size_t b = 0; b < blocks; ++b) {
    const float sum = quant::sum_of_squares(x + b * quant::kSuperBlock, quant::kSuperBlock);
    std::fill_n(mean_square.begin() + static_cast<std::ptrdiff_t>(b * quant::kAffineParts), quant::kAffineParts,
                2 * sum / static_cast<float>(quant::kSuperBlock));
  }
  load_parts<Simd, kPart>(importance, blocks * quant::kAffineParts, parts.weights);
  weigh<Simd, kPart>(parts, Simd::load(mean_square.data()));
}

// Codes of one super-block from the scales as they are stored.
template <typename Simd>
void finish_affine_block(TensorType type, int limit, const float* x, const quant::AffineParts& stored,
                         const AffineLanes<Simd>& lanes, std::size_t first_lane, std::byte* out) {
  std::array<std::uint8_t, quant::kSuperBlock> codes;
  const auto greatest = Simd::broadcast(static_cast<float>(limit));
  for (std::size_t j = 0; j < quant::kAffineParts; ++j) {
    const float* part = x + j * kPart;
    std::uint8_t* part_codes = codes.data() + j * kPart;
    if (stored.part_scale[j] == 0) {
      store_affine_codes<Simd>(part, kPart, lanes.code_minimum[first_lane + j], lanes.code_inverse[first_lane + j],
                               limit, part_codes);
      continue;
    }
    const auto minimum = Simd::broadcast(stored.part_minimum[j]);
    const auto scale = Simd::broadcast(stored.part_scale[j]);
    for (std::size_t i = 0; i < kPart; i += kLanes) {
      const auto scaled = (Simd::load(part + i) + minimum) / scale;
      Simd::store_bytes(affine_code<Simd, false>(scaled, greatest), part_codes + i);
    }
  }
  quant::encode_super_block(type, stored.scale, stored.minimum, stored.packed.data(), codes.data(), out);
}

// Q4_K and Q5_K. x: [blocks, 256].
template <typename Simd>
void quantize_affine_super_blocks(TensorType type, const float* x, std::size_t blocks, const float* importance,
                                  std::byte* out) {
  constexpr std::size_t kTogether = kLanes / quant::kAffineParts;
  const std::size_t block_bytes = gguf::type_traits(type).block_bytes;
  const int limit = gguf::type_traits(type).largest_code();
  const quant::SearchGrid& grid = importance != nullptr      ? quant::kImportanceGrid
                                  : type == TensorType::Q4_K ? quant::kFourBitGrid
                                                             : quant::kFiveBitGrid;
  for (std::size_t b = 0; b < blocks; b += kTogether) {
    const std::size_t count = std::min(kTogether, blocks - b);
    const float* values = x + b * quant::kSuperBlock;
    Parts<Simd, kPart> parts;
    load_parts<Simd, kPart>(values, count * quant::kAffineParts, parts.x);
    weigh_affine_parts<Simd>(values, count, importance != nullptr ? importance + b * quant::kSuperBlock : nullptr,
                             parts);
    const AffineLanes<Simd> lanes(search_affine<Simd, kPart>(parts, limit, grid));
    alignas(64) std::array<float, kLanes> weight_sums;
    auto sums = Simd::broadcast(0);
    for (std::size_t i = 0; i < kPart; ++i) sums = sums + parts.weights[i];
    Simd::store(sums, weight_sums.data());
    for (std::size_t k = 0; k < count; ++k) {
      const std::size_t lane = k * quant::kAffineParts;
      const quant::AffineParts stored =
          quant::affine_parts(type, lanes.scale.data() + lane, lanes.minimum.data() + lane,
                              importance != nullptr ? weight_sums.data() + lane : nullptr);
      finish_affine_block<Simd>(type, limit, values + k * quant::kSuperBlock, stored, lanes, lane,
                                out + (b + k) * block_bytes);
    }
  }
}

// x: [256]. `importance`: of its columns, or null.
template <typename Simd>
void quantize_q6_k(const float* x, const float* importance, std::byte* out) {
  constexpr int kOffset = gguf::kTraits<TensorType::Q6_K>.code_offset;
  Parts<Simd, kSmallPart> parts;
  load_parts<Simd, kSmallPart>(x, kLanes, parts.x);
  if (importance != nullptr) {
    load_parts<Simd, kSmallPart>(importance, kLanes, parts.weights);
  } else {
    for (std::size_t i = 0; i < kSmallPart; ++i) parts.weights.set(i, parts.x[i] * parts.x[i]);
  }
  const SymmetricFound<Simd> found = search_symmetric<Simd, kSmallPart>(parts, kOffset);
  alignas(64) std::array<float, kLanes> scales;
  alignas(64) std::array<float, kLanes> inverses;
  Simd::store(found.scale, scales.data());
  Simd::store(found.code_inverse, inverses.data());
  const quant::SymmetricParts stored = quant::symmetric_parts(scales.data());
  if (stored.zero) {
    std::memset(out, 0, gguf::type_traits(TensorType::Q6_K).block_bytes);
    return;
  }
  std::array<std::uint8_t, quant::kSuperBlock> codes;
  for (std::size_t j = 0; j < quant::kSymmetricParts; ++j) {
    const float* part = x + j * kSmallPart;
    std::uint8_t* part_codes = codes.data() + j * kSmallPart;
    if (stored.part_scale[j] == 0) {
      store_symmetric_codes<Simd>(part, kSmallPart, inverses[j], kOffset, part_codes);
    } else {
      const auto scaled = Simd::load(part) / Simd::broadcast(stored.part_scale[j]);
      Simd::store_bytes(symmetric_code<Simd>(scaled, kOffset), part_codes);
    }
  }
  quant::encode_super_block(TensorType::Q6_K, stored.scale, 0, stored.bytes.data(), codes.data(), out);
}

// --- blocks of 32 with importance ----------------------------------------------------------------------------------

// One row of Q4_0, Q4_1, Q5_0 or Q5_1.
template <typename Simd>
void quantize_important_blocks(TensorType type, const float* x, std::size_t columns, const float* importance,
                               std::byte* out) {
  const gguf::TypeTraits& traits = gguf::type_traits(type);
  const int limit = traits.largest_code();
  const auto mean_square = Simd::broadcast(quant::sum_of_squares(x, columns) / static_cast<float>(columns));
  const std::size_t blocks = columns / quant::kBlock;
  for (std::size_t b = 0; b < blocks; b += kLanes) {
    const std::size_t count = std::min(kLanes, blocks - b);
    const float* values = x + b * quant::kBlock;
    Parts<Simd, quant::kBlock> parts;
    load_parts<Simd, quant::kBlock>(values, count, parts.x);
    load_parts<Simd, quant::kBlock>(importance + b * quant::kBlock, count, parts.weights);
    weigh<Simd, quant::kBlock>(parts, mean_square);
    std::array<std::uint8_t, quant::kBlock> codes;
    if (!traits.has_minimum) {
      const SymmetricFound<Simd> found = search_symmetric<Simd, quant::kBlock>(parts, traits.code_offset);
      alignas(64) std::array<float, kLanes> scales;
      alignas(64) std::array<float, kLanes> inverses;
      Simd::store(found.scale, scales.data());
      Simd::store(found.code_inverse, inverses.data());
      for (std::size_t k = 0; k < count; ++k) {
        store_symmetric_codes<Simd>(values + k * quant::kBlock, quant::kBlock, inverses[k], traits.code_offset,
                                    codes.data());
        quant::encode_block(type, half_from_float(scales[k]), 0, codes.data(), out + (b + k) * traits.block_bytes);
      }
    } else {
      const AffineLanes<Simd> lanes(search_affine<Simd, quant::kBlock>(parts, limit, quant::kImportanceGrid));
      for (std::size_t k = 0; k < count; ++k) {
        store_affine_codes<Simd>(values + k * quant::kBlock, quant::kBlock, lanes.code_minimum[k],
                                 lanes.code_inverse[k], limit, codes.data());
        quant::encode_block(type, half_from_float(lanes.scale[k]), half_from_float(-lanes.minimum[k]), codes.data(),
                            out + (b + k) * traits.block_bytes);
      }
    }
  }
}

// Whether scales are searched for; else the range of values is divided evenly.
inline bool is_searched(TensorType type, const float* importance) {
  if (type == TensorType::F16 || type == TensorType::Q8_0) return false;
  return importance != nullptr || gguf::type_traits(type).is_super_block();
}

// See quant::quantize_rows and is_searched().
template <typename Simd>
void quantize_searched_rows(TensorType type, const float* x, std::size_t rows, std::size_t columns,
                            const float* importance, std::byte* out) {
  const gguf::TypeTraits& traits = gguf::type_traits(type);
  const std::size_t row_blocks = columns / traits.block_elements;
  for (std::size_t r = 0; r < rows; ++r, x += columns, out += row_blocks * traits.block_bytes) {
    if (type == TensorType::Q6_K) {
      for (std::size_t b = 0; b < row_blocks; ++b) {
        const std::size_t at = b * quant::kSuperBlock;
        quantize_q6_k<Simd>(x + at, importance != nullptr ? importance + at : nullptr, out + b * traits.block_bytes);
      }
    } else if (traits.is_super_block()) {
      quantize_affine_super_blocks<Simd>(type, x, row_blocks, importance, out);
    } else {
      quantize_important_blocks<Simd>(type, x, columns, importance, out);
    }
  }
}

}  // namespace
}  // namespace engine::kernels
