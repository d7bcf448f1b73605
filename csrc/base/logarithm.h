#pragma once

#include <bit>
#include <cstdint>

namespace engine {

// ln(x) of a positive normal number, the same bits on every machine: x = 2^k * m with m between 1/sqrt(2) and sqrt(2),
// ln(m) = 2 atanh(s) with s = (m - 1) / (m + 1), its power series up to s^21. Relative error below 2^-51.
inline double natural_logarithm(double x) {
  constexpr std::uint64_t kRootOfHalf = 0x3FE6A09E667F3BCD;
  constexpr int kMantissaBits = 52;
  constexpr double kLn2High = 0x1.62e42feep-1;  // times any exponent without a rounding
  constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
  const auto bits = std::bit_cast<std::uint64_t>(x);
  const auto exponent = static_cast<std::int64_t>(bits - kRootOfHalf) >> kMantissaBits;
  const auto m = std::bit_cast<double>(bits - (static_cast<std::uint64_t>(exponent) << kMantissaBits));
  const double s = (m - 1.0) / (m + 1.0);
  const double square = s * s;
  double series = 0.0;  // s^2 / 3 + s^4 / 5 + ...
  for (int power = 21; power > 1; power -= 2) series = square * (series + 1.0 / power);
  const auto k = static_cast<double>(exponent);
  return k * kLn2High + (2.0 * s + (2.0 * s * series + k * kLn2Low));
}

}  // namespace engine
