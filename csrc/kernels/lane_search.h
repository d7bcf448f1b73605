#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "gguf/tensor_type.h"
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

template <typename Simd>
struct Extreme {
  typename Simd::Float value;  // 1 where there is nothing
  typename Simd::Mask nothing;
};

template <typename Simd, std::size_t kSize>
Extreme<Simd> extreme_of(const Columns<Simd, kSize>& x) {
  auto magnitude = Simd::broadcast(0);
  auto extreme = magnitude;
  for (std::size_t i = 0; i < kSize; ++i) {
    const auto absolute = Simd::absolute(x[i]);
    extreme = Simd::select(Simd::less(magnitude, absolute), x[i], extreme);
    magnitude = Simd::max(absolute, magnitude);
  }
  const auto nothing = Simd::less(magnitude, Simd::broadcast(quant::kNoMagnitude));
  return {Simd::select(nothing, Simd::broadcast(1), extreme), nothing};
}

// quant::search_by_codes; `codes` get those of each part, in its column.
template <typename Simd, std::size_t kSize>
typename Simd::Float search_by_codes(const Columns<Simd, kSize>& x, int limit, Columns<Simd, kSize>& codes) {
  const auto zero = Simd::broadcast(0);
  const auto least = Simd::broadcast(static_cast<float>(-limit));
  const auto greatest = Simd::broadcast(static_cast<float>(limit - 1));
  const auto clamped = [&](auto l) { return Simd::min(Simd::max(Simd::nearest(l), least), greatest); };
  const Extreme<Simd> extreme = extreme_of<Simd, kSize>(x);
  const auto inverse = least / extreme.value;
  SymmetricFit<Simd> fit;
  for (std::size_t i = 0; i < kSize; ++i) {
    const auto l = clamped(inverse * x[i]);
    const auto w = x[i] * x[i];
    codes.set(i, l);
    fit.product = fit.product + w * x[i] * l;
    fit.square = fit.square + w * l * l;
  }
  bool changed = true;
  for (int pass = 0; pass < quant::kCodePasses && changed; ++pass) {
    changed = false;
    for (std::size_t i = 0; i < kSize; ++i) {
      const auto code = codes[i];
      const auto w = x[i] * x[i];
      auto product = fit.product - w * x[i] * code;
      auto square = fit.square - w * code * code;
      const auto found = clamped(x[i] * square / product);
      auto better = Simd::less(zero, product) & Simd::not_equal(found, code);
      product = product + w * x[i] * found;
      square = square + w * found * found;
      better = better & Simd::less(zero, square) &
               Simd::less(fit.product * fit.product * square, product * product * fit.square);
      if (!Simd::any(better)) continue;
      changed = true;
      codes.set(i, Simd::select(better, found, code));
      fit.product = Simd::select(better, product, fit.product);
      fit.square = Simd::select(better, square, fit.square);
    }
  }
  const auto offset = Simd::broadcast(static_cast<float>(limit));
  for (std::size_t i = 0; i < kSize; ++i) codes.set(i, Simd::select(extreme.nothing, zero, codes[i] + offset));
  const auto some = Simd::less(zero, fit.square) & Simd::invert(extreme.nothing);
  return Simd::select(some, fit.product / fit.square, zero);
}

// The uneven value that is nearest.
template <typename Simd>
typename Simd::Float nearest_value(typename Simd::Float x) {
  constexpr const gguf::Codebook& kValues = gguf::kUnevenValues;
  const auto value = [&](std::size_t i) { return Simd::broadcast(static_cast<float>(kValues[i])); };
  auto below = value(0);
  auto above = value(1);
  for (std::size_t i = 1; i + 1 < kValues.size(); ++i) {
    const auto less = Simd::less(x, value(i));
    below = Simd::select(less, below, value(i));
    above = Simd::select(less, above, value(i + 1));
  }
  return Simd::select(Simd::less(x - below, above - x), below, above);
}

// quant::search_uneven.
template <typename Simd, std::size_t kSize>
typename Simd::Float search_uneven(const Parts<Simd, kSize>& parts) {
  constexpr auto kFirst = static_cast<float>(gguf::kUnevenValues[0]);
  const auto zero = Simd::broadcast(0);
  const Extreme<Simd> extreme = extreme_of<Simd, kSize>(parts.x);
  const auto fit_of = [&](typename Simd::Float inverse) {
    SymmetricFit<Simd> fit;
    for (std::size_t i = 0; i < kSize; ++i) {
      const auto q = nearest_value<Simd>(inverse * parts.x[i]);
      const auto weighted = parts.weights[i] * q;
      fit.product = fit.product + weighted * parts.x[i];
      fit.square = fit.square + weighted * q;
    }
    return fit;
  };
  const SymmetricFit<Simd> first =
      fit_of(Simd::broadcast(1) / (Simd::negative(extreme.value) / Simd::broadcast(kFirst)));
  auto scale = Simd::select(Simd::less(zero, first.square), first.product / first.square, zero);
  auto best = scale * first.product;
  for (int candidate = -quant::kUnevenCandidates; candidate <= quant::kUnevenCandidates; ++candidate) {
    const auto fit = fit_of(Simd::broadcast(kFirst + static_cast<float>(candidate)) / extreme.value);
    const auto better = Simd::less(zero, fit.square) & Simd::less(best * fit.square, fit.product * fit.product);
    if (!Simd::any(better)) continue;
    scale = Simd::select(better, fit.product / fit.square, scale);
    best = Simd::select(better, scale * fit.product, best);
  }
  return Simd::select(extreme.nothing, zero, scale);
}

}  // namespace
}  // namespace engine::kernels
