#pragma once

#include <concepts>
#include <optional>

namespace engine {

// Arithmetic on values read from files: nullopt where the true result does not fit.
template <std::unsigned_integral T>
[[nodiscard]] constexpr std::optional<T> checked_add(T a, T b) {
  T sum{};
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

template <std::unsigned_integral T>
[[nodiscard]] constexpr std::optional<T> checked_multiply(T a, T b) {
  T product{};
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

template <std::integral T>
[[nodiscard]] constexpr T divide_up(T value, T divisor) {
  return (value + divisor - 1) / divisor;
}

template <std::integral T>
[[nodiscard]] constexpr T round_up(T value, T multiple) {
  return divide_up(value, multiple) * multiple;
}

}  // namespace engine
