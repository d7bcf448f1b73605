#include "quant/scale_search.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "quant/block.h"

namespace engine::quant {
namespace {

int symmetric_code(float value, float inverse_scale, int limit) {
  return std::clamp(nearest_integer(inverse_scale * value), -limit, limit - 1);
}

int affine_code(float value, float minimum, float inverse_scale, int limit) {
  return std::clamp(nearest_integer(inverse_scale * (value - minimum)), 0, limit);
}

// sum(w x l) and sum(w l l): the best scale for codes l is their quotient.
struct Fit {
  float product = 0;
  float square = 0;
};

Fit symmetric_fit(std::span<const float> x, const float* weights, float inverse_scale, int limit) {
  Fit fit;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto l = static_cast<float>(symmetric_code(x[i], inverse_scale, limit));
    const float w = weights != nullptr ? weights[i] : x[i] * x[i];
    fit.product += w * x[i] * l;
    fit.square += w * l * l;
  }
  return fit;
}

Fit uneven_fit(std::span<const float> x, const float* weights, float inverse_scale, const gguf::Codebook& values) {
  Fit fit;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto q = static_cast<float>(values[nearest_code(values, inverse_scale * x[i])]);
    fit.product += weights[i] * q * x[i];
    fit.square += weights[i] * q * q;
  }
  return fit;
}

// Tries for each signed code in turn what the others would have it be. Whether any changed.
bool improve_signed_codes(std::span<const float> x, int limit, std::int8_t* codes, Fit& fit) {
  bool changed = false;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto code = static_cast<float>(codes[i]);
    const float w = x[i] * x[i];
    Fit others{fit.product - w * x[i] * code, fit.square - w * code * code};
    if (!(others.product > 0)) continue;
    const int best_code = std::clamp(nearest_integer(x[i] * others.square / others.product), -limit, limit - 1);
    if (best_code == codes[i]) continue;
    const auto best_value = static_cast<float>(best_code);
    others.product += w * x[i] * best_value;
    others.square += w * best_value * best_value;
    if (others.square > 0 && others.product * others.product * fit.square > fit.product * fit.product * others.square) {
      codes[i] = static_cast<std::int8_t>(best_code);
      fit = others;
      changed = true;
    }
  }
  return changed;
}

float affine_error(std::span<const float> x, const float* weights, const std::uint8_t* codes, float scale,
                   float minimum) {
  float error = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float difference = scale * static_cast<float>(codes[i]) + minimum - x[i];
    error += weights[i] * (difference * difference);
  }
  return error;
}

// The inverse scale of least error: limit / maximum or one of its neighbours.
float best_inverse_scale(std::span<const float> x, const float* weights, int limit, float maximum) {
  float best = static_cast<float>(limit) / maximum;
  float least_error = 0;
  const float scale = 1 / best;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto code = static_cast<std::uint8_t>(nearest_integer(best * x[i]));
    const float difference = x[i] - scale * static_cast<float>(code);
    least_error += weights[i] * difference * difference;
  }
  for (int candidate = -4; candidate <= 4; ++candidate) {
    if (candidate == 0) continue;
    const float inverse = (0.1F * static_cast<float>(candidate) + static_cast<float>(limit)) / maximum;
    const float candidate_scale = 1 / inverse;
    float error = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const int code = std::min(limit, nearest_integer(inverse * x[i]));
      const float difference = x[i] - candidate_scale * static_cast<float>(code);
      error += weights[i] * difference * difference;
    }
    if (error < least_error) {
      least_error = error;
      best = inverse;
    }
  }
  return best;
}

// Tries for each code in turn what the others would have it be. Whether any changed.
bool improve_codes(std::span<const float> x, const float* weights, int limit, std::uint8_t* codes, Fit& fit) {
  bool changed = false;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto code = static_cast<float>(codes[i]);
    Fit others{fit.product - weights[i] * x[i] * code, fit.square - weights[i] * code * code};
    if (!(others.product > 0 && others.square > 0)) continue;
    const int best_code = std::min(limit, nearest_integer(x[i] * others.square / others.product));
    if (best_code == codes[i]) continue;
    const auto best_value = static_cast<float>(best_code);
    others.product += weights[i] * x[i] * best_value;
    others.square += weights[i] * best_value * best_value;
    if (others.product * others.product * fit.square > fit.product * fit.product * others.square) {
      codes[i] = static_cast<std::uint8_t>(best_code);
      fit = others;
      changed = true;
    }
  }
  return changed;
}

}  // namespace

float extreme_of(std::span<const float> x) {
  float extreme = 0;
  for (const float value : x) {
    if (std::fabs(value) > std::fabs(extreme)) extreme = value;
  }
  return extreme;
}

float search_symmetric(std::span<const float> x, const float* weights, int limit, std::uint8_t* codes) {
  const float extreme = extreme_of(x);
  if (std::fabs(extreme) < kNoMagnitude) {
    std::fill_n(codes, x.size(), std::uint8_t{0});
    return 0;
  }
  float inverse_scale = symmetric_divisions(0, limit) / extreme;
  const Fit first = symmetric_fit(x, weights, inverse_scale, limit);
  float scale = first.square != 0 ? first.product / first.square : 0;
  float best = scale * first.product;
  for (int candidate = -kSymmetricCandidates; candidate <= kSymmetricCandidates; ++candidate) {
    if (candidate == 0) continue;
    const float inverse = symmetric_divisions(candidate, limit) / extreme;
    const Fit fit = symmetric_fit(x, weights, inverse, limit);
    if (fit.square > 0 && fit.product * fit.product > best * fit.square) {
      inverse_scale = inverse;
      scale = fit.product / fit.square;
      best = scale * fit.product;
    }
  }
  for (std::size_t i = 0; i < x.size(); ++i) {
    codes[i] = static_cast<std::uint8_t>(symmetric_code(x[i], inverse_scale, limit) + limit);
  }
  return scale;
}

float search_by_codes(std::span<const float> x, int limit, std::uint8_t* codes) {
  const float extreme = extreme_of(x);
  if (std::fabs(extreme) < kNoMagnitude) {
    std::fill_n(codes, x.size(), std::uint8_t{0});
    return 0;
  }
  const float inverse_scale = static_cast<float>(-limit) / extreme;
  std::array<std::int8_t, kBlock> signed_codes;
  Fit fit;
  for (std::size_t i = 0; i < x.size(); ++i) {
    signed_codes[i] = static_cast<std::int8_t>(symmetric_code(x[i], inverse_scale, limit));
    const auto l = static_cast<float>(signed_codes[i]);
    const float w = x[i] * x[i];
    fit.product += w * x[i] * l;
    fit.square += w * l * l;
  }
  for (int pass = 0; pass < kCodePasses && improve_signed_codes(x, limit, signed_codes.data(), fit); ++pass) {
  }
  for (std::size_t i = 0; i < x.size(); ++i) codes[i] = static_cast<std::uint8_t>(signed_codes[i] + limit);
  return fit.square > 0 ? fit.product / fit.square : 0;
}

float search_uneven(std::span<const float> x, const float* weights, const gguf::Codebook& values) {
  const float extreme = extreme_of(x);
  if (std::fabs(extreme) < kNoMagnitude) return 0;
  const Fit first = uneven_fit(x, weights, 1 / (-extreme / static_cast<float>(values[0])), values);
  float scale = first.square > 0 ? first.product / first.square : 0;
  float best = scale * first.product;
  for (int candidate = -kUnevenCandidates; candidate <= kUnevenCandidates; ++candidate) {
    const Fit fit = uneven_fit(x, weights, static_cast<float>(candidate + values[0]) / extreme, values);
    if (fit.square > 0 && fit.product * fit.product > best * fit.square) {
      scale = fit.product / fit.square;
      best = scale * fit.product;
    }
  }
  return scale;
}

std::uint8_t nearest_code(const gguf::Codebook& values, float x) {
  if (x <= static_cast<float>(values.front())) return 0;
  constexpr std::uint8_t kLast = 15;
  if (x >= static_cast<float>(values[kLast])) return kLast;
  std::uint8_t below = 0;
  std::uint8_t above = kLast;
  while (above - below > 1) {
    const auto middle = static_cast<std::uint8_t>((below + above) / 2);
    (x < static_cast<float>(values[middle]) ? above : below) = middle;
  }
  return x - static_cast<float>(values[above - 1]) < static_cast<float>(values[above]) - x
             ? static_cast<std::uint8_t>(above - 1)
             : above;
}

AffineScale search_affine(std::span<const float> x, const float* weights, int limit, const SearchGrid& grid,
                          std::uint8_t* codes) {
  float minimum = x[0];
  float maximum = x[0];
  float sum_w = weights[0];
  float sum_x = sum_w * x[0];
  for (std::size_t i = 1; i < x.size(); ++i) {
    minimum = x[i] < minimum ? x[i] : minimum;
    maximum = x[i] > maximum ? x[i] : maximum;
    sum_w += weights[i];
    sum_x += weights[i] * x[i];
  }
  if (minimum > 0) minimum = 0;
  std::fill_n(codes, x.size(), std::uint8_t{0});
  if (maximum == minimum) return {0, -minimum};

  const float first_inverse = static_cast<float>(limit) / (maximum - minimum);
  float scale = 1 / first_inverse;
  for (std::size_t i = 0; i < x.size(); ++i) {
    codes[i] = static_cast<std::uint8_t>(affine_code(x[i], minimum, first_inverse, limit));
  }
  float least_error = affine_error(x, weights, codes, scale, minimum);
  for (int candidate = 0; candidate <= grid.last; ++candidate) {
    // Starts from the minimum of the best candidate so far, which is no longer the least value.
    const float inverse = grid.divisions(candidate, limit) / (maximum - minimum);
    std::array<std::uint8_t, kBlock> tried;
    float sum_l = 0;
    float sum_ll = 0;
    float sum_xl = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      tried[i] = static_cast<std::uint8_t>(affine_code(x[i], minimum, inverse, limit));
      const auto l = static_cast<float>(tried[i]);
      sum_l += weights[i] * l;
      sum_ll += weights[i] * l * l;
      sum_xl += weights[i] * l * x[i];
    }
    const float determinant = sum_w * sum_ll - sum_l * sum_l;
    if (!(determinant > 0)) continue;
    float tried_scale = (sum_w * sum_xl - sum_x * sum_l) / determinant;
    float tried_minimum = (sum_ll * sum_x - sum_l * sum_xl) / determinant;
    if (tried_minimum > 0) {
      tried_minimum = 0;
      tried_scale = sum_xl / sum_ll;
    }
    const float error = affine_error(x, weights, tried.data(), tried_scale, tried_minimum);
    if (error < least_error) {
      std::copy_n(tried.begin(), x.size(), codes);
      least_error = error;
      scale = tried_scale;
      minimum = tried_minimum;
    }
  }
  return {scale, -minimum};
}

float search_non_negative(std::span<const float> x, const float* weights, int limit, std::uint8_t* codes) {
  std::fill_n(codes, x.size(), std::uint8_t{0});
  float maximum = 0;
  for (const float value : x) maximum = maximum > value ? maximum : value;
  if (maximum < kNoMagnitude) return 0;
  const float inverse_scale = best_inverse_scale(x, weights, limit, maximum);
  Fit fit;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const int code = std::min(limit, nearest_integer(inverse_scale * x[i]));
    codes[i] = static_cast<std::uint8_t>(code);
    fit.product += weights[i] * x[i] * static_cast<float>(code);
    fit.square += weights[i] * static_cast<float>(code) * static_cast<float>(code);
  }
  for (int pass = 0; pass < kCodePasses && improve_codes(x, weights, limit, codes, fit); ++pass) {
  }
  return fit.square > 0 ? fit.product / fit.square : 0;
}

}  // namespace engine::quant
