#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "kernels/reference/kernels.h"

namespace engine::kernels::reference {
namespace {

constexpr double kNoNumber = std::numeric_limits<double>::quiet_NaN();

using Lanes = std::array<double, 16>;

double tree_sum(Lanes sums) {
  for (std::size_t half = 8; half > 0; half /= 2) {
    for (std::size_t i = 0; i < half; ++i) sums[i] += sums[i + half];
  }
  return sums[0];
}

bool all_finite(const float* x, std::size_t n) {
  return std::all_of(x, x + n, [](float value) { return std::isfinite(value); });
}

}  // namespace

double sum_exponentials(const float* logits, float maximum, std::size_t n) {
  if (!all_finite(logits, n)) return kNoNumber;
  Lanes sums{};
  for (std::size_t i = 0; i < n; ++i) sums[i % 16] += static_cast<double>(exponential(logits[i] - maximum));
  return tree_sum(sums);
}

LogitComparison compare_logits(const float* logits, const float* others, float maximum, std::size_t n) {
  if (!all_finite(logits, n) || !all_finite(others, n)) return {kNoNumber, kNoNumber};
  Lanes sums{};
  Lanes excesses{};
  for (std::size_t i = 0; i < n; ++i) {
    const auto weight = static_cast<double>(exponential(logits[i] - maximum));
    const double excess = static_cast<double>(logits[i]) - static_cast<double>(others[i]);
    sums[i % 16] += weight;
    excesses[i % 16] = std::fma(weight, excess, excesses[i % 16]);
  }
  return {tree_sum(sums), tree_sum(excesses)};
}

}  // namespace engine::kernels::reference
